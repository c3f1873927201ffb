// What a figure shows of one run: explorers/looking.py gathers the same from PyTorch, in the same order.
//
// A reader changes one thing at a time, so two sessions remember: the model as it was asked for, and
// as it is, with every head on, the right RoPE and no fault, to show beside it.

const CHOICES = 20; // the most likely next tokens, among which a reader may also draw
const LONGEST = 128; // tokens: of a longer text the last ones are read,
const STRIDE = 32; // dropped so many at a time, so that a letter more does not move all the others

/**
 * A function from { text, written, at, layer, score, step, off, rope, fault } to what is shown of it. `written`:
 * ids behind those of the text. `at`: the position whose next token is asked for, null for the last.
 * `score`: the name of one in SCORES, null for none. `step`: the name of a value, of this layer or
 * outside the layers; null for none.
 */
function looking({ session, tokenizer, config, weights }) {
  const [changed, intact] = [session.fork(), session.fork()];
  const tokens = (ids) => Array.from(ids, (id) => tokenizer.piece(id));

  const look = (asked) => {
    const { text, written, at, layer, score, step, off, rope, fault } = asked;
    const what = { off, rope, fault };
    const whole = [...tokenizer.encode(text), ...written];
    const dropped = Math.ceil(Math.max(whole.length - LONGEST, 0) / STRIDE) * STRIDE;
    const ids = whole.slice(dropped);
    const about = { asked, ids, tokens: tokens(ids), tail: tokenizer.decode(written), dropped };
    if (!ids.length) return { ...about, at: null };
    const here = at === null ? ids.length - 1 : Math.min(at, ids.length - 1);

    const logits = changed.lens(ids, here, what);
    const [L, V] = [logits.shape[0] - 1, logits.shape[1]];
    const shares = attentionPattern({ shape: [1, L + 1, V], data: logits.data }); // a softmax is a softmax
    const share = (depth, id) => shares.data[depth * V + id];
    const best = largest(distribution(shares, L), Math.min(CHOICES, V));
    const guesses = Array.from({ length: L + 1 }, (_, depth) => largest(distribution(shares, depth), 1)[0]);
    const before = attentionPattern({ shape: [1, 1, V], data: intact.logits(ids, { at: [here] }).data }).data;
    const [first] = largest(before, 1);

    const rows = changed.attention(ids, what);
    const value = step === null ? null : changed.value(ids, OUTSIDE.includes(step) ? null : layer, step, what);
    return {
      ...about,
      at: here,
      next: {
        ids: best, tokens: tokens(best),
        shares: Float32Array.from(best, (id) => share(L, id)),
        before: Float32Array.from(best, (id) => before[id]),
      },
      intact: { token: tokenizer.piece(first), shares: Float32Array.of(before[first], share(L, first)) },
      lens: {
        tokens: tokens(guesses),
        shares: Float32Array.from(guesses, (id, depth) => share(depth, id)),
      },
      looks: lookingBack(rows, here),
      pattern: wholePattern(rows[layer]),
      scores: score && SCORES[score]({ rows, ids, here, weights, config }),
      value: value && { shape: value.shape.slice(1), data: value.data },
    };
  };
  /** How many positions layers have computed for all answers so far. */
  return Object.assign(look, { computed: () => changed.computed + intact.computed });
}

/** One row of (1, N, V): the shares of all tokens. */
function distribution({ shape: [, N, V], data }, row) {
  return at({ shape: [N, V], data }, row);
}

/** What each head of each layer gives to each key, from one position: (L, H, keys). */
function lookingBack(rows, here) {
  const [H, keys] = rows[0][here].pattern.shape;
  const looks = new Float32Array(rows.length * H * keys);
  rows.forEach((layer, l) => looks.set(layer[here].pattern.data, l * H * keys));
  return looks;
}

/** One layer's pattern, zeros where a key is not yet there: (H, T, T). */
function wholePattern(rows) {
  const [H, T] = rows.at(-1).pattern.shape;
  const whole = tensor(H, T, T);
  rows.forEach(({ pattern }, query) => {
    for (let h = 0; h < H; h++) whole.data.set(at(pattern, h), (h * T + query) * T);
  });
  return whole.data;
}

/**
 * What can be said of each head on this text, (L, H). Three are means over the queries of the share that
 * goes to the token before, to the first token of all, and to those that followed the same token
 * earlier; a mean over no query is NaN.
 */
const SCORES = {
  previous: ({ rows }) => meanShare(rows, (query) => [query - 1]),
  first: ({ rows }) => meanShare(rows, () => [0]),
  induction: ({ rows, ids }) => meanShare(rows, (query) =>
    ids.slice(0, query).flatMap((earlier, key) => (earlier === ids[query] ? [key + 1] : []))),
  written: howMuch,
};

/** The mean, over the queries behind the first that have any, of what goes to the keys of `keysOf(query)`. */
function meanShare(rows, keysOf) {
  const H = rows[0][0].pattern.shape[0];
  const pairs = rows[0].flatMap((_, query) => (query ? keysOf(query).map((key) => [query, key]) : []));
  const queries = new Set(pairs.map(([query]) => query)).size;
  const mean = new Float32Array(rows.length * H);
  rows.forEach((layer, l) => {
    for (let h = 0; h < H; h++) {
      let sum = 0;
      for (const [query, key] of pairs) sum += at(layer[query].pattern, h)[key];
      mean[l * H + h] = sum / queries;
    }
  });
  return mean;
}

/** How long a vector each head adds to the stream at one position, the norm's scale as it was: (L, H). */
function howMuch({ rows, here, weights, config }) {
  const { head_dim: Dh, hidden_size: D, rms_norm_eps: eps } = config;
  const H = rows[0][0].z.shape[0];
  const written = new Float32Array(rows.length * H);
  rows.forEach((layer, l) => {
    const name = `model.layers.${l}`;
    const [o_proj, norm] = [weights[`${name}.self_attn.o_proj.weight`], weights[`${name}.post_attention_layernorm.weight`]];
    const z = layer[here].z.data;
    const parts = tensor(H, D);
    for (let h = 0, i = 0; h < H; h++)
      for (let d = 0; d < D; d++, i++)
        for (let n = h * Dh, to = n + Dh, w = d * H * Dh + n; n < to; n++, w++) parts.data[i] += z[n] * o_proj.data[w];
    let square = 0;
    for (let d = 0; d < D; d++) {
      let sum = 0;
      for (let h = 0; h < H; h++) sum += parts.data[h * D + d];
      square += sum * sum;
    }
    const scale = 1 / Math.sqrt(square / D + eps);
    for (let h = 0; h < H; h++)
      written[l * H + h] = Math.hypot(...at(parts, h).map((x, d) => x * scale * norm.data[d]));
  });
  return written;
}
