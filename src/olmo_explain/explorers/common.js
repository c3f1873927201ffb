// What every explorer shares. Each explorer's module is this text followed by its own, so that a
// page needs nothing but what was saved into it.

/** An element with properties and children: `make("p", { className: "note" }, "text")`. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** The numbers in a Bytes trait. Sliced first: a view may start at an unaligned offset. */
function numbers(view, Type) {
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** The numbers in a Bytes trait as they are now, read again only where they have changed. */
function numbersIn(model, trait, Type) {
  let [view, held] = [null, null];
  return () => {
    if (view !== model.get(trait)) held = numbers((view = model.get(trait)), Type);
    return held;
  };
}

/** What readers call the layer types of config.json. */
const KIND = { sliding_attention: "sliding", full_attention: "full" };

/** What is hidden in a text or turns its direction: as words.py, which has it for a terminal. */
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu;
const escaped = (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A token with its spaces and line ends made visible, and all else that is not seen. */
const visible = (token) =>
  token.replace(/ /g, "␣").replace(/\n/g, "↵").replace(UNSEEN, escaped);

/** A whole number with thousands separators. */
const count = (n) => n.toLocaleString("en");

let controlCount = 0;

function labelled(text, control) {
  control.id = `oe-control-${++controlCount}-${Math.random().toString(36).slice(2, 8)}`;
  return make("label", { htmlFor: control.id }, text);
}

/** A slider that shows and sets one trait. `say(value)` is what its output reads, `width` long. */
function slider(model, trait, { label, max, say = String, width = String(max).length }) {
  const input = make("input", { type: "range", min: 0, max, step: 1 });
  // Without this JupyterLab takes the arrow keys for itself.
  input.setAttribute("data-lm-suppress-shortcuts", "true");
  const output = make("output", { style: `width:${width}ch` });
  const name = labelled(label, input);
  const node = make("div", { className: "oe-control" }, name, input, output);
  input.addEventListener("input", () => choose(model, { [trait]: input.valueAsNumber }));
  const show = () => {
    input.value = model.get(trait);
    output.value = say(model.get(trait));
    input.setAttribute("aria-valuetext", output.value);
  };
  const range = (low, high) => Object.assign(input, { min: low, max: high });
  const rename = (text) => (name.textContent = text);
  return { node, show, range, rename };
}

/** A menu that shows and sets one trait. */
function menu(model, trait, { label, options }) {
  const select = make("select", {});
  select.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [value, text] of options) select.append(make("option", { value }, text));
  const node = make("div", { className: "oe-control" }, labelled(label, select), select);
  select.addEventListener("change", () => choose(model, { [trait]: select.value }));
  return { node, show: () => (select.value = model.get(trait)) };
}

function choose(model, changes) {
  for (const [trait, value] of Object.entries(changes)) model.set(trait, value);
  model.save_changes();
}

/** Runs `draw` once a frame at the most, whenever one of the traits changes; returns the undo. */
function redrawOn(model, traits, draw) {
  let frame = 0;
  const later = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  };
  const events = traits.map((trait) => `change:${trait}`);
  for (const event of events) model.on(event, later);
  draw();
  return () => {
    cancelAnimationFrame(frame);
    for (const event of events) model.off(event, later);
  };
}

/** A live region that speaks once the reader has paused. A problem can be seen, too. */
function status() {
  const node = make("p", { className: "oe-status", role: "status" });
  let timer = 0;
  node.say = (text, isProblem = false) => {
    if (!isProblem) node.classList.remove("oe-problem");
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (node.textContent !== text) node.textContent = text; // else it would be heard again
      node.classList.toggle("oe-problem", isProblem);
    }, 400);
  };
  return node;
}

// Viridis at five points: even steps of lightness, readable without colour vision.
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** The colour of `t` in [0, 1] as [red, green, blue]. */
function viridis(t) {
  const at = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((c, i) => Math.round(c + (at - low) * (VIRIDIS[low + 1][i] - c)));
}

/** Paints a matrix, a pixel a cell; CSS scales it up. `colour(row, column)` gives [r, g, b, a]. */
function paint(canvas, rows, columns, colour) {
  if (canvas.width !== columns) canvas.width = columns;
  if (canvas.height !== rows) canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let row = 0, at = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, at += 4)
      image.data.set(colour(row, column), at);
  context.putImageData(image, 0, 0);
}

/** Calls `pick(row, column)` where the pointer presses or drags on a painted matrix. */
function pickable(canvas, pick) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const place = (offset, size, count) =>
      Math.min(Math.max(Math.floor((offset / size) * count), 0), count - 1);
    pick(
      place(event.clientY - box.top, box.height, canvas.height),
      place(event.clientX - box.left, box.width, canvas.width),
    );
  };
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("pointermove", (event) => event.buttons === 1 && at(event));
}

/** Puts a frame around one cell (or, with no column, one row) of a painted matrix. */
function frame(node, rows, columns, row, column = null) {
  const [left, width] = column === null ? [0, 100] : [(100 * column) / columns, 100 / columns];
  node.style.cssText =
    `top:${(100 * row) / rows}%;height:${100 / rows}%;left:${left}%;width:${width}%`;
}

/** The tokens beside a picture, as many of them as `most` can be read; the chosen one always. */
function tokenLabels(className, most) {
  const node = make("div", { className, ariaHidden: "true" });
  const show = (tokens, chosen) => {
    const every = Math.ceil(tokens.length / most);
    const isRead = (at) => at === chosen || (at % every === 0 && (every === 1 || Math.abs(at - chosen) >= every));
    node.replaceChildren(...tokens.map((token, at) =>
      make("span", { className: at === chosen ? "oe-chosen" : "" }, isRead(at) ? visible(token) : "")));
  };
  return { node, show };
}
