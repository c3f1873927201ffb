// A model that remembers: of each layer its input, and k and v, for the prompt that it ran last. So a
// token more costs one position, and a head taken off costs nothing in the layers below it.
// What a run may be asked for is in asked.js.

class Session {
  /** How many positions layers have computed, all layers together. */
  computed = 0;
  #config;
  #weights;
  #faults;
  #running; // the config of the last run: this model's, or one with a fault
  #ids = [];
  #rope = "per-layer";
  #fault = "";
  #off = []; // layer → its heads that are off, in order, as text
  #layers = []; // layer → { x: (T, D), k: (K, T, Dh), v: (K, T, Dh), rows: of each position, what it looked at }
  #last = null; // what the last layer gave: (T, D)
  #looked = null; // the layer that was looked into, as far as it was computed

  /**
   * `config`: as `olmo-explain config MODEL --json` prints it. `weights`: by their names. `faults`: by
   * their names { config }, what each changes in it.
   */
  constructor(config, weights, faults = {}) {
    this.#config = this.#running = config;
    this.#weights = weights;
    this.#faults = faults;
    this.#layers = config.layer_types.map(() => ({ x: null, k: null, v: null, rows: [] }));
    this.#off = config.layer_types.map(() => "");
  }

  /** Another session that remembers the same, and goes its own way from here. */
  fork() {
    const other = new Session(this.#config, this.#weights, this.#faults);
    other.#running = this.#running;
    other.#ids = this.#ids;
    other.#rope = this.#rope;
    other.#fault = this.#fault;
    other.#off = this.#off;
    other.#layers = this.#layers;
    other.#last = this.#last;
    return other;
  }

  /** Logits of some positions, the last when not given: { shape: [N, V], data }. */
  logits(ids, { at: wanted = [ids.length - 1], ...asked } = {}) {
    this.#run(ids, asked);
    const x = tensor(wanted.length, this.#config.hidden_size);
    wanted.forEach((position, row) => at(x, row).set(at(this.#last, position)));
    return this.#unembed(x).logits;
  }

  /** The logits at one position if the stream ended before each layer, and as it ends: [L + 1, V]. */
  lens(ids, position, asked = {}) {
    this.#run(ids, asked);
    const streams = [...this.#layers.map(({ x }) => x), this.#last];
    const x = tensor(streams.length, this.#config.hidden_size);
    streams.forEach((stream, row) => at(x, row).set(at(stream, position)));
    return this.#unembed(x).logits;
  }

  /** Of every layer and position { pattern: (H, its keys), z: (H, Dh) }: the session's own, to read only. */
  attention(ids, asked = {}) {
    this.#run(ids, asked);
    return this.#layers.map(({ rows }) => rows);
  }

  /** A value by the names of the reference; `layer` is null for embedding, final_norm and logits. */
  value(ids, layer, name, asked = {}) {
    checkValue(layer, name, this.#config);
    this.#run(ids, asked);
    const found = layer === null ? this.#outside(name) : this.#within(layer, name);
    return { shape: [1, ...found.shape], data: found.data.slice() }; // a copy, for whoever writes into it
  }

  /** Writes on: yields one id after the other, up to `count`, and stops behind eos_token_id. */
  *write(ids, count, { temperature = 0, topK = Infinity, seed = 0, ...asked } = {}) {
    if (!(temperature >= 0)) throw new RangeError(`A temperature is 0 or above, not ${said(temperature)}.`);
    if (!(topK >= 1)) throw new RangeError(`Top-k keeps one token or more, not ${said(topK)}.`);
    const random = generator(seed);
    const written = [...ids];
    for (let n = 0; n < count; n++) {
      const id = choose(this.logits(written, asked).data, temperature, topK, random);
      yield id;
      if ([this.#config.eos_token_id].flat().includes(id)) return; // some models have several
      written.push(id);
    }
  }

  // -- what is computed, and what is remembered -------------------------------------------------------

  #run(ids, asked) {
    const { off, rope, fault } = checkedOptions(asked, this.#config, this.#faults);
    checkIds(ids, this.#config);
    const wanted = this.#config.layer_types.map((_, layer) => headsOff(off, layer).join(" "));
    const changed = wanted.findIndex((heads, layer) => heads !== this.#off[layer]);
    const first = changed < 0 ? wanted.length : changed; // the first layer that is not as it was
    const same = rope === this.#rope && fault === this.#fault ? sharedLength(ids, this.#ids) : 0;
    if (same === ids.length && same === this.#ids.length && first === wanted.length) return;

    this.#running = { ...this.#config, ...this.#faults[fault]?.config };
    this.#rope = rope;
    this.#fault = fault;
    const layers = [];
    const positions = {};
    let x = embed(ids.slice(same), this.#weights["model.embed_tokens.weight"]);
    for (const [layer, kind] of this.#running.layer_types.entries()) {
      const before = this.#layers[layer];
      const input = joinRows(before.x, layer > first ? 0 : same, x);
      const from = layer < first ? same : 0; // what is remembered up to here, and still right
      const cache = { k: firstPositions(before.k, from), v: firstPositions(before.v, from) };
      const rows = before.rows.slice(0, from);
      if (from < ids.length) {
        const N = ids.length - from;
        const range = `${kind} ${from}`;
        positions[range] ??= this.#positions(kind, from, ids.length);
        x = { shape: [N, input.shape[1]], data: input.data.subarray(from * input.shape[1]) };
        let pattern;
        for (const [name, value] of this.#layer(x, layer, positions[range], cache, wanted)) {
          if (name === "pattern") pattern = value;
          if (name === "z") rows.push(...rowsOf(pattern, value));
          x = value;
        }
        this.computed += N;
      }
      layers.push({ x: input, ...cache, rows });
    }
    this.#last = joinRows(this.#last, first < wanted.length ? 0 : same, x);
    this.#ids = [...ids];
    this.#off = wanted;
    this.#layers = layers;
    this.#looked = null;
  }

  #positions(kind, from, to) {
    const config = this.#running;
    return positionsByHand(config, kind, REGIMES[this.#rope](config, kind), from, to);
  }

  /** The steps of a layer, done wrongly where a fault is; heads that are off write zeros before o_proj reads them. */
  *#layer(x, layer, positions, cache, off) {
    const [values, overwrites] = [{}, OVERWRITES[this.#fault] ?? {}];
    for (const step of layerByHand(x, this.#weights, this.#running, layer, positions, cache)) {
      const [name, value] = step;
      values[name] = value;
      overwrites[name]?.(value, values, this.#running);
      if (name === "z" && off[layer]) for (const head of off[layer].split(" ")) silence(value, +head);
      yield step;
    }
  }

  /** A layer is computed again to look into it, and no further than to the value asked for. */
  #within(layer, name) {
    if (this.#looked?.layer !== layer) {
      const positions = this.#positions(this.#running.layer_types[layer], 0, this.#ids.length);
      const steps = this.#layer(this.#layers[layer].x, layer, positions, { k: null, v: null }, this.#off);
      this.#looked = { layer, steps, values: new Map() };
    }
    const { steps, values } = this.#looked;
    while (!values.has(name)) values.set(...steps.next().value);
    return values.get(name);
  }

  #outside(name) {
    return name === "embedding" ? this.#layers[0].x : this.#unembed(this.#last)[name];
  }

  #unembed(x) {
    const final_norm = finalNorm(x, this.#weights, this.#running);
    return { final_norm, logits: logitsOf(final_norm, this.#weights, this.#running) };
  }
}

/** The heads of one layer that are off, each once, in order. */
function headsOff(off, layer) {
  const heads = off.filter(([at]) => at === layer).map(([, head]) => head);
  return [...new Set(heads)].sort((a, b) => a - b);
}

/** A head's part of z (N, H, Dh) becomes zero: there it exists alone, before o_proj mixes the heads. */
function silence(z, head) {
  const [N, H, Dh] = z.shape;
  for (let t = 0; t < N; t++) z.data.fill(0, (t * H + head) * Dh, (t * H + head + 1) * Dh);
}

function sharedLength(one, other) {
  let length = 0;
  while (length < one.length && length < other.length && one[length] === other[length]) length++;
  return length;
}

/** The first rows of a matrix, and others below them. */
function joinRows(before, rows, below) {
  const size = below.shape[1];
  const x = tensor(rows + below.shape[0], size);
  if (rows) x.data.set(before.data.subarray(0, rows * size));
  x.data.set(below.data, rows * size);
  return x;
}

/** Of each new position what its heads looked at, and what they read there. */
function rowsOf(pattern, z) {
  const [H, N, T] = pattern.shape;
  return Array.from({ length: N }, (_, n) => {
    const keys = T - N + n + 1;
    const row = tensor(H, keys);
    for (let h = 0; h < H; h++) at(row, h).set(at(pattern, h).subarray(n * T, n * T + keys));
    return { pattern: row, z: { shape: z.shape.slice(1), data: at(z, n) } };
  });
}

/** The first positions of a cache (K, T, Dh), null for none. */
function firstPositions(kv, count) {
  if (!count) return null;
  const [heads, length, Dh] = kv.shape;
  if (count === length) return kv; // never written into again
  const first = tensor(heads, count, Dh);
  for (let h = 0; h < heads; h++) at(first, h).set(at(kv, h).subarray(0, count * Dh));
  return first;
}

// -- choosing the next token ------------------------------------------------------------------------

/** The ids of the largest logits, the largest first; of two that are equal the smaller id. */
function largest(logits, count) {
  const ids = [];
  for (let id = 0; id < logits.length; id++) {
    if (ids.length === count && !(logits[id] > logits[ids[count - 1]])) continue;
    let place = ids.length;
    while (place > 0 && logits[id] > logits[ids[place - 1]]) place--;
    ids.splice(place, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}

/** Temperature 0 takes the most likely token; otherwise one of the `topK` by its share. */
function choose(logits, temperature, topK, random) {
  if (temperature === 0) return largest(logits, 1)[0];
  const ids = largest(logits, Math.min(topK, logits.length));
  const shares = ids.map((id) => Math.exp((logits[id] - logits[ids[0]]) / temperature));
  let left = random() * shares.reduce((sum, share) => sum + share, 0);
  return ids.find((_, i) => (left -= shares[i]) < 0) ?? ids[0];
}

/** Numbers from 0 to 1, the same ones for the same seed: mulberry32. */
function generator(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}
