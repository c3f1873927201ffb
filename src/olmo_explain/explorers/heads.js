// The head explorer: what a head looks at, what the model says with it and without it, where it lies.

const STATE = ["layer", "head", "query", "projection", "colour", "off", "tokens", "patterns", "next_shares", "off_shown"];
const COLOUR = [
  ["pattern", "Pattern", "What each head looks at"],
  ["induction", "Induction", "Share of attention on the tokens that came after an earlier copy of this one"],
  ["previous", "Previous", "Share of attention on the token before"],
  ["norm", "Norm", "How large a head’s weights are"],
];
const SCORED = ["induction", "previous"]; // in the order of heads.py
const MANY = 64; // heads: of more no pattern is a tile beside all others
const HIGH = 120; // pixels of the arcs
const THIN = 22; // pixels of a token, at least

// -- a run: tokens, what each head gives to each key, what comes next -----------------------------------

/** What Python computed and saved. */
function savedRun(model) {
  const [patterns, scores, shares] = [numbersIn(model, "patterns", Uint16Array),
    numbersIn(model, "scores", Float32Array), numbersIn(model, "next_shares", Float32Array)];
  return () => {
    const [tokens, all, L, H] = [model.get("tokens"), patterns(), model.get("layer_types").length, model.get("heads")];
    const T = tokens.length;
    return {
      tokens, ids: model.get("ids"), of: all, off: model.get("off_shown"),
      weight: (layer, head, query, key) => all[((layer * H + head) * T + query) * T + key] / 65535,
      scores: (name) => scores().subarray(SCORED.indexOf(name) * L * H).subarray(0, L * H),
      next: (query) => {
        const names = model.get("next_tokens")[query];
        const [before, now] = [0, 1].map((side) => names.map((_, i) => shares()[(query * names.length + i) * 2 + side]));
        const likeliest = (all) => all.slice(0, -1);
        return { next: { tokens: likeliest(names), shares: likeliest(now), before: likeliest(before) },
          intact: { token: names.at(-1), shares: [before.at(-1), now.at(-1)] } };
      },
    };
  };
}

/** The same computed in the page, of any sentence and with any heads off. */
function pageRun(engine, session, { ids, tokens }, off) {
  const rows = session.attention(ids, { off });
  const asked = (at, score) => engine.look({ text: "", written: ids, at, layer: 0, score, step: null, off, rope: "per-layer" });
  const weight = (layer, head, query, key) => {
    const { data } = rows[layer][query].pattern; // (H, its keys): none behind the query
    return key > query ? 0 : data[head * (query + 1) + key];
  };
  return { tokens, ids, of: rows, off, weight, scores: (name) => asked(null, name).scores, next: (query) => asked(query, null) };
}

/** What is shown: saved, or computed here once the engine has come. `draw()`: there is something new. */
function running(model, { tell, draw }) {
  const saved = savedRun(model);
  let [engine, session, typed, held, opening] = [undefined, null, null, {}, false];
  async function open() {
    if (opening || engine !== undefined) return;
    opening = true;
    try {
      engine = await engineOf(model, (arrived, parts) => tell(`Loading the model: ${arrived} of ${parts} parts.`));
      if (engine) tell("");
      draw();
    } catch (error) {
      tell(error.message, true);
      choose(model, { off: model.get("off_shown") });
    }
    opening = false;
  }
  return {
    type(run) {
      typed = run;
      held = {};
      draw();
      if (run) open();
    },
    now() {
      const [off, kept] = [model.get("off"), saved()];
      if (!typed && same(off, kept.off)) return kept;
      if (!engine) {
        open();
        if (!typed) return kept;
      }
      if (typed && !engine) return held.run ?? kept;
      if (!same(held.off, off) || held.typed !== typed || held.of !== kept.of) {
        session ??= engine.session.fork();
        held = { off, typed, of: kept.of, run: pageRun(engine, typed?.session ?? session, typed ?? kept, off) };
      }
      return held.run;
    },
    isHere: () => Boolean(engine && held.run),
  };
}

// -- all heads: a tile each, or, of many, a painted grid and the tiles of one layer ------------------------

function allPanel(model, { go, norm, say, heads }) {
  const [kinds, H] = [model.get("layer_types"), model.get("heads")];
  const isMany = kinds.length * H > MANY;
  const group = `oe-head-${Math.random().toString(36).slice(2, 8)}`;
  const hasText = model.get("ids").length > 0;
  const colour = segments(model, "colour", { label: "Show", go,
    options: COLOUR.filter(([name]) => name === "norm" || (hasText && !(isMany && name === "pattern"))) });
  const projection = segments(model, "projection", { label: "of", go, options: model.get("projections").map((name) => [name, name]) });
  const layer = layerPicker(model, { go });
  const rows = (isMany ? [null] : [...kinds.keys()]).map((fixed) => {
    const of = () => fixed ?? model.get("layer");
    const tiles = Array.from({ length: H }, (_, head) => headTile(group, () => go({ layer: of(), head })));
    const name = make("span", { className: "oe-heads-layer" },
      fixed === null ? "" : `${fixed}${kinds[fixed] === "full_attention" ? " full" : ""}`);
    return { of, tiles, node: make("div", { className: "oe-heads-row" }, name, ...tiles.map((tile) => tile.node)) };
  });
  const columns = make("div", { className: "oe-heads-row oe-heads-columns", ariaHidden: "true" },
    make("span", { className: "oe-heads-layer" }, "Layer"), ...Array.from({ length: H }, (_, head) => make("span", {}, String(head))));
  const tiles = make("div", { className: `oe-heads-tiles${isMany ? " oe-heads-many" : ""}`, role: "radiogroup", ariaLabel: "Heads" },
    columns, ...rows.map((row) => row.node));
  tiles.addEventListener("keydown", (event) => { // left and right are the browser's
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const to = Math.min(Math.max(model.get("layer") + by, 0), kinds.length - 1);
    go({ layer: to });
    if (isMany) return;
    open(); // now, or a key that is held down meets a row that is not there yet
    const { radio } = rows[to].tiles[model.get("head")];
    radio.checked = true;
    radio.focus({ preventScroll: true });
  });
  const open = () => rows.forEach((row) => row.node.classList.toggle("oe-heads-open", row.of() === model.get("layer")));
  const [least, most] = [make("span"), make("span")];
  const whole = isMany ? cells({ pick: (layer, head) => go({ layer, head }),
    hover: (layer, head) => say(layer === null ? null : `Head ${named(layer, head)}: ${valued(layer, head)}`) }) : null;
  const node = make("section", { className: `oe-heads-all${isMany ? " oe-heads-of-many" : ""}` },
    make("div", { className: "oe-row" }, make("h3", {}, "All heads"), colour.node), projection.node,
    ...(whole ? [whole.node] : []), layer.node, tiles, make("p", { className: "oe-ramp", ariaHidden: "true" }, least, make("i"), most));

  let [value, digits, painted] = [() => 0, percent, {}];
  const valued = (layer, head) => digits(value(layer, head));
  /** What colours the heads: [a value of each, how it is written, from, to]. */
  function scale(run) {
    const name = model.get("colour");
    if (name === "norm") {
      const of = (l, h) => norm(model.get("projection"), l, h);
      const all = kinds.flatMap((_, l) => Array.from({ length: H }, (_, h) => of(l, h)));
      return [of, (x) => x.toFixed(2), Math.min(...all), Math.max(...all)];
    }
    const scores = name === "pattern" ? null : run.scores(name);
    return [(l, h) => scores?.[l * H + h] ?? 0, (x) => (Number.isNaN(x) ? "–" : percent(x)), 0, 1];
  }

  const show = (run) => {
    for (const part of [colour, projection, layer]) part.show();
    const name = model.get("colour");
    projection.node.hidden = name !== "norm";
    const mode = [name, name === "norm" && model.get("projection"), isMany && model.get("layer"), isDark()];
    if (painted.of !== run?.of || !same(painted.mode, mode)) {
      let [low, high] = [0, 1];
      [value, digits, low, high] = scale(run);
      const part = (l, h) => (value(l, h) - low) / (high - low || 1) || 0;
      const showsPatterns = name === "pattern" || (isMany && run);
      for (const { of, tiles } of rows)
        tiles.forEach((tile, h) => (showsPatterns
          ? tile.paint(run.tokens.length, run.tokens.length, (q, k) => run.weight(of(), h, q, k), true)
          : tile.paint(1, 1, () => part(of(), h))));
      whole?.repaint();
      [least.textContent, most.textContent] = name === "pattern" ? ["0%", "100% of a row"] : [digits(low), digits(high)];
      painted = { of: run?.of, mode, part };
    }
    open();
    for (const { of, tiles } of rows) {
      tiles.forEach((tile, h) => {
        const isOff = heads.isOff(of(), h);
        const scored = name === "pattern" ? "" : valued(of(), h);
        tile.show({ isChosen: of() === model.get("layer") && h === model.get("head"), isOff, name: `Head ${h}`,
          said: scored && (isOff ? `${scored}, off` : scored), label: `Layer ${of()}, head ${h}${scored && ": "}${scored}` });
      });
    }
    whole?.show({ rows: kinds.length, columns: H, row: model.get("layer"), column: model.get("head"), of: painted.mode,
      rowNames: kinds.map((kind, l) => `${l}${kind === "full_attention" ? " full" : ""}`),
      columnNames: Array.from({ length: H }, (_, h) => String(h)), colour: (l, h) => tone(painted.part(l, h)),
      label: `${kinds.length} layers by ${H} heads, coloured by ${name}, from ${least.textContent} to ${most.textContent}.` });
  };
  return { node, show, stop: () => whole?.stop() };
}

// -- the chosen head: arcs above the tokens, its whole pattern, and what comes next -------------------------

function arcsPanel(model, { go, heads, say }) {
  const picture = svg("svg", { role: "img", class: "oe-map" });
  const tokens = chips(model, { go, trait: "query" });
  const line = make("div", { className: "oe-heads-line" }, picture, tokens.node);
  const frame = make("div", { className: "oe-heads-arcs" }, line);
  const [title, kind] = [make("h3"), make("span", { className: "oe-note" })];
  const node = make("section", {}, make("div", { className: "oe-row" }, title, kind), frame, make("div", { className: "oe-row oe-heads-steps" }, ...tokens.buttons));
  let [run, hovered, column] = [null, null, 1];

  const rowOf = (query) => Float32Array.from({ length: query + 1 }, (_, key) =>
    run.weight(model.get("layer"), model.get("head"), query, key));
  const looker = () => hovered ?? model.get("query");
  const ranked = () => [...rowOf(looker())].map((share, key) => [key, share])
    .sort((a, b) => b[1] - a[1]).filter(([, share], i) => !i || (i < 3 && share >= 0.01));

  function fit() {
    const T = run.tokens.length;
    const width = Math.max(frame.clientWidth, T * THIN);
    if (!frame.clientWidth) return;
    column = width / T;
    line.style.width = `${width}px`;
    const longest = Math.max(...run.tokens.map((token) => [...visible(token)].length));
    tokens.node.classList.add("oe-aligned");
    tokens.node.classList.toggle("oe-upright", longest * 8 + 10 > column);
    const [layer, off] = [model.get("layer"), heads.isOff(model.get("layer"), model.get("head"))];
    const isSliding = model.get("layer_types")[layer] === "sliding_attention";
    const from = isSliding ? Math.max(0, looker() - model.get("sliding_window") + 1) : 0;
    const { parts } = lookingBack({ x: (t) => (t + 0.5) * column, column, ground: HIGH - 24, rise: HIGH - 44,
      far: Math.max(1, looker() - from), looker: looker(), off, tokens: T, rowOf });
    picture.setAttribute("viewBox", `0 0 ${width} ${HIGH}`);
    picture.style.height = `${HIGH}px`;
    picture.replaceChildren(...parts);
    picture.setAttribute("aria-label", heardOf(make("p", {}, ...sentence())));
    const [left, right] = [looker() * column, (looker() + 1) * column];
    if (hovered === null && (left < frame.scrollLeft || right > frame.scrollLeft + frame.clientWidth))
      frame.scrollLeft = right - frame.clientWidth / 2;
  }
  function sentence() {
    const token = (at) => make("code", {}, visible(run.tokens[at]));
    const [layer, head] = [model.get("layer"), model.get("head")];
    return [`Head ${named(layer, head)}: `, token(looker()), " looks at ",
      ...ranked().flatMap(([key, share], i) => [i ? ", " : "", token(key), ` ${percent(share)}`]),
      heads.isOff(layer, head) ? ". It still looks, but nothing of it is passed on." : "."];
  }
  const show = (shown) => {
    const [layer, head] = [model.get("layer"), model.get("head")];
    run = shown;
    tokens.show({ ...run, at: model.get("query") });
    title.textContent = `Layer ${layer}, head ${head}`;
    kind.textContent = KIND[model.get("layer_types")[layer]] === "sliding"
      ? `sliding layer: a token sees the last ${model.get("sliding_window")}, itself included` : "full layer: a token sees every earlier one";
    fit();
  };
  const at = (event) => Math.min(Math.max(Math.floor((event.clientX - line.getBoundingClientRect().left) / column), 0), run.tokens.length - 1);
  const over = (token) => {
    if (token === hovered) return;
    hovered = token;
    fit();
    say(token === null ? null : sentence());
  };
  line.addEventListener("pointermove", (event) => event.pointerType !== "touch" && run && over(at(event)));
  line.addEventListener("pointerleave", () => run && over(null));
  picture.addEventListener("click", (event) => go({ query: at(event) }));
  const sized = new ResizeObserver(() => requestAnimationFrame(() => run && fit()));
  sized.observe(frame);
  return { node, show, sentence, ranked, stop: () => sized.disconnect() };
}

function patternPanel(model, { go, say }) {
  let [run, key, asked, picked] = [null, 0, "", false]; // `key`: the column of the cell that was chosen
  const token = (at) => make("code", {}, visible(run.tokens[at]));
  const told = (query, key) => [token(query), key > query ? [" does not see ", token(key), ", which comes later."]
    : [" gives ", token(key), ` ${percent(run.weight(model.get("layer"), model.get("head"), query, key))} of its attention.`]].flat();
  const square = cells({
    pick: (query, column) => {
      [key, picked] = [column, true];
      say(told(query, key));
      go({ query });
      show(run);
    },
    hover: (query, column) => say(query === null ? null : told(query, column)),
  });
  const node = make("section", { className: "oe-heads-pattern" }, make("h3", {}, "Its whole pattern"), square.node,
    make("p", { className: "oe-note" }, "A row is the token that looks, a column what it looks at. Click a square."));
  const show = (shown, top) => {
    const [layer, head, query] = ["layer", "head", "query"].map((name) => model.get(name));
    run = shown;
    const here = `${layer} ${head} ${query}`;
    if (here !== asked && !picked) key = top;
    [asked, picked] = [here, false];
    const names = run.tokens.map(visible);
    if (square.of !== run.of) square.repaint();
    square.of = run.of;
    square.show({ rows: names.length, columns: names.length, row: query, column: Math.min(key, names.length - 1), whole: true, upright: true,
      of: [layer, head, names.length, isDark()], rowNames: names, columnNames: names,
      colour: (q, k) => (k > q ? [0, 0, 0, 0] : tone(run.weight(layer, head, q, k))),
      label: `Attention pattern of head ${head} in layer ${layer}: ${names.length} tokens that look by ${names.length} that are looked at.` });
  };
  return { node, show, stop: square.stop };
}

/** What the heads that are off have done to the likeliest next token. */
function effect({ next, intact }, off) {
  const token = (text) => make("code", {}, visible(text));
  const [before, now] = intact.shares;
  if (!off.length) return ["Next: ", token(next.tokens[0]), ` ${percent(next.shares[0])}.`];
  const points = (100 * (now - before)).toFixed(1).replace("-", "−");
  const without = off.slice(0, 3).map(([l, h]) => named(l, h)).join(", ") + (off.length > 3 ? ` and ${off.length - 3} more` : "");
  return [`Without ${without}, `, token(intact.token), ` goes from ${percent(before)} to ${percent(now)}, ${points.startsWith("−") ? "" : "+"}${points} points`,
    ...(next.tokens[0] === intact.token ? ["."] : ["; now ", token(next.tokens[0]), ` leads with ${percent(next.shares[0])}.`])];
}

/** As it is read aloud: without the signs that stand for a space and a new line. */
const heardOf = (node) => node.textContent.replaceAll("␣", "").replaceAll("↵", "new line");

function render({ model, el }) {
  hold(el, "heads");
  const [kinds, H, hasText] = [model.get("layer_types"), model.get("heads"), model.get("ids").length > 0];
  const norms = numbers(model.get("norms"), Float32Array);
  const norm = (projection, layer, head) =>
    norms[(model.get("projections").indexOf(projection) * kinds.length + layer) * H + head];
  const go = (changes) => choose(model, changes);
  const [spoken, said, news] = [status(), make("p", { className: "oe-readout" }), make("p", { className: "oe-note" })];
  const tag = make("p", { className: "oe-tag" });
  let [first, second] = [[], []]; // what the readout says; what is hovered takes the place of the first line
  const say = (words) => said.replaceChildren(...(words === null ? first : [words].flat()), make("br"), ...second);
  const tell = (words, isProblem = false) => {
    news.textContent = words;
    news.classList.toggle("oe-problem", isProblem);
    if (words) spoken.say(words);
  };

  const heads = switches(model, go);
  const runs = running(model, { tell, draw: () => draw() });
  const slices = slicesPanel(model, { norm, say });
  const seven = sevenPanel(model, spoken);
  const all = allPanel(model, { go, norm, say, heads });
  const bar = hasText ? sentenceBar(model, spoken, (run) => runs.type(run)) : null;
  let tokens = model.get("tokens").length;
  const flip = button("", () => heads.flip(model.get("layer"), model.get("head")), { className: "oe-button oe-primary" });
  const [arcs, pattern, next] = hasText ? [arcsPanel(model, { go, heads, say }), patternPanel(model, { go, say }), nextPanel()] : [];
  const chosen = hasText ? make("div", { className: "oe-heads-chosen" }, arcs.node,
    make("div", { className: "oe-two oe-heads-two" },
      make("section", { className: "oe-heads-next" }, make("div", { className: "oe-row" }, flip), next.node, heads.node, news), pattern.node))
    : make("div", { className: "oe-heads-chosen" }, slices.node,
      make("p", { className: "oe-note" }, "No pattern here: only weights were read. Give a prompt to see what a head looks at."));
  const root = make("section", { className: "oe oe-heads", ariaLabel: "Head explorer" },
    ...(bar ? [bar.node] : []), make("div", { className: "oe-part oe-heads-body" }, all.node, chosen), said, ...(hasText ? [slices.node] : []), seven.node, tag, spoken);
  el.append(root);

  function draw() {
    const run = hasText ? runs.now() : null;
    const [layer, head, before] = [model.get("layer"), model.get("head"), tokens];
    if (run) {
      tokens = run.tokens.length;
      const isLast = before !== tokens && model.get("query") === before - 1; // and stays the last
      if (model.get("query") >= tokens || isLast) return choose(model, { query: tokens - 1 });
    }
    all.show(run);
    slices.show();
    const off = heads.isOff(layer, head);
    first = [`Head ${named(layer, head)}, ${KIND[kinds[layer]]} layer.`];
    if (run) {
      const query = model.get("query");
      const answer = { ...run.next(query), at: query, ids: run.ids, tokens: run.tokens, asked: { off: run.off } };
      heads.show();
      flip.textContent = `Switch head ${named(layer, head)} ${off ? "on" : "off"}`;
      arcs.show(run);
      pattern.show(run, arcs.ranked()[0][0]);
      next.show(answer);
      [first, second] = [arcs.sentence(), effect(answer, run.off)];
    }
    const computed = run ? ` · attention computed ${runs.isHere() ? "in this page" : "by PyTorch"} in float32` : "";
    tag.textContent = `${model.get("name")} · norms of its weights${computed}`;
    say(null);
    spoken.say(heardOf(make("p", {}, ...[...first, " ", ...second].map((part) => part.cloneNode?.(true) ?? part))));
  }

  const stop = redrawOn(model, STATE, draw);
  const unwatch = redrawOnTheme(draw);
  return () => {
    for (const part of [all, arcs, pattern, bar, seven]) part?.stop();
    stop();
    unwatch();
  };
}

export default { render };
