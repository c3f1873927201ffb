// The live figure: a sentence goes through the model, and everything on its way can be asked for.

const ASKED = ["text", "written", "at", "layer", "score", "step", "off", "rope", "fault"]; // in the order of looking.py
const SEEN = { score: "grid", step: "values" }; // what is not shown is not asked for
const STATE = [...ASKED, "head", "view", "answer"];
const SLOW = 4000; // milliseconds after which Python's silence is spoken of

/** What is asked of the model by the reader's choices. */
const wanted = (model) => Object.fromEntries(ASKED.map((name) =>
  [name, (SEEN[name] ?? model.get("view")) === model.get("view") ? model.get(name) : null]));

/**
 * Keeps the answer that is shown in step with what the reader asks: from the page's engine, opened at the
 * first question that the saved answer does not answer, or from Python. `tell(kind, …)` hears of it.
 */
function answering(model, tell) {
  let shown = unpacked(model.get("answer"));
  let [engine, opening, waiting, slow] = [undefined, null, [], 0];
  let refreshed = () => {};

  const isShown = () => same(wanted(model), shown.asked);
  const patience = (isWaiting) => {
    if (isWaiting) slow ||= setTimeout(() => tell("slow"), SLOW);
    else slow = clearTimeout(slow);
  };
  const settle = (answer) => {
    for (const done of waiting.splice(0)) done(answer);
  };

  async function open() {
    if (opening || engine !== undefined) return;
    patience(true);
    try {
      opening = engineOf(model, (arrived, parts) => tell("loading", arrived, parts));
      if (!isShown()) tell("waiting");
      engine = await opening;
      opening = null;
      tell("open", engine);
      refreshed();
    } catch (error) {
      opening = null;
      tell("failed", error.message);
      settle(null);
    }
    patience(false);
  }

  /** Asks, if what is shown is not what is wanted; whether it is now. */
  function refresh() {
    if (!isShown() && engine) {
      shown = engine.look(wanted(model));
      tell("computed");
    }
    if (isShown()) {
      patience(false);
      settle(shown);
    } else if (engine === null) patience(true);
    else open(); // and then once more
    return isShown();
  }

  return {
    refresh,
    open,
    shown: () => shown,
    engine: () => engine,
    isBusy: () => !isShown() && (opening !== null || engine === null),
    /** The engine came, or Python answered: draw again. */
    onChange: (draw) => (refreshed = draw),
    heard: () => {
      shown = unpacked(model.get("answer"));
      tell("computed");
    },
    /** The answer to what is wanted once it is there; null where it will not come. */
    answered: () => new Promise((done) => {
      waiting.push(done);
      refreshed();
    }),
    stop: () => patience(false),
  };
}

/** What the figure says of itself, tokens as elements: the open head, and what the reader's changes did. */
function readout(model, answer, map) {
  const [{ layer, off }, head, looker] = [answer.asked, model.get("head"), map.looker(answer)];
  const token = (text) => make("code", {}, visible(text));
  const shares = [...map.patternRow(answer, looker)].map((share, key) => [key, share])
    .sort((a, b) => b[1] - a[1]).slice(0, 3).filter(([, share]) => share >= 0.01);
  const looks = shares.flatMap(([key, share], i) => [i ? ", " : "", token(answer.tokens[key]), ` ${percent(share)}`]);
  const { intact, next } = answer;
  const isOff = off.some(([l, h]) => l === layer && h === head);
  return [
    `Layer ${layer}, head ${head} at `, token(answer.tokens[looker]), " looks at ", ...looks,
    isOff ? " (off: its output is zero). " : ". ",
    ...(!off.length && !isBroken(answer.asked) ? ["Next: ", token(next.tokens[0]), ` ${percent(next.shares[0])}.`]
      : [token(intact.token), ` ${percent(intact.shares[0])} → ${percent(intact.shares[1])}`,
        ...(next.tokens[0] === intact.token ? ["."]
          : ["; now ", token(next.tokens[0]), ` leads with ${percent(next.shares[0])}.`])]),
  ];
}

function render({ model, el }) {
  hold(el, "model");
  const go = (changes) => choose(model, changes);
  const spoken = status();
  const name = model.get("name").split(" ")[0];
  const [tag, said] = [make("p", { className: "oe-tag" }), make("p", { className: "oe-readout" })];
  const [news, again] = [make("span"), button("Try again", () => draw(), { hidden: true })];
  const busy = make("p", { className: "oe-note oe-row oe-model-busy" }, news, again);
  let [distance, isHere] = ["", false];
  const sayTag = () => (tag.textContent = `${model.get("name")} · computed ${isHere ? "in this page" : "by PyTorch"}, float32${distance}`);
  const tell = (kind, first, second) => {
    const words = {
      waiting: window.olmo ? "Loading the model, 4 MB." : "Asking Python.",
      loading: `Loading ${name} into this page: part ${first} of ${second}.`,
      slow: window.olmo ? "Still loading. What is shown is the answer before." : "Still waiting. The figure needs its kernel: run its cell again if this stays.",
      failed: `${first} What is shown is the answer before.`,
    }[kind];
    news.textContent = words ?? "";
    busy.classList.toggle("oe-problem", kind === "failed");
    again.hidden = kind !== "failed";
    if (kind === "failed") root.setAttribute("aria-busy", "false");
    if (kind === "failed" || kind === "slow") spoken.say(words);
    isHere ||= kind === "computed" && Boolean(live.engine());
    if (kind === "open" && first) setTimeout(measure, 300, first);
    sayTag();
  };
  const measure = async (engine) => {
    const { max_abs_diff: most, prompts } = await engine.verify();
    distance = `; its logits lie within ${most.toExponential(1)} of PyTorch’s, measured here on ${prompts} prompts`;
    isHere = true;
    sayTag();
  };

  const live = answering(model, tell);
  sayTag();
  const shown = () => live.shown();
  const heads = switches(model, go);
  const map = modelMap(model, { shown, go });
  const tokens = chips(model, { go });
  const layer = segments(model, "layer", { label: "Layer", go,
    options: model.get("layer_types").map((kind, at) => [at, String(at), `${KIND[kind]} attention`]) });
  const view = segments(model, "view", { label: "Show", go,
    options: [["heads", "this layer"], ["grid", "all heads"], ["values", "numbers"]] });
  const faults = faultsPanel(model, { go });
  const panels = { heads: headsPanel(model, { go, heads }), grid: gridPanel(model, { go, heads }), values: valuesPanel(model, { go }) };
  const next = nextPanel();
  const writing = writer(model, { go, shown, spoken, answered: live.answered });
  const guide = model.get("apart").length ? tour(model, { go, spoken, answered: live.answered, opened: writing.stop }) : null;
  const sentence = sentencePanel(model, { go, engine: live.engine, changed: () => {
    writing.stop();
    guide?.close();
  } });
  const empty = make("p", { className: "oe-model-none" }, "Type a sentence, and the model reads it.");

  const body = make("div", { className: "oe-model-body" },
    tokens.node, map.node, make("div", { className: "oe-row oe-model-layerline" }, layer.node, make("div", { className: "oe-row" }, ...tokens.buttons)));
  const opened = make("div", { className: "oe-model-body" },
    make("div", { className: "oe-model-below" },
      make("div", { className: "oe-model-opened" }, view.node, ...Object.values(panels).map(({ node }) => node), heads.node),
      make("div", { className: "oe-model-side" }, next.node, writing.node)),
    ...(model.get("faults").length ? [faults.node] : []));
  const root = make("section", { className: "oe oe-model", ariaLabel: "The model on a sentence" },
    sentence.node, busy, ...(guide ? [guide.node] : []), empty, body, said, opened, tag, spoken);
  if (guide) sentence.tries.prepend(guide.open);
  el.append(root);

  const sayLooks = () => said.replaceChildren(...readout(model, shown(), map));
  map.node.addEventListener("oe-layout", ({ detail }) => tokens.align(detail));
  map.node.addEventListener("oe-hover", sayLooks);
  // The first touch fetches the model, so that the first letter finds it here. A finger that scrolls is none.
  for (const event of ["click", "focusin"]) root.addEventListener(event, () => live.open(), { once: true });
  for (const event of ["click", "input"]) root.addEventListener(event, sentence.settle, { once: true });

  /** What has the focus may go: a slider that this sentence has not, a button that has done its work. */
  function draw() {
    const focused = root.contains(document.activeElement) && document.activeElement;
    redraw();
    if (focused && !focused.checkVisibility()) tokens.focus();
  }
  function redraw() {
    const ready = live.refresh();
    const answer = shown();
    root.setAttribute("aria-busy", String(live.isBusy()));
    const isEmpty = ready && answer.at === null;
    for (const part of [sentence, writing, layer, view, faults, heads]) part.show(answer, ready);
    for (const [kind, { node }] of Object.entries(panels)) node.hidden = kind !== model.get("view");
    empty.hidden = !isEmpty;
    for (const part of [body, said, opened]) part.classList.toggle("oe-unseen", isEmpty); // nothing below moves
    if (isEmpty) spoken.say(empty.textContent);
    if (!ready || isEmpty) return; // what is drawn stays, with its names
    for (const part of [tokens, next, panels[model.get("view")]]) part.show(answer);
    map.draw(answer);
    sayLooks();
    if (!writing.isRunning() && !guide?.isOpen()) spoken.say(heardOf(said));
  }
  const heard = () => live.heard();
  model.on("change:answer", heard);
  const undo = redrawOn(model, STATE, draw);
  live.onChange(draw);
  const unwatch = redrawOnTheme(() => {
    panels.heads.repaint();
    draw();
  });
  return () => {
    undo();
    model.off("change:answer", heard);
    for (const part of [map, sentence, writing, live]) part.stop();
    unwatch();
  };
}

/** As it is read aloud: without the signs that stand for a space and a new line. */
const heardOf = (node) => node.textContent.replaceAll("␣", "").replaceAll("↵", "new line");

export default { render };
