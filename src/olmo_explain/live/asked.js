// What a run may be asked for, { off: [[layer, head], …], rope, fault }, and what is said to anything else.
//
// `off`: heads that write zeros. `rope`: what is applied, right ("per-layer") or as some releases of
// transformers got it wrong. `fault`: "" for none, or one by the name that `diagnose` gives it.

const REGIMES = {
  "per-layer": (config, kind) => config.rope[kind],
  "yarn-everywhere": (config) => config.rope.full_attention,
  "yarn-lost": (config, kind) => ({
    rope_type: "default", rope_theta: config.rope[kind].rope_theta, attention_factor: 1,
  }),
};
/** Faults of one step: what is written over a value before the next step reads it. */
const OVERWRITES = {
  "no-rope": {
    q: (q, { q_norm }, { head_dim: Dh }) => q.data.set(splitHeads(q_norm, Dh).data),
    k: (k, { k_norm }, { head_dim: Dh }) => k.data.set(splitHeads(k_norm, Dh).data),
  },
  "no-qk-norm": {
    q_norm: (q, { q_proj }) => q.data.set(q_proj.data),
    k_norm: (k, { k_proj }) => k.data.set(k_proj.data),
  },
  "no-score-scale": {
    scores: ({ data }, _, { head_dim: Dh }) => data.forEach((score, i) => (data[i] = score * Dh ** 0.5)),
  },
};
const OUTSIDE = ["embedding", "final_norm", "logits"]; // the values outside the layers

/** The options of a run, all of them, checked and copied. `faults`: those that this model can have. */
function checkedOptions(options, config, faults) {
  if (options === null || typeof options !== "object")
    throw new TypeError(`The options are an object, as { off: [[7, 0]] }, not ${said(options)}.`);
  for (const option of Object.keys(options))
    if (!["off", "rope", "fault"].includes(option))
      throw new TypeError(`There is no option ${said(option)}: choose off, rope and fault.`);
  const { off = [], rope = "per-layer", fault = "" } = options;
  if (!Object.hasOwn(REGIMES, rope))
    throw new RangeError(`There is no rope ${said(rope)}: choose one of ${Object.keys(REGIMES).join(", ")}.`);
  if (fault !== "" && !Object.hasOwn(faults, fault))
    throw new RangeError(`There is no fault ${said(fault)}: choose one of ${Object.keys(faults).join(", ")}.`);
  if (!Array.isArray(off) || !off.every((head) => Array.isArray(head) && head.length === 2))
    throw new TypeError(`Heads that are off are a list of [layer, head], as [[7, 0], [7, 1]], not ${said(off)}.`);
  for (const [layer, head] of off) {
    checkNumber("layer", layer, config.num_hidden_layers);
    checkNumber("head", head, config.num_attention_heads);
  }
  return { off: off.map((head) => [...head]), rope, fault };
}

function checkIds(ids, config) {
  const longest = config.max_position_embeddings;
  if (!ids.length) throw new RangeError("There is no token to run on: give a text that is not empty.");
  if (ids.length > longest)
    throw new RangeError(`A text of ${ids.length} tokens is too long: the model reads up to ${longest}.`);
  for (const id of ids) checkNumber("token", id, config.vocab_size);
}

function checkValue(layer, name, config) {
  if (layer !== null) checkNumber("layer", layer, config.num_hidden_layers);
  const names = layer === null ? OUTSIDE : Object.keys(STEPS);
  if (names.includes(name)) return;
  const where = layer === null ? "outside the layers" : "in a layer";
  throw new RangeError(`There is no value ${said(name)} ${where}: choose one of ${names.join(", ")}.`);
}

function checkNumber(what, number, count) {
  if (!Number.isInteger(number) || number < 0 || number >= count)
    throw new RangeError(`There is no ${what} ${said(number)}: the model has ${what}s 0 to ${count - 1}.`);
}

/** What was given, short enough for a sentence. */
function said(given) {
  const text = typeof given === "string" || Array.isArray(given) ? JSON.stringify(given) : String(given);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
