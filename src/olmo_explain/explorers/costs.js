// The cost explorer: MACs or FLOPs by operation, computed from the sizes in config.json.
// Counts are BigInt: at 65,536 positions they outgrow the whole numbers that doubles hold.

const STATE = ["model", "seq", "batch", "convention", "phase", "unit"];
const ATTENTION = ["scores", "apply"];
const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj"];
const LINEAR = [...PROJECTIONS, "gate_proj", "up_proj", "down_proj"];
const CONVENTION = { full: "full square", causal: "causal", windowed: "windowed by layer type" };
const STOPS_AN_OCTAVE = 8;

const least = (a, b) => (a < b ? a : b);
const add = (numbers) => numbers.reduce((sum, n) => sum + n, 0n);
const ratio = (part, whole) => Number((part * 10n ** 9n) / whole) / 1e9;
const thousandths = (n) =>
  n.toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const gib = (bytes) => `${(Number(bytes) / 2 ** 30).toLocaleString("en", { maximumSignificantDigits: 4 })} GiB`;

// -- counting -------------------------------------------------------------------------------------

/** The sizes of a model as BigInt. */
function exact(sizes) {
  return Object.fromEntries(Object.entries(sizes).map(([name, n]) => [name, BigInt(n)]));
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

// -- showing --------------------------------------------------------------------------------------

/** A field for a whole number. What is none, or out of range, changes nothing: `problem()` says so. */
function numberInput(model, trait, name, max, spoken) {
  const input = make("input", { type: "number", min: 1, max, step: 1, required: true, inputMode: "numeric" });
  const problem = () => (input.validity.valid ? "" : `${name}: give a whole number from 1 to ` +
    `${count(max)}. What is shown is still for ${count(model.get(trait))}.`);
  input.addEventListener("input", () => {
    spoken.say(problem(), !input.validity.valid);
    if (input.validity.valid) choose(model, { [trait]: input.valueAsNumber });
  });
  const show = () => {
    // Who is typing is not interrupted.
    if (document.activeElement !== input) input.value = model.get(trait);
  };
  input.addEventListener("blur", show);
  return { input, show, problem };
}

function batchControl(model, spoken) {
  const { input, ...field } = numberInput(model, "batch", "Batch", model.get("most"), spoken);
  return { node: make("div", { className: "oe-control" }, labelled("Batch", input), input), ...field };
}

/** Where a slider stops: in even steps of an octave, at whole numbers, up to `longest`. */
function stopsTo(longest) {
  const steps = Array.from({ length: 1 + STOPS_AN_OCTAVE * Math.ceil(Math.log2(longest)) },
    (_, i) => Math.min(Math.round(2 ** (i / STOPS_AN_OCTAVE)), longest));
  return [...new Set(steps)];
}

/** A slider over the positions that the model is made for, and beside it any exact number. */
function positionsControl(model, spoken) {
  const longest = model.get("longest");
  const range = make("input", { type: "range", min: 0, step: 1 });
  let stops = [];
  range.addEventListener("input", () => choose(model, { seq: stops[range.valueAsNumber] }));
  const { input, problem, show: showExactly } = numberInput(model, "seq", "Positions", longest, spoken);
  input.ariaLabel = "Positions, exactly";
  const node = make("div", { className: "oe-control oe-costs-positions" },
    labelled("Positions", range), range, input);
  const show = () => {
    const seq = model.get("seq");
    stops = stopsTo(Math.min(madeFor(model), longest));
    const within = Math.min(seq, stops.at(-1));
    const above = stops.findIndex((stop) => stop >= within);
    const isNearer = above > 0 && within - stops[above - 1] < stops[above] - within;
    Object.assign(range, { max: stops.length - 1, value: isNearer ? above - 1 : above });
    range.setAttribute("aria-valuetext", `${count(seq)} positions`);
    showExactly();
  };
  return { node, show, problem };
}

/** How many positions the chosen model was made for. */
const madeFor = (model) => model.get("sizes")[model.get("model")].max_position_embeddings;

/** A number that may go on below, after a comma: one too long for a line. */
const breakable = (text) => text.split(",").flatMap((part, at) => (at ? [",", make("wbr"), part] : [part]));
const cell = (text, line = 25) => (text.length <= line ? make("td", { className: "oe-number" }, text)
  : make("td", { className: "oe-number oe-costs-long" }, ...breakable(text)));
const columns = (names) => make("thead", {}, make("tr", {}, ...names.map((name, i) =>
  make("th", { scope: "col", className: i ? "oe-number" : "" }, name))));
const row = (name, ...cells) => make("tr", {}, make("th", { scope: "row" }, name), ...cells);

function barsPanel() {
  const [title, unit, body] = [make("h3"), make("th", { scope: "col", className: "oe-number" }), make("tbody")];
  const head = make("tr", {}, make("th", { scope: "col" }, "operation"), unit,
    make("th", { scope: "col", className: "oe-number" }, "share"), make("td"));
  const node = make("section", {}, title, make("table", {}, make("thead", {}, head), body),
    make("p", { className: "oe-note" },
      "Matrix products only, all layers together, as PyTorch’s FlopCounterMode counts them. " +
      "Striped: attention, which grows with the positions that it looks at."));
  const show = (model, counted, factor) => {
    const all = add(counted.map(([, macs]) => macs));
    const most = counted.reduce((top, [, macs]) => (macs > top ? macs : top), 0n);
    title.replaceChildren(...breakable(`${count(all * factor)} ${model.get("unit")}`));
    unit.textContent = model.get("unit");
    body.replaceChildren(...counted.map(([name, macs]) => row(name,
      cell(count(macs * factor)), cell(`${(100 * ratio(macs, all)).toFixed(1)} %`),
      make("td", { className: "oe-costs-bar" }, make("i", {
        className: ATTENTION.includes(name) ? "oe-costs-attention" : "",
        style: `width:${100 * ratio(macs, most)}%`,
        ariaHidden: "true",
      })))));
  };
  return { node, show };
}

/** Attention as a multiple of the projections, and from where on it is more. */
function crossoverPanel() {
  const [caption, body, note] = [make("caption"), make("tbody"), make("p", { className: "oe-note" })];
  const head = columns(["in", "× q,\u00a0k,\u00a0v,\u00a0o", "overtakes at", "× all Linear", "overtakes at"]);
  const node = make("section", {}, make("h3", {}, "Where attention overtakes"),
    make("table", {}, caption, head, body), note);
  const show = (c, at, longest) => {
    const places = [
      c.sliding_layers && ["a sliding layer", [1n, 0n]],
      c.full_layers && ["a full layer", [0n, 1n]],
      ["the model", [c.sliding_layers, c.full_layers]],
    ];
    caption.textContent = "Scores and apply, as a multiple of the projections";
    body.replaceChildren(...places.filter(Boolean).map(([name, layers]) => row(name,
      ...[PROJECTIONS, LINEAR].flatMap((projections) => {
        const [attention, linear] = against(c, layers, projections, at);
        const from = crossover(c, layers, projections, at, longest);
        return [cell(thousandths(ratio(attention, linear)), 12), cell(from === null ? "never" : count(from), 12)];
      }))));
    note.textContent = `Counted ${CONVENTION[at.convention]}; positions beyond ` +
      `${count(c.max_position_embeddings)} are more than the model takes.`;
  };
  return { node, show };
}

function memoryPanel() {
  const body = make("tbody");
  const node = make("section", {}, make("h3", {}, "Memory"), make("table", {}, body));
  const show = (c, at) => {
    const rows = [
      ["KV cache of one token", cacheBytes(c, { seq: 1n, batch: 1n }, false)],
      ["KV cache, sliding layers keep their window", cacheBytes(c, at, true)],
      ["KV cache, every layer keeps every position", cacheBytes(c, at, false)],
      ["weights read", weightBytes(c, at)],
    ];
    body.replaceChildren(...rows.map(([name, bytes]) =>
      row(name, cell(`${count(bytes)} bytes`), cell(gib(bytes)))));
  };
  return { node, show };
}

function render({ model, el }) {
  keepKeys(el);
  const sizes = model.get("sizes");
  const choices = (names) => names.map((name) => [name, name]);
  const spoken = status();
  const controls = [
    positionsControl(model, spoken),
    menu(model, "model", { label: "Model", options: choices(Object.keys(sizes)) }),
    menu(model, "convention", { label: "Attention", options: Object.entries(CONVENTION) }),
    menu(model, "phase", { label: "Phase", options: [
      ["prefill", "prefill: all positions"], ["decode", "decode: one new position"]] }),
    batchControl(model, spoken),
    menu(model, "unit", { label: "Count", options: choices(["MACs", "FLOPs"]) }),
  ];
  const length = lengthLine(model, "seq", {
    value: (tokens) => Math.min(tokens, model.get("longest")),
    told: (tokens) => `Your sentence has ${tokens}: so many positions are counted.`,
  });
  const [bars, crossovers, memory] = [barsPanel(), crossoverPanel(), memoryPanel()];
  const says = make("p", { className: "oe-note" });
  el.append(make("section", { className: "oe oe-costs", ariaLabel: "Cost explorer" }, says,
    make("div", { className: "oe-controls" }, ...controls.map((control) => control.node)),
    length.node, spoken, make("div", { className: "oe-costs-panels" }, bars.node,
      make("div", {}, crossovers.node, memory.node))));

  const stop = redrawOn(model, STATE, () => {
    const c = exact(sizes[model.get("model")]);
    const at = {
      seq: BigInt(model.get("seq")), batch: BigInt(model.get("batch")),
      decode: model.get("phase") === "decode", convention: model.get("convention"),
    };
    const factor = model.get("unit") === "FLOPs" ? 2n : 1n;
    const counted = operations(c, at);
    for (const part of [...controls, length]) part.show();
    bars.show(model, counted, factor);
    crossovers.show(c, at, BigInt(model.get("longest")));
    memory.show(c, at);
    const all = add(counted.map(([, macs]) => macs));
    const attention = add(counted.filter(([name]) => ATTENTION.includes(name)).map(([, n]) => n));
    says.textContent = `Model: ${model.get("model")}, config only. ` +
      (at.decode ? `One new position after ${count(at.seq - 1n)}` : `${count(at.seq)} positions at once`) +
      `, ${count(at.batch)} ${at.batch === 1n ? "sequence" : "sequences"}.`;
    const problem = controls.map((control) => control.problem?.()).find(Boolean);
    spoken.say(problem ?? `${count(all * factor)} ${model.get("unit")}; attention takes ` +
      `${(100 * ratio(attention, all)).toFixed(1)} percent, ${CONVENTION[at.convention]}.`, Boolean(problem));
  });
  return () => {
    stop();
    length.stop();
  };
}

export default { render };
