// The step explorer: one value of one layer, what it is made of, its numbers, its proof.

const STATE = ["layer", "at", "head", "token", "number", "tokens", "steps", "data", "equal", "differences"];
const HIDDEN = -1e38; // what the mask adds is below this

/** A bfloat16 is the upper half of a float32. */
function bfloat16(bits) {
  return new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer);
}

/** Whether its rows are queries and its columns keys. */
const isKeyed = (about) => about.axes.at(-1) === "T";

const size = (shape) => shape.map(count).join(" × ");

/** How far a value is from the real module's. A distance of 0 alone does not make them equal. */
function verdict(isEqual, difference) {
  const said = isEqual ? "✓ equal to the real module’s, bit for bit"
    : difference === null ? "Differs from the real module’s by a NaN, an infinity or its shape"
    : difference ? `Differs from the real module’s by up to ${difference}`
    : "Not every bit is the real module’s: differs by the sign of a zero or by its dtype";
  return { isEqual, said };
}

// -- a run: what a step is about, its matrices [head, token, number], and how it was proven ------------

/** What Python computed and saved: all values of all layers in bfloat16. */
function savedRun(model) {
  const data = numbersIn(model, "data", Uint16Array);
  const step = (at) => model.get("steps")[at];
  const matrix = (layer, at, head) => {
    const perLayer = data().length / model.get("layer_types").length;
    const [, rows, columns] = step(at).matrices;
    const start = layer * perLayer + step(at).at + head * rows * columns;
    return bfloat16(data().subarray(start, start + rows * columns));
  };
  const result = (trait, layer, at) => model.get(trait)[layer][at];
  return () => ({
    tokens: model.get("tokens"), id: ["saved", ...model.get("tokens")], // what a picture is painted from
    dtype: "computed by hand in bfloat16, compared with the real module", said: String, matrix,
    about: (layer, at) => step(at),
    proof: (layer, at) => verdict(result("equal", layer, at), result("differences", layer, at)),
  });
}

/** The reader's sentence, computed in the page: of a layer one value, when it is looked at. */
function ownRun(model, { session, ids, tokens }) {
  const steps = model.get("steps");
  const value = (layer, at) => {
    const { shape: [, ...shape], data } = session.value(ids, layer, steps[at].name);
    return { shape, data };
  };
  const about = (layer, at) => {
    const { shape } = value(layer, at);
    const [T, H, Dh] = shape;
    const matrices = steps[at].name === "z" ? [H, T, Dh] : shape.length < 3 ? [1, ...shape] : shape;
    return { ...steps[at], shape, matrices };
  };
  const matrix = (layer, at, head) => {
    const { shape, data } = value(layer, at);
    const [, rows, columns] = about(layer, at).matrices;
    if (steps[at].name !== "z") return data.subarray(head * rows * columns, (head + 1) * rows * columns);
    return data.filter((_, i) => Math.floor(i / columns) % shape[1] === head); // (T, H, Dh)
  };
  return {
    tokens, id: ids, dtype: "computed in this page in float32", matrix, about,
    said: (number) => String(Number(number.toPrecision(7))),
    proof: () => ({ isEqual: false, said: "Not compared with the real module here" }),
  };
}

// -- showing ------------------------------------------------------------------------------------------

/** What goes in, what is computed, what comes out. */
function aboutPanel(model, { go }) {
  const [reads, formula, gives, shape, proof] = [make("div", { className: "oe-row" }), make("code", { className: "oe-steps-formula" }),
    make("code"), make("span", { className: "oe-shape" }), make("p", { className: "oe-steps-proof" })];
  const [step, weight] = [make("h4"), make("p", { className: "oe-shape" })];
  const node = make("div", { className: "oe-steps-about" },
    make("section", {}, make("h4", {}, "Reads"), reads, weight),
    make("section", {}, step, formula),
    make("section", {}, make("h4", {}, "Gives"), gives, " ", shape, proof));
  const show = (about, shapeOf, { isEqual, said }) => {
    step.textContent = `Step ${about.step} of 15`;
    formula.textContent = about.formula;
    reads.replaceChildren(...about.reads.map((name) =>
      button(make("code", {}, name), () => go({ at: model.get("steps").findIndex((each) => each.name === name) }),
        { title: `Go to ${name}, ${shapeOf(name)}` })),
      ...(about.reads.length ? [] : [about.name === "resid_pre" ? "the layer before" : "positions alone"]));
    weight.textContent = about.weight
      ? `and the weight ${about.weight}, ${size(about.weightShape)}, ${count(about.weightBytes)} bytes` : "and no weight";
    gives.textContent = about.name;
    shape.textContent = `${about.axes.join(" × ")} = ${size(about.shape)}`;
    proof.textContent = said;
    proof.classList.toggle("oe-steps-equal", isEqual);
  };
  return { node, show };
}

/** The heads of a value, each a tile of its numbers. */
function headTiles(model, { go }) {
  const group = `oe-head-${Math.random().toString(36).slice(2, 8)}`;
  const node = make("div", { className: "oe-steps-heads", role: "radiogroup", ariaLabel: "Heads" });
  let [tiles, painted] = [[], null];
  const show = (about, head, of, colourOf) => {
    const [heads, rows, columns] = about.matrices;
    node.hidden = heads === 1;
    if (node.hidden) return;
    if (tiles.length !== heads) {
      tiles = Array.from({ length: heads }, (_, at) => headTile(group, () => go({ head: at })));
      node.replaceChildren(...tiles.map((tile) => tile.node));
    }
    if (!same(painted, of)) tiles.forEach((tile, at) => tile.paintAs(rows, columns, colourOf(at)));
    painted = of;
    tiles.forEach((tile, at) => tile.show({ isChosen: at === head, name: `Head ${at}` }));
  };
  return { node, show, repaint: () => (painted = null) };
}

function render({ model, el }) {
  hold(el, "steps");
  const go = (changes) => choose(model, changes);
  const [kinds, steps] = [model.get("layer_types"), model.get("steps")];
  const saved = savedRun(model);
  let [own, run] = [null, saved()];
  const [spoken, said, tag] = [status(), make("p", { className: "oe-readout" }), make("p", { className: "oe-tag" })];
  const bar = sentenceBar(model, spoken, (typed) => {
    own = typed && ownRun(model, typed);
    draw();
  });
  const [layer, map, about, tiles] = [layerPicker(model, { go }), stepsMap(model, { go }), aboutPanel(model, { go }), headTiles(model, { go })];
  const move = (by) => () => go({ at: model.get("at") + by });
  const [back, forth] = [button("Previous step", move(-1)), button("Next step", move(1), { className: "oe-button oe-primary" })];
  const [title, low, high] = [make("h3"), make("span"), make("span")];
  const [below, above] = [make("i", { className: "oe-ramp-below" }), make("i")];
  const note = make("p", { className: "oe-note" });
  let read = () => []; // what a cell says
  const say = (row, column) => said.replaceChildren(...read(row, column));
  const grid = cells({ pick: (token, number) => go({ token, number }),
    hover: (row, column) => (row === null ? say(model.get("token"), model.get("number")) : say(row, column)) });
  el.append(make("section", { className: "oe oe-steps", ariaLabel: "Step explorer" },
    ...(bar ? [bar.node] : []),
    make("div", { className: "oe-part" }, layer.node, map.node),
    make("div", { className: "oe-part" }, make("div", { className: "oe-row oe-steps-head" }, title, make("div", { className: "oe-row" }, back, forth)), about.node),
    make("div", { className: "oe-part oe-steps-values" }, grid.node, make("div", { className: "oe-steps-side" }, tiles.node,
      make("p", { className: "oe-ramp", ariaHidden: "true" }, low, below, above, high), note)),
    said, tag, spoken));

  /** The colour of a number: how far it is from zero, on this scale. */
  const coloured = (values, hidden, scale, columns) => (row, column) => {
    const at = row * columns + column;
    return hidden(at) ? [0, 0, 0, 0] : tone(Math.abs(values[at]) / scale, values[at] < 0 ? inkBelow() : ink());
  };

  function draw() {
    run = own ?? saved();
    const [l, at] = [model.get("layer"), model.get("at")];
    const shown = run.about(l, at);
    const [heads, rows, columns] = shown.matrices;
    // A place chosen in one value, or of one sentence, may lie outside the next.
    const place = {
      head: Math.min(model.get("head"), heads - 1), token: Math.min(model.get("token"), rows - 1),
      number: Math.min(model.get("number"), columns - 1),
    };
    if (Object.entries(place).some(([name, value]) => value !== model.get(name))) return choose(model, place);

    const values = run.matrix(l, at, place.head);
    // In a pattern what the mask hides is a plain 0: only the mask itself tells it from a small one.
    const mask = shown.name === "pattern" ? run.matrix(l, steps.findIndex(({ name }) => name === "mask"), 0) : null;
    const hiddenIn = (all) => (at) => (mask ?? all)[at] <= HIDDEN;
    const hidden = hiddenIn(values);
    const seen = values.filter((_, at) => !hidden(at));
    // Not Math.min(...seen): some browsers pass no more than 65,536 arguments.
    const [least, most] = [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))];
    const scale = Math.max(Math.abs(least), Math.abs(most)) || 1;
    const isKey = isKeyed(shown);

    for (const part of [layer, map]) part.show();
    rest(back, at === 0);
    rest(forth, at === steps.length - 1);
    title.textContent = `${shown.name}, ${at + 1} of ${steps.length} values`;
    about.show(shown, (name) => size(run.about(l, steps.findIndex((each) => each.name === name)).shape), run.proof(l, at));
    tiles.show(shown, place.head, [run.id, shown.name, l, isDark()], (head) => {
      const all = run.matrix(l, at, head);
      return coloured(all, hiddenIn(all), scale, columns);
    });
    const names = run.tokens.map(visible);
    const numbered = Array.from({ length: columns }, (_, n) => (n === place.number || (n % 8 === 0 && Math.abs(n - place.number) > 3) ? String(n) : ""));
    const masked = seen.length < values.length;
    const sliding = kinds[l] === "sliding_attention" && rows <= model.get("sliding_window");
    note.textContent = [
      isKey ? "A row is a query, a column a key." : "A row is a token, a column a number.",
      masked ? "Blank: hidden by the mask." : "",
      masked && sliding ? `This layer slides, but its window of ${model.get("sliding_window")} tokens is longer than the prompt.` : "",
      "Click a square, or choose one with the arrow keys.",
    ].filter(Boolean).join(" ");
    const called = heads > 1 ? `${shown.name}, head ${place.head}` : shown.name;
    grid.show({ rows, columns, row: place.token, column: place.number, upright: isKey, rowNames: names,
      of: [run.id, shown.name, l, place.head, isDark()], columnNames: isKey ? names : numbered, colour: coloured(values, hidden, scale, columns),
      text: (row, column) => (hidden(row * columns + column) ? "" : brief(values[row * columns + column])),
      isStrong: (row, column) => Math.abs(values[row * columns + column]) > (isDark() ? 0.4 : 0.65) * scale,
      label: `${called}: ${rows} ${isKey ? "queries" : "tokens"} by ${columns} ${isKey ? "keys" : "numbers"}, from ${few(least)} to ${few(most)}.` });
    below.hidden = least >= 0;
    above.hidden = most <= 0 && least < 0;
    [low.textContent, high.textContent] = [below.hidden ? "0" : few(-scale), above.hidden ? "0" : few(scale)];

    const token = (at) => make("code", {}, names[at]);
    read = (row, column) => {
      const cell = row * columns + column;
      const value = !hidden(cell) ? run.said(values[cell]).replace("-", "−") : shown.name === "pattern" ? "0, hidden" : "hidden";
      return [`${called}: `, ...(isKey ? ["query ", token(row), `, key `, token(column)] : ["token ", token(row), `, number ${column}`]), " is ",
        make("b", { className: "oe-steps-value" }, value), ".", make("br"), `From ${few(least)} to ${few(most)}${masked ? " where a key is seen" : ""}.`];
    };
    say(place.token, place.number);
    tag.textContent = `${model.get("name")} · ${run.dtype}`;
    spoken.say(`Layer ${l}, step ${shown.step}, ${said.textContent.replaceAll("␣", "").replaceAll("↵", "new line")}`);
  }

  const stop = redrawOn(model, STATE, draw);
  const unwatch = redrawOnTheme(draw);
  return () => {
    for (const part of [grid, bar]) part?.stop();
    stop();
    unwatch();
  };
}

export default { render };
