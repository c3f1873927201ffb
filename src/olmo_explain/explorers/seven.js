// The real 7B, read now: one head of it by its bytes, beside what the report recorded. Said before the click
// are the host and the bytes; before it nothing is asked of anybody. The reader of heads stands above this text.

const OFFERS = [["Read q, k and v", ["q_proj", "k_proj", "v_proj"]], ["Read all four", ["q_proj", "k_proj", "v_proj", "o_proj"]]];
const CLEAR = 128; // squares along a side of the picture of a slice

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** How many singular values count: e to the entropy of their shares. */
function effectiveRank(values) {
  const sum = values.reduce((a, b) => a + b, 0);
  return Math.exp(values.reduce((entropy, value) => (value > 0 ? entropy - (value / sum) * Math.log(value / sum) : entropy), 0));
}

/** Singular values as a curve, from the largest to the smallest. */
function spectrumPicture(values) {
  const [largest, last] = [values[0], values.length - 1];
  const said = `Singular values from ${few(largest)} down to ${few(values[last])}; effective rank ${effectiveRank(values).toFixed(1)} of ${values.length}.`;
  const points = Array.from(values, (value, at) => `${((100 * at) / (last || 1)).toFixed(2)} ${(40 - (38 * value) / (largest || 1)).toFixed(2)}`);
  return [svg("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", class: "oe-seven-spectrum", "aria-label": said },
    svg("line", { x1: 0, x2: 100, y1: 40, y2: 40 }), svg("path", { d: `M${points.join("L")}` })), said];
}

/** One slice: its picture, its norm beside the recorded one, its singular values, where it lies. */
function sliceCard(name, { norm, spectrum, slice, recorded, initial, say }) {
  const [rows, columns] = slice.shape;
  const [down, across] = slice.shape.map((length) => Math.min(CLEAR, length));
  const means = new Float64Array(down * across);
  slice.data.forEach((value, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    means[Math.floor((row * down) / rows) * across + Math.floor((column * across) / columns)] += Math.abs(value) / ((rows * columns) / means.length);
  });
  const most = means.reduce((a, b) => Math.max(a, b), 0) || 1;
  const canvas = make("canvas", { role: "img", ariaLabel: `${name}: ${count(rows)} by ${count(columns)} numbers, the stronger, the larger.` });
  const point = (event) => {
    const at = cellAt(canvas, event);
    const [row, column] = [Math.floor((at[0] * rows) / down), Math.floor((at[1] * columns) / across)];
    const [ownRow, ownColumn] = slice.axis ? [row, column + slice.first] : [row + slice.first, column];
    const value = slice.data[row * columns + column];
    const size = slice.dtype === "F32" ? 4 : 2;
    const bytes = [...new Uint8Array(Float32Array.of(value).buffer)].slice(-size).map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    say(`${name}, row ${count(ownRow)}, column ${count(ownColumn)}: ${few(value)}, the bytes ${bytes} from byte ` +
      `${count(slice.start + row * slice.row_bytes + column * size)} of ${slice.file} on. Mean |weight| of this square: ${few(means[at[0] * across + at[1]], 3)}.`);
  };
  for (const event of ["pointermove", "click"]) canvas.addEventListener(event, point);
  const facts = [["Norm now", norm.toFixed(4)]];
  if (recorded) {
    const [value, half] = recorded;
    const isSame = Math.abs(norm - value) <= half;
    facts.push(["Recorded", String(value)], ["Half a step", `± ${half}`], ["", isSame ? "✓ agrees" : "≠ differs"]);
  } else facts.push(["As initialised", initial.toFixed(2)]);
  facts.push([slice.axis ? "Columns" : "Rows", `${count(slice.first)}–${count(slice.first + (slice.axis ? columns : rows) - 1)}`]);
  const [curve, said] = Number.isFinite(norm) ? spectrumPicture(spectrum) : ["", "Not all of its numbers are finite: there are no singular values."];
  const node = make("div", { className: "oe-slice" }, make("h4", {}, make("code", {}, name), make("span", {}, slice.shape.map(count).join(" × "))),
    make("div", { className: "oe-matrix" }, canvas), make("dl", {}, ...facts.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)])),
    curve, make("p", { className: "oe-note" }, said));
  const show = () => paint(canvas, down, across, (r, c) => tone((means[r * across + c] / most) ** 2.4));
  return { node, show };
}

/** `spoken`: the explorer's live region. */
function sevenPanel(model, spoken) {
  const { repository, layer, head, layers, heads, bytes, recorded, initial_norm: initial } = model.get("seven");
  let [reading, cards] = [null, []];

  const field = (label, properties) => {
    const input = make("input", { autocomplete: "off", spellcheck: false, ...properties });
    return { input, node: make("div", { className: "oe-control" }, labelled(label, input), input) };
  };
  const number = (label, value, most) => field(label, { type: "number", min: 0, max: most, step: 1, value });
  const [ofLayer, ofHead] = [number("Layer", layer, layers - 1), number("Head", head, heads - 1)];
  const [ofModel, ofRevision, ofHub] = [field("Model", { type: "text", value: repository }),
    field("Revision", { type: "text", value: "main" }), field("Hub", { type: "url", value: "https://huggingface.co" })];

  const sizeOf = (projections) => projections.reduce((sum, name) => sum + bytes[name], 0);
  const reads = OFFERS.map(([text, projections], at) =>
    button(`${text}: ${megabytes(sizeOf(projections))}`, () => read(projections), at ? {} : { className: "oe-button oe-primary" }));
  const stop = button("Stop", () => reading?.abort(), { hidden: true });
  const bar = make("progress", { hidden: true, ariaLabel: "Bytes of weights that have come" });
  const [before, news, found] = [make("p", { className: "oe-note" }), make("p", { className: "oe-note" }), make("div")];
  const [summary, says] = [make("span"), make("p", { className: "oe-note oe-seven-says" })];
  const node = make("details", { className: "oe-part oe-seven" }, make("summary", {}, "The real 7B, read now ", summary), before,
    make("div", { className: "oe-row" }, ofLayer.node, ofHead.node),
    make("details", {}, make("summary", {}, "Another model, revision or mirror"), ofModel.node, ofRevision.node, ofHub.node),
    make("div", { className: "oe-row oe-seven-reads" }, ...reads, stop), bar, news, found);

  function offer() {
    let host = ofHub.input.value;
    try {
      ({ host } = new URL(host));
    } catch {} // said when it is asked for
    summary.textContent = `${megabytes(sizeOf(OFFERS[0][1]))} from ${host}`;
    before.replaceChildren("One head by its bytes: config.json, the index and a header of a file, about 0.1 MB, then of the file the head’s own rows, ",
      `${count(sizeOf(OFFERS[0][1]))} bytes; with o_proj, whose columns lie in every row, ${count(sizeOf(OFFERS[1][1]))}. `,
      "A click asks ", make("b", {}, host), " and where it sends a reader on to; before it nothing is asked.");
  }
  ofHub.input.addEventListener("input", offer);

  function tell(text, command = null) {
    news.classList.toggle("oe-problem", command !== null);
    news.replaceChildren(text, ...(command ? [" In a terminal: ", make("code", {}, command)] : []));
    spoken.say(news.textContent);
  }

  async function read(projections) {
    reading = new AbortController();
    const asked = { hub: ofHub.input.value.trim(), repository: ofModel.input.value.trim(), revision: ofRevision.input.value.trim(),
      layer: ofLayer.input.valueAsNumber, head: ofHead.input.valueAsNumber, projections };
    const progress = (arrived, expected) => {
      Object.assign(bar, { value: arrived, max: expected });
      news.textContent = `${megabytes(arrived)} of ${megabytes(expected)}.`;
    };
    const busy = (isBusy) => {
      for (const button of reads) rest(button, isBusy);
      bar.hidden = stop.hidden = !isBusy;
    };
    busy(true);
    bar.removeAttribute("value");
    tell("Asking where the head lies.");
    try {
      draw(asked, await readHead(asked, { progress, signal: reading.signal }));
    } catch (error) {
      if (reading.signal.aborted) tell("Stopped.");
      else tell(error.what ?? error.message, error.command ?? "");
    }
    if (document.activeElement === stop) reads[0].focus(); // it goes
    busy(false);
    reading = null;
  }

  function draw(asked, { norms, spectra, slices, bytes: weights, header_bytes: about, commit }) {
    const isReports = asked.repository === repository && asked.layer === layer && asked.head === head;
    says.textContent = "Point at a picture to read a number of it.";
    cards = Object.entries(slices).map(([name, slice]) => sliceCard(name, { norm: norms[name], spectrum: spectra[name], slice, initial,
      recorded: isReports ? recorded[name] : null, say: (text) => (says.textContent = text) }));
    for (const card of cards) card.show();
    const { host } = new URL(asked.hub);
    found.replaceChildren(make("h3", {}, `Head ${asked.layer}.${asked.head} of ${asked.repository}`),
      make("div", { className: "oe-slices-row" }, ...cards.map((card) => card.node)), says,
      make("p", { className: "oe-note" }, isReports ? "Recorded: by the report, rounded to bfloat16, so up to half of its step from the norm. " : "",
        "Singular values: roots of the eigenvalues of W·Wᵀ in float64, to six digits down to a ten-thousandth of the largest. Dark: a large mean |weight|."),
      make("p", { className: "oe-tag" }, [`7B read now · ${host}`, asked.revision, ...(commit ? [`commit ${commit.slice(0, 8)}`] : [])].join(", ")));
    tell(`${count(weights)} bytes of weights came from ${host}, and ${count(about)} of config, index and headers.`);
  }

  offer();
  const unwatch = redrawOnTheme(() => cards.forEach((card) => card.show()));
  return { node, stop: () => {
    reading?.abort();
    unwatch();
  } };
}
