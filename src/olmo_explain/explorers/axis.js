// Charts with a slider on their axis, and the exact number beside it.

const AN_OCTAVE = 8; // places in a doubling at which a slider stops

/** Whole numbers from `least`, 0 or 1, to `most`, on an axis on which each doubling is as wide as the last. */
function doublings(least, most) {
  const shift = 1 - least;
  const octaves = Math.log2(most + shift) || 1;
  const at = (n) => Math.min(Math.max(Math.log2(n + shift) / octaves, 0), 1);
  const of = (share) => Math.min(Math.max(Math.round(2 ** (share * octaves) - shift), least), most);
  const stops = Array.from({ length: AN_OCTAVE * Math.ceil(octaves) + 1 }, (_, i) => of(i / (AN_OCTAVE * octaves)));
  const ticks = (width) => {
    const every = width / octaves > 24 ? 2 : 4;
    const powers = Array.from({ length: Math.floor(octaves / every) + 1 }, (_, i) => 2 ** (i * every));
    return [...new Set([least, ...powers])].map((n) => [n, count(n)]);
  };
  return { at, of, ticks, stops: [...new Set(stops)] };
}

/** Whole numbers from 0 to `most`, all as far apart. */
function evenly(most) {
  const of = (share) => Math.min(Math.max(Math.round(share * most), 0), most);
  const every = 2 ** Math.ceil(Math.log2(most / 5 || 1));
  const ticks = () => Array.from({ length: Math.floor(most / every) + 1 }, (_, i) => [i * every, count(i * every)]);
  return { at: (n) => n / (most || 1), of, ticks };
}

const EDGE = { left: 44, right: 24, top: 18, bottom: 24 }; // pixels around a plot, for what is written there

/**
 * A chart as wide as its place. `axes()` gives its two scales, { x, y }; `draw(place)` what it shows, { parts,
 * label }, the label being what it says. `point(n)` hears at what number the pointer is, null once it has
 * left; `pick(n)` which number is clicked.
 */
function chart({ height, axes, draw, point, pick }) {
  const picture = svg("svg", { role: "img", class: "oe-chart" });
  const node = make("div", {}, picture);
  const [top, bottom] = [EDGE.top, height - EDGE.bottom];
  let width = 0;
  const show = () => {
    const { x: across, y: up } = axes();
    const right = (width || 480) - EDGE.right;
    const x = (n) => EDGE.left + (right - EDGE.left) * across.at(n);
    const y = (value) => bottom - (bottom - top) * up.at(value);
    const { parts, label } = draw({ x, y, left: EDGE.left, right, top, bottom });
    let free = 0; // from where on the next tick does not run into the last
    const ticks = across.ticks(right - EDGE.left).filter(([n, text]) => {
      const half = 3.5 * text.length + 2;
      return x(n) - half >= free && x(n) + half <= right + EDGE.right && (free = x(n) + half);
    }).map(([n, text]) => svg("text", { x: x(n), y: bottom + 17, "text-anchor": "middle" }, text));
    const levels = up.ticks.flatMap(([value, text]) => [
      svg("line", { class: "oe-chart-level", x1: EDGE.left, x2: right, y1: y(value), y2: y(value) }),
      svg("text", { x: EDGE.left - 7, y: y(value) + 4, "text-anchor": "end" }, text)]);
    picture.setAttribute("viewBox", `0 0 ${right + EDGE.right} ${height}`);
    picture.setAttribute("aria-label", label);
    picture.style.height = `${height}px`;
    picture.replaceChildren(...levels, ...parts, ...ticks);
  };
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return axes().x.of((event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right));
  };
  picture.addEventListener("pointermove", (event) => event.pointerType !== "touch" && point(at(event)));
  picture.addEventListener("pointerleave", () => point(null));
  picture.addEventListener("click", (event) => pick(at(event))); // a finger that scrolls does not click
  const sized = new ResizeObserver(() => {
    if (width !== (width = Math.round(node.clientWidth))) requestAnimationFrame(show);
  });
  sized.observe(node);
  return { node, show, stop: () => sized.disconnect() };
}

/** A scale from `low` to `high`; `ticks` are [value, text]. */
const linear = (low, high, ticks) => ({ at: (value) => (value - low) / (high - low), ticks });

const path = (points, type, closed = "") =>
  svg("path", { class: type, d: `M${points.map((xy) => xy.map((at) => at.toFixed(1))).join("L")}${closed}` });
const upright = (x, top, bottom, type) => svg("line", { class: type, x1: x, x2: x, y1: top, y2: bottom });
const said = (text, x, y, anchor = "start", type = "") => svg("text", { x, y, "text-anchor": anchor, class: type }, text);

/** A field for a whole number. What is none, or out of range, changes nothing: a line under the field says so. */
function numberField(model, trait, { label, least, most, spoken }) {
  const input = make("input", { type: "number", min: least, max: most, step: 1, required: true, inputMode: "numeric" });
  const problem = () => (input.validity.valid ? "" : `${label}: give a whole number from ${least} to ` +
    `${count(most)}. What is shown is still for ${count(model.get(trait))}.`);
  const name = labelled(label, input);
  const line = make("p", { className: "oe-wrong", id: `${input.id}-wrong`, hidden: true });
  input.setAttribute("aria-describedby", line.id);
  let timer = 0;
  const hide = () => {
    clearTimeout(timer);
    line.hidden = true;
  };
  const tell = (text) => {
    line.textContent = text;
    line.hidden = false;
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    const text = problem();
    input.ariaInvalid = String(Boolean(text));
    spoken.say(text);
    if (!text) {
      hide();
      choose(model, { [trait]: input.valueAsNumber });
    } else if (line.hidden) timer = setTimeout(() => { // not at every key of who is typing still
      tell(text);
      line.scrollIntoView({ block: "nearest" });
    }, 400);
    else tell(text);
  });
  const show = () => {
    // Who is typing is not interrupted.
    if (document.activeElement !== input) {
      input.value = model.get(trait);
      input.ariaInvalid = "false";
      hide();
    } else if (!line.hidden && problem()) tell(problem());
  };
  input.addEventListener("blur", () => {
    const text = problem();
    show();
    if (!text) return;
    tell(text); // to be read still: the number is back
    timer = setTimeout(hide, 4000);
  });
  return { node: make("div", { className: "oe-control oe-exactly" }, name, input, line), show, problem };
}

/**
 * A whole number that is chosen in two ways: `slider`, to stand under a chart with the same `scale()`, stops at
 * some; `field` takes any from `least` to `most`, with buttons to step by one, and to half or double it.
 */
function axisControl(model, trait, { label, least, most, scale, spoken }) {
  const pick = (value) => choose(model, { [trait]: Math.min(Math.max(value, least), most) });
  const range = make("input", { type: "range", min: 0, max: 1, step: "any", ariaLabel: `${label} on the axis` });
  range.addEventListener("input", () => {
    const { stops, at } = scale();
    const distance = (stop) => Math.abs(at(stop) - range.valueAsNumber);
    pick(stops.reduce((best, stop) => (distance(stop) < distance(best) ? stop : best)));
  });
  range.addEventListener("keydown", (event) => {
    const [stops, value] = [scale().stops, model.get(trait)];
    const [lower, higher] = [stops.findLast((stop) => stop < value), stops.find((stop) => stop > value)];
    const keys = { ArrowLeft: lower, ArrowDown: lower, ArrowRight: higher, ArrowUp: higher, Home: stops[0], End: stops.at(-1),
      PageDown: Math.floor(value / 2), PageUp: 2 * value };
    if (!(event.key in keys)) return;
    event.preventDefault();
    if (keys[event.key] !== undefined) pick(keys[event.key]);
  });
  const exactly = numberField(model, trait, { label, least, most, spoken });
  const steps = Object.entries({ "−1": (n) => n - 1, "+1": (n) => n + 1, "÷2": (n) => Math.floor(n / 2), "×2": (n) => 2 * n })
    .map(([text, change]) => {
      const node = button(text, () => pick(change(model.get(trait))), { ariaLabel: `${label} ${text}` });
      return { node, show: () => rest(node, model.get(trait) === ("−÷".includes(text[0]) ? least : most)) };
    });
  const show = () => {
    range.value = scale().at(model.get(trait));
    range.setAttribute("aria-valuetext", count(model.get(trait)));
    for (const part of [exactly, ...steps]) part.show();
  };
  return {
    slider: make("div", { className: "oe-control oe-axis" }, range),
    field: make("div", { className: "oe-row" }, exactly.node,
      make("div", { className: "oe-row oe-steps-of-one" }, ...steps.map(({ node }) => node))),
    show,
    problem: exactly.problem,
  };
}

/** A line about what the pointer is at; about what is chosen where it is at nothing. */
function pointedAt() {
  const node = make("p", { className: "oe-readout" });
  let [chosen, pointed] = ["", null];
  const show = () => (node.textContent = pointed ?? chosen);
  return {
    node,
    choose: (text) => {
      chosen = text;
      show();
    },
    point: (text) => {
      pointed = text;
      show();
    },
  };
}
