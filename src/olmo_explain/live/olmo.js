// OLMo 3 by hand, in plain JavaScript: the steps of by_hand/reference.py under the same names, in the
// same order; read the two side by side. OLMo 2 is the same, without windows.
//
// A tensor is { shape, data }: a Float32Array, the last axis fastest. There is one prompt, so no batch
// axis, and a step may be given the last N positions only, if k and v of the earlier ones are kept.
// Sums are float64, rounded once when they are stored.
//
// Axes: T positions, N of them new, D hidden_size, F intermediate_size, V vocab_size, H heads,
// K key-value heads, Dh head_dim. A weight is stored as (outputs, inputs).

/** Every value that a layer computes, in order, and which of its fifteen steps computes it. */
const STEPS = {
  resid_pre: 1, q_proj: 1, k_proj: 2, v_proj: 3, v: 3, q_norm: 4, k_norm: 4,
  cos: 5, sin: 5, q: 5, k: 5, scores: 6, mask: 6, masked_scores: 6, pattern: 7,
  z: 8, o_proj: 9, attn_out: 10, resid_mid: 10, gate_proj: 11, up_proj: 12,
  silu: 13, intermediate: 13, down_proj: 14, mlp_out: 15, resid_post: 15,
};

const HIDDEN = -3.4028234663852886e38; // the lowest number of float32

function tensor(...shape) {
  return { shape, data: new Float32Array(shape.reduce((size, axis) => size * axis, 1)) };
}

/** The numbers at one place of a tensor's first axis: a view. */
function at(x, place) {
  const size = x.data.length / x.shape[0];
  return x.data.subarray(place * size, (place + 1) * size);
}

/**
 * out = x @ w.T, with `inputs` numbers in each row of both. Two rows of x and four of w at a time, so
 * that a number that was loaded is used more than once; at the end a row may be computed twice.
 */
function multiply(x, w, out, inputs) {
  const [rows, outputs] = [x.length / inputs, w.length / inputs];
  for (let o = 0; o < outputs; o += 4) {
    const o1 = Math.min(o + 1, outputs - 1);
    const o2 = Math.min(o + 2, outputs - 1);
    const o3 = Math.min(o + 3, outputs - 1);
    for (let t = 0; t < rows; t += 2) {
      const t1 = Math.min(t + 1, rows - 1);
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      let p = o * inputs, q = o1 * inputs, r = o2 * inputs, s = o3 * inputs;
      for (let i = t * inputs, j = t1 * inputs, end = i + inputs; i < end; i++, j++) {
        const a = x[i], b = x[j];
        const w0 = w[p++], w1 = w[q++], w2 = w[r++], w3 = w[s++];
        a0 += a * w0; a1 += a * w1; a2 += a * w2; a3 += a * w3;
        b0 += b * w0; b1 += b * w1; b2 += b * w2; b3 += b * w3;
      }
      const here = t * outputs;
      const next = t1 * outputs;
      out[here + o] = a0; out[here + o1] = a1; out[here + o2] = a2; out[here + o3] = a3;
      out[next + o] = b0; out[next + o1] = b1; out[next + o2] = b2; out[next + o3] = b3;
    }
  }
}

// -- the steps --------------------------------------------------------------------------------------

/** One row of the table for each token: no arithmetic at all. */
function embed(ids, weight) {
  const x = tensor(ids.length, weight.shape[1]);
  ids.forEach((id, t) => at(x, t).set(at(weight, id)));
  return x; // (N, D)
}

/** Every output is the dot product of x with one row of the weight. OLMo adds no bias. */
function linear(x, weight) {
  const [outputs, inputs] = weight.shape;
  const out = tensor(x.shape[0], outputs);
  multiply(x.data, weight.data, out.data, inputs);
  return out; // (N, outputs)
}

/** Divides x by its root mean square, then scales each number by its weight. */
function rmsNorm(x, weight, eps) {
  const [rows, size] = x.shape;
  const out = tensor(rows, size);
  for (let start = 0; start < rows * size; start += size) {
    let square = 0;
    for (let i = start; i < start + size; i++) square += x.data[i] * x.data[i];
    const scale = 1 / Math.sqrt(square / size + eps);
    for (let i = 0; i < size; i++) out.data[start + i] = weight.data[i] * (x.data[start + i] * scale);
  }
  return out;
}

/** Cuts each vector into its heads; head h is the numbers from h·Dh to (h + 1)·Dh. */
function splitHeads(x, headDim) {
  const [N, size] = x.shape;
  const heads = tensor(size / headDim, N, headDim);
  for (let h = 0, to = 0; h < size; h += headDim)
    for (let t = 0; t < N; t++, to += headDim)
      heads.data.set(x.data.subarray(t * size + h, t * size + h + headDim), to);
  return heads; // (H, N, Dh)
}

/** Puts the heads back side by side: (N, H, Dh) → (N, H·Dh), a view. */
function mergeHeads(z) {
  return { shape: [z.shape[0], z.shape[1] * z.shape[2]], data: z.data };
}

/** Grouped-query attention: heads 0 to H/K − 1 all read key-value head 0, and so on. */
function kvHeadOf(head, heads, kvHeads) {
  return Math.floor(head / (heads / kvHeads));
}

/** How well each query fits each key: their dot product over √Dh. */
function attentionScores(q, k) {
  const [[H, N, Dh], [K, T]] = [q.shape, k.shape];
  const scores = tensor(H, N, T);
  for (let h = 0; h < H; h++) multiply(at(q, h), at(k, kvHeadOf(h, H, K)), at(scores, h), Dh);
  const scale = Dh ** -0.5;
  for (let i = 0; i < scores.data.length; i++) scores.data[i] *= scale;
  return scores; // (H, N, T)
}

/** Whether a query may see a key: one up to itself, within the window, which counts itself. */
function visible(key, query, window) {
  return key <= query && (window === null || key > query - window);
}

/** What is added to the scores: 0 where a key is seen, float32's lowest number where not. */
function additiveMask(from, to, window) {
  const mask = tensor(1, to - from, to);
  for (let query = from, i = 0; query < to; query++)
    for (let key = 0; key < to; key++, i++) mask.data[i] = visible(key, query, window) ? 0 : HIDDEN;
  return mask; // (1, N, T)
}

function addMask(scores, mask) {
  const out = tensor(...scores.shape);
  for (let i = 0, j = 0; i < out.data.length; i++, j++) {
    if (j === mask.data.length) j = 0; // the next head
    out.data[i] = scores.data[i] + mask.data[j];
  }
  return out;
}

/** Softmax over the keys: each query's shares of attention, which sum to 1. */
function attentionPattern(scores) {
  const T = scores.shape[2];
  const pattern = tensor(...scores.shape);
  for (let start = 0; start < pattern.data.length; start += T) {
    let [most, sum] = [-Infinity, 0];
    for (let i = start; i < start + T; i++) most = Math.max(most, scores.data[i]);
    for (let i = start; i < start + T; i++) sum += pattern.data[i] = Math.exp(scores.data[i] - most);
    for (let i = start; i < start + T; i++) pattern.data[i] /= sum;
  }
  return pattern; // (H, N, T)
}

/** Each head's output: the values, averaged with the pattern's shares. */
function applyPattern(pattern, v) {
  const [[H, N, T], [K, , Dh]] = [pattern.shape, v.shape];
  const [z, columns, out] = [tensor(N, H, Dh), tensor(Dh, T), tensor(N, Dh)];
  for (let h = 0; h < H; h++) {
    const values = at(v, kvHeadOf(h, H, K));
    for (let t = 0; t < T; t++)
      for (let d = 0; d < Dh; d++) columns.data[d * T + t] = values[t * Dh + d];
    multiply(at(pattern, h), columns.data, out.data, T);
    for (let t = 0; t < N; t++) z.data.set(at(out, t), (t * H + h) * Dh);
  }
  return z; // (N, H, Dh)
}

/** x · σ(x), with σ(x) = 1 / (1 + e⁻ˣ). */
function silu(gate) {
  const out = tensor(...gate.shape);
  for (let i = 0; i < out.data.length; i++) out.data[i] = gate.data[i] / (1 + Math.exp(-gate.data[i]));
  return out;
}

/** Number by number: how far the gate lets `up` pass. */
function times(gate, up) {
  const out = tensor(...up.shape);
  for (let i = 0; i < out.data.length; i++) out.data[i] = gate.data[i] * up.data[i];
  return out;
}

/** Number by number: what a sublayer wrote, added to the stream. */
function add(x, written) {
  const out = tensor(...x.shape);
  for (let i = 0; i < out.data.length; i++) out.data[i] = x.data[i] + written.data[i];
  return out;
}

// -- a layer, and what comes after the last ---------------------------------------------------------

/** RoPE and mask of one layer type, for the queries from … to − 1 and all keys before `to`. */
function positionsByHand(config, kind, rope, from, to) {
  const window = kind === "sliding_attention" ? config.sliding_window : null;
  return { ...cosSin(rope, config.head_dim, from, to), mask: additiveMask(from, to, window) };
}

/** Positions side by side, of tensors (heads, positions, Dh): how a KV cache grows. */
function joinPositions(earlier, later) {
  if (!earlier) return later;
  const [heads, P, Dh] = earlier.shape;
  const joined = tensor(heads, P + later.shape[1], Dh);
  for (let h = 0; h < heads; h++) {
    at(joined, h).set(at(earlier, h));
    at(joined, h).set(at(later, h), P * Dh);
  }
  return joined;
}

/**
 * The fifteen steps of one layer: yields each value's name and the value, `resid_post` last. What the
 * caller writes into a value, the next step reads. `cache` holds k and v of the positions before x, and
 * afterwards of these too; an empty one makes it a whole run.
 */
function* layerByHand(x, weights, config, layer, positions, cache) {
  const { head_dim: Dh, rms_norm_eps: eps } = config;
  const { cos, sin, mask } = positions;
  const weight = (name) => weights[`model.layers.${layer}.${name}.weight`];
  let q, k, v, scores, pattern, z, out, gate, up, inner;

  // There is no norm here: OLMo normalises what a sublayer writes, not what it reads.
  yield ["resid_pre", x]; // (N, D)

  // 1–3: three projections of the same input.
  yield ["q_proj", (q = linear(x, weight("self_attn.q_proj")))]; // (N, H·Dh)
  yield ["k_proj", (k = linear(x, weight("self_attn.k_proj")))]; // (N, K·Dh)
  yield ["v_proj", (v = linear(x, weight("self_attn.v_proj")))]; // (N, K·Dh)
  yield ["v", (v = splitHeads(v, Dh))]; // (K, N, Dh)

  // 4: QK-norm, over all heads at once, so that one head's q depends on every head's.
  yield ["q_norm", (q = rmsNorm(q, weight("self_attn.q_norm"), eps))]; // (N, H·Dh)
  yield ["k_norm", (k = rmsNorm(k, weight("self_attn.k_norm"), eps))]; // (N, K·Dh)

  // 5: positions enter.
  yield ["cos", cos]; // (N, Dh)
  yield ["sin", sin]; // (N, Dh)
  yield ["q", (q = rotate(splitHeads(q, Dh), cos, sin))]; // (H, N, Dh)
  yield ["k", (k = rotate(splitHeads(k, Dh), cos, sin))]; // (K, N, Dh)
  cache.k = k = joinPositions(cache.k, k); // (K, T, Dh)
  cache.v = v = joinPositions(cache.v, v); // (K, T, Dh)

  // 6–8: the only steps in which positions meet each other.
  yield ["scores", (scores = attentionScores(q, k))]; // (H, N, T)
  yield ["mask", mask]; // (1, N, T)
  yield ["masked_scores", (scores = addMask(scores, mask))]; // (H, N, T)
  yield ["pattern", (pattern = attentionPattern(scores))]; // (H, N, T)
  yield ["z", (z = applyPattern(pattern, v))]; // (N, H, Dh)

  // 9–10: the heads' outputs are mixed, normalised, and added to the stream.
  yield ["o_proj", (out = linear(mergeHeads(z), weight("self_attn.o_proj")))]; // (N, D)
  yield ["attn_out", (out = rmsNorm(out, weight("post_attention_layernorm"), eps))];
  yield ["resid_mid", (x = add(x, out))]; // (N, D)

  // 11–13: up into the wider space, where the gate decides what passes.
  yield ["gate_proj", (gate = linear(x, weight("mlp.gate_proj")))]; // (N, F)
  yield ["up_proj", (up = linear(x, weight("mlp.up_proj")))]; // (N, F)
  yield ["silu", (gate = silu(gate))]; // (N, F)
  yield ["intermediate", (inner = times(gate, up))]; // (N, F)

  // 14–15: back down, normalised, and added to the stream.
  yield ["down_proj", (out = linear(inner, weight("mlp.down_proj")))]; // (N, D)
  yield ["mlp_out", (out = rmsNorm(out, weight("post_feedforward_layernorm"), eps))];
  yield ["resid_post", add(x, out)]; // (N, D)
}

function finalNorm(x, weights, config) {
  return rmsNorm(x, weights["model.norm.weight"], config.rms_norm_eps); // (N, D)
}

/** The scores of every token to come next; with tied embeddings the table's rows are the weight. */
function logitsOf(normed, weights, config) {
  const name = config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  return linear(normed, weights[name]); // (N, V)
}
