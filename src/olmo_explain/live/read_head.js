// One head of a model that lies elsewhere, as `checkpoint/heads.py` reads it: config.json, the index and a
// file's header say where it lies, and of the file only its own rows travel. Columns lie in all rows of a
// matrix, so for o_proj that is nearly the whole of it.

const HUB = "https://huggingface.co";
const MODEL = "allenai/Olmo-3-7B-Instruct";
const ROWS = ["q_proj", "k_proj", "v_proj"];
const PROJECTIONS = [...ROWS, "o_proj"];
const SIZES = { BF16: 2, F32: 4 };

/**
 * One head of a model on the hub: { norms, spectra, slices, bytes, header_bytes, commit }.
 *
 * `spectra`: singular values, the largest first. `slices`: of each projection { tensor, file, shape, start,
 * row_bytes, data: Float32Array }, `start` being the byte of its first number. `bytes`: of weights that came,
 * `header_bytes`: of config, index and headers. `progress(arrived, expected)` hears of bytes of weights.
 */
async function readHead(asked, { progress = () => {}, signal } = {}) {
  const { hub, repository, revision, layer, head, projections } = checkedHead(asked);
  let [bytes, headerBytes, expected] = [0, 0, 0];
  const place = revision === "main" ? repository : `${repository}@${revision}`;
  const command = [...(hub === HUB ? [] : [`HF_ENDPOINT=${hub}`]), "olmo-explain head", place, `--layer ${layer} --head ${head} --svd`].join(" ");
  const remote = new Remote({ hub, repository, revision }, { command, signal, arrived(count) {
    if (expected) progress((bytes += count), expected);
    else headerBytes += count;
  } });
  const parts = partsOf(await configOf(remote), layer, head, remote);
  const index = await remote.json("model.safetensors.index.json");
  const headers = {};
  const slices = {};
  for (const name of projections) {
    const part = parts[name];
    const tensor = `model.layers.${layer}.self_attn.${name}.weight`;
    const file = index ? index.weight_map?.[tensor] : "model.safetensors";
    if (!/^[\w.-]+\.safetensors$/.test(file)) throw remote.wrong(`The index of ${repository} names no file of ${tensor}.`);
    headers[file] ??= await headerOf(remote, file);
    slices[name] = { ...located(headers[file], tensor, part, remote), tensor, file };
  }
  expected = Object.values(slices).reduce((sum, { from, to }) => sum + to - from, 0);
  const [norms, spectra] = [{}, {}];
  for (const [name, slice] of Object.entries(slices)) {
    const { from, to, file, dtype, columns, part } = slice;
    const read = await remote.read(file, from, to);
    const stored = new (dtype === "F32" ? Uint32Array : Uint16Array)(read.buffer);
    const bits = part.axis ? columnsOf(stored, columns, part) : stored;
    const own = dtype === "F32" ? new Float32Array(bits.buffer) : widen(bits);
    norms[name] = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
    spectra[name] = singularValues(own, part.shape);
    slices[name] = { tensor: slice.tensor, file, shape: part.shape, axis: part.axis, first: part.start, dtype,
      start: from, row_bytes: columns * SIZES[dtype], data: own };
    await new Promise((done) => setTimeout(done)); // what was drawn of the progress is seen
  }
  return { norms, spectra, slices, bytes, header_bytes: headerBytes, commit: remote.commit };
}

/** What was asked for, all of it. */
function checkedHead(asked) {
  const { hub = HUB, repository = MODEL, revision = "main", layer, head, projections = ROWS } = asked ?? {};
  const told = (given) => (typeof given === "number" ? String(given) : JSON.stringify(given) ?? "nothing").slice(0, 60);
  const url = URL.canParse(hub) ? new URL(hub) : {};
  if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search)
    throw new TypeError(`The hub is an address, as ${HUB}, not ${told(hub)}.`);
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) throw new TypeError(`A repository is named as ${MODEL}, not ${told(repository)}.`);
  if (typeof revision !== "string" || !revision.trim()) throw new TypeError(`A revision is a branch, a tag or a commit, not ${told(revision)}.`);
  for (const [what, number] of Object.entries({ layer, head }))
    if (!Number.isInteger(number) || number < 0) throw new RangeError(`A ${what} is a whole number from 0 on, not ${told(number)}.`);
  if (!Array.isArray(projections) || !projections.length || !projections.every((name) => PROJECTIONS.includes(name)))
    throw new RangeError(`Projections are a list of ${PROJECTIONS.join(", ")}, not ${told(projections)}.`);
  return { hub: url.href.replace(/\/+$/, ""), repository, revision: revision.trim(), layer, head, projections: [...new Set(projections)] };
}

async function configOf(remote) {
  const config = await remote.json("config.json");
  const where = `${remote.repository} at ${remote.revision}`;
  if (!config) throw remote.wrong(`${remote.host} has no config.json of ${where}.`);
  const fields = ["hidden_size", "num_hidden_layers", "num_attention_heads"];
  const missing = fields.find((name) => !Number.isInteger(config[name]) || config[name] < 1);
  if (missing) throw remote.wrong(`config.json of ${where} says no ${missing}.`);
  return config;
}

/** Of each projection the head's rows (axis 0) or columns (1), and the shape of the whole matrix. */
function partsOf(config, layer, head, remote) {
  const { hidden_size: D, num_hidden_layers: L, num_attention_heads: H } = config;
  const [K, Dh] = [config.num_key_value_heads ?? H, config.head_dim ?? D / H];
  for (const [what, number, count] of [["layer", layer, L], ["head", head, H]])
    if (number >= count) throw new RangeError(`There is no ${what} ${number}: ${remote.repository} has ${what}s 0 to ${count - 1}.`);
  const shared = Math.floor(head / (H / K));
  const rows = (count, at) => ({ axis: 0, start: at * Dh, matrix: [count * Dh, D], shape: [Dh, D] });
  return {
    q_proj: rows(H, head), k_proj: rows(K, shared), v_proj: rows(K, shared),
    o_proj: { axis: 1, start: head * Dh, matrix: [D, H * Dh], shape: [D, Dh] },
  };
}

/** The header of a safetensors file, and where what it tells of begins. */
async function headerOf(remote, file) {
  const length = Number(new DataView((await remote.read(file, 0, 8)).buffer).getBigUint64(0, true));
  if (!length || length > SMALL) throw remote.wrong(`${file} on ${remote.host} is no safetensors file.`);
  return { tensors: remote.parsed(await remote.read(file, 8, 8 + length), `The header of ${file}`), start: 8 + length };
}

/** The bytes [from, to) that hold a part of a tensor, from its first number to its last. */
function located({ tensors, start }, tensor, part, remote) {
  const { dtype, shape, data_offsets: offsets } = tensors[tensor] ?? {};
  if (!shape) throw remote.wrong(`The file that should hold ${tensor} does not.`);
  if (!SIZES[dtype]) throw remote.wrong(`${tensor} is stored as ${dtype}; a page reads BF16 and F32.`);
  if (String(shape) !== String(part.matrix))
    throw remote.wrong(`${tensor} is ${shape.join(" × ")}, and config.json says ${part.matrix.join(" × ")}.`);
  const [[rows, columns], size] = [part.shape, SIZES[dtype]];
  const width = part.matrix[1];
  const first = part.axis ? part.start : part.start * width;
  const from = start + offsets[0] + first * size;
  return { dtype, part, columns: width, from, to: from + ((rows - 1) * width + columns) * size };
}

/** Out of rows of `width` numbers, of which the last ends early, those of a few columns. */
function columnsOf(bits, width, { shape: [rows, columns] }) {
  const own = new bits.constructor(rows * columns);
  for (let row = 0; row < rows; row++) own.set(bits.subarray(row * width, row * width + columns), row * columns);
  return own;
}

/**
 * The singular values of a matrix, the largest first: roots of the eigenvalues of W·Wᵀ, which is as large
 * as its shorter side. In float64 they are right to six digits down to a ten-thousandth of the largest.
 */
function singularValues(data, [rows, columns]) {
  const [n, length] = [Math.min(rows, columns), Math.max(rows, columns)];
  const [line, gram] = [new Float32Array(data), new Float64Array(n * n)];
  if (rows > columns)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) line[column * rows + row] = data[row * columns + column];
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0, a = i * length, b = j * length; k < length; k++) sum += line[a + k] * line[b + k];
      gram[i * n + j] = gram[j * n + i] = sum;
    }
  if (!gram.every(Number.isFinite)) return new Float64Array(n).fill(NaN);
  return eigenvalues(gram, n).map((value) => Math.sqrt(Math.max(value, 0))).sort().reverse();
}

/** Eigenvalues of a symmetric matrix (n, n), which is used up: Jacobi's rotations, pair after pair. */
function eigenvalues(a, n) {
  for (let sweep = 0; sweep < 40; sweep++) {
    let [off, all] = [0, 0];
    for (let at = 0; at < n * n; at++) {
      all += a[at] * a[at];
      if (at % (n + 1)) off += a[at] * a[at];
    }
    if (off <= 1e-28 * all) break;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (a[p * n + q] === 0) continue;
        const ratio = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
        const t = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.sqrt(ratio * ratio + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        for (const [step, first, second] of [[n, p, q], [1, p * n, q * n]])
          for (let k = 0, i = first, j = second; k < n; k++, i += step, j += step) {
            const x = a[i];
            a[i] = c * (x - t * a[j]);
            a[j] = c * (t * x + a[j]);
          }
        a[p * n + q] = a[q * n + p] = 0;
      }
  }
  return Float64Array.from({ length: n }, (_, at) => a[at * (n + 1)]);
}
