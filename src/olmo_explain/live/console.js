// What a page's `olmo` answers: a text in, numbers by name or a text out. A wrong argument is told in
// one sentence.

/**
 * A model that answers. `tokenizer`: the object in tokenizer.json, null for none. `weights`: the bytes
 * of a safetensors file. `samples`: [{ ids, logits }], what PyTorch gives at each one's last position.
 * `faults`: those that it can show, by name.
 */
function openModel({ name, config, tokenizer, weights, samples = [], faults = {} }) {
  const read = readSafetensors(weights);
  const session = new Session(config, read, faults);
  const words = tokenizer && new Tokenizer(tokenizer);

  function idsOf(text) {
    if (typeof text !== "string") throw new TypeError(`A text is a string, and ${said(text)} is none.`);
    return words.encode(text);
  }

  /** Ids and tokens of a text, logits (V,) of its last position, and every value by name. */
  async function run(text, options = {}) {
    const asked = checkedOptions(options, config, faults);
    const ids = idsOf(text);
    return {
      ids: [...ids],
      tokens: ids.map((id) => words.decode([id])),
      logits: session.logits(ids, asked).data,
      value: (layer, called) => session.value(ids, layer, called, asked),
    };
  }

  /** The most likely next token, `count` times, or as far as the end of the text: what it writes. */
  async function write(text, count, options = {}) {
    const asked = checkedOptions(options, config, faults);
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

  const look = looking({ session, tokenizer: words, config, weights: read });
  return { name, config, session, weights: read, tokenizer: words, run, write, verify, look };
}

const TOLERANCE = 1e-4; // of a logit in float32
