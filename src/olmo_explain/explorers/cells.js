// A matrix in square cells, names beside it: what the pointer is on is read out, a click or an arrow key
// chooses a cell.

const NAME = 13; // pixels that a name beside a row takes
const PRINTED = { width: 40, most: 400 }; // from this width on a cell shows its number, if they are few

/** A number as it is printed in a cell: three decimals at most. */
const brief = (number) => (Math.abs(number) < 1 ? Number(number.toFixed(3)).toString().replace("-", "−") : few(number, 3));

/** `pick(row, column)`: what was chosen. `hover(row, column)`: what the pointer is on; (null) where it leaves. */
function cells({ pick, hover = () => {} }) {
  const canvas = make("canvas", { role: "img" });
  const [band, marker, under] = ["oe-frame oe-band", "oe-frame", "oe-frame oe-under"].map((className) => make("div", { className }));
  const printed = make("div", { className: "oe-cells-numbers", ariaHidden: "true" });
  const matrix = make("div", { className: "oe-matrix", tabIndex: 0, role: "application" }, canvas, printed, band, marker, under);
  const [rowNames, columnNames] = ["rows", "columns"].map((side) =>
    make("div", { className: `oe-cells-names oe-cells-${side}`, ariaHidden: "true" }));
  const grid = make("div", { className: "oe-cells-grid" }, make("i"), columnNames, rowNames, matrix);
  const node = make("div", { className: "oe-cells" }, grid);
  let [shown, painted, on] = [null, null, null];

  /** The names that can be read at this size; those of the chosen row and column always. */
  function name(side, names, chosen, size) {
    const every = size ? Math.ceil(NAME / size) : 1; // without a size all that there are
    const isRead = (at) => at === chosen || (at % every === 0 && (every === 1 || Math.abs(at - chosen) >= every));
    side.replaceChildren(...names.map((text, at) =>
      make("span", { className: at === chosen ? "oe-chosen" : "" }, isRead(at) ? text : "")));
  }

  function fit() {
    const size = matrix.clientWidth / shown.columns;
    if (!size) return;
    node.classList.toggle("oe-cells-fine", size < 7);
    name(rowNames, shown.rowNames, shown.row, size);
    name(columnNames, shown.columnNames, shown.column, shown.upright && size);
    columnNames.classList.toggle("oe-upright", Boolean(shown.upright));
    const isPrinted = shown.text && size >= PRINTED.width && shown.rows * shown.columns <= PRINTED.most;
    printed.replaceChildren(...(isPrinted ? Array.from({ length: shown.rows * shown.columns }, (_, at) => {
      const [row, column] = [Math.floor(at / shown.columns), at % shown.columns];
      return make("span", { className: shown.isStrong?.(row, column) ? "oe-strong" : "" }, shown.text(row, column));
    }) : []));
  }

  /**
   * `of`: what the picture is painted from, anew where that has changed. `colour(row, column)`; `text(row,
   * column)`: its number, printed where there is room; `whole`: the row of the chosen cell is framed, too.
   */
  function show(wanted) {
    shown = wanted;
    const { rows, columns, row, column, whole, colour, label, of } = shown;
    if (!painted || !same(painted, of)) {
      paint(canvas, rows, columns, colour);
      grid.style.setProperty("--rows", rows);
      grid.style.setProperty("--columns", columns);
      painted = of;
    }
    canvas.ariaLabel = label;
    matrix.ariaLabel = `${label} Arrow keys choose a cell.`;
    frame(marker, rows, columns, row, column);
    band.hidden = !whole;
    if (whole) frame(band, rows, columns, row);
    fit();
  }

  const spot = (event) => cellAt(canvas, event);
  canvas.addEventListener("click", (event) => pick(...spot(event))); // no press: a finger that scrolls chooses nothing
  const leave = () => {
    if (on) hover((on = null));
    under.hidden = true;
  };
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const now = spot(event);
    if (on && same(on, now)) return;
    on = now;
    under.hidden = false;
    frame(under, shown.rows, shown.columns, ...now);
    hover(...now);
  });
  canvas.addEventListener("pointerleave", leave);
  leave();
  matrix.addEventListener("keydown", (event) => {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const within = (at, most) => Math.min(Math.max(at, 0), most - 1);
    pick(within(shown.row + by[0], shown.rows), within(shown.column + by[1], shown.columns));
  });
  const sized = new ResizeObserver(() => requestAnimationFrame(() => shown && fit()));
  sized.observe(matrix);
  return { node, show, repaint: () => (painted = null), stop: () => sized.disconnect() };
}
