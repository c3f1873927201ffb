// The step explorer: one value of one layer, its formula, its weight, its picture, its proof.

const STATE = ["layer", "at", "head", "token", "number"];
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

function aboutPanel() {
  const title = make("h3");
  const cells = {};
  const body = make("tbody");
  for (const name of ["formula", "shape", "reads weight", "weight bytes", "max |Δ| to the real module"]) {
    cells[name] = make("td");
    body.append(make("tr", {}, make("th", { scope: "row" }, name), cells[name]));
  }
  const show = (about, equal, difference) => {
    title.textContent = `Step ${about.step} of 15: ${about.name}`;
    cells.formula.textContent = about.formula;
    cells.shape.textContent = `${about.axes.join(" × ")} = ${size(about.shape)}`;
    cells["reads weight"].textContent = about.weight
      ? `${about.weight}, ${size(about.weightShape)}` : "none";
    cells["weight bytes"].textContent = count(about.weightBytes);
    cells["max |Δ| to the real module"].textContent = distance(equal, difference);
  };
  return { node: make("section", {}, title, make("table", {}, body)), show };
}

function picturePanel(model) {
  const canvas = make("canvas", { role: "img" });
  const marker = make("div", { className: "oe-frame" });
  const [title, note] = [make("h3"), make("p", { className: "oe-note" })];
  const label = (token) => make("span", {}, visible(token));
  const [rows, columns] = [model.get("tokens").map(label), model.get("tokens").map(label)];
  const keys = make("div", { className: "oe-steps-tokens oe-steps-keys", ariaHidden: "true" }, ...columns);
  pickable(canvas, (token, number) => choose(model, { token, number }));
  let painted = "";
  const show = (about, key, values, hidden) => {
    const [heads, tokens, numbers] = about.matrices;
    if (painted !== key) {
      const seen = values.filter((_, at) => !hidden(at));
      const [low, high] = [Math.min(...seen), Math.max(...seen)];
      const scale = Math.max(Math.abs(low), Math.abs(high)) || 1;
      paint(canvas, tokens, numbers, (t, n) => {
        if (hidden(t * numbers + n)) return [128, 128, 128, 90];
        const value = values[t * numbers + n];
        const strength = Math.round(255 * Math.sqrt(Math.abs(value) / scale));
        return [...(value < 0 ? [217, 119, 43] : [18, 150, 130]), strength];
      });
      title.textContent = heads > 1 ? `${about.name}, head ${model.get("head")}` : about.name;
      keys.hidden = !isKeyed(about);
      const masked = seen.length < values.length;
      const colours = low < 0 ? "orange below zero, green above" : "green: above zero";
      const range = masked && low === high ? `${low} where a key is seen` :
        `From ${low.toPrecision(4)} to ${high.toPrecision(4)}; ${colours}`;
      const sliding = model.get("layer_types")[model.get("layer")] === "sliding_attention";
      note.textContent = [
        `${range}${masked ? "; grey: hidden by the mask" : ""}.`,
        isKeyed(about) ? "A row is a query, a column a key." : "",
        masked && sliding && tokens <= model.get("sliding_window")
          ? `This layer slides, but its window of ${model.get("sliding_window")} tokens is longer than the prompt.`
          : "",
      ].filter(Boolean).join(" ");
      const [down, across] = isKeyed(about) ? ["queries", "keys"] : ["tokens", "numbers"];
      canvas.ariaLabel = `${about.name}: ${tokens} ${down} by ${numbers} ${across}. ${note.textContent}`;
      painted = key;
    }
    frame(marker, tokens, numbers, model.get("token"), model.get("number"));
    rows.forEach((row, at) => row.classList.toggle("oe-chosen", at === model.get("token")));
    columns.forEach((column, at) => column.classList.toggle("oe-chosen", at === model.get("number")));
  };
  const node = make("section", {}, title,
    make("div", { className: "oe-steps-picture" },
      make("div", { className: "oe-steps-tokens", ariaHidden: "true" }, ...rows),
      make("div", { className: "oe-matrix" }, canvas, marker), keys),
    note);
  return { node, show };
}

function render({ model, el }) {
  const [steps, tokens, kinds] = [model.get("steps"), model.get("tokens"), model.get("layer_types")];
  const data = numbers(model.get("data"), Uint16Array);
  const perLayer = data.length / kinds.length;

  const layer = slider(model, "layer", {
    label: "Layer", max: kinds.length - 1, say: (l) => `${l} ${KIND[kinds[l]]}`, width: 10,
  });
  const at = slider(model, "at", {
    label: "Value", max: steps.length - 1, say: (i) => `${steps[i].step} ${steps[i].name}`, width: 16,
  });
  const head = slider(model, "head", { label: "Head", max: 0, width: 3 });
  const named = (t) => `${t} ${visible(tokens[t])}`;
  const token = slider(model, "token", {
    label: "Token", max: tokens.length - 1, say: named, width: 9,
  });
  const number = slider(model, "number", {
    label: "Number", max: 0, say: (n) => (isKeyed(steps[model.get("at")]) ? named(n) : String(n)), width: 9,
  });
  const [about, picture] = [aboutPanel(), picturePanel(model)];
  const chosen = make("output");
  const spoken = status();
  el.append(make("section", { className: "oe oe-steps", ariaLabel: "Step explorer" },
    make("p", { className: "oe-note" }, `Model: ${model.get("name")}, bfloat16`),
    make("div", { className: "oe-controls" }, layer.node, at.node),
    about.node, picture.node,
    make("div", { className: "oe-controls" }, head.node, token.node, number.node,
      make("div", { className: "oe-control" }, "Value there", chosen)),
    spoken));

  return redrawOn(model, STATE, () => {
    const step = steps[model.get("at")];
    const [heads, rows, columns] = step.matrices;
    // A place chosen in one value may lie outside the next.
    const place = {
      head: Math.min(model.get("head"), heads - 1), number: Math.min(model.get("number"), columns - 1),
    };
    if (place.head !== model.get("head") || place.number !== model.get("number")) return choose(model, place);

    head.range(0, heads - 1);
    head.node.hidden = heads === 1;
    number.range(0, columns - 1);
    token.rename(isKeyed(step) ? "Query" : "Token");
    number.rename(isKeyed(step) ? "Key" : "Number");
    for (const control of [layer, at, head, token, number]) control.show();

    const matrix = (of, number) => {
      const start = model.get("layer") * perLayer + of.at + number * rows * columns;
      return bfloat16(data.subarray(start, start + rows * columns));
    };
    const values = matrix(step, place.head);
    // In a pattern what the mask hides is a plain 0: only the mask itself tells it from a small one.
    const mask = step.name === "pattern" ? matrix(steps.find(({ name }) => name === "mask"), 0) : values;
    const hidden = (at) => mask[at] <= HIDDEN;
    const cell = model.get("token") * columns + place.number;
    chosen.value = !hidden(cell) ? String(values[cell])
      : step.name === "pattern" ? `${values[cell]}, hidden` : "hidden";
    const result = (trait) => model.get(trait)[model.get("layer")][model.get("at")];
    about.show(step, result("equal"), result("differences"));
    picture.show(step, `${model.get("layer")}.${step.name}.${place.head}`, values, hidden);
    const [row, column] = isKeyed(step) ? ["query", "key"] : ["token", "number"];
    const where = isKeyed(step) ? named(place.number) : place.number;
    spoken.say(`Layer ${model.get("layer")}, step ${step.step}, ${step.name}: ` +
      `${row} ${named(model.get("token"))}, ${column} ${where} is ` +
      `${hidden(cell) ? "hidden" : Number(values[cell].toPrecision(4))}.`);
  });
}

export default { render };
