// The file and, below it, ever smaller parts of it, each drawn as wide as the figure. What is magnified is
// marked above, and a beam leads from there to what it holds.

const NUMBERS = 8; // whose bytes are written out
const NEIGHBOURS = 8; // tensors on one side, where a layer has more
const LEAST = 0.045; // of the width: a tensor among its neighbours can always be seen

/** What is said of a level, over the beam that comes from above, and its picture. */
function level(name, ...content) {
  const beams = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  const [says, where] = [make("span"), make("span")];
  const caption = make("div", { className: "oe-bytes-caption" }, beams, make("p", {}, make("b", {}, name), " ", says), where);
  const node = make("div", { className: "oe-bytes-level" }, caption, ...content);
  /** `bands`: from where above to where here, each [left, right] in shares of the width. */
  const show = (text, place, ...bands) => {
    says.replaceChildren(...[text].flat());
    where.textContent = place;
    beams.replaceChildren(...bands.map(([[a, b], [c, d]]) =>
      svg("path", { d: `M${100 * a} 0L${100 * b} 0L${100 * d} 10L${100 * c} 10Z` })));
  };
  return { node, show };
}

const shareAt = (node, { clientX }) => {
  const { left, width } = node.getBoundingClientRect();
  return Math.min(Math.max((clientX - left) / width, 0), 0.999999);
};
const layerOf = (name) => name.match(/\.(\d+)\./)?.[1] ?? null;
const shortName = (name) => name.replace(/\.weight$/, "").split(".").at(-1);
const bytesSaid = (from, to) => `bytes ${count(from)} to ${count(to - 1)}`;

/** The whole file to scale: its header and its tensors, the chosen one lit. */
function fileLevel({ pick, tell }) {
  const bar = svg("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img" });
  const [marker, names] = [make("div", { className: "oe-frame" }), make("div", { className: "oe-bytes-names", ariaHidden: "true" })];
  const { node, show: says } = level("File", make("div", { className: "oe-bytes-bar" }, bar, marker), names);
  let [made, parts, size] = [null, [], 0];
  const at = (event) => parts.find(({ end }) => end > shareAt(bar, event) * size);
  pointed(bar, at, { pick, tell });

  function build(tensors) {
    parts = [{ start: 0, end: tensors[0].start }, ...tensors];
    size = tensors.at(-1).end;
    bar.replaceChildren(...parts.map(({ name, start, end }, i) => svg("rect", {
      x: (1000 * start) / size, width: (1000 * (end - start)) / size, y: 0, height: 10,
      class: name ? (i % 2 ? "oe-bytes-odd" : "") : "oe-bytes-header" })));
    const groups = [];
    for (const { name, start, end } of tensors) {
      const group = layerOf(name) ?? shortName(name);
      if (groups.at(-1)?.group === group) groups.at(-1).end = end;
      else groups.push({ group, start, end });
    }
    names.replaceChildren(...groups.map(({ group, start, end }) => {
      const style = `left:${(100 * start) / size}%;width:${(100 * (end - start)) / size}%`;
      return make("span", { style }, make("i", {}, group));
    }));
    bar.setAttribute("aria-label", `The file to scale: a header of ${count(tensors[0].start)} bytes, then ${tensors.length} tensors.`);
    made = tensors;
  }

  const show = (tensors, about) => {
    if (made?.[0].name !== tensors[0].name || made.length !== tensors.length) build(tensors);
    marker.style.cssText = `inset:0 auto 0 ${(100 * about.start) / size}%;width:max(3px, ${(100 * (about.end - about.start)) / size}%)`;
    says([make("code", {}, about.shard), ", to scale; the numbers are layers"], `${count(size)} bytes`);
  };
  return { node, show };
}

/** The tensors around the chosen one in their order, with small ones widened. */
function nearLevel({ pick, tell }) {
  const line = make("div", { className: "oe-bytes-near", role: "img" });
  const { node, show: says } = level("Around it", line);
  let shown = [];
  const at = (event) => shown[[...line.children].findIndex((cell) => cell.contains(event.target))];
  pointed(line, at, { pick, tell });

  /** Returns where the chosen one is drawn. */
  const show = (tensors, about) => {
    const size = tensors.at(-1).end;
    const chosen = tensors.findIndex(({ name }) => name === about.name);
    const isNear = (i) => tensors[i] && layerOf(tensors[i].name) === layerOf(about.name) && layerOf(about.name) !== null;
    let [from, to] = [chosen, chosen];
    while (isNear(from - 1) && chosen - from < NEIGHBOURS) from--;
    while (isNear(to + 1) && to - chosen < NEIGHBOURS) to++;
    shown = tensors.slice(Math.max(Math.min(from, chosen - 2), 0), Math.max(to, chosen + 2) + 1);
    const roots = shown.map(({ start, end }) => Math.sqrt(end - start));
    const wide = roots.map((root) => Math.max(root / roots.reduce((a, b) => a + b), LEAST));
    const all = wide.reduce((a, b) => a + b);
    line.replaceChildren(...shown.map(({ name }, i) => make("div",
      { className: name === about.name ? "oe-chosen" : "", style: `flex-grow:${wide[i] / all}` },
      make("span", {}, make("b", {}, shortName(name))))));
    line.setAttribute("aria-label", `In their order: ${shown.map(({ name }) => name).join(", ")}.`);
    const before = wide.slice(0, shown.findIndex(({ name }) => name === about.name)).reduce((a, b) => a + b, 0) / all;
    const share = [before, before + wide[shown.findIndex(({ name }) => name === about.name)] / all];
    says("in their order, small ones widened", bytesSaid(shown[0].start, shown.at(-1).end),
      [[shown[0].start / size, shown.at(-1).end / size], [0, 1]]);
    return share;
  };
  return { node, show };
}

const BELOW_ZERO = { dark: [240, 168, 104], light: [180, 83, 15] };

/** Colours of values: how far from zero, and on which side. The power lets small ones be seen. */
function coloursOf(values, above = ink(), below = BELOW_ZERO[isDark() ? "dark" : "light"]) {
  const most = values.reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0) || 1;
  return (at) => [...(values[at] < 0 ? below : above), Math.round(255 * (Math.abs(values[at]) / most || 0) ** 0.6)];
}

/** The tensor as rows and columns; of a long one the rows that are here, and where they are in it. */
function tensorLevel({ pick, tell }) {
  const canvas = make("canvas", { role: "img" });
  const [row, cell, window, beam] = ["oe-bytes-row", "oe-frame", "", "oe-bytes-down"].map((className) => make("div", { className }));
  const whole = make("div", { className: "oe-bytes-whole" }, window);
  const picture = make("div", { className: "oe-matrix oe-bytes-picture" }, canvas, beam, row, cell, whole);
  const { node, show: says } = level("Tensor", picture);
  let block = null;
  pointed(canvas, (event) => {
    const [r, column] = cellAt(canvas, event);
    return { row: r + block.firstRow, column };
  }, { pick, tell });
  pointed(whole, ({ clientY }) => {
    const { top, height } = whole.getBoundingClientRect();
    return { row: Math.min(Math.max(Math.floor(((clientY - top) / height) * rowsIn(block)), 0), rowsIn(block) - 1) };
  }, { pick, tell: (to) => tell(to && { ...to, only: true }) });

  const show = (next, values, place, band) => {
    const [rows, columns] = [rowsIn(next), columnsIn(next)];
    const colour = coloursOf(values, ink(), ink());
    block = next;
    paint(canvas, next.rows, columns, (r, c) => colour(r * columns + c));
    canvas.ariaLabel = `${count(next.rows)} rows by ${count(columns)} columns of ${next.name}, stronger where farther from zero.`;
    frame(row, next.rows, columns, place.row - next.firstRow);
    frame(cell, next.rows, columns, place.row - next.firstRow, place.column);
    beam.style.top = `${(100 * (place.row - next.firstRow + 1)) / next.rows}%`;
    whole.hidden = rows === next.rows;
    window.style.cssText = `top:${(100 * next.firstRow) / rows}%;height:max(3px, ${(100 * next.rows) / rows}%)`;
    picture.classList.toggle("oe-bytes-one", rows === 1);
    says(`${next.shape.map(count).join(" × ")} ${next.dtype}` + (rows === next.rows ? ", stronger is farther from zero"
      : `, rows ${count(next.firstRow)} to ${count(next.firstRow + next.rows - 1)} are drawn`),
    bytesSaid(next.start, next.start + rows * widthOf(next)), [band, [0, 1]]);
  };
  return { node, show };
}

/** One row, as long as the figure is wide. */
function rowLevel({ pick, tell }) {
  const [canvas, window, cell] = [make("canvas", { role: "img" }), make("div", { className: "oe-bytes-window" }), make("div", { className: "oe-frame" })];
  const { node, show: says } = level("Row", make("div", { className: "oe-matrix oe-bytes-strip" }, canvas, window, cell));
  pointed(canvas, (event) => ({ column: cellAt(canvas, event)[1] }), { pick, tell });
  const show = (block, values, { row, column }, from, shown) => {
    const columns = columnsIn(block);
    const colour = coloursOf(values);
    paint(canvas, 1, columns, (_, c) => colour(c));
    canvas.ariaLabel = `Row ${row}: ${count(columns)} numbers, orange below zero, green above.`;
    window.style.cssText = `left:${(100 * from) / columns}%;width:${(100 * shown) / columns}%`;
    frame(cell, 1, columns, 0, column);
    const start = block.start + row * widthOf(block);
    says(`${count(row)}: ${count(columns)} numbers, orange below zero`, bytesSaid(start, start + widthOf(block)), [[0, 1], [0, 1]]);
  };
  return { node, show };
}

/** The bytes of some numbers, as they follow each other in the file. */
function bytesLevel({ pick, tell }) {
  const line = make("div", { className: "oe-bytes-dump" });
  const { node, show: says } = level("Bytes", line);
  let first = 0;
  const at = ({ target }) => {
    const i = [...line.children].findIndex((cell) => cell.contains(target));
    return i < 0 ? null : { column: first + i };
  };
  pointed(line, at, { pick, tell });
  const show = (words, stored, values, from, column, start, band) => {
    first = from;
    const size = words[0].length;
    line.style.setProperty("--oe-columns", words.length);
    line.replaceChildren(...words.map((word, i) => make("div", { className: from + i === column ? "oe-chosen" : "" },
      make("span", {}, ...Array.from(word, (byte, at) => make("code",
        { className: byte === stored[i][at] ? "" : "oe-bytes-flipped" }, byte.toString(16).padStart(2, "0")))),
      make("small", {}, brief(values[i])))));
    says("in hexadecimal; of each number the low byte comes first",
      bytesSaid(start, start + words.length * size), [band, [0, 1]]);
  };
  return { node, show };
}
