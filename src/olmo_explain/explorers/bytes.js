// The byte explorer: from the file to a tensor, to a row, to bytes, to bits, to the number.

const STATE = ["tensor", "row", "column", "flipped", "files"];
const PLACE = ["tensor", "row", "column"];
const EMBEDDING = "model.embed_tokens.weight";

/** The reader's tokens, each a button to its row of the embedding: of a model that the page has, since ids
 * are of its tokenizer. */
function tokensPanel(model, go) {
  const chips = roving(make("div", { className: "oe-bytes-tokens", role: "toolbar", ariaLabel: "Tokens of your sentence" }));
  const [says, back] = [make("p", { className: "oe-note" }), button("", () => goBack())];
  const node = make("section", { className: "oe-part", hidden: true }, make("h3", {}, "Rows of your sentence"), chips,
    make("div", { className: "oe-row oe-bytes-says" }, says, back));
  let before = null; // the place from which the first token was pressed
  const place = () => Object.fromEntries(PLACE.map((trait) => [trait, model.get(trait)]));

  function show() {
    back.hidden = !before;
    if (before) back.textContent = `Back to row ${before.row}`;
    else says.textContent = "Each token is a row of the embedding: press one.";
  }

  function goBack() {
    go(before);
    before = null;
    show();
    chips.querySelector("[tabindex='0']").focus();
  }

  function pressed(id, token) {
    before ??= place();
    says.textContent = `“${visible(token)}” is token ${id}: row ${id}.`;
    go({ tensor: EMBEDDING, row: id, column: before.tensor === EMBEDDING ? model.get("column") : 0 });
    show();
  }

  const isOurs = model.get("in_page") && Object.values(model.get("files")).flat().some(([name]) => name === EMBEDDING);
  const stop = !isOurs ? () => {} : follow((sentence) => {
    node.hidden = !sentence;
    if (!sentence) return;
    const tokens = sentence.tokens.slice(-LONGEST);
    chips.replaceChildren(...sentence.ids.slice(-LONGEST).map((id, at) =>
      button(visible(tokens[at]), () => pressed(id, tokens[at]))));
    chips.stopAt(chips.firstChild);
    show();
  });
  return { node, stop };
}

/** All tensors that can be chosen, by their layers. */
function tensorMenu(model, rows, go) {
  const groups = new Map();
  for (const about of Object.values(rows.index())) {
    if (!rows.within(about)) continue;
    const layer = layerOf(about.name);
    const group = layer === null ? "outside the layers" : `layer ${layer}`;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push([about.name, about.name]);
  }
  return wholeMenu(model, "tensor", { label: "Tensor", groups: [...groups], go: (tensor) => go({ tensor }) });
}

function render({ model, el }) {
  hold(el, "bytes");
  const rows = rowsOf(model, (arrived, parts) => say(`Loading tiny: ${arrived} of ${parts} parts.`));
  let [drawn, fetching, hovered, problem] = [null, null, null, ""];

  function go(to) {
    if (!to) return;
    const next = Object.fromEntries(PLACE.map((trait) => [trait, to[trait] ?? model.get(trait)]));
    const about = rows.index()[next.tensor];
    const limits = about && rows.within(about);
    if (!limits) return;
    hovered = null;
    const within = (value, low, high) => Math.min(Math.max(value, low), high);
    choose(model, { tensor: next.tensor, row: within(next.row, ...limits),
      column: within(next.column, 0, columnsIn(about) - 1), flipped: [] });
  }

  const readout = make("p", { className: "oe-readout" });
  const spoken = status();
  const say = (...text) => readout.replaceChildren(...text);
  const tell = (over) => {
    hovered = over;
    read();
  };
  const [row, column] = ["Row", "Column"].map((label) =>
    exactSlider(model, label.toLowerCase(),
      { label, go: (value) => go({ [label.toLowerCase()]: value }), wrong: (text) => say(text, make("br"), " ") }));
  const menu = tensorMenu(model, rows, go);
  const address = make("p", { className: "oe-bytes-address" });
  const toTensor = { pick: (about) => about && go({ tensor: about.name }), tell };
  const toPlace = { pick: go, tell };
  const [file, near] = [fileLevel(toTensor), nearLevel(toTensor)];
  const [tensor, line, dump] = [tensorLevel(toPlace), rowLevel(toPlace), bytesLevel(toPlace)];
  const panel = bitsPanel(model);
  const bits = level("Bits", panel.node);
  const words = tokensPanel(model, go);
  const seven = sevenPanel(model, spoken);
  el.append(make("section", { className: "oe oe-bytes", ariaLabel: "Byte explorer" },
    make("div", { className: "oe-part" }, menu.node, make("div", { className: "oe-two" }, row.node, column.node), address),
    words.node,
    make("div", { className: "oe-part" }, ...[file, near, tensor, line, dump, bits].map(({ node }) => node)),
    readout, spoken, seven.node,
    make("p", { className: "oe-tag" }, `${model.get("name")}, the bytes as they lie in the file`)));

  /** What is under the mouse, or else what is chosen. */
  function read() {
    if (!drawn) return;
    const { about, block, values, place, value } = drawn;
    const over = hovered && { ...place, ...hovered };
    if (hovered?.name || hovered?.end) {
      const isHere = hovered.name && rows.within(hovered);
      say(hovered.name ? make("code", {}, ...foldable(hovered.name)) : "The header, which says what lies where",
        hovered.name ? ` is ${hovered.shape.map(count).join(" × ")} ${hovered.dtype}, ` : ", ",
        `${bytesSaid(hovered.start, hovered.end)}.`, make("br"),
        isHere ? "Click to go there." : hovered.name ? "Its numbers are not saved in this page." : "");
    } else if (hovered?.only) say(`Row ${count(over.row)}.`, make("br"), "Click to go there.");
    else if (hovered) {
      const at = (over.row - block.firstRow) * columnsIn(about) + over.column;
      say(`Row ${count(over.row)}, column ${count(over.column)}: `, make("b", {}, written(values[at], about.dtype)), make("br"),
        `At byte ${count(about.start + over.row * widthOf(about) + over.column * sizeIn(about))}. Click to choose it.`);
    } else say(make("code", {}, ...foldable(about.name)), ` row ${count(place.row)}, column ${count(place.column)}: `, make("b", {}, brief(value.value)),
      value.inFile ? " (flipped)." : ".", make("br"), "Click a tensor, a square, a number or a bit.");
  }

  /** Brings the rows that are not here, and goes back to where the reader was if they do not come. */
  async function bring(name, at) {
    const wanted = (fetching = {});
    say("Waiting for these rows.", make("br"), " ");
    try {
      await rows.fetch(name, at);
      if (fetching === wanted) fetching = null;
      draw();
    } catch (error) {
      if (fetching !== wanted) return;
      fetching = null;
      if (!drawn) return say(error.message);
      const { firstRow, rows: many } = drawn.block;
      problem = `${error.message} This page has rows ${count(firstRow)} to ${count(firstRow + many - 1)} of ${drawn.about.name}.`;
      choose(model, { ...drawn.place, flipped: [] });
    }
  }

  function draw() {
    const index = rows.index();
    const about = index[model.get("tensor")];
    const columns = columnsIn(about);
    const place = { tensor: about.name, row: Math.min(model.get("row"), rowsIn(about) - 1), column: Math.min(model.get("column"), columns - 1) };
    const changed = PLACE.filter((trait) => place[trait] !== model.get(trait));
    if (changed.length) choose(model, Object.fromEntries(changed.map((trait) => [trait, place[trait]])));
    const block = rows.get(about.name, place.row);
    menu.show();
    if (!block) return bring(about.name, place.row);

    const tensors = Object.values(index).filter(({ shard }) => shard === about.shard);
    const size = sizeIn(about);
    row.limit(...rows.within(about));
    column.limit(0, columns - 1);
    row.show();
    column.show();
    const values = drawn?.block === block ? drawn.values : valuesOf(block.bytes, about.dtype);
    const first = (place.row - block.firstRow) * columns;
    const inRow = values.subarray(first, first + columns);
    const shown = Math.min(NUMBERS, columns);
    const from = Math.min(Math.max(place.column - 3, 0), columns - shown);
    const stored = Array.from({ length: shown }, (_, i) =>
      block.bytes.subarray((first + from + i) * size, (first + from + i + 1) * size));
    const chosen = place.column - from;
    const bitsStored = bitsOf(stored[chosen]);
    const flipped = bytesOf(flip(bitsStored, model.get("flipped")));
    const start = about.start + (place.row * columns + place.column) * size; // in the file

    file.show(tensors, about);
    const band = near.show(tensors, about);
    tensor.show(block, values, place, band);
    line.show(block, inRow, place, from, shown);
    const value = panel.show(bitsStored, about.dtype);
    dump.show(stored.map((word, i) => (i === chosen ? flipped : word)), stored,
      Array.from(stored, (_, i) => (i === chosen ? value.value : inRow[from + i])), from, place.column, start - chosen * size, [from / columns, (from + shown) / columns]);
    address.replaceChildren(make("b", {}, "Where it lies"), ` byte ${count(about.start)} + ${count(place.row)} × ${count(columns * size)}` +
      ` + ${count(place.column)} × ${size} = `, make("b", {}, count(start)));
    const cell = (low, high) => [(chosen + low) / shown, (chosen + high) / shown];
    // The byte that comes first holds the last bits: the beams cross.
    const crossing = size === 2 && panel.isOneLine()
      ? [[cell(0, 0.5), [0.5, 1]], [cell(0.5, 1), [0, 0.5]]] : [[cell(0, 1), [0, 1]]];
    bits.show(`${bitsStored.length} of them, the highest first`, size === 1 ? `byte ${count(start)}` : bytesSaid(start, start + size), ...crossing);
    drawn = { about, block, values, place, value };
    const inFile = value.inFile ? `, in the file ${value.inFile}` : "";
    spoken.say(problem || `${about.name}, row ${place.row}, column ${place.column}: ${written(value.value, about.dtype)}${inFile}`, Boolean(problem));
    problem = "";
    read();
  }

  const stop = [redrawOn(model, STATE, draw), redrawOnTheme(draw), words.stop, seven.stop];
  let width = 0;
  const resized = new ResizeObserver(() => {
    if (el.clientWidth !== width) draw();
    width = el.clientWidth;
  });
  resized.observe(el);
  return () => {
    for (const undo of stop) undo();
    resized.disconnect();
  };
}

export default { render };
