// What is pressed and set in explorers, and what is drawn beside it.

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** The numbers in a Bytes trait as they are now, read again only where they have changed. */
function numbersIn(model, trait, Type) {
  let [view, held] = [null, null];
  return () => {
    if (view !== model.get(trait)) held = numbers((view = model.get(trait)), Type);
    return held;
  };
}

/** A slider that shows and sets one trait. `say(value)` is what its output reads, `width` long. */
function slider(model, trait, { label, max, say = String, width = String(max).length }) {
  const input = make("input", { type: "range", min: 0, max, step: 1 });
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

/**
 * Radio buttons side by side, for one trait: arrow keys move between them. An option is
 * [value, text, hint].
 */
function segments(model, trait, { label, options, go = (changes) => choose(model, changes) }) {
  const name = `oe-${trait}-${Math.random().toString(36).slice(2, 8)}`;
  const inputs = new Map();
  const node = make("fieldset", { className: "oe-segments" }, make("legend", {}, label));
  for (const [value, text, hint] of options) {
    const input = make("input", { type: "radio", name, value: String(value) });
    input.addEventListener("change", () => go({ [trait]: value }));
    inputs.set(value, input);
    node.append(make("label", { title: hint ?? "" }, input, make("span", {}, text)));
  }
  return { node, show: () => inputs.forEach((input, value) => (input.checked = value === model.get(trait))) };
}

/** The layers: a button each, or, of many, a slider. */
function layerPicker(model, { go } = {}) {
  const kinds = model.get("layer_types");
  const say = (layer) => `${layer} ${KIND[kinds[layer]]}`;
  const picker = kinds.length > 16 ? slider(model, "layer", { label: "Layer", max: kinds.length - 1, say, width: 10 })
    : segments(model, "layer", { label: "Layer", go, options: kinds.map((kind, at) => [at, String(at), `${KIND[kind]} attention`]) });
  picker.node.classList.add("oe-layers");
  return picker;
}

function button(text, act, properties = {}) {
  const node = make("button", { type: "button", className: "oe-button", ...properties }, text);
  node.addEventListener("click", () => node.ariaDisabled !== "true" && act());
  return node;
}

/** It can do nothing now. It keeps the focus, which a button that is `disabled` would lose. */
const rest = (node, isIdle) => (node.ariaDisabled = String(Boolean(isIdle)));

/** The accent as numbers, for what is painted: a canvas inherits no colour. */
const ink = () => (isDark() ? [79, 209, 181] : [11, 107, 94]);
let dark = null; // known while something is painted: to ask for each pixel is slow
const isDark = () => {
  if (dark === null) queueMicrotask(() => (dark = null));
  return (dark ??= document.documentElement.dataset.theme === "dark" || document.body.dataset.jpThemeLight === "false");
};

const ground = () => (isDark() ? [28, 37, 35] : [238, 243, 241]);

/** The colour of what is below zero. */
const inkBelow = () => (isDark() ? [240, 168, 104] : [180, 83, 15]);

/** A share as a colour: from the ground up to the accent, or to another. */
function tone(share, full = ink()) {
  const [low, strength] = [ground(), Math.min(Math.max(share, 0), 1) ** 0.6];
  return [...full.map((most, i) => Math.round(low[i] + strength * (most - low[i]))), 255];
}

/** A number as it is read: few digits, and a real minus. */
const few = (number, digits = 4) => Number(number.toPrecision(digits)).toString().replace("-", "−");

/** Draws again when the page turns dark or light: what is painted keeps its colours. Returns the undo. */
function redrawOnTheme(draw) {
  const watch = new MutationObserver(draw);
  watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  return () => watch.disconnect();
}

/** Of the buttons in a node Tab stops at one; arrow keys go on from there. `stopAt` says at which. */
function roving(node) {
  const stops = () => [...node.querySelectorAll("button, summary")].filter((stop) => stop.checkVisibility());
  node.stopAt = (stop) => {
    for (const other of node.querySelectorAll("button, summary")) other.tabIndex = other === stop ? 0 : -1;
  };
  node.addEventListener("focusin", ({ target }) => target.matches("button, summary") && node.stopAt(target));
  node.addEventListener("keydown", (event) => {
    const [all, by] = [stops(), { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key]];
    const at = all.indexOf(event.target);
    if (!by || at < 0) return;
    event.preventDefault(); // the page does not scroll
    all[Math.min(Math.max(at + by, 0), all.length - 1)].focus();
  });
  return node;
}

/** A text that may go on in the next line inside a name: behind a dot or an underscore, or where `between` says. */
const foldable = (text, between = /(?<=[._])(?=\w)/) => text.split(between).flatMap((part, at) => (at ? [make("wbr"), part] : [part]));

/** A menu whose choice is written out at any width: the native one lies over its text, unseen. */
function wholeMenu(model, trait, { label, groups, go = (value) => choose(model, { [trait]: value }) }) {
  const [select, text] = [make("select"), make("span")];
  for (const [name, options] of groups) {
    const nodes = options.map(([value, said]) => make("option", { value }, said));
    select.append(...(name ? [make("optgroup", { label: name }, ...nodes)] : nodes));
  }
  select.addEventListener("change", () => go(select.value));
  const node = make("div", { className: "oe-control oe-whole" }, labelled(label, select), make("div", {}, select, text));
  const show = () => {
    select.value = model.get(trait);
    text.replaceChildren(...foldable(select.selectedOptions[0]?.text ?? model.get(trait)));
  };
  return { node, show };
}

/** A slider for a number and beside it a field for exactly that number. `wrong` hears of any other. */
function exactSlider(model, trait, { label, go = (value) => choose(model, { [trait]: value }), wrong = () => {} }) {
  const [range, field] = ["range", "number"].map((type) => make("input", { type, step: 1 }));
  const show = () => {
    range.value = model.get(trait);
    if (field.valueAsNumber !== model.get(trait)) field.value = model.get(trait);
  };
  range.addEventListener("input", () => go(range.valueAsNumber));
  field.addEventListener("input", () => {
    if (!field.validity.valid) wrong(`${label}: a whole number from ${count(Number(field.min))} to ${count(Number(field.max))}.`);
    else if (field.value !== "") go(field.valueAsNumber);
  });
  field.addEventListener("change", show);
  field.ariaLabel = `${label}, exactly`;
  const node = make("div", { className: "oe-control" }, labelled(label, range), range, field);
  const limit = (min, max) => [range, field].forEach((input) => Object.assign(input, { min, max }));
  return { node, show, limit };
}

/** A picture that is chosen from: `at(event)` is what lies there, for a click and for the mouse above it. */
function pointed(node, at, { pick, tell }) {
  node.addEventListener("click", (event) => pick(at(event)));
  node.addEventListener("pointermove", (event) => event.pointerType === "mouse" && tell(at(event)));
  node.addEventListener("pointerleave", () => tell(null));
}
