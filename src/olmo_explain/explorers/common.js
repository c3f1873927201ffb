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

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** The numbers in a Bytes trait. Sliced first: a view may start at an unaligned offset. */
function numbers(view, Type) {
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
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
const { format: count } = new Intl.NumberFormat("en");

let controlCount = 0;

function labelled(text, control) {
  control.id = `oe-control-${++controlCount}-${Math.random().toString(36).slice(2, 8)}`;
  return make("label", { htmlFor: control.id }, text);
}

function choose(model, changes) {
  for (const [trait, value] of Object.entries(changes)) model.set(trait, value);
  model.save_changes();
}

/**
 * What holds an explorer, from the start: its style sheet is for what lies in there. JupyterLab takes a key
 * for itself, a "d" even, unless the element that has the focus says otherwise.
 */
function hold(el, name) {
  el.classList.add(`oe-in-${name}`);
  el.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", "true"));
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

/** [row, column] of a painted matrix under the pointer. */
function cellAt(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const place = (offset, size, count) =>
    Math.min(Math.max(Math.floor((offset / size) * count), 0), count - 1);
  return [
    place(event.clientY - box.top, box.height, canvas.height),
    place(event.clientX - box.left, box.width, canvas.width),
  ];
}

/** Calls `pick(row, column)` where the pointer presses or drags on a painted matrix. */
function pickable(canvas, pick) {
  const at = (event) => pick(...cellAt(canvas, event));
  canvas.addEventListener("pointerdown", at);
  canvas.addEventListener("pointermove", (event) => event.buttons === 1 && at(event));
}

/** Puts a frame around one cell (or, with no column, one row) of a painted matrix. */
function frame(node, rows, columns, row, column = null) {
  const [left, width] = column === null ? [0, 100] : [(100 * column) / columns, 100 / columns];
  node.style.cssText =
    `top:${(100 * row) / rows}%;height:${100 / rows}%;left:${left}%;width:${width}%`;
}
