// What explorers share that show saved numbers under sliders.

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

/** A button that looks like one. */
function press(text, pressed) {
  const node = make("button", { type: "button", className: "oe-press" }, text);
  node.addEventListener("click", pressed);
  return node;
}
