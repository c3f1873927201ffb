// The RoPE explorer: a pair turns with the position; YaRN slows some pairs and enlarges all scores.

const STATE = ["pair", "position", "layer_type", "regime", "score_of"];
const REGIMES = [
  ["per-layer", "right", "YaRN in the full layers alone, as OLMo 3 was trained"],
  ["yarn-everywhere", "transformers 5.0–5.12", "YaRN in every layer"],
  ["yarn-lost", "lost", "saved by these, loaded by a newer release: YaRN in no layer"],
];
const NAMES = ["default", "YaRN"];
const SAMPLES = 2048; // distances in a doubling at which a score is computed; all of the first so many

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

const digits = (value, most = 4) => (value && Math.abs(value) < 1e-4 ? value.toExponential(most - 1)
  : value.toLocaleString("en", { maximumSignificantDigits: most })).replaceAll("-", "−");
const turnsMade = (turns) => (turns < 100 ? turns.toFixed(turns < 1 ? 2 : 1) : count(Math.round(turns)));

/** A pair as the hand of a clock, as the chapter's figure draws it: full once it has been all the way round. */
function clock(name) {
  const [swept, hand, picture] = [svg("path"), svg("line", { class: "oe-clock-hand" }),
    svg("svg", { viewBox: "-58 -58 116 116", role: "img" })];
  picture.append(svg("circle", { class: "oe-clock-ring", r: 46 }), swept, hand, svg("circle", { class: "oe-clock-hub", r: 3.5 }));
  const [made, wave, title] = [make("strong"), make("span", { className: "oe-label" }), make("span")];
  const node = make("div", { className: "oe-clock" }, title, picture, made, wave);
  const show = (turns, factor, isApplied) => {
    const angle = 2 * Math.PI * turns;
    const [x, y] = [Math.sin(angle), -Math.cos(angle)].map((part) => 46 * part);
    swept.setAttribute("d", turns >= 1 ? "M0,-46A46,46 0 1 1 0,46A46,46 0 1 1 0,-46Z"
      : `M0,0V-46A46,46 0 ${Number(turns > 0.5)} 1 ${x},${y}Z`);
    for (const [end, value] of Object.entries({ x2: factor * x, y2: factor * y })) hand.setAttribute(end, value);
    node.classList.toggle("oe-clock-applied", isApplied);
    title.replaceChildren(name, ...(isApplied ? [" ", make("b", {}, "applied")] : []));
    made.textContent = `${turnsMade(turns)} ${turnsMade(turns) === "1.0" ? "turn" : "turns"}`;
    wave.textContent = `cos ${digits(factor * Math.cos(angle), 3)} · sin ${digits(factor * Math.sin(angle), 3)}`;
    picture.setAttribute("aria-label", `${name}${isApplied ? ", applied" : ""}: the hand has made ${made.textContent}` +
      (factor === 1 ? "." : ` and is ${digits(factor)} times as long.`));
  };
  return { node, show };
}

/** What a pair does at a position, as numbers: a column for each RoPE. */
function numbersTable() {
  const rows = ["radians a position", "positions a turn", "angle, in turns", "cos", "sin", "score grows by"]
    .map((name) => ({ name, cells: NAMES.map(() => make("td", { className: "oe-number" })) }));
  const heads = NAMES.map((name) => make("th", { scope: "col", className: "oe-number" }, name));
  const title = make("h3");
  const node = make("section", { className: "oe-rope-numbers" }, title, make("table", {},
    make("thead", {}, make("tr", {}, make("td"), ...heads)),
    make("tbody", {}, ...rows.map(({ name, cells }) => make("tr", {}, make("th", { scope: "row" }, name), ...cells)))));
  const show = (columns, applied, heading) => {
    title.textContent = heading;
    columns.forEach((column, i) => {
      column.forEach((value, row) => (rows[row].cells[i].textContent = digits(value, 6)));
      for (const cell of [heads[i], ...rows.map(({ cells }) => cells[i])]) cell.classList.toggle("oe-rope-applied", i === applied);
    });
  };
  return { node, show };
}

/** Distances at which scores are computed: all of the near ones, then as many in each doubling. */
function distancesTo(longest) {
  const distances = [];
  for (let d = 0; d <= longest; d += 2 ** Math.max(0, Math.floor(Math.log2(d / SAMPLES || 1)))) distances.push(d);
  return distances;
}

/** What lies between the least and the most in each column of pixels, as one outline. */
function outline({ x, y }, distances, values) {
  const columns = [];
  distances.forEach((d, i) => {
    const at = Math.round(x(d));
    if (columns.at(-1)?.at !== at) columns.push({ at, low: Infinity, high: -Infinity });
    const column = columns.at(-1);
    column.low = Math.min(column.low, values[i]);
    column.high = Math.max(column.high, values[i]);
  });
  return [...columns.map(({ at, high }) => [at, y(high)]), ...columns.reverse().map(({ at, low }) => [at, y(low)])];
}

function render({ model, el }) {
  hold(el, "rope");
  const [yarn, headDim, longest, sees] = ["yarn", "head_dim", "max_position", "window"].map((trait) => model.get(trait));
  const turns = frequencies(yarn, headDim);
  const [read, trained] = [longest + 1, yarn.original_max_position_embeddings];
  const factors = [1, yarn.attention_factor];
  const aTurn = (pair) => turns[pair].map((turn) => (2 * Math.PI) / turn);
  const now = () => Object.fromEntries(STATE.map((trait) => [trait, model.get(trait)]));
  const applied = () => Number(isScaled(model.get("regime"), model.get("layer_type")));
  const spoken = status();
  const readout = pointedAt();

  // -- score against distance: of a query and a key that were equal before they were turned --
  const positions = doublings(0, longest);
  const distances = distancesTo(longest);
  const score = (d, i) => {
    const [of, pair] = [model.get("score_of"), model.get("pair")];
    const each = of === "pair" ? [turns[pair]] : turns;
    return (factors[i] ** 2 * each.reduce((sum, turn) => sum + Math.cos(d * turn[i]), 0)) / each.length;
  };
  let computed = {};
  const scores = () => {
    const key = model.get("score_of") === "pair" ? model.get("pair") : "all";
    if (computed.key !== key) computed = { key, curves: factors.map((_, i) => distances.map((d) => score(d, i))) };
    return computed.curves;
  };
  const levels = (low) => linear(low, factors[1] ** 2 * 1.06, [-1, 0, 1].filter((v) => v >= low).map((v) => [v, digits(v)]));
  const ofPair = () => model.get("score_of") === "pair";
  const scoreChart = chart({
    height: 240,
    axes: () => ({ x: positions, y: levels(ofPair() ? -1.06 * factors[1] ** 2 : -0.25) }),
    draw: (place) => {
      const { x, y, top, bottom, right, left } = place;
      const { position, layer_type: type, pair } = now();
      const [i, curves] = [applied(), scores()];
      const from = type === "sliding_attention" && sees < read ? sees : null;
      const hidden = from === null ? [] : [
        svg("rect", { class: "oe-chart-far", x: x(from), y: top, width: right - x(from), height: bottom - top }),
        said(`hidden from ${count(from)} on`, right, top - 5, "end")];
      const known = from !== null ? [] : [upright(x(trained), top, bottom, "oe-chart-mark"), said(`first trained to ${count(trained)}`, x(trained), top - 5, "end")];
      const pairs = ofPair() ? `pair ${pair}` : `all ${turns.length} pairs`;
      const band = (which, type) => path(outline(place, distances, curves[which]), type, "Z");
      return {
        parts: [...hidden, ...known, band(1 - i, "oe-chart-band oe-chart-other"), band(i, "oe-chart-band oe-chart-now"),
          upright(x(position), top, bottom, "oe-chart-at"), svg("circle", { cx: x(position), cy: y(score(position, i)), r: 4.5 }),
          said("score", left, top - 5)],
        label: `Score against distance, ${pairs}. ${NAMES[i]}, applied: ` +
          `${digits(score(0, i), 3)} at distance 0, ${digits(score(position, i), 3)} at ${count(position)}. ` +
          `${NAMES[1 - i]}, pale: ${digits(score(0, 1 - i), 3)} at distance 0, ${digits(score(position, 1 - i), 3)} at ${count(position)}.`,
      };
    },
    point: (d) => readout.point(d === null ? null : `Distance ${count(d)}: score ${digits(score(d, 0), 3)} by default, ` +
      `${digits(score(d, 1), 3)} with YaRN. Click to go there.`),
    pick: (d) => choose(model, { position: d }),
  });
  const scoreOf = segments(model, "score_of", { label: "Score of", options: [["all", `all ${turns.length} pairs`], ["pair", "this pair"]] });
  const at = axisControl(model, "position", { label: "Position", least: 0, most: longest, scale: () => positions, spoken });

  // -- how many positions a turn takes, pair by pair --
  const pairs = evenly(turns.length - 1);
  const logs = [Math.log10(2 * Math.PI), Math.log10(aTurn(turns.length - 1)[1])];
  const powers = Array.from({ length: Math.ceil(logs[1]) }, (_, n) => n).filter((n) => n > 0 && n % 2 === 0);
  const superscript = (n) => (n === 2 ? "100" : n === 4 ? "10 k" : n === 6 ? "1 M" : `10^${n}`);
  const pairChart = chart({
    height: 150,
    axes: () => ({ x: pairs, y: linear(logs[0], logs[1], powers.map((n) => [n, superscript(n)])) }),
    draw: ({ x, y, top, bottom, right, left }) => {
      const [i, pair] = [applied(), model.get("pair")];
      const line = (which, type) => path(turns.map((_, p) => [x(p), y(Math.log10(aTurn(p)[which]))]), type);
      const rules = [trained, read].filter((n, k, all) => all.indexOf(n) === k).flatMap((n) => [
        svg("line", { class: "oe-chart-mark", x1: left, x2: right, y1: y(Math.log10(n)), y2: y(Math.log10(n)) }),
        said(count(n), left + 4, y(Math.log10(n)) + (n === trained ? 13 : -4))]);
      return {
        parts: [...rules, line(1 - i, "oe-chart-other"), line(i, "oe-chart-now"), upright(x(pair), top, bottom, "oe-chart-at"),
          svg("circle", { cx: x(pair), cy: y(Math.log10(aTurn(pair)[i])), r: 4.5 }), said("positions a turn", left, top - 5)],
        label: `Positions that a turn takes, by pair: from ${digits(aTurn(0)[0], 3)} to ${digits(aTurn(turns.length - 1)[0], 3)} by default, ` +
          `to ${digits(aTurn(turns.length - 1)[1], 3)} with YaRN. Pair ${pair}: ${aTurn(pair).map((n) => digits(n, 3)).join(" and ")}.`,
      };
    },
    point: (p) => readout.point(p === null ? null : `Pair ${p}: a turn takes ${digits(aTurn(p)[0])} positions, ` +
      `${digits(aTurn(p)[1])} with YaRN. Click to choose it.`),
    pick: (p) => choose(model, { pair: p }),
  });
  const pair = slider(model, "pair", { label: "Pair", max: turns.length - 1 });
  pair.node.classList.add("oe-axis");
  const complete = (i, length) => turns.filter((turn) => length * turn[i] >= 2 * Math.PI).length;
  const completed = `${complete(0, trained)} of ${turns.length} pairs complete a turn within ${count(trained)} positions by default, ` +
    `${complete(0, read)} within ${count(read)}; with YaRN ${complete(1, read)}.`;

  // -- the whole --
  const regimes = segments(model, "regime", { label: "What runs", options: REGIMES });
  const kinds = segments(model, "layer_type", { label: "Layer", options: Object.entries(KIND) });
  const length = lengthLine(model, "position", {
    value: (tokens) => Math.min(tokens - 1, longest),
    atOnce: false, // at the first positions there is no turn to see
    told: (tokens, position) => `Your sentence has ${tokens}: its last stands at position ${position}.`,
  });
  const clocks = NAMES.map(clock);
  const table = numbersTable();
  const [verdict, facesTitle] = [make("p", { className: "oe-rope-verdict" }), make("h3")];
  const parts = [regimes, kinds, length, at, scoreOf, pair, scoreChart, pairChart];
  el.append(make("section", { className: "oe oe-rope", ariaLabel: "RoPE explorer" },
    make("div", { className: "oe-part" }, make("div", { className: "oe-row oe-rope-choice" }, regimes.node, kinds.node, verdict)),
    make("div", { className: "oe-part oe-two" },
      make("section", { className: "oe-rope-faces" }, facesTitle, make("div", { className: "oe-rope-clocks" }, ...clocks.map(({ node }) => node)),
        at.field, spoken, length.node),
      make("section", {}, make("div", { className: "oe-rope-head" }, make("h3", {}, "Score against distance"), scoreOf.node),
        scoreChart.node, at.slider),
      table.node,
      make("section", {}, make("h3", {}, "How long a turn takes, by pair"), pairChart.node,
        pair.node, make("p", { className: "oe-note" }, completed))),
    readout.node,
    make("p", { className: "oe-tag" }, `${model.get("name")} · computed in this page. Solid: what is applied; broken and pale: the other. ` +
      "YaRN’s hand is longer by its attention_factor. Score: of a query and a key that were equal before they were turned.")));

  const stop = redrawOn(model, STATE, () => {
    const { pair: p, position, layer_type: type, regime } = now();
    const i = applied();
    const right = i === Number(isScaled("per-layer", type));
    for (const part of parts) part.show();
    const made = turns[p].map((turn) => (position * turn) / (2 * Math.PI));
    clocks.forEach((face, which) => face.show(made[which], factors[which], which === i));
    facesTitle.textContent = `Pair ${p} at position ${count(position)}`;
    table.show(factors.map((factor, which) => {
      const angle = position * turns[p][which];
      return [turns[p][which], aTurn(p)[which], made[which], factor * Math.cos(angle), factor * Math.sin(angle), factor ** 2];
    }), i, "In numbers");
    const scale = digits(i ? factors[1] ** 2 : factors[1] ** -2, 3);
    const others = KIND[type === "full_attention" ? "sliding_attention" : "full_attention"];
    const elsewhere = regime === "per-layer" ? "" : ` The ${others} layers are not: they are given it, too.`;
    const says = `A ${KIND[type]} layer is given ${i ? "YaRN" : "the default"}: ` +
      (right ? `as the model was trained.${elsewhere}` : "not what it was trained with. Its scores are " +
        `${scale} times as large${i ? "" : ", and slow pairs turn too fast"}.`);
    verdict.textContent = says;
    verdict.classList.toggle("oe-rope-wrong", !right);
    readout.choose(`Pair ${p}: a turn takes ${digits(aTurn(p)[0])} positions, ${digits(aTurn(p)[1])} with YaRN. ` +
      "Click in a chart to choose.");
    spoken.say(at.problem() || says);
  });
  return () => {
    stop();
    for (const part of [length, scoreChart, pairChart]) part.stop();
  };
}

export default { render };
