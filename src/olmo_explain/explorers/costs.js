// The cost explorer: MACs or FLOPs by operation, computed from the sizes in config.json.
// Counts are BigInt: at 65,536 positions they outgrow the whole numbers that doubles hold.

const STATE = ["model", "seq", "batch", "convention", "phase", "unit", "against", "part"];
const ATTENTION = ["scores", "apply"];
const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj"];
const LINEAR = [...PROJECTIONS, "gate_proj", "up_proj", "down_proj"];
const CONVENTION = {
  full: ["full square", "every pair of positions, masked or not: what eager attention computes"],
  causal: ["causal", "a query and all keys up to its own, in every layer"],
  windowed: ["windowed", "the same, in sliding layers only within the window: what OLMo 3 has use for"],
};
const AGAINST = { linear: [LINEAR, "7 linear modules"], attention_projections: [PROJECTIONS, "4 attention projections"] };
// What the bar is made of: where the cost goes up with the positions as they do, then attention.
const PARTS = {
  projections: ["q, k, v, o projections", PROJECTIONS],
  mlp: ["MLP", ["gate_proj", "up_proj", "down_proj"]],
  lm_head: ["lm_head", ["lm_head"]],
  scores: ["scores, q · k", ["scores"]],
  apply: ["apply, pattern · v", ["apply"]],
};
const BEYOND = 16; // times as many positions as the model is made for are on the axis

const least = (a, b) => (a < b ? a : b);
const add = (numbers) => numbers.reduce((sum, n) => sum + n, 0n);
const ratio = (part, whole) => Number((part * 10n ** 9n) / whole) / 1e9;
/** A share with one decimal; a small one with two digits, so that it is not nothing. */
const percent = (share) => `${share >= 1e-5 && share < 5e-4 ? (100 * share).toPrecision(2) : (100 * share).toFixed(1)}\u00a0%`;
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
/** Bytes in the binary unit that suits them. */
function binary(bytes) {
  const power = Math.min(Math.floor(Math.log2(Number(bytes)) / 10), UNITS.length - 1);
  return `${(Number(bytes) / 1024 ** power).toLocaleString("en", { maximumSignificantDigits: 4 })} ${UNITS[power]}`;
}

// -- counting -------------------------------------------------------------------------------------

/** A count to three digits where it has more than five, with the prefix of its thousands, as words.py has it. */
function quantity(n) {
  if (n < 100_000n) return count(n);
  let power = Math.floor((n.toString().length - 1) / 3);
  if (Number(n) >= 0.9995 * 1000 ** (power + 1)) power += 1;
  return `${(Number(n) / 1000 ** power).toPrecision(3)} ${"kMGTPEZYRQ"[power - 1]}`;
}

/** The sizes of a model as BigInt. */
function exact({ dtype, ...sizes }) {
  return { dtype, ...Object.fromEntries(Object.entries(sizes).map(([name, n]) => [name, BigInt(n)])) };
}

/** Parameters of each Linear in a layer. */
function parameters(c) {
  const [D, F] = [c.hidden_size, c.intermediate_size];
  const [q, kv] = [c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim];
  return { q_proj: q * D, k_proj: kv * D, v_proj: kv * D, o_proj: D * q,
    gate_proj: F * D, up_proj: F * D, down_proj: D * F };
}

/** Pairs of query and key in one head: the ones of its mask. */
function pairs(c, kind, { seq, decode, convention }) {
  const window = kind === "sliding" && convention === "windowed" ? c.sliding_window : seq;
  if (decode) return least(seq, window);
  if (convention === "full") return seq * seq;
  const triangle = least(seq, window);
  return (triangle * (triangle + 1n)) / 2n + (seq - triangle) * window;
}

/** MACs of scores, or of apply, in one layer of this kind. */
const attend = (c, kind, at) =>
  at.batch * c.num_attention_heads * c.head_dim * pairs(c, kind, at);

/** How many positions go through every Linear. */
const newPositions = ({ seq, batch, decode }) => batch * (decode ? 1n : seq);

/** MACs of every matrix product in the whole model, in order. */
function operations(c, at) {
  const layers = c.sliding_layers + c.full_layers;
  const linear = (name) => [name, layers * newPositions(at) * parameters(c)[name]];
  const attention =
    c.sliding_layers * attend(c, "sliding", at) + c.full_layers * attend(c, "full", at);
  return [
    ...["q_proj", "k_proj", "v_proj"].map(linear), ["scores", attention], ["apply", attention],
    ...["o_proj", "gate_proj", "up_proj", "down_proj"].map(linear),
    ["lm_head", newPositions(at) * c.vocab_size * c.hidden_size],
  ];
}

/** The layers of each kind, [sliding, full], in one of them and in the model; which of these there are. */
const places = (c) => [
  c.sliding_layers && ["a sliding layer", [1n, 0n]],
  c.full_layers && ["a full layer", [0n, 1n]],
  ["the model", [c.sliding_layers, c.full_layers]],
].filter(Boolean);

/** MACs of attention and of some projections in layers, so many of each kind. */
function against(c, [sliding, full], projections, at) {
  const attention = 2n * (sliding * attend(c, "sliding", at) + full * attend(c, "full", at));
  const weights = add(projections.map((name) => parameters(c)[name]));
  return [attention, (sliding + full) * newPositions(at) * weights];
}

/** The fewest positions at which attention takes as many MACs as these projections, or null: what
 * has not overtaken at the longest never does. */
function crossover(c, layers, projections, at, longest) {
  const overtaken = (seq) => {
    const [attention, linear] = against(c, layers, projections, { ...at, seq });
    return attention >= linear;
  };
  if (!overtaken(longest)) return null;
  let [low, high] = [0n, longest];
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (overtaken(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** Bytes of weights that a pass reads: of the embedding no more rows than there are tokens. */
function weightBytes(c, at) {
  const D = c.hidden_size;
  const norms = (c.num_attention_heads + c.num_key_value_heads) * c.head_dim + 2n * D;
  const layers = (c.sliding_layers + c.full_layers) * (add(Object.values(parameters(c))) + norms);
  const rows = c.tie_word_embeddings ? 0n : least(newPositions(at), c.vocab_size);
  return (layers + D + (c.vocab_size + rows) * D) * c.bytes_per_parameter;
}

function cacheBytes(c, { seq, batch }, capped) {
  const kept = capped ? least(seq, c.sliding_window) : seq;
  return batch * 2n * c.num_key_value_heads * c.head_dim * c.bytes_per_parameter *
    (c.sliding_layers * kept + c.full_layers * seq);
}

/** Attention as a share of itself and these projections. */
function shareOf(...counted) {
  const [attention, linear] = against(...counted);
  return ratio(attention, attention + linear);
}

// -- showing --------------------------------------------------------------------------------------

/** How many positions the chosen model was made for. */
const madeFor = (c) => Number(c.max_position_embeddings);

/** What is shown, all that is counted for: the sizes, and the choices. */
function chosen(model) {
  const { seq, batch, ...choices } = Object.fromEntries(STATE.map((trait) => [trait, model.get(trait)]));
  const c = exact(model.get("sizes")[choices.model]);
  return { ...choices, c, at: { seq: BigInt(seq), batch: BigInt(batch), decode: choices.phase === "decode", convention: choices.convention } };
}

/** The whole pass as one bar, and its parts: each with its share, and a button that tells more. */
function barPanel(model, readout) {
  const [title, about, bar] = [make("strong"), make("span", { className: "oe-label" }), make("div", { className: "oe-costs-bar" })];
  const names = Object.keys(PARTS);
  const legend = segments(model, "part", { label: "Part", options: names.map((name) => [name, ""]) });
  legend.node.classList.add("oe-costs-parts");
  const labels = [...legend.node.querySelectorAll("label")];
  const pieces = names.map((part) => make("i", { className: `oe-costs-${part}` }));
  bar.append(...pieces);
  let tell = () => "";
  names.forEach((part, i) => {
    for (const node of [pieces[i], labels[i]]) {
      node.addEventListener("pointerenter", () => readout.point(tell(part)));
      node.addEventListener("pointerleave", () => readout.point(null));
    }
    pieces[i].addEventListener("click", () => choose(model, { part }));
  });
  const show = ({ c, at, unit, part: now }) => {
    const factor = unit === "FLOPs" ? 2n : 1n;
    const counted = Object.fromEntries(operations(c, at).map(([name, macs]) => [name, factor * macs]));
    const all = add(Object.values(counted));
    const sums = Object.fromEntries(names.map((part) => [part, add(PARTS[part][1].map((name) => counted[name]))]));
    const attention = ratio(sums.scores + sums.apply, all);
    tell = (part) => {
      const [named, names] = PARTS[part];
      const each = names.map((name) => `${name} ${quantity(counted[name])}`).join(", ");
      return `${named}: ${count(sums[part])} ${unit}, ${percent(ratio(sums[part], all))}. ${names.length > 1 ? each + ". " : ""}All: ${count(all)} ${unit}.`;
    };
    title.textContent = `${quantity(all)} ${unit}`;
    title.title = `${count(all)} ${unit}`;
    about.textContent = at.decode ? `one new token after ${count(at.seq - 1n)}` : `a prompt of ${count(at.seq)} positions`;
    if (at.batch > 1n) about.textContent += `, ${count(at.batch)} at once`;
    about.textContent += `: attention takes ${percent(attention)}`;
    bar.setAttribute("aria-label", names.map((part) => `${PARTS[part][0]} ${percent(ratio(sums[part], all))}`).join("; "));
    names.forEach((part, i) => {
      const share = ratio(sums[part], all);
      pieces[i].style.flexGrow = share;
      pieces[i].classList.toggle("oe-chosen", part === now);
      pieces[i].title = labels[i].title = PARTS[part][1].map((name) => `${name}: ${count(counted[name])} ${unit}`).join("\n");
      labels[i].lastChild.replaceChildren(make("b", {}, make("i", { className: `oe-costs-${part}` }), PARTS[part][0]),
        make("em", {}, `${quantity(sums[part])} · ${percent(share)}`));
    });
    legend.show();
    readout.choose(tell(now));
    return `${count(all)} ${unit}; attention takes ${percent(attention).replace("\u00a0%", " percent")}, ${CONVENTION[at.convention][0]}.`;
  };
  bar.setAttribute("role", "img");
  return { head: make("div", { className: "oe-costs-total" }, title, about), bar, legend: legend.node, show };
}

/** Attention's share against the positions, a curve for each kind of layer and for the model. */
function shareChart(model, readout) {
  const scales = new Map();
  const scale = () => {
    const most = BEYOND * madeFor(chosen(model).c);
    if (!scales.has(most)) scales.set(most, doublings(1, most));
    return scales.get(most);
  };
  const longest = BigInt(model.get("longest"));
  // With one window for all, or none, every layer is as any other.
  const curves = ({ c, at, against: versus }) => {
    const all = places(c).reverse();
    const shown = at.convention === "windowed" && all.length > 2 ? all : [["every layer", all[0][1]]];
    return shown.map(([name, layers]) => ({ name, crossing: crossover(c, layers, AGAINST[versus][0], at, longest),
      share: (seq) => shareOf(c, layers, AGAINST[versus][0], { ...at, seq: BigInt(seq) }) }));
  };
  const NAMED = { "the model": "model", "a full layer": "full layers", "a sliding layer": "sliding layers" };
  const kinds = ["oe-chart-now", "oe-chart-thin", "oe-chart-other"];
  let [drawn, key] = [[], ""];
  const picture = chart({
    height: 250,
    axes: () => ({ x: scale(), y: linear(0, 1, [0, 0.25, 0.5, 0.75, 1].map((share) => [share, `${100 * share} %`])) }),
    draw: ({ x, y, left, right, top, bottom }) => {
      const now = chosen(model);
      const { c, at } = now;
      const [made, seq] = [madeFor(c), Number(at.seq)];
      const isBeyond = seq > BEYOND * made; // of the curve nothing is drawn there
      if (key !== (key = [now.model, now.convention, now.phase, now.against].join())) {
        const { stops } = scale();
        drawn = curves(now).map((curve) => ({ ...curve, values: stops.map((n) => [n, curve.share(n)]) }));
      }
      const label = ({ name, values }, i) => { // the first right of its curve, another left of it, or at its end
        const [level, side] = i ? [0.75, -8] : [0.3, 10];
        const place = values.find(([, share]) => share >= level);
        const type = i ? "" : "oe-chart-now";
        return place ? said(NAMED[name] ?? name, x(place[0]) + side, y(place[1]) + 4, i ? "end" : "start", type)
          : said(NAMED[name] ?? name, right - 2, y(values.at(-1)[1]) - 6, "end", type);
      };
      const below = (text, at) => said(text, ...(at + 7 + 8 * text.length > right + EDGE.right ? [at - 7, y(0.5) + 16, "end"]
        : [at + 7, y(0.5) + 16, "start"]), "oe-chart-now");
      const marks = drawn.flatMap(({ crossing }, i) => (crossing === null || x(Number(crossing)) >= right ? [] : [
        upright(x(Number(crossing)), y(0.5), bottom, "oe-chart-mark"),
        svg("circle", { cx: x(Number(crossing)), cy: y(0.5), r: 4 }),
        i === 0 ? below(count(crossing), x(Number(crossing)))
          : said(count(crossing), x(Number(crossing)) - 7, y(0.5) - 7, "end")]));
      return {
        parts: [
          svg("rect", { class: "oe-chart-far", x: x(made), y: top, width: right - x(made), height: bottom - top }),
          said(`beyond ${count(made)}`, right, top - 5, "end"),
          svg("line", { class: "oe-chart-half", x1: left, x2: right, y1: y(0.5), y2: y(0.5) }),
          ...drawn.toReversed().map(({ values }, i) => path(values.map(([n, share]) => [x(n), y(share)]), kinds[drawn.length - 1 - i])),
          ...(isBeyond ? [] : [upright(x(seq), top, bottom, "oe-chart-at")]), ...marks, ...drawn.map(label),
          isBeyond ? said(`beyond this axis: ${percent(drawn[0].share(seq))} →`, left + 8, y(0.88), "start", "oe-chart-beyond")
            : svg("circle", { cx: x(seq), cy: y(drawn[0].share(seq)), r: 5, class: "oe-chart-here" })],
        label: `Attention’s share against positions, ${CONVENTION[at.convention][0]}, beside the ${AGAINST[now.against][1]}. ` +
          drawn.map(({ name, share, crossing }) => `In ${name} ${percent(share(seq))} at ${count(seq)}, half ` +
            (crossing === null ? "never" : `at ${count(crossing)}`)).join("; ") + ".",
      };
    },
    point: (n) => readout.point(n === null ? null : `${count(n)} positions: attention takes ` +
      `${drawn.map(({ name, share }) => `${percent(share(n))} in ${name}`).join(", ")}, beside the ${AGAINST[model.get("against")][1]}. Click to go there.`),
    pick: (seq) => choose(model, { seq }),
  });
  return { ...picture, scale };
}

const columns = (names) => make("thead", {}, make("tr", {}, ...names.map((name, i) =>
  make("th", { scope: "col", className: i ? "oe-number" : "" }, name))));
const row = (name, ...cells) => make("tr", {}, make("th", { scope: "row" }, name),
  ...cells.map((cell) => make("td", { className: "oe-number" }, cell)));

/** From where on attention is more than the projections, and its share now. */
function crossoverPanel(model) {
  const [body, note] = [make("tbody"), make("p", { className: "oe-note" })];
  const head = columns(["in", "share now", "half from"]);
  const node = make("section", {}, make("h3", {}, "Where attention overtakes"), make("table", {}, head, body), note);
  const longest = BigInt(model.get("longest"));
  const show = ({ c, at, against: versus }) => {
    const [projections, name] = AGAINST[versus];
    body.replaceChildren(...places(c).map(([place, layers]) => {
      const from = crossover(c, layers, projections, at, longest);
      const go = from === null ? "never" : button(count(from), () => choose(model, { seq: Number(from) }), { title: "Go there" });
      return row(place, percent(shareOf(c, layers, projections, at)), go);
    }));
    note.textContent = `Counted ${CONVENTION[at.convention][0]}, beside the ${name}.`;
  };
  return { node, show };
}

function memoryPanel(readout) {
  const [title, body] = [make("h3"), make("tbody")];
  const node = make("section", {}, title, make("table", {}, body));
  const show = ({ c, at }) => {
    title.textContent = `Memory, ${c.dtype}`;
    const rows = [
      ["KV cache of one token", cacheBytes(c, { seq: 1n, batch: 1n }, false)],
      ["KV cache, sliding layers keep their window", cacheBytes(c, at, true)],
      ["KV cache, every layer keeps every position", cacheBytes(c, at, false)],
      ["weights read", weightBytes(c, at)],
    ];
    body.replaceChildren(...rows.map(([name, bytes]) => {
      const node = row(name, binary(bytes));
      node.title = `${count(bytes)} bytes`;
      for (const event of ["pointerenter", "click"])
        node.addEventListener(event, () => readout.point(`${name}: ${count(bytes)} bytes.`));
      node.addEventListener("pointerleave", () => readout.point(null));
      return node;
    }));
  };
  return { node, show };
}

function render({ model, el }) {
  hold(el, "costs");
  const spoken = status();
  const readout = pointedAt();
  const plain = (options) => Object.entries(options).map(([value, [text, hint]]) => [value, text, hint]);
  const share = shareChart(model, readout);
  const positions = axisControl(model, "seq", {
    label: "Positions", least: 1, most: model.get("longest"), scale: share.scale, spoken });
  const batch = numberField(model, "batch", { label: "Batch", least: 1, most: model.get("most"), spoken });
  const [models, phase, unit, convention, against] = [
    segments(model, "model", { label: "Model", options: Object.keys(model.get("sizes")).map((name) => [name, name]) }),
    segments(model, "phase", { label: "Pass", options: [
      ["prefill", "prefill: a prompt", "All positions at once"], ["decode", "decode: one token", "One new position; the others are in the KV cache"]] }),
    segments(model, "unit", { label: "Count", options: [["MACs", "MACs"], ["FLOPs", "FLOPs", "Two for each MAC"]] }),
    segments(model, "convention", { label: "Attention", options: plain(CONVENTION) }),
    segments(model, "against", { label: "Beside", options: Object.entries(AGAINST).map(([value, [, text]]) => [value, text]) }),
  ];
  const length = lengthLine(model, "seq", {
    value: (tokens) => Math.min(tokens, model.get("longest")),
    told: (tokens) => `Your sentence has ${tokens}: so many positions are counted.`,
  });
  const [bar, crossovers, memory] = [barPanel(model, readout), crossoverPanel(model), memoryPanel(readout)];
  const [beyond, tag] = [make("p", { className: "oe-note" }), make("p", { className: "oe-tag" })];
  const controls = [models, phase, batch, unit, convention, against, positions, length, share];
  el.append(make("section", { className: "oe oe-costs", ariaLabel: "Cost explorer" },
    make("div", { className: "oe-part oe-row oe-costs-choice" }, models.node, phase.node, batch.node),
    make("div", { className: "oe-part oe-costs-panels" },
      make("section", {}, make("div", { className: "oe-row oe-costs-choice" }, make("h3", {}, "Attention’s share"), against.node),
        positions.field, share.node, positions.slider, make("div", { className: "oe-said" }, spoken, beyond), length.node),
      make("div", { className: "oe-costs-tables" }, crossovers.node, memory.node)),
    make("div", { className: "oe-part" },
      make("div", { className: "oe-row oe-costs-choice" }, bar.head, unit.node, convention.node), bar.bar, bar.legend),
    readout.node, tag));

  const stop = redrawOn(model, STATE, () => {
    const now = chosen(model);
    for (const part of controls) part.show();
    const says = bar.show(now);
    crossovers.show(now);
    memory.show(now);
    const problem = positions.problem() || batch.problem();
    const made = madeFor(now.c);
    beyond.textContent = now.at.seq <= made ? "" : 
      `More than the model’s max_position_embeddings, ${count(made)}: counted all the same.`;
    tag.textContent = `${now.model}, config only · computed: matrix products, all layers together. One MAC, a multiplication and an ` +
      "addition, is two FLOPs.";
    spoken.say(problem || says);
  });
  return () => {
    stop();
    for (const part of [length, share]) part.stop();
  };
}

export default { render };
