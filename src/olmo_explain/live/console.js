// What a page's `olmo` answers: a text in, numbers by name or a text out. A wrong argument is told in
// one sentence.

/**
 * A model that answers. `tokenizer`: the object in tokenizer.json, null for none. `weights`: the bytes
 * of a safetensors file. `samples`: [{ ids, logits }], what PyTorch gives at each one's last position.
 */
function openModel({ name, config, tokenizer, weights, samples = [] }) {
  const session = new Session(config, readSafetensors(weights));
  const words = tokenizer && new Tokenizer(tokenizer);

  function idsOf(text) {
    if (typeof text !== "string") throw new TypeError(`A text is a string, and ${said(text)} is none.`);
    return words.encode(text);
  }

  /** Ids and tokens of a text, logits (V,) of its last position, and every value by name. */
  async function run(text, options = {}) {
    const asked = askedFor(options, config, name);
    const ids = idsOf(text);
    return {
      ids: [...ids],
      tokens: ids.map((id) => words.decode([id])),
      logits: session.logits(ids, asked).data,
      value(layer, called) {
        checkValue(layer, called, config, name);
        return session.value(ids, layer, called, asked);
      },
    };
  }

  /** The most likely next token, `count` times, or as far as the end of the text: what it writes. */
  async function write(text, count, options = {}) {
    const asked = askedFor(options, config, name);
    const ids = idsOf(text);
    if (!Number.isInteger(count) || count < 1)
      throw new RangeError(`The number of tokens to write is a whole number above 0, not ${said(count)}.`);
    const longest = config.max_position_embeddings;
    if (ids.length + count - 1 > longest)
      throw new RangeError(
        `${name} reads up to ${longest} tokens, and ${ids.length} of text with ${count} to write are more.`);
    const written = [...session.write(ids, count, asked)];
    return { ids: written, text: words.decode(written) };
  }

  /** How far this browser's logits are from PyTorch's in float32, measured now. */
  async function verify() {
    let most = 0;
    for (const { ids, logits } of samples) {
      const expected = new Float32Array(fromBase64(logits).buffer);
      const given = session.fork().logits(ids).data;
      for (let id = 0; id < expected.length; id++) most = Math.max(most, Math.abs(given[id] - expected[id]));
    }
    return { ok: most <= TOLERANCE, max_abs_diff: most, tolerance: TOLERANCE, prompts: samples.length };
  }

  return { name, config, session, tokenizer: words, run, write, verify };
}

const TOLERANCE = 1e-4; // of a logit in float32
const OUTSIDE = ["embedding", "final_norm", "logits"];

/** The options of a run, checked and copied. */
function askedFor(options, config, name) {
  if (options === null || typeof options !== "object")
    throw new TypeError(`The options are an object, as { off: [[7, 0]] }, not ${said(options)}.`);
  for (const option of Object.keys(options))
    if (option !== "off" && option !== "rope")
      throw new TypeError(`There is no option ${said(option)}: choose off and rope.`);
  const { off = [], rope = "per-layer" } = options;
  if (!Object.hasOwn(REGIMES, rope))
    throw new RangeError(`There is no rope ${said(rope)}: choose one of ${Object.keys(REGIMES).join(", ")}.`);
  if (!Array.isArray(off) || !off.every((head) => Array.isArray(head) && head.length === 2))
    throw new TypeError(`Heads that are off are a list of [layer, head], as [[7, 0], [7, 1]], not ${said(off)}.`);
  for (const [layer, head] of off) {
    checkNumber("layer", layer, config.num_hidden_layers, name);
    checkNumber("head", head, config.num_attention_heads, name);
  }
  return { off: off.map((head) => [...head]), rope };
}

function checkValue(layer, called, config, name) {
  if (layer !== null) checkNumber("layer", layer, config.num_hidden_layers, name);
  const names = layer === null ? OUTSIDE : Object.keys(STEPS);
  if (names.includes(called)) return;
  const where = layer === null ? "outside the layers" : "in a layer";
  throw new RangeError(`There is no value ${said(called)} ${where}: choose one of ${names.join(", ")}.`);
}

function checkNumber(what, number, count, name) {
  if (!Number.isInteger(number) || number < 0 || number >= count)
    throw new RangeError(`There is no ${what} ${said(number)}: ${name} has ${what}s 0 to ${count - 1}.`);
}

/** What was given, short enough for a sentence. */
function said(given) {
  const text = typeof given === "string" || Array.isArray(given) ? JSON.stringify(given) : String(given);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
