// The RoPE explorer: a pair turns with the position; YaRN slows some pairs and enlarges all.

const STATE = ["pair", "position", "layer_type", "regime"];
const REGIMES = [
  ["per-layer", "as designed: YaRN in full layers only"],
  ["yarn-everywhere", "transformers 5.0 to 5.12: YaRN everywhere"],
  ["yarn-lost", "saved by these, loaded by newer: no YaRN"],
];
const TYPES = [["sliding_attention", "a sliding layer"], ["full_attention", "a full layer"]];
const [WIDTH, HEIGHT, SAMPLES] = [600, 150, 601];

/** Radians that each pair turns from one position to the next: [default, YaRN]. */
function frequencies(yarn, headDim) {
  const { rope_theta: theta, factor, original_max_position_embeddings: context } = yarn;
  const pairs = headDim / 2;
  // The pair, as a fraction, that turns this many times in the original context.
  const turning = (times) => headDim * Math.log(context / (times * 2 * Math.PI)) / (2 * Math.log(theta));
  const [down, up] = yarn.truncate === false ? [Number, Number] : [Math.floor, Math.ceil];
  const first = Math.max(down(turning(yarn.beta_fast)), 0);
  const last = Math.min(up(turning(yarn.beta_slow)), headDim - 1);
  return Array.from({ length: pairs }, (_, pair) => {
    const plain = theta ** (-2 * pair / headDim);
    const slowed = Math.min(Math.max((pair - first) / (last - first || 0.001), 0), 1);
    return [plain, plain * (1 - slowed) + (plain / factor) * slowed];
  });
}

const isScaled = (regime, type) =>
  regime === "yarn-everywhere" || (regime === "per-layer" && type === "full_attention");

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A chart with two lines, default and YaRN, and an upright mark. */
function chart() {
  const lines = ["plain", "yarn"].map((name) => svg("path", { class: `oe-rope-${name}` }));
  const mark = svg("line", { class: "oe-rope-mark", y1: 0, y2: HEIGHT });
  const zero = svg("line", { class: "oe-rope-zero", x1: 0, x2: WIDTH });
  const node = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" },
    zero, ...lines, mark);
  const show = (curves, low, high, share, label) => {
    const y = (value) => (HEIGHT * (high - value)) / (high - low);
    curves.forEach((values, i) => lines[i].setAttribute("d", values.map((value, at) =>
      `${at ? "L" : "M"}${((at * WIDTH) / (values.length - 1)).toFixed(1)},${y(value).toFixed(2)}`).join("")));
    for (const end of ["x1", "x2"]) mark.setAttribute(end, share * WIDTH);
    for (const end of ["y1", "y2"]) zero.setAttribute(end, low < 0 ? y(0) : HEIGHT);
    node.setAttribute("aria-label", label);
  };
  return { node, show };
}

const digits = (value) => Number(value.toPrecision(6)).toString();

function render({ model, el }) {
  keepKeys(el);
  const [yarn, headDim, longest] = [model.get("yarn"), model.get("head_dim"), model.get("max_position")];
  const turns = frequencies(yarn, headDim);
  const controls = [
    slider(model, "pair", { label: "Pair", max: turns.length - 1 }),
    slider(model, "position", { label: "Position", max: longest, say: count, width: 7 }),
    menu(model, "layer_type", { label: "In", options: TYPES }),
    menu(model, "regime", { label: "What runs", options: REGIMES }),
  ];
  const length = lengthLine(model, "position", {
    value: (tokens) => Math.min(tokens - 1, longest),
    told: (tokens, position) => `Your sentence has ${tokens}: its last stands at position ${position}.`,
  });
  const [wave, spectrum] = [chart(), chart()];
  const [waveTitle, waveNote, verdict] =
    [make("h3"), make("p", { className: "oe-note" }), make("p", { className: "oe-rope-verdict" })];
  const rows = {};
  const body = make("tbody");
  for (const name of ["radians a position", "positions a turn", "angle, in turns", "cos", "sin", "score grows by"]) {
    rows[name] = [make("td", { className: "oe-number" }), make("td", { className: "oe-number" })];
    body.append(make("tr", {}, make("th", { scope: "row" }, name), ...rows[name]));
  }
  const heads = ["default", "YaRN"].map((text) => make("th", { scope: "col", className: "oe-number" }, text));
  const longestTurn = Math.max(...turns.flat().map((t) => (2 * Math.PI) / t));
  const spoken = status();
  el.append(make("section", { className: "oe oe-rope", ariaLabel: "RoPE explorer" },
    make("p", { className: "oe-note" }, `Model: ${model.get("name")}`),
    make("div", { className: "oe-controls" }, ...controls.map((control) => control.node)),
    length.node, verdict, waveTitle, wave.node, waveNote,
    make("table", {}, make("thead", {}, make("tr", {}, make("td"), ...heads)), body),
    make("h3", {}, "Positions a turn, by pair (logarithmic)"), spectrum.node,
    make("p", { className: "oe-note" }, "Broken line: default. Solid line: YaRN, which leaves fast pairs " +
      `alone and slows late ones. From pair 0, left, to pair ${turns.length - 1}; from 1 position a turn, ` +
      `below, to ${count(Math.round(longestTurn))}.`),
    spoken));

  const stop = redrawOn(model, STATE, () => {
    const [pair, position, type, regime] = STATE.map((trait) => model.get(trait));
    for (const part of [...controls, length]) part.show();
    const scaled = isScaled(regime, type);
    const right = scaled === isScaled("per-layer", type);
    const factors = [1, yarn.attention_factor];

    // Three turns of the slower line around the position, or all that the model reads.
    const span = Math.min(Math.ceil((6 * Math.PI) / turns[pair][1]), longest);
    const from = Math.min(Math.max(position - Math.round(span / 2), 0), longest - span);
    const curves = factors.map((factor, i) => Array.from({ length: SAMPLES }, (_, s) =>
      factor * Math.cos(turns[pair][i] * (from + (s * span) / (SAMPLES - 1)))));
    waveTitle.textContent = `Pair ${pair}: cos, from position ${count(from)} to ${count(from + span)}`;
    wave.show(curves, -1.3, 1.3, (position - from) / span,
      `Two waves of pair ${pair} over ${count(span)} positions: default and, ${digits(yarn.attention_factor)} times as high, YaRN.`);
    waveNote.textContent = "Broken line: default. Solid line: YaRN. Upright: the chosen position.";

    factors.forEach((factor, i) => {
      const angle = position * turns[pair][i];
      const cells = [turns[pair][i], (2 * Math.PI) / turns[pair][i], angle / (2 * Math.PI),
        factor * Math.cos(angle), factor * Math.sin(angle), factor ** 2];
      Object.values(rows).forEach((row, r) => {
        row[i].textContent = digits(cells[r]);
        row[i].classList.toggle("oe-rope-applied", (i === 1) === scaled);
      });
      heads[i].classList.toggle("oe-rope-applied", (i === 1) === scaled);
    });
    const logs = [0, 1].map((i) => turns.map((pairTurns) => Math.log10((2 * Math.PI) / pairTurns[i])));
    spectrum.show(logs, 0, Math.log10(longestTurn), pair / (turns.length - 1),
      "Positions a turn grow from pair to pair; late pairs need more positions a turn with YaRN.");

    verdict.textContent = `A ${KIND[type]} layer is given ${scaled ? "YaRN" : "the default"}: ` +
      (right ? "as the model was trained." : "not what it was trained with.");
    verdict.classList.toggle("oe-rope-wrong", !right);
    spoken.say(verdict.textContent);
  });
  return () => {
    stop();
    length.stop();
  };
}

export default { render };
