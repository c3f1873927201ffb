// The head explorer: norms of every head's slices, and the pattern of the chosen one.

const STATE = ["layer", "head", "projection", "query", "tokens", "patterns"];
const SHOWN_KEYS = 5;

// Viridis at five points: even steps of lightness, readable without colour vision.
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** The colour of `t` in [0, 1] as [red, green, blue]. */
function viridis(t) {
  const at = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((c, i) => Math.round(c + (at - low) * (VIRIDIS[low + 1][i] - c)));
}

/** Where a head's numbers stand in each projection. Queries share key-value heads under GQA. */
function slices(model) {
  const [head, size] = [model.get("head"), model.get("head_dim")];
  const kv = Math.floor((head * model.get("kv_heads")) / model.get("heads"));
  const range = (h) => `${h * size}:${(h + 1) * size}`;
  const [across, down] = [`${size} × ${model.get("hidden_size")}`, `${model.get("hidden_size")} × ${size}`];
  return {
    q_proj: [`[${range(head)}, :]`, across],
    k_proj: [`[${range(kv)}, :]`, across],
    v_proj: [`[${range(kv)}, :]`, across],
    o_proj: [`[:, ${range(head)}]`, down],
  };
}

function normsPanel(model, norms) {
  const [kinds, heads] = [model.get("layer_types"), model.get("heads")];
  const [layers, names] = [kinds.length, model.get("projections")];
  const norm = (projection, layer, head) =>
    norms[(names.indexOf(projection) * layers + layer) * heads + head];

  const canvas = make("canvas", { role: "img" });
  const marker = make("div", { className: "oe-frame" });
  const everyLayer = layers > 16 ? 4 : 1;
  const everyHead = heads > 16 ? 4 : 1;
  const rows = kinds.map((kind, layer) =>
    make("span", {}, layer % everyLayer && kind !== "full_attention" ? "" :
      `${kind === "full_attention" ? "full " : ""}${layer}`));
  const columns = Array.from({ length: heads }, (_, head) =>
    make("span", {}, head % everyHead ? "" : String(head)));
  const [least, most] = [make("span"), make("span")];
  pickable(canvas, (layer, head) => choose(model, { layer, head }));
  const title = make("h3");
  const node = make("section", {}, title,
    make("div", { className: "oe-heads-grid" },
      make("div", { className: "oe-heads-layers", ariaHidden: "true" }, ...rows),
      make("div", { className: "oe-matrix" }, canvas, marker),
      make("div", { className: "oe-heads-columns", ariaHidden: "true" }, ...columns),
      make("div", { className: "oe-heads-scale" }, least, make("i"), most)));

  let painted = null;
  const show = () => {
    const [projection, layer, head] = [model.get("projection"), model.get("layer"), model.get("head")];
    if (painted !== projection) {
      const all = norms.subarray(names.indexOf(projection) * layers * heads).subarray(0, layers * heads);
      const [low, high] = [Math.min(...all), Math.max(...all)];
      paint(canvas, layers, heads, (l, h) =>
        [...viridis((norm(projection, l, h) - low) / (high - low || 1)), 255]);
      [least.textContent, most.textContent] = [low.toFixed(2), high.toFixed(2)];
      title.textContent = `Norm of ${projection}, by layer (down) and head (across)`;
      canvas.ariaLabel = `${layers} layers by ${heads} heads, coloured by the Frobenius norm of ` +
        `${projection}, from ${low.toFixed(2)} to ${high.toFixed(2)}.`;
      painted = projection;
    }
    frame(marker, layers, heads, layer, head);
  };
  return { node, show, norm };
}

function numbersPanel(model, norms, norm) {
  const longest = Math.max(...norms, model.get("initial_norm"));
  const rows = {};
  const body = make("tbody");
  for (const name of model.get("projections")) {
    const [slice, shape, value, bar] =
      [make("code"), make("td"), make("td", { className: "oe-number" }), make("i")];
    const initial = make("b", { style: `left:${(100 * model.get("initial_norm")) / longest}%` });
    rows[name] = { slice, shape, value, bar };
    body.append(make("tr", {},
      make("th", { scope: "row" }, name), make("td", {}, slice), shape, value,
      make("td", { style: "width:25%" },
        make("span", { className: "oe-heads-bar", ariaHidden: "true" }, bar, initial))));
  }
  const head = make("tr", {}, ...["weight", "slice", "shape", "norm", ""].map((text) =>
    make("th", { scope: "col", className: text === "norm" ? "oe-number" : "" }, text)));
  head.lastChild.replaceWith(make("td"));
  const title = make("h3");
  const node = make("section", {}, title,
    make("table", {}, make("thead", {}, head), body),
    make("p", { className: "oe-note" },
      `The upright line is the norm that initialisation gives: ${model.get("initial_norm").toFixed(2)}.`));

  const show = () => {
    const [layer, chosen] = [model.get("layer"), model.get("head")];
    title.textContent = `Head ${chosen} of layer ${layer}: its four slices`;
    for (const [name, [slice, shape]] of Object.entries(slices(model))) {
      const value = norm(name, layer, chosen);
      rows[name].slice.textContent = slice;
      rows[name].shape.textContent = shape;
      rows[name].value.textContent = value.toFixed(4);
      rows[name].bar.style.width = `${(100 * value) / longest}%`;
    }
  };
  return { node, show };
}

/** Tokens, and what each head gives to each key: as it is saved. */
function savedPatterns(model) {
  const patterns = numbersIn(model, "patterns", Uint16Array);
  return () => {
    const [tokens, heads] = [model.get("tokens"), model.get("heads")];
    const T = tokens.length;
    const weight = (layer, head, query, key) =>
      patterns()[((layer * heads + head) * T + query) * T + key] / 65535;
    return { tokens, weight, of: patterns() };
  };
}

/** The same of the reader's sentence, computed in the page. */
function ownPatterns({ session, ids, tokens }) {
  const rows = session.attention(ids);
  const weight = (layer, head, query, key) => {
    const { data } = rows[layer][query].pattern; // (H, its keys): none behind the query
    return key > query ? 0 : data[head * (query + 1) + key];
  };
  return { tokens, weight, of: rows };
}

function patternPanel(model, bar) {
  if (!model.get("tokens").length) {
    return { node: make("p", { className: "oe-note" },
      "No pattern here: only weights were read. Give a prompt to see what a head attends to."),
      show() {}, strongest: () => "" };
  }
  const canvas = make("canvas", { role: "img" });
  const marker = make("div", { className: "oe-frame" });
  const queries = tokenLabels("oe-heads-tokens oe-heads-queries", 44);
  const keys = tokenLabels("oe-heads-tokens oe-heads-keys", 44);
  const body = make("tbody");
  const [title, caption, note] = [make("h3"), make("caption"), make("p", { className: "oe-note" })];
  let run = { tokens: [] };
  const named = (at) => visible(run.tokens[at] ?? "");
  const control = slider(model, "query", {
    label: "Query token", max: 0, say: (at) => `${at} ${named(at)}`, width: 10,
  });
  pickable(canvas, (query) => choose(model, { query }));
  const square = make("div", { className: "oe-heads-square" },
    queries.node, make("div", { className: "oe-matrix" }, canvas, marker), keys.node);
  const table = make("table", {}, caption,
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "at"),
      make("th", { scope: "col" }, "token"),
      make("th", { scope: "col", className: "oe-number" }, "attention"))),
    body);
  const node = make("section", { className: "oe-heads-pattern" }, title, note, ...(bar ? [bar.node] : []),
    make("div", { className: "oe-controls" }, control.node),
    make("div", { className: "oe-heads-looking" }, square, table));

  const ranked = (query) => {
    const weight = (key) => run.weight(model.get("layer"), model.get("head"), query, key);
    return Array.from({ length: query + 1 }, (_, key) => [key, weight(key)])
      .sort((a, b) => b[1] - a[1]).slice(0, SHOWN_KEYS);
  };
  const strongest = () => {
    const [key, value] = ranked(model.get("query"))[0];
    return `Token ${model.get("query")} attends most to token ${key}, ${named(key)}, with ${value.toFixed(4)}.`;
  };

  let painted = {};
  const show = (shown) => {
    const [layer, head, query] = [model.get("layer"), model.get("head"), model.get("query")];
    const kind = KIND[model.get("layer_types")[layer]];
    const T = shown.tokens.length;
    run = shown;
    control.range(0, T - 1);
    if (painted.of !== run.of || painted.layer !== layer || painted.head !== head) {
      // The square root lets weak attention be seen beside strong.
      paint(canvas, T, T, (q, k) => [18, 150, 130, Math.round(255 * Math.sqrt(run.weight(layer, head, q, k)))]);
      title.textContent = `Attention pattern of head ${head} in layer ${layer} (${kind} attention)`;
      note.textContent = kind === "sliding"
        ? `A sliding layer sees the last ${model.get("sliding_window")} tokens, the current one included.`
        : "A full layer sees every earlier token.";
      canvas.ariaLabel = `${T} query tokens by ${T} key tokens; the stronger the colour, the more attention.`;
      painted = { of: run.of, layer, head };
    }
    frame(marker, T, T, query);
    const top = ranked(query);
    queries.show(run.tokens, query);
    keys.show(run.tokens, top[0][0]);
    caption.textContent = `What token ${query}, ${named(query)}, attends to`;
    body.replaceChildren(...top.map(([key, value]) => make("tr", {},
      make("td", {}, String(key)), make("td", {}, make("code", {}, named(key))),
      make("td", { className: "oe-number" }, value.toFixed(4)))));
    control.show();
  };
  return { node, show, strongest };
}

function render({ model, el }) {
  keepKeys(el);
  const norms = numbers(model.get("norms"), Float32Array);
  const kinds = model.get("layer_types");

  const controls = [
    slider(model, "layer", {
      label: "Layer", max: kinds.length - 1, width: 10,
      say: (layer) => `${layer} ${KIND[kinds[layer]]}`,
    }),
    slider(model, "head", { label: "Head", max: model.get("heads") - 1 }),
    menu(model, "projection", {
      label: "Colour by", options: model.get("projections").map((name) => [name, `norm of ${name}`]),
    }),
  ];
  const grid = normsPanel(model, norms);
  const table = numbersPanel(model, norms, grid.norm);
  const [spoken, saved] = [status(), savedPatterns(model)];
  let [own, tokens] = [null, model.get("tokens").length];
  const bar = sentenceBar(model, spoken, (run) => {
    own = run && ownPatterns(run);
    draw();
  });
  const pattern = patternPanel(model, bar);
  const root = make("section", { className: "oe oe-heads", ariaLabel: "Head explorer" },
    make("p", { className: "oe-note" }, `Model: ${model.get("name")}`),
    make("div", { className: "oe-controls" }, ...controls.map((control) => control.node)),
    make("div", { className: "oe-heads-panels" }, grid.node, table.node),
    pattern.node, spoken);
  el.append(root);

  function draw() {
    const run = own ?? saved();
    const [query, before] = [model.get("query"), tokens];
    tokens = run.tokens.length;
    const isLast = before !== tokens && query === before - 1; // and stays the last
    if (tokens && (query >= tokens || isLast)) return choose(model, { query: tokens - 1 });
    for (const part of [...controls, grid, table]) part.show();
    pattern.show(run);
    spoken.say(`Layer ${model.get("layer")}, head ${model.get("head")}. ${pattern.strongest()}`);
  }

  const stop = redrawOn(model, STATE, draw);
  return () => {
    stop();
    bar?.stop();
  };
}

export default { render };
