// Text to token ids and back: byte-level BPE, as a tokenizer.json describes it.
//
// A text is cut into words, each word into its UTF-8 bytes, and then the pair of neighbours that was
// learned first is merged, again and again, until no two neighbours are a pair that was learned.

// How GPT-2 cuts a text, with the white space of Unicode: JavaScript's own \s takes U+FEFF for white
// space, and U+0085 for none.
const WORDS = new RegExp(
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+` +
    String.raw`|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+`, "gu");

/** The letter that stands for each byte in a vocabulary: itself where it can be seen. */
const BYTE_LETTERS = (() => {
  const seen = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let others = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(seen(byte) ? byte : others++));
})();

class Tokenizer {
  #ids; // token → id
  #bytes = []; // id → its bytes
  #ranks = new Map(); // a pair of ids, as one number → [which of the merges it is, the id it becomes]
  #special; // finds the tokens that are no words, such as <|endoftext|>
  #byteIds; // byte → id

  /** `json`: the object in a tokenizer.json. Throws where it asks for what is not done here. */
  constructor(json) {
    refuseOthers(json);
    const { vocab, merges } = json.model;
    const bytes = new Map(BYTE_LETTERS.map((letter, byte) => [letter, byte]));
    const added = json.added_tokens ?? [];
    this.#ids = new Map(Object.entries(vocab));
    for (const [token, id] of this.#ids)
      this.#bytes[id] = Uint8Array.from(token, (letter) => bytes.get(letter));
    for (const { content, id } of added) {
      this.#ids.set(content, id);
      this.#bytes[id] = new TextEncoder().encode(content);
    }
    merges.forEach((merge, rank) => {
      const [left, right] = typeof merge === "string" ? merge.split(" ") : merge;
      const pair = this.#pair(this.#ids.get(left), this.#ids.get(right));
      if (!this.#ranks.has(pair)) this.#ranks.set(pair, [rank, this.#ids.get(left + right)]);
    });
    const names = added.map(({ content }) => content).sort((a, b) => b.length - a.length);
    const quoted = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.#special = new RegExp(`(${quoted.join("|") || "(?!)"})`, "u");
    this.#byteIds = BYTE_LETTERS.map((letter) => this.#ids.get(letter));
  }

  /** Token ids of a text. Half of a surrogate pair is read as U+FFFD, as UTF-8 has none. */
  encode(text) {
    const ids = [];
    // split gives what was found at the odd places.
    text.split(this.#special).forEach((part, i) => {
      if (i % 2) ids.push(this.#ids.get(part));
      else for (const [word] of part.matchAll(WORDS)) for (const id of this.#merge(word)) ids.push(id);
    });
    return ids;
  }

  /** The text of token ids. Bytes that are no UTF-8 become U+FFFD. */
  decode(ids) {
    const bytes = joined(Array.from(ids, (id) => this.#bytes[id] ?? new Uint8Array()));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }

  /** A token as a reader may see it: its text, or the bytes of a part of a letter, as <F0><9F>. */
  piece(id) {
    const bytes = this.#bytes[id] ?? new Uint8Array();
    try {
      return new TextDecoder("utf-8", { ignoreBOM: true, fatal: true }).decode(bytes);
    } catch {
      return Array.from(bytes, (byte) => `<${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("");
    }
  }

  #pair(left, right) {
    return left * 2 ** 24 + right;
  }

  /** The ids of one word: a list of bytes, in which the first of all merges is made until none is left. */
  #merge(word) {
    const ids = Array.from(new TextEncoder().encode(word), (byte) => this.#byteIds[byte]);
    const rankAt = (i) => this.#ranks.get(this.#pair(ids[i], ids[i + 1]))?.[0] ?? Infinity;
    const ranks = ids.map((_, i) => rankAt(i)); // of each with its right neighbour; the last has none
    for (;;) {
      let first = 0;
      for (let i = 1; i < ranks.length; i++) if (ranks[i] < ranks[first]) first = i;
      if (!(ranks[first] < Infinity)) return ids;
      ids.splice(first, 2, this.#ranks.get(this.#pair(ids[first], ids[first + 1]))[1]);
      ranks.splice(first, 2, rankAt(first));
      if (first > 0) ranks[first - 1] = rankAt(first - 1);
    }
  }
}

function refuseOthers({ model, normalizer, pre_tokenizer: cutting, decoder, added_tokens: added = [] }) {
  const done =
    model.type === "BPE" && !model.dropout && !model.ignore_merges && !model.byte_fallback &&
    !model.continuing_subword_prefix && !model.end_of_word_suffix && !normalizer &&
    cutting?.type === "ByteLevel" && !cutting.add_prefix_space && cutting.use_regex !== false &&
    decoder?.type === "ByteLevel" && !added.some((t) => t.lstrip || t.rstrip || t.single_word);
  if (!done) throw new Error("Only a byte-level BPE that cuts a text as GPT-2 does is read here.");
}
