// What the reader opens below the map: the heads of a layer, all heads by a score, the numbers of a step.

const SCORE = {
  induction: ["what followed before", "Share of attention on the tokens that came after an earlier copy of this one"],
  previous: ["previous token", "Share of attention on the token before"],
  first: ["first token", "Share of attention on the first token of the text"],
  written: ["size of its output", "Length of the vector that it adds to the stream at the chosen token"],
};

/** The heads of the chosen layer: each a thumbnail of its pattern, and its switch. */
function headsPanel(model, { go, heads }) {
  const group = `oe-head-${Math.random().toString(36).slice(2, 8)}`;
  let [painted, layer] = [null, null];
  const cards = Array.from({ length: model.get("heads") }, (_, head) => {
    const tile = headTile(group, () => go({ head }));
    const flip = button("on", () => heads.flip(layer, head), { className: "oe-button oe-model-switch", role: "switch" });
    return { tile, flip, node: make("div", { className: "oe-model-head" }, tile.node, flip) };
  });
  const node = make("div", { className: "oe-model-heads", role: "group" }, ...cards.map((card) => card.node));
  const show = (answer) => {
    ({ layer } = answer.asked);
    node.ariaLabel = `The heads of layer ${layer}`;
    const T = answer.ids.length;
    cards.forEach(({ tile, flip }, head) => {
      const off = heads.isOff(layer, head);
      tile.show({ isChosen: head === model.get("head"), isOff: off, name: `Head ${head}` });
      flip.ariaChecked = String(!off);
      flip.ariaLabel = `Head ${named(layer, head)}`;
      flip.textContent = off ? "off" : "on";
      if (painted !== answer.pattern) tile.paint(T, T, (q, k) => answer.pattern[(head * T + q) * T + k], true);
    });
    painted = answer.pattern;
  };
  return { node, show, repaint: () => (painted = null) };
}

/** All heads of the model, coloured by a score on this text. */
function gridPanel(model, { go, heads }) {
  const [layers, H] = [model.get("layer_types").length, model.get("heads")];
  const canvas = make("canvas", { role: "img" });
  const marker = make("div", { className: "oe-frame" });
  const crosses = make("div", { className: "oe-model-crosses", ariaHidden: "true" });
  const score = segments(model, "score", { label: "Colour by", go,
    options: Object.entries(SCORE).map(([value, [text, hint]]) => [value, text, hint]) });
  const flips = make("input", { type: "checkbox" });
  const click = make("label", { className: "oe-model-flips" }, flips, "A click switches a head off or on");
  const note = make("p", { className: "oe-note" });
  let ranked = [];
  const best = Array.from({ length: 3 }, (_, i) =>
    button("", () => go({ layer: Math.floor(ranked[i] / H), head: ranked[i] % H })));
  const rows = model.get("layer_types").map((kind, layer) =>
    make("span", {}, layers > 16 && layer % 4 ? "" : `${layer}${kind === "full_attention" ? " full" : ""}`));
  canvas.addEventListener("click", (event) => {
    const [layer, head] = cellAt(canvas, event);
    if (flips.checked) heads.flip(layer, head);
    else go({ layer, head });
  });
  const node = make("div", { className: "oe-model-gridpanel" }, score.node,
    make("div", { className: "oe-model-grid" },
      make("div", { className: "oe-model-layers", ariaHidden: "true" }, ...rows),
      make("div", { className: "oe-matrix" }, canvas, crosses, marker)),
    note, make("div", { className: "oe-row" }, make("span", { className: "oe-label" }, "The most:"), ...best), click);
  const show = (answer) => {
    score.show();
    const name = model.get("score");
    const { scores } = answer;
    if (!scores) return;
    const most = Math.max(...scores);
    const known = !Number.isNaN(most);
    const digits = (x) => (name === "written" ? x.toFixed(2) : percent(x));
    paint(canvas, layers, H, (l, h) => [...ink(), known ? Math.round(235 * (scores[l * H + h] / (most || 1)) ** 0.8) + 12 : 12]);
    ranked = known ? [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, 3) : [];
    best.forEach((node, i) => {
      node.hidden = ranked[i] === undefined;
      const name = named(Math.floor(ranked[i] / H), ranked[i] % H);
      node.textContent = `${name}: ${digits(scores[ranked[i]] ?? 0)}`;
      node.ariaLabel = `Open head ${node.textContent}`;
    });
    note.textContent = known ? `${SCORE[name][1]}: from 0 to ${digits(most)}. Rows are layers, columns heads.`
      : name === "induction" ? "No token of this text stands in it twice, so none was followed by anything before." : "One token has none before it.";
    canvas.ariaLabel = `${layers} layers by ${H} heads. ${note.textContent}`;
    crosses.replaceChildren(...model.get("off").map(([l, h]) => {
      const cross = make("i");
      frame(cross, layers, H, l, h);
      return cross;
    }));
    frame(marker, layers, H, model.get("layer"), model.get("head"));
  };
  return { node, show };
}

/** The numbers of one value, of the chosen head where it has heads: a row for each token. */
function valuesPanel(model, { go }) {
  const step = wholeMenu(model, "step", { label: "Value", groups: [["", model.get("steps").map((name) => [name, name])]] });
  const canvas = make("canvas", { role: "img" });
  const marker = make("div", { className: "oe-frame" });
  const [note, read] = [make("p", { className: "oe-note" }), make("span", { className: "oe-model-number" })];
  const column = make("input", { type: "range", min: 0, step: 1, value: 0 });
  const node = make("div", {}, step.node,
    make("div", { className: "oe-matrix oe-model-values" }, canvas, marker), note,
    make("div", { className: "oe-control" }, labelled("Number", column), column, read));
  let [matrix, drawn] = [null, null];
  const readOut = () => {
    if (!matrix) return;
    const n = Math.min(column.valueAsNumber, matrix.columns - 1);
    const value = matrix.data[matrix.row * matrix.columns + n];
    const number = value < HIDDEN_BELOW ? "hidden" : Number(value.toPrecision(7)).toString().replace("-", "−");
    read.textContent = `${visible(matrix.token)}, ${n}: ${number}`;
    column.setAttribute("aria-valuetext", read.textContent);
    frame(marker, matrix.rows, matrix.columns, matrix.row, n);
  };
  column.addEventListener("input", readOut);
  canvas.addEventListener("click", (event) => { // no press: a finger that scrolls chooses nothing
    const [row, n] = cellAt(canvas, event);
    column.value = n;
    if (row !== matrix.row) go({ at: row });
    readOut();
  });
  const show = (answer) => {
    step.show();
    if (!answer.value) return void (note.textContent = "These numbers come with the model.");
    matrix = ofHead(answer.value, model, answer);
    column.max = matrix.columns - 1;
    if (drawn !== answer.value || matrix.head !== canvas.dataset.head) {
      const seen = matrix.data.filter((x) => x > HIDDEN_BELOW);
      const [low, high] = seen.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);
      const most = Math.max(-low, high, 1e-30);
      paint(canvas, matrix.rows, matrix.columns, (r, c) => {
        const value = matrix.data[r * matrix.columns + c];
        if (value < HIDDEN_BELOW) return [128, 128, 128, 70];
        return [...(value < 0 ? [201, 106, 34] : ink()), Math.round(255 * Math.min(1, Math.abs(value) / most) ** 0.5)];
      });
      const range = [low, high].map((x) => Number(x.toPrecision(3)).toString().replace("-", "−"));
      const which = [model.get("step"), matrix.head].filter(Boolean).join(", ");
      note.textContent = `${which}: a row for each token, ${matrix.columns} numbers in it, ` +
        `from ${range[0]} to ${range[1]}. Green above zero, orange below${seen.length < matrix.data.length ? ", grey hidden" : ""}.`;
      canvas.ariaLabel = note.textContent;
      canvas.dataset.head = matrix.head;
      drawn = answer.value;
    }
    readOut();
  };
  return { node, show };
}

const HIDDEN_BELOW = -1e37; // what the mask writes

/** The matrix (tokens, numbers) of a value as the reference shapes it, for the chosen head. */
function ofHead({ shape, data }, model, answer) {
  const T = answer.ids.length;
  const [rows, columns] = [T, shape.at(-1)];
  const about = { rows, columns, row: answer.at, token: answer.tokens[answer.at], head: "" };
  if (shape.length === 2) return { ...about, data };
  const [count, head] = [shape[0] === T && model.get("step") === "z" ? shape[1] : shape[0], model.get("head")];
  const h = Math.floor((head * count) / model.get("heads")); // of a key-value head, and of a mask, which is one for all
  const label = count === 1 ? "" : count === model.get("heads") ? `head ${h}` : `key-value head ${h}`;
  if (model.get("step") !== "z") return { ...about, head: label, data: data.subarray(h * T * columns, (h + 1) * T * columns) };
  const own = new Float32Array(T * columns);
  for (let t = 0; t < T; t++) own.set(data.subarray((t * count + h) * columns, (t * count + h + 1) * columns), t * columns);
  return { ...about, head: label, data: own };
}
