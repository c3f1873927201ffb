// Where the rows of a tensor come from: what was saved with the widget, else the model in the page, else
// Python, which reads the file.

const BLOCK = 2 ** 15; // bytes that are asked for at once, as bytes.py

/** Rows of all tensors in the files. `get` has those that are here; `fetch` brings others. */
function rowsOf(model, progress) {
  const data = numbers(model.get("data"), Uint8Array);
  const saved = Object.fromEntries(model.get("tensors").map((about) => {
    const size = about.rows * widthOf(about);
    return [about.name, { ...about, bytes: data.subarray(about.at, about.at + size) }];
  }));
  const fetched = {};
  // A page without this model has what was saved; a notebook has Python.
  const isPage = Boolean(document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]'));
  const reachesAll = model.get("in_page") || !isPage;

  /** Where everything lies, by name; the files may have become more. */
  const index = () => Object.fromEntries(Object.entries(model.get("files")).flatMap(([shard, tensors]) =>
    tensors.map(([name, dtype, shape, start, end]) => [name, { name, shard, dtype, shape, start, end }])));

  const has = (block, row) => block && row >= block.firstRow && row < block.firstRow + block.rows;
  const get = (name, row) => [fetched[name], saved[name]].find((block) => has(block, row));

  async function fetch(name, row) {
    const about = index()[name];
    if (!FORMATS[about.dtype]) throw new Error(`${name} holds ${about.dtype}, which is not read here.`);
    const all = rowsIn(about);
    const rows = Math.min(Math.max(Math.floor(BLOCK / widthOf(about)), 1), all);
    const firstRow = Math.max(0, Math.min(row - Math.floor(rows / 2), all - rows));
    const engine = await engineOf(model, progress);
    fetched[name] = engine ? fromEngine(engine, { ...about, firstRow, rows }) : await fromPython(name, firstRow);
  }

  /** A float32 that was read from a bfloat16 holds it in its upper half. */
  function fromEngine({ weights }, about) {
    const { data } = weights[about.name];
    const columns = columnsIn(about);
    const words = new Uint32Array(data.buffer, data.byteOffset + 4 * about.firstRow * columns, about.rows * columns);
    const halves = Uint16Array.from(words, (word) => word >>> 16);
    return { ...about, bytes: about.dtype === "BF16" ? new Uint8Array(halves.buffer) : numbers(words, Uint8Array) };
  }

  function fromPython(name, first) {
    return new Promise((resolve, reject) => {
      const hear = (message, buffers) => {
        if (message.tensor !== name) return;
        model.off("msg:custom", hear);
        if (message.answer === "rows") resolve({ ...message.about, bytes: numbers(buffers[0], Uint8Array) });
        else reject(new Error(message.why));
      };
      model.on("msg:custom", hear);
      model.send({ ask: "rows", tensor: name, first });
    });
  }

  /** The rows of a tensor that can be chosen: the first and the last; null if none. */
  const within = (about) => {
    if (reachesAll) return FORMATS[about.dtype] ? [0, rowsIn(about) - 1] : null;
    const block = saved[about.name];
    return block ? [block.firstRow, block.firstRow + block.rows - 1] : null;
  };
  return { index, get, fetch, within };
}

const rowsIn = ({ shape }) => (shape.length < 2 ? 1 : shape[0]);
const columnsIn = ({ shape }) => shape.slice(shape.length < 2 ? 0 : 1).reduce((a, b) => a * b, 1);
const sizeIn = ({ dtype }) => FORMATS[dtype].reduce((a, b) => a + b) / 8; // bytes of a number
const widthOf = (about) => columnsIn(about) * sizeIn(about); // bytes of a row
