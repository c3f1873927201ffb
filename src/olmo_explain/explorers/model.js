// The live figure: a sentence goes through the model, and everything on its way can be asked for.

const ASKED = ["text", "written", "at", "layer", "score", "step", "off", "rope"]; // in the order of looking.py
const SEEN = { score: "grid", step: "values" }; // what is not shown is not asked for
const STATE = [...ASKED, "head", "view", "answer"];
const SLOW = 4000; // milliseconds after which Python's silence is spoken of

/** What is asked of the model by the reader's choices. */
const wanted = (model) => Object.fromEntries(ASKED.map((name) =>
  [name, (SEEN[name] ?? model.get("view")) === model.get("view") ? model.get(name) : null]));
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * Keeps the answer that is shown in step with what the reader asks: from the page's engine, opened at the
 * first question that the saved answer does not answer, or from Python. `tell(kind, …)` hears of it.
 */
function answering(model, tell) {
  let shown = unpacked(model.get("answer"));
  let [engine, opening, waiting, slow] = [undefined, null, [], 0];

  let refreshed = () => {};
  const isShown = () => same(wanted(model), shown.asked);
  const settle = (answer) => {
    clearTimeout(slow);
    for (const done of waiting.splice(0)) done(answer);
  };

  async function open() {
    if (opening || engine !== undefined) return;
    opening = engineOf(model, (arrived, parts) => tell("loading", arrived, parts));
    slow ||= setTimeout(() => tell("slow"), SLOW);
    try {
      engine = await opening;
      tell("open", engine);
      opening = null;
      refreshed();
    } catch (error) {
      opening = null;
      tell("failed", error.message);
      settle(null);
    }
    clearTimeout(slow);
    slow = 0;
  }

  /** Asks, if what is shown is not what is wanted; whether it is now. */
  function refresh() {
    if (!isShown() && engine) {
      const before = performance.now();
      shown = engine.look(wanted(model));
      tell("computed", performance.now() - before);
    }
    if (isShown()) settle(shown);
    else open(); // and then once more
    return isShown();
  }

  return {
    refresh,
    shown: () => shown,
    open,
    /** The engine came, or Python answered: draw again. */
    onChange: (draw) => (refreshed = draw),
    heard: () => (shown = unpacked(model.get("answer"))),
    isBusy: () => !isShown() && (opening !== null || engine === null),
    /** The answer to what is wanted once it is there; null where it will not come. */
    answered: () => new Promise((done) => {
      waiting.push(done);
      refreshed();
    }),
  };
}

/** The tokens as chips, in one line that scrolls: the chosen one is where the next token is asked for. */
function chips(model, { go }) {
  const name = `oe-at-${Math.random().toString(36).slice(2, 8)}`;
  const line = make("div", { className: "oe-model-chips", role: "radiogroup", ariaLabel: "Tokens" });
  const step = (by) => () => go({ at: shownAt + by });
  const [earlier, later] = [button("Earlier token", step(-1)), button("Later token", step(1))];
  let [made, shownAt] = [null, 0];
  const show = (answer) => {
    shownAt = answer.at ?? 0;
    if (!made || !same(made, answer.tokens)) {
      line.replaceChildren(...answer.tokens.map((token, t) => {
        const radio = make("input", { type: "radio", name, value: t });
        radio.setAttribute("data-lm-suppress-shortcuts", "true");
        radio.addEventListener("change", () => go({ at: t }));
        return make("label", { title: `token ${answer.ids[t]}, position ${t}` }, radio, make("code", {}, visible(token)));
      }));
      made = answer.tokens;
    }
    earlier.disabled = !shownAt;
    later.disabled = shownAt >= answer.ids.length - 1;
    const chosen = line.children[shownAt];
    if (!chosen) return;
    chosen.firstChild.checked = true;
    const [left, right] = [chosen.offsetLeft - line.offsetLeft, chosen.offsetLeft - line.offsetLeft + chosen.offsetWidth];
    if (left < line.scrollLeft || right > line.scrollLeft + line.clientWidth) line.scrollLeft = left - line.clientWidth / 2;
  };
  /** Above their lines in the map, where they are not too wide for that. */
  const align = ({ upright, left, right, narrow }) => {
    line.classList.toggle("oe-model-aligned", !upright);
    line.style.padding = upright ? "" : `4px ${right}px 0 ${left}px`;
  };
  return { node: line, buttons: [earlier, later], align, show };
}

const REGIME = [
  ["per-layer", "right"],
  ["yarn-everywhere", "YaRN everywhere", "What transformers 5.0 to 5.12 ran"],
  ["yarn-lost", "YaRN lost", "What newer releases run of a model that these saved"],
];

/** What the figure says of itself, tokens as elements: the open head, and what the reader's changes did. */
function readout(model, answer, map, isOff) {
  const [layer, head, looker] = [model.get("layer"), model.get("head"), map.looker(answer)];
  const token = (text) => make("code", {}, visible(text));
  const shares = [...map.patternRow(answer, looker)].map((share, key) => [key, share])
    .sort((a, b) => b[1] - a[1]).slice(0, 3).filter(([, share]) => share >= 0.01);
  const looks = shares.flatMap(([key, share], i) => [i ? ", " : "", token(answer.tokens[key]), ` ${percent(share)}`]);
  const { intact, next } = answer;
  const changed = model.get("off").length || model.get("rope") !== "per-layer";
  return [
    `Head ${named(layer, head)} at `, token(answer.tokens[looker]), " looks at ", ...looks,
    isOff(layer, head) ? " (off: it still looks, and writes zeros). " : ". ",
    ...(!changed ? ["Next: ", token(next.tokens[0]), ` ${percent(next.shares[0])}.`]
      : [token(intact.token), ` had ${percent(intact.share)} and has ${percent(intact.now)}`,
        ...(next.tokens[0] === intact.token ? ["."]
          : ["; now ", token(next.tokens[0]), ` leads with ${percent(next.shares[0])}.`])]),
  ];
}

function render({ model, el }) {
  const go = (changes) => choose(model, changes);
  const spoken = status();
  const [tag, busy, said] = [make("p", { className: "oe-model-tag" }), make("p", { className: "oe-note oe-model-busy" }), make("p", { className: "oe-model-readout" })];
  let distance = "";
  const tell = (kind, ...about) => {
    const [first, second] = about;
    busy.classList.toggle("oe-problem", kind === "failed");
    if (kind === "loading") busy.textContent = `Loading ${model.get("name").split(" ")[0]} into this page: part ${first} of ${second}.`;
    else if (kind === "slow") busy.textContent = "Still waiting. In JupyterLab the figure needs its kernel: run its cell again.";
    else if (kind === "failed") busy.textContent = `${first} What is shown was saved with the page.`;
    else if (kind === "open") {
      busy.textContent = "";
      if (first) setTimeout(() => first.verify().then(({ max_abs_diff: most, prompts }) => {
        distance = `; its logits lie within ${most.toExponential(1)} of PyTorch’s, measured here on ${prompts} prompts`;
        sayTag();
      }), 300);
    } else if (kind === "computed") {
      took = first;
      sayTag();
    }
    if (kind === "failed" || kind === "slow") spoken.say(busy.textContent);
  };
  let took = null;
  const sayTag = () => (tag.textContent = `${model.get("name")} · ` + (took === null
    ? "computed by PyTorch, float32" : `computed in this page, float32${distance}`));
  sayTag();

  const live = answering(model, tell);
  const shown = () => live.shown();
  const heads = switches(model, go);
  const map = modelMap(model, { shown, go });
  const sentence = sentencePanel(model, { go, answered: live.answered });
  const tokens = chips(model, { go });
  const layer = segments(model, "layer", { label: "Layer", go,
    options: model.get("layer_types").map((kind, at) => [at, kind === "full_attention" ? `${at}·f` : String(at), KIND[kind]]) });
  const view = segments(model, "view", { label: "Open", go,
    options: [["heads", "this layer"], ["grid", "all heads"], ["values", "numbers"]] });
  const rope = segments(model, "rope", { label: "RoPE", go, options: REGIME });
  const panels = { heads: headsPanel(model, { go, heads }), grid: gridPanel(model, { go, heads }), values: valuesPanel(model, { go }) };
  const next = nextPanel(model, { go, heads });
  const writing = writer(model, { go, answered: live.answered, longest: model.get("longest"), ends: model.get("ends") });
  const guide = model.get("apart").length ? tour(model, { go, answered: live.answered, spoken }) : null;
  const empty = make("p", { className: "oe-model-none" }, "Type a sentence, and the model reads it.");

  const body = make("div", { className: "oe-model-body" },
    tokens.node, map.node, make("div", { className: "oe-model-row oe-model-layerline" }, layer.node, make("div", { className: "oe-model-row" }, ...tokens.buttons)),
    make("div", { className: "oe-model-below" },
      make("div", { className: "oe-model-opened" }, view.node, ...Object.values(panels).map(({ node }) => node)),
      make("div", { className: "oe-model-side" },
        heads.node, ...(model.get("has_yarn") ? [rope.node] : []), next.node, writing.node)),
    said);
  const root = make("section", { className: "oe oe-model", ariaLabel: "The model on a sentence" },
    sentence.node, busy, ...(guide ? [guide.node] : []), empty, body, tag, spoken);
  if (guide) sentence.tries.append(guide.open);
  el.append(root);

  sentence.field.addEventListener("input", writing.stop);
  map.node.addEventListener("oe-layout", ({ detail }) => tokens.align(detail));
  const sayLooks = () => said.replaceChildren(...readout(model, shown(), map, heads.isOff));
  map.node.addEventListener("oe-hover", sayLooks);
  // The first touch fetches the model, so that the first letter finds it here.
  for (const event of ["pointerdown", "focusin"]) root.addEventListener(event, () => live.open(), { once: true });

  const draw = () => {
    const ready = live.refresh();
    const answer = shown();
    root.setAttribute("aria-busy", String(live.isBusy()));
    sentence.show(answer);
    writing.show();
    empty.hidden = answer.at !== null;
    body.hidden = answer.at === null;
    if (answer.at === null) return;
    for (const part of [tokens, layer, view, rope, heads, next]) part.show(answer);
    for (const [name, panel] of Object.entries(panels)) {
      panel.node.hidden = name !== model.get("view");
      if (name === model.get("view")) panel.show(answer);
    }
    map.draw(answer);
    sayLooks();
    if (ready && !writing.isRunning() && !guide?.isOpen()) spoken.say(said.textContent);
  };
  const heard = () => live.heard();
  model.on("change:answer", heard);
  const undo = redrawOn(model, STATE, draw);
  live.onChange(draw);
  const repaint = new MutationObserver(() => {
    panels.heads.repaint();
    draw();
  });
  repaint.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return () => {
    undo();
    model.off("change:answer", heard);
    repaint.disconnect();
    sentence.stop();
    writing.stop();
  };
}

export default { render };
