// The step explorer: one value of one layer, its formula, its weight, its picture, its proof.

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
function distance(equal, difference) {
  if (equal) return "0: every bit is equal";
  if (difference === null) return "none to measure: differs by a NaN, an infinity or its shape";
  return difference ? `differs by up to ${difference}`
    : "0, yet not every bit is equal: differs by the sign of a zero or by its dtype";
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
    tokens: model.get("tokens"), of: data(), dtype: "bfloat16", said: String, matrix,
    about: (layer, at) => step(at),
    proof: (layer, at) => distance(result("equal", layer, at), result("differences", layer, at)),
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
    tokens, of: ids, dtype: "float32, computed in this page", matrix, about,
    said: (number) => String(Number(number.toPrecision(7))),
    proof: () => "computed in this page in float32; not compared with the module here",
  };
}

// -- showing ------------------------------------------------------------------------------------------

function aboutPanel() {
  const title = make("h3");
  const cells = {};
  const body = make("tbody");
  for (const name of ["formula", "shape", "reads weight", "weight bytes", "max |Δ| to the real module"]) {
    cells[name] = make("td");
    body.append(make("tr", {}, make("th", { scope: "row" }, name), cells[name]));
  }
  const show = (about, proof) => {
    title.textContent = `Step ${about.step} of 15: ${about.name}`;
    cells.formula.textContent = about.formula;
    cells.shape.textContent = `${about.axes.join(" × ")} = ${size(about.shape)}`;
    cells["reads weight"].textContent = about.weight
      ? `${about.weight}, ${size(about.weightShape)}` : "none";
    cells["weight bytes"].textContent = count(about.weightBytes);
    cells["max |Δ| to the real module"].textContent = proof;
  };
  return { node: make("section", {}, title, make("table", {}, body)), show };
}

function picturePanel(model) {
  const canvas = make("canvas", { role: "img" });
  const marker = make("div", { className: "oe-frame" });
  const [title, note] = [make("h3"), make("p", { className: "oe-note" })];
  const rows = tokenLabels("oe-steps-tokens", 26);
  const keys = tokenLabels("oe-steps-tokens oe-steps-keys", 22);
  pickable(canvas, (token, number) => choose(model, { token, number }));
  let painted = {};
  const show = (run, about, place, values, hidden) => {
    const [heads, tokens, numbers] = about.matrices;
    const [layer, head] = [model.get("layer"), place.head];
    if (painted.of !== run.of || painted.name !== about.name || painted.layer !== layer || painted.head !== head) {
      const seen = values.filter((_, at) => !hidden(at));
      // Not Math.min(...seen): some browsers pass no more than 65,536 arguments.
      const [low, high] = [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))];
      const scale = Math.max(Math.abs(low), Math.abs(high)) || 1;
      paint(canvas, tokens, numbers, (t, n) => {
        if (hidden(t * numbers + n)) return [128, 128, 128, 90];
        const value = values[t * numbers + n];
        const strength = Math.round(255 * Math.sqrt(Math.abs(value) / scale));
        return [...(value < 0 ? [217, 119, 43] : [18, 150, 130]), strength];
      });
      title.textContent = heads > 1 ? `${about.name}, head ${head}` : about.name;
      keys.node.hidden = !isKeyed(about);
      keys.node.classList.toggle("oe-steps-upright", tokens > 8);
      shape.style.setProperty("--oe-tokens", tokens);
      const masked = seen.length < values.length;
      const colours = low < 0 ? "orange below zero, green above" : "green: above zero";
      const range = masked && low === high ? `${low} where a key is seen` :
        `From ${low.toPrecision(4)} to ${high.toPrecision(4)}; ${colours}`;
      const sliding = model.get("layer_types")[layer] === "sliding_attention";
      note.textContent = [
        `${range}${masked ? "; grey: hidden by the mask" : ""}.`,
        isKeyed(about) ? "A row is a query, a column a key." : "",
        masked && sliding && tokens <= model.get("sliding_window")
          ? `This layer slides, but its window of ${model.get("sliding_window")} tokens is longer than the prompt.`
          : "",
      ].filter(Boolean).join(" ");
      const [down, across] = isKeyed(about) ? ["queries", "keys"] : ["tokens", "numbers"];
      canvas.ariaLabel = `${about.name}: ${tokens} ${down} by ${numbers} ${across}. ${note.textContent}`;
      painted = { of: run.of, name: about.name, layer, head };
    }
    frame(marker, tokens, numbers, place.token, place.number);
    rows.show(run.tokens, place.token);
    if (isKeyed(about)) keys.show(run.tokens, place.number);
  };
  const shape = make("div", { className: "oe-steps-picture" },
    rows.node, make("div", { className: "oe-matrix" }, canvas, marker), keys.node);
  return { node: make("section", {}, title, shape, note), show };
}

function render({ model, el }) {
  keepKeys(el);
  const kinds = model.get("layer_types");
  const saved = savedRun(model);
  let own = null;
  let run = saved();
  const spoken = status();
  const bar = sentenceBar(model, spoken, (typed) => {
    own = typed && ownRun(model, typed);
    draw();
  });
  const step = () => model.get("steps")[model.get("at")];
  const named = (t) => `${t} ${visible(run.tokens[t] ?? "")}`;

  const layer = slider(model, "layer", {
    label: "Layer", max: kinds.length - 1, say: (l) => `${l} ${KIND[kinds[l]]}`, width: 10,
  });
  const at = slider(model, "at", {
    label: "Value", max: model.get("steps").length - 1, width: 16,
    say: (i) => `${model.get("steps")[i].step} ${model.get("steps")[i].name}`,
  });
  const head = slider(model, "head", { label: "Head", max: 0, width: 3 });
  const token = slider(model, "token", { label: "Token", max: 0, say: named, width: 9 });
  const number = slider(model, "number", {
    label: "Number", max: 0, say: (n) => (isKeyed(step()) ? named(n) : String(n)), width: 9,
  });
  const [about, picture] = [aboutPanel(), picturePanel(model)];
  const [chosen, says] = [make("output"), make("p", { className: "oe-note" })];
  el.append(make("section", { className: "oe oe-steps", ariaLabel: "Step explorer" },
    says, ...(bar ? [bar.node] : []),
    make("div", { className: "oe-controls" }, layer.node, at.node),
    about.node, picture.node,
    make("div", { className: "oe-controls" }, head.node, token.node, number.node,
      make("div", { className: "oe-control" }, "Value there", chosen)),
    spoken));

  function draw() {
    run = own ?? saved();
    const shown = run.about(model.get("layer"), model.get("at"));
    const [heads, rows, columns] = shown.matrices;
    // A place chosen in one value, or of one sentence, may lie outside the next.
    const place = {
      head: Math.min(model.get("head"), heads - 1), token: Math.min(model.get("token"), rows - 1),
      number: Math.min(model.get("number"), columns - 1),
    };
    if (Object.entries(place).some(([name, value]) => value !== model.get(name))) return choose(model, place);

    says.textContent = `Model: ${model.get("name")}, ${run.dtype}`;
    head.range(0, heads - 1);
    head.node.hidden = heads === 1;
    token.range(0, rows - 1);
    number.range(0, columns - 1);
    token.rename(isKeyed(shown) ? "Query" : "Token");
    number.rename(isKeyed(shown) ? "Key" : "Number");
    for (const control of [layer, at, head, token, number]) control.show();

    const values = run.matrix(model.get("layer"), model.get("at"), place.head);
    // In a pattern what the mask hides is a plain 0: only the mask itself tells it from a small one.
    const masking = model.get("steps").findIndex(({ name }) => name === "mask");
    const mask = shown.name === "pattern" ? run.matrix(model.get("layer"), masking, 0) : values;
    const hidden = (at) => mask[at] <= HIDDEN;
    const cell = place.token * columns + place.number;
    chosen.value = !hidden(cell) ? run.said(values[cell])
      : shown.name === "pattern" ? `${values[cell]}, hidden` : "hidden";
    about.show(shown, run.proof(model.get("layer"), model.get("at")));
    picture.show(run, shown, place, values, hidden);
    const [row, column] = isKeyed(shown) ? ["query", "key"] : ["token", "number"];
    const where = isKeyed(shown) ? named(place.number) : place.number;
    spoken.say(`Layer ${model.get("layer")}, step ${shown.step}, ${shown.name}: ` +
      `${row} ${named(place.token)}, ${column} ${where} is ` +
      `${hidden(cell) ? "hidden" : Number(values[cell].toPrecision(4))}.`);
  }

  const stop = redrawOn(model, STATE, draw);
  return () => {
    stop();
    bar?.stop();
  };
}

export default { render };
