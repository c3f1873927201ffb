// Heads as tiles to choose from, and switches that turn them off.

const named = (layer, head) => `${layer}.${head}`;

/** Switching heads: what is off, said and undone in one place. */
function switches(model, go) {
  const off = () => model.get("off");
  const isOff = (layer, head) => off().some(([l, h]) => l === layer && h === head);
  const without = (heads) => off().filter(([l, h]) => !heads.some(([a, b]) => a === l && b === h));
  const set = (heads, on) => go({ off: on ? without(heads) : [...without(heads), ...heads] });
  const flip = (layer, head) => set([[layer, head]], isOff(layer, head));
  const node = make("div", { className: "oe-off" });
  const show = () => {
    const heads = off();
    const layer = model.get("layer");
    const whole = Array.from({ length: model.get("heads") }, (_, head) => [layer, head]);
    const allOff = whole.every(([l, h]) => isOff(l, h));
    const list = heads.slice(0, 8).map(([l, h]) =>
      button(`${named(l, h)} ✕`, () => flip(l, h), { className: "oe-button oe-chip", ariaLabel: `Switch head ${named(l, h)} on again` }));
    if (heads.length > 8) list.push(make("span", {}, `and ${heads.length - 8} more`));
    const focus = node.contains(document.activeElement) && document.activeElement.dataset.act;
    const act = (name, text, to) => {
      const made = button(text, to);
      made.dataset.act = name;
      return made;
    };
    node.replaceChildren(
      make("span", { className: "oe-label" }, heads.length ? "Off:" : "All heads are on."), ...list,
      act("layer", `Switch layer ${layer} ${allOff ? "on" : "off"}`, () => set(whole, allOff)),
      ...(heads.length ? [act("all", "All on", () => go({ off: [] }))] : []));
    if (focus !== false) (node.querySelector(`[data-act="${focus}"]`) ?? node.querySelector('[data-act="layer"]')).focus();
  };
  return { node, show, isOff, flip };
}

/** A radio button of one head, which is the picture of its pattern. */
function headTile(group, pick) {
  const canvas = make("canvas", { ariaHidden: "true" });
  const radio = make("input", { type: "radio", name: group });
  const [text, note] = [make("span"), make("b")];
  radio.addEventListener("change", pick);
  const node = make("label", { className: "oe-tile" }, radio, canvas, text, note);
  const show = ({ isChosen, isOff = false, name, said = "", label = name }) => {
    radio.checked = isChosen;
    radio.ariaLabel = `${label}${isOff ? ", off" : ""}`;
    text.textContent = name;
    note.textContent = said || (isOff ? "off" : "");
    note.className = said ? "oe-scored" : "";
    node.classList.toggle("oe-tile-off", isOff);
  };
  const paintAs = (rows, columns, colour) => {
    canvas.style.aspectRatio = `${columns} / ${rows}`;
    paint(canvas, rows, columns, colour);
  };
  /** A share a square; of a pattern nothing is painted where a key is not yet there. */
  const paintShares = (rows, columns, share, isPattern = false) => paint(canvas, rows, columns, (r, c) =>
    (isPattern && c > r ? [0, 0, 0, 0] : tone(share(r, c))));
  return { node, radio, show, paint: paintShares, paintAs };
}
