// The byte explorer: from a place in a tensor to bytes in a file, to bits, to the number.

const STATE = ["tensor", "row", "column"];
// Bits of sign, exponent and mantissa, as IEEE 754 and bfloat16 lay them out, highest first.
const LAYOUT = { BF16: [1, 8, 7], F16: [1, 5, 10], F32: [1, 8, 23] };
const FIELDS = ["sign", "exponent", "mantissa"];
const DUMP_WIDTH = 8;
const EMBEDDING = "model.embed_tokens.weight";

/** The three fields of a number and what it is worth. */
function decode(bits, [, exponentBits, mantissaBits]) {
  const mantissa = bits % 2 ** mantissaBits;
  const exponent = Math.floor(bits / 2 ** mantissaBits) % 2 ** exponentBits;
  const sign = Math.floor(bits / 2 ** (mantissaBits + exponentBits));
  const bias = 2 ** (exponentBits - 1) - 1;
  const fraction = mantissa / 2 ** mantissaBits;
  const signed = sign ? -1 : 1;
  const special = exponent === 2 ** exponentBits - 1;
  const subnormal = exponent === 0; // zero among them: no leading 1, and the smallest exponent
  const power = subnormal ? 1 - bias : exponent - bias;
  const factor = subnormal ? fraction : 1 + fraction;
  const value = special ? (mantissa ? NaN : signed * Infinity) : signed * 2 ** power * factor;
  return { sign, exponent, mantissa, power, factor, value, special };
}

/** Enough digits to tell the number from its neighbours, no more. */
const readable = (value) => (Number.isFinite(value) ? String(Math.fround(value)) : String(value));

function locationPanel() {
  const cells = {};
  const body = make("tbody");
  for (const name of ["file", "dtype", "shape", "tensor starts at byte", "this number at byte"]) {
    cells[name] = make("td");
    body.append(make("tr", {}, make("th", { scope: "row" }, name), cells[name]));
  }
  const show = (about, at, size) => {
    cells.file.textContent = about.shard;
    cells.dtype.textContent = `${about.dtype}, ${size} bytes a number`;
    cells.shape.textContent = about.shape.map(count).join(" × ");
    cells["tensor starts at byte"].textContent = count(about.start);
    cells["this number at byte"].textContent = count(at);
  };
  return { node: make("section", {}, make("h3", {}, "Where it lies"), make("table", {}, body)), show };
}

function dumpPanel() {
  const line = make("div", { className: "oe-bytes-dump" });
  const note = make("p", { className: "oe-note" }, "Little-endian: the low byte comes first.");
  const show = (data, begin, at, size) => {
    const from = Math.max(begin + Math.floor((at - begin) / DUMP_WIDTH) * DUMP_WIDTH, begin);
    const shown = Array.from(data.subarray(from - begin, from - begin + 2 * DUMP_WIDTH));
    line.replaceChildren(...shown.map((byte, i) => make("code",
      { className: from + i >= at && from + i < at + size ? "oe-chosen" : "" },
      byte.toString(16).padStart(2, "0"))));
  };
  return { node: make("section", {}, make("h3", {}, "The bytes, in hexadecimal"), line, note), show };
}

function bitsPanel() {
  const groups = make("div", { className: "oe-bytes-bits" });
  const [formula, value] = [make("p", { className: "oe-bytes-formula" }), make("output")];
  const show = (bits, dtype) => {
    const layout = LAYOUT[dtype];
    const number = decode(bits, layout);
    const digits = bits.toString(2).padStart(layout.reduce((a, b) => a + b), "0");
    let from = 0;
    groups.replaceChildren(...FIELDS.map((field, i) => {
      const text = digits.slice(from, from += layout[i]);
      return make("div", { className: `oe-bytes-${field}` },
        make("div", { className: "oe-bytes-cells" }, ...[...text].map((bit) => make("i", {}, bit))),
        make("span", {}, `${field} ${number[field]}`));
    }));
    formula.replaceChildren(...(number.special ? ["All exponent bits are 1: no finite number."] : [
      `${number.sign ? "−" : "+"} 2`, make("sup", {}, String(number.power)), ` × ${number.factor} =`,
    ]));
    value.value = readable(number.value);
    return number.value;
  };
  const node = make("section", {}, make("h3", {}, "The bits"), groups,
    make("div", { className: "oe-bytes-value" }, formula, value));
  return { node, show };
}

function picturePanel(model) {
  const canvas = make("canvas", { role: "img" });
  const marker = make("div", { className: "oe-frame" });
  const note = make("p", { className: "oe-note" });
  pickable(canvas, (row, column) => choose(model, { row: row + current.firstRow, column }));
  let [current, painted] = [{ firstRow: 0 }, null];
  const show = (about, value) => {
    current = about;
    const columns = about.shape[about.shape.length - 1];
    if (painted !== about) {
      const values = Array.from({ length: about.rows * columns }, (_, i) =>
        value(Math.floor(i / columns), i % columns));
      const scale = Math.max(...values.map(Math.abs)) || 1;
      // Orange below zero, green above; the square root lets small weights be seen.
      paint(canvas, about.rows, columns, (r, c) => {
        const share = values[r * columns + c] / scale;
        return [...(share < 0 ? [217, 119, 43] : [18, 150, 130]),
          Math.round(255 * Math.sqrt(Math.abs(share)))];
      });
      canvas.ariaLabel = `${about.rows} rows by ${columns} columns of ${about.name}; orange below ` +
        "zero, green above, stronger where farther from zero.";
      const all = about.shape.length === 1 ? 1 : about.shape[0];
      const last = about.firstRow + about.rows - 1;
      note.textContent = about.rows === all ? "Orange below zero, green above." :
        `Orange below zero, green above. Rows ${about.firstRow} to ${last} of ${count(all)} are shown.`;
      painted = about;
    }
    frame(marker, about.rows, columns, model.get("row") - about.firstRow, model.get("column"));
  };
  const node = make("section", {}, make("h3", {}, "Its neighbours"),
    make("div", { className: "oe-matrix oe-bytes-picture" }, canvas, marker), note);
  return { node, show };
}

/**
 * The reader's tokens, each a button to its row of the embedding: of a model that the page has, since
 * ids are of its tokenizer. Rows that were not saved come from that model, loaded at the first press.
 */
function tokensPanel(model, tensors, spoken, redraw) {
  const saved = model.get("in_page") && tensors[EMBEDDING];
  const chips = make("div", { className: "oe-bytes-tokens", role: "toolbar", ariaLabel: "Tokens of your sentence" });
  const [says, back] = [make("p", { className: "oe-note" }), press("", () => goBack())];
  const node = make("section", { hidden: true }, make("h3", {}, "Rows of your sentence"), chips,
    make("div", { className: "oe-sentence-length" }, says, back));
  let before = null; // the place from which the first token was pressed
  const place = () => Object.fromEntries(STATE.map((trait) => [trait, model.get(trait)]));
  const say = (text) => (says.textContent = text);

  function go(to, about) {
    tensors[EMBEDDING] = about;
    choose(model, to);
    redraw();
    back.classList.toggle("oe-unseen", !before);
    back.textContent = before ? `Back to row ${before.to.row}` : "";
  }

  function goBack() {
    const { to, about } = before;
    before = null;
    say("");
    go(to, about);
    chips.querySelector("[tabindex='0']").focus();
  }

  /** Of all tokens Tab stops at one; arrow keys go on from there. */
  function stopAt(chip) {
    for (const other of chips.children) other.tabIndex = other === chip ? 0 : -1;
  }
  chips.addEventListener("focusin", ({ target }) => stopAt(target));
  chips.addEventListener("keydown", ({ key, target }) => {
    const next = { ArrowRight: target.nextSibling, ArrowLeft: target.previousSibling,
      Home: chips.firstChild, End: chips.lastChild }[key];
    if (next) next.focus();
  });

  async function pressed(id, token) {
    before ??= { to: place(), about: tensors[EMBEDDING] };
    const to = { tensor: EMBEDDING, row: id, column: model.get("tensor") === EMBEDDING ? model.get("column") : 0 };
    try {
      const isSaved = id >= saved.firstRow && id < saved.firstRow + saved.rows;
      const about = isSaved ? saved : await rowsAround(id);
      say(`“${visible(token)}” is token ${id}: row ${id}.`);
      go(to, about);
    } catch (error) {
      say(`${error.message} Without it this page has rows ${saved.firstRow} to ${saved.firstRow + saved.rows - 1}.`);
      spoken.say(says.textContent);
    }
  }

  /** As many rows as were saved, this one in their middle. */
  async function rowsAround(id) {
    say("Waiting for the model.");
    const engine = await engineOf(model, (arrived, parts) => say(`Loading tiny: ${arrived} of ${parts} parts.`));
    const firstRow = Math.max(0, Math.min(id - Math.floor(saved.rows / 2), saved.shape[0] - saved.rows));
    const ids = Array.from({ length: saved.rows }, (_, at) => firstRow + at);
    const { data } = engine.session.fork().value(ids, null, "embedding");
    // A float32 that was read from a bfloat16 holds it in its upper half.
    const bits = Uint16Array.from(new Uint32Array(data.buffer, data.byteOffset, data.length), (word) => word >>> 16);
    return { ...saved, firstRow, held: new Uint8Array(bits.buffer) };
  }

  const stop = !saved ? () => {} : follow((sentence) => {
    node.hidden = !sentence;
    if (!sentence) return;
    const tokens = sentence.tokens.slice(-LONGEST);
    chips.replaceChildren(...sentence.ids.slice(-LONGEST).map((id, at) =>
      press(visible(tokens[at]), () => pressed(id, tokens[at]))));
    stopAt(chips.firstChild);
    if (!before) say("Each token is a row of the embedding: press one.");
    back.classList.toggle("oe-unseen", !before);
  });
  return { node, stop };
}

function render({ model, el }) {
  keepKeys(el);
  const tensors = Object.fromEntries(model.get("tensors").map((about) => [about.name, about]));
  const data = numbers(model.get("data"), Uint8Array);
  const names = Object.keys(tensors);

  const pick = menu(model, "tensor", { label: "Tensor", options: names.map((n) => [n, n]) });
  const row = slider(model, "row", { label: "Row", max: 0, width: 7 });
  const column = slider(model, "column", { label: "Column", max: 0, width: 7 });
  const [location, dump, bits, picture] =
    [locationPanel(), dumpPanel(), bitsPanel(), picturePanel(model)];
  const spoken = status();
  const words = tokensPanel(model, tensors, spoken, () => draw());
  el.append(make("section", { className: "oe oe-bytes", ariaLabel: "Byte explorer" },
    make("p", { className: "oe-note" }, `Model: ${model.get("name")}`),
    make("div", { className: "oe-controls" }, pick.node, row.node, column.node),
    make("div", { className: "oe-bytes-panels" }, location.node, picture.node, dump.node, bits.node),
    words.node, spoken));

  function draw() {
    const about = tensors[model.get("tensor")];
    const columns = about.shape[about.shape.length - 1];
    const size = LAYOUT[about.dtype].reduce((a, b) => a + b) / 8;
    // A choice made for another tensor may lie outside this one.
    const within = (value, low, count) => Math.min(Math.max(value, low), low + count - 1);
    const [r, c] = [within(model.get("row"), about.firstRow, about.rows), within(model.get("column"), 0, columns)];
    if (r !== model.get("row") || c !== model.get("column")) return choose(model, { row: r, column: c });

    row.range(about.firstRow, about.firstRow + about.rows - 1);
    column.range(0, columns - 1);
    for (const control of [pick, row, column]) control.show();

    const held = about.held ?? data.subarray(about.at, about.at + about.rows * columns * size);
    const word = (i) => held.subarray(i * size, (i + 1) * size).reduceRight((sum, byte) => sum * 256 + byte, 0);
    const index = (r - about.firstRow) * columns + c;
    const at = about.start + (r * columns + c) * size; // in the file
    location.show(about, at, size);
    dump.show(held, about.start + about.firstRow * columns * size, at, size);
    const value = bits.show(word(index), about.dtype);
    picture.show(about, (i, j) => decode(word(i * columns + j), LAYOUT[about.dtype]).value);
    spoken.say(`${about.name}, row ${r}, column ${c}: ${readable(value)}`);
  }

  const stop = redrawOn(model, STATE, draw);
  return () => {
    stop();
    words.stop();
  };
}

export default { render };
