// Where a head lies: the four matrices of its layer, and its rows or columns of each.

const GREY = () => (isDark() ? [113, 128, 123] : [127, 141, 137]);
const SIDE = 32; // squares along the longer side, as heads.py makes them

/** `norm(projection, layer, head)`; `say(text)`: what the pointer is on, null where it leaves. */
function slicesPanel(model, { norm, say }) {
  const [kinds, names] = [model.get("layer_types"), model.get("projections")];
  const [weights, strongest] = [numbersIn(model, "weights", Uint8Array), numbersIn(model, "strongest", Float32Array)];
  const longest = Math.max(...numbers(model.get("norms"), Float32Array), model.get("initial_norm")) || 1;
  const slice = (name) => model.get("slices")[model.get("head")][name];
  /** How many squares a matrix has, down and across, and its squares in this layer. */
  const squares = (name) => {
    const matrix = slice(name).matrix;
    const side = Math.max(...matrix);
    const [down, across] = matrix.map((length) => Math.max(1, Math.round((Math.min(SIDE, side) * length) / side)));
    return { down, across, matrix };
  };
  let first = 0; // where a matrix's squares begin
  const cards = names.map((name) => {
    const { down, across, matrix } = squares(name);
    const start = first;
    first += kinds.length * down * across;
    const canvas = make("canvas", { role: "img" });
    const [marker, bar, value] = [make("div", { className: "oe-frame" }), make("i"), make("dd")];
    const initial = make("b", { style: `left:${(100 * model.get("initial_norm")) / longest}%` });
    const [which, place, pieces] = [make("dt"), make("dd"), make("dd")];
    const picture = make("div", { className: "oe-matrix", style: `aspect-ratio:${matrix[1]}/${matrix[0]}` }, canvas, marker);
    const node = make("div", { className: "oe-slice" },
      make("h4", {}, make("code", {}, name), make("span", {}, matrix.map(count).join(" × "))), picture,
      make("dl", {}, which, place, make("dt", {}, "Norm"), value, make("dt", {}, "In the file"), pieces),
      make("span", { className: "oe-track", ariaHidden: "true" }, bar, initial));
    const mean = (row, column) => {
      const at = start + model.get("layer") * down * across + row * across + column;
      return weights().length ? weights()[at] / 255 : 0;
    };
    const range = (at, squares, length) =>
      `${count(Math.floor((at * length) / squares))} to ${count(Math.ceil(((at + 1) * length) / squares) - 1)}`;
    const read = (event) => {
      if (!weights().length) return;
      const [row, column] = cellAt(canvas, event);
      const most = strongest()[names.indexOf(name) * kinds.length + model.get("layer")];
      say(`${name}, rows ${range(row, down, matrix[0])}, columns ${range(column, across, matrix[1])}: ` +
        `the mean |weight| is ${few(mean(row, column) * most, 3)}.`);
    };
    for (const event of ["pointermove", "click"]) canvas.addEventListener(event, read);
    canvas.addEventListener("pointerleave", () => say(null));

    const show = () => {
      const { axis, start: from, stop, pieces: many, bytes } = slice(name);
      const isOwn = (row, column) => {
        const at = axis ? ((column + 0.5) * matrix[1]) / across : ((row + 0.5) * matrix[0]) / down;
        return at >= from && at < stop;
      };
      paint(canvas, down, across, (r, c) =>
        tone(isOwn(r, c) ? Math.max(mean(r, c) ** 2.4, weights().length ? 0 : 0.1) : 0.5 * mean(r, c) ** 2.4, isOwn(r, c) ? ink() : GREY()));
      const [size, at] = [100 / matrix[axis], from];
      marker.style.cssText = axis ? `top:0;height:100%;left:${at * size}%;width:${(stop - at) * size}%`
        : `left:0;width:100%;top:${at * size}%;height:${(stop - at) * size}%`;
      which.textContent = axis ? "Columns" : "Rows";
      place.textContent = `${count(from)} to ${count(stop - 1)}`;
      const length = norm(name, model.get("layer"), model.get("head"));
      value.textContent = length.toFixed(4);
      bar.style.width = `${(100 * length) / longest}%`;
      pieces.textContent = `${count(many)} × ${count(bytes / many)} B`;
      canvas.ariaLabel = `${name}: ${which.textContent.toLowerCase()} ${place.textContent} of ${count(matrix[axis])} are this head’s.`;
    };
    return { node, show };
  });

  const title = make("h3");
  const shared = model.get("heads") / model.get("kv_heads");
  const about = [
    weights().length ? "Green is the head’s, grey the other heads’; the stronger, the larger the weights." : "Green is the head’s. Only its norm was read, so no weight is drawn.",
    shared > 1 ? `${shared} heads share the rows of k_proj and v_proj.` : "",
    `Norm: the root of the sum of squares; as initialised it is ${model.get("initial_norm").toFixed(2)}, the upright mark.`,
  ].filter(Boolean).join(" ");
  const node = make("section", { className: "oe-part oe-slices" }, title, make("p", { className: "oe-note" }, about),
    make("div", { className: "oe-slices-row" }, ...cards.map((card) => card.node)));
  const show = () => {
    title.textContent = `Where head ${named(model.get("layer"), model.get("head"))} lies`;
    for (const card of cards) card.show();
  };
  return { node, show };
}
