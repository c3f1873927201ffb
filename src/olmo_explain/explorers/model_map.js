// The map of the model: tokens are lines going down, layers are rows, and an arc is one token looking
// back at another. The chosen layer is open and shows one head; the others show their strongest arcs.

const OPEN = 132; // pixels that the open layer is high
const ARC = { least: 0.1, most: 4 }; // of a closed layer: shares that are drawn, and how many
const NAME = 13; // pixels from an upright name to the next

/** Where everything is: tokens from left to right, rows from top to bottom, for a width in pixels. */
function layout(width, tokens, kinds, open) {
  const narrow = width < 520;
  const [left, right] = narrow ? [46, 72] : [104, 132];
  const column = (width - left - right) / tokens.length;
  const names = tokens.map((token) => short(token));
  const longest = Math.max(...names.map((name) => [...name].length));
  const upright = longest * 7.4 + 8 > column;
  const top = upright ? Math.min(longest, 9) * 7.4 + 12 : 22; // else the chips above are the names
  const height = kinds.length > 12 ? 13 : narrow ? 22 : 26;
  const rows = [{ name: "embedding", y: top, height }];
  for (const layer of kinds.keys()) {
    const last = rows.at(-1);
    rows.push({ layer, y: last.y + last.height, height: layer === open ? OPEN : height });
  }
  const last = rows.at(-1);
  rows.push({ name: "final_norm", y: last.y + last.height, height });
  const x = (t) => left + (t + 0.5) * column;
  return { width, narrow, left, right, column, names, upright, top, rows, x, bottom: rows.at(-1).y + height + 2 };
}

/**
 * The map and what can be done in it. `shown()`: the answer that is drawn; `look(t)`: what the token
 * under the pointer is, null for none; `go(changes)`: what a click changes.
 */
function modelMap(model, { shown, go }) {
  const picture = svg("svg", { role: "img", class: "oe-map" });
  const node = make("div", { className: "oe-map-frame" }, picture);
  const kinds = model.get("layer_types");
  let [place, hovered] = [null, null];

  const looksFrom = (answer, layer, head) => {
    const keys = answer.at + 1;
    return answer.looks.subarray((layer * model.get("heads") + head) * keys, (layer * model.get("heads") + head + 1) * keys);
  };
  // What is drawn is what was answered, also while something else is asked for.
  const isOff = (layer, head) => shown().asked.off.some(([l, h]) => l === layer && h === head);
  const from = (layer, token) =>
    kinds[layer] === "sliding_attention" ? Math.max(0, token - model.get("sliding_window") + 1) : 0;

  /** Of a closed layer: the strongest look at each earlier token, over the heads that are on. */
  function strongest(answer, layer) {
    const most = new Map();
    for (let head = 0; head < model.get("heads"); head++)
      if (!isOff(layer, head))
        looksFrom(answer, layer, head).forEach((share, key) => {
          if (key < answer.at && share >= Math.max(ARC.least, most.get(key) ?? 0)) most.set(key, share);
        });
    return [...most].sort((a, b) => b[1] - a[1]).slice(0, ARC.most);
  }

  /** Of the open layer: all that the chosen head gives from one token to each, itself included. */
  function patternRow(answer, token) {
    const T = answer.ids.length;
    const start = (model.get("head") * T + token) * T;
    return answer.pattern.subarray(start, start + token + 1);
  }

  function openRow(answer, row, looker) {
    const { x, column } = place;
    const ground = row.y + row.height - 24;
    const off = isOff(row.layer, model.get("head"));
    const far = Math.max(1, looker - from(row.layer, looker));
    return lookingBack({ x, column, ground, rise: row.height - 52, far, looker, off,
      tokens: answer.ids.length, rowOf: (token) => patternRow(answer, token) });
  }

  function rowLabel(row) {
    if (row.name) return place.narrow ? { embedding: "embed", final_norm: "out" }[row.name] : { embedding: "Embedding", final_norm: "Output" }[row.name];
    if (place.rows.length > 14 && row.layer !== shown().asked.layer && row.layer % 4) return "";
    const kind = kinds[row.layer] === "full_attention" ? " full" : "";
    return place.narrow ? `${row.layer}${kind && " full"}` : `Layer ${row.layer}${kind}`;
  }

  function draw(answer) {
    const width = Math.round(node.clientWidth);
    if (!width || answer.at === null) return picture.replaceChildren();
    const [layer, head] = [answer.asked.layer, model.get("head")];
    place = layout(width, answer.tokens, kinds, layer);
    const { x, column, left, right, rows, bottom, narrow } = place;
    picture.setAttribute("viewBox", `0 0 ${width} ${bottom}`);
    picture.style.height = `${bottom}px`;
    const looker = Math.min(hovered ?? answer.at, answer.ids.length - 1);
    const parts = [];

    for (const [depth, row] of rows.entries()) {
      const open = row.layer === layer;
      if (open) parts.push(svg("rect", { x: 0, y: row.y, width, height: row.height, class: "oe-map-open", rx: 6 }));
      if (row.layer !== undefined) {
        const first = from(row.layer, open ? looker : answer.at);
        const last = open ? looker : answer.at;
        parts.push(svg("rect", { x: x(first) - column / 2, y: row.y + row.height - (open ? 26 : 5), class: "oe-map-sight",
          width: x(last) - x(first) + column, height: open ? 4 : 3, rx: 1.5 }));
      }
      const label = svg("text", { x: narrow ? 2 : 8, y: row.y + (open ? 20 : row.height / 2 + 4), class: `oe-map-row${open ? " oe-map-chosen" : ""}` }, rowLabel(row));
      parts.push(label);
      if (open) {
        const sees = kinds[layer] === "sliding_attention" ? `window of ${model.get("sliding_window")}` : "sees all";
        if (!narrow) parts.push(svg("text", { x: 8, y: row.y + 37, class: "oe-map-kind" }, sees),
          svg("text", { x: 8, y: row.y + 54, class: "oe-map-kind" }, "grey: others"));
        parts.push(svg("text", { x: narrow ? 2 : 8, y: row.y + row.height - 20, class: "oe-map-row oe-map-chosen" },
          `${narrow ? "head " : "Head "}${head}${isOff(layer, head) ? (narrow ? " off" : ", off") : ""}`));
      }
      const [token, share] = [answer.lens.tokens[depth], answer.lens.shares[depth]];
      if (row.name !== "final_norm") {
        const y = row.y + (open ? 20 : row.height / 2 + 4);
        const agrees = token === answer.lens.tokens.at(-1) ? " oe-map-agrees" : "";
        if (rows.length <= 14 || open || !(depth % 4) || depth === kinds.length) {
          parts.push(svg("text", { x: width - right + 14, y, class: `oe-map-token${agrees}` }, short(token, narrow ? 8 : 9)));
          if (!narrow) parts.push(svg("text", { x: width - 4, y, class: `oe-map-percent${agrees}` }, percent(share)));
        }
      }
    }
    for (let t = 0; t < answer.ids.length; t++)
      parts.push(svg("line", { x1: x(t), x2: x(t), y1: place.top - 2, y2: bottom - 8,
        class: `oe-map-line${t === answer.at ? " oe-map-at" : t > answer.at ? " oe-map-later" : ""}` }));

    let targets = [];
    for (const row of rows) {
      if (row.layer === undefined) continue;
      if (row.layer === layer) {
        const opened = openRow(answer, row, looker);
        parts.push(...opened.parts);
        targets = opened.targets;
      } else
        for (const [key, share] of strongest(answer, row.layer))
          parts.push(arc(x(answer.at), x(key), row.y + row.height - 4, row.height - 9, share));
    }
    const named = []; // what is looked at comes first, then whatever has room beside it
    for (const t of new Set([looker, answer.at, ...targets, ...answer.ids.keys()]))
      if (place.upright && named.every((other) => Math.abs(x(other) - x(t)) >= NAME)) named.push(t);
    for (const t of named) {
      const kind = `oe-map-name${t === looker ? " oe-map-chosen" : ""}${t > answer.at ? " oe-map-later" : ""}`;
      parts.push(svg("text", { transform: `translate(${x(t) + 4},${place.top - 6}) rotate(-90)`, class: kind }, place.names[t]));
    }
    const title = svg("text", { x: width - right + 14, y: 14, class: "oe-map-kind" }, narrow ? "guess" : "best guess here");
    const end = rows.at(-1);
    const next = `next: ${short(answer.next.tokens[0])} ${percent(answer.next.shares[0])}`;
    const ends = x(answer.at) + 8 > width - right - 90;
    const last = svg("text", { x: x(answer.at) + (ends ? -8 : 8), y: end.y + end.height / 2 + 5,
      "text-anchor": ends ? "end" : "start", class: "oe-map-token oe-map-chosen" }, next);
    picture.replaceChildren(...parts, title, last);
    picture.setAttribute("aria-label", described(answer));
    node.dispatchEvent(new CustomEvent("oe-layout", { detail: place }));
  }

  function described(answer) {
    const guesses = answer.lens.tokens.map((token, depth) => {
      const where = depth ? `after layer ${depth - 1}` : "after the embedding";
      return `${where} ${visible(token)}, ${percent(answer.lens.shares[depth])}`;
    });
    return `${answer.tokens.length} tokens through ${kinds.length} layers. Best next token if the stream ended there: ${guesses.join("; ")}.`;
  }

  const spot = (event) => {
    const box = picture.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const t = Math.floor((px - place.left) / place.column);
    return {
      token: t >= 0 && t < place.names.length ? t : null,
      row: py < place.top ? null : place.rows.find(({ y, height }) => py >= y && py < y + height) ?? null,
    };
  };
  picture.addEventListener("pointermove", (event) => {
    if (!place || event.pointerType === "touch") return;
    const { token } = spot(event);
    if (token === hovered) return;
    hovered = token;
    draw(shown());
    node.dispatchEvent(new CustomEvent("oe-hover", { detail: hovered }));
  });
  picture.addEventListener("pointerleave", () => {
    if (hovered === null) return;
    hovered = null;
    draw(shown());
    node.dispatchEvent(new CustomEvent("oe-hover", { detail: null }));
  });
  picture.addEventListener("click", (event) => {
    if (!place) return;
    const { token, row } = spot(event);
    if (row?.name) go({ view: "values", step: row.name, ...(token === null ? {} : { at: token }) });
    else if (row && row.layer !== shown().asked.layer) go({ layer: row.layer });
    else if (token !== null) go({ at: token });
  });
  // In the next frame: the map's height follows from its width.
  const sized = new ResizeObserver(() =>
    place?.width !== Math.round(node.clientWidth) && requestAnimationFrame(() => draw(shown())));
  sized.observe(node);

  return { node, draw, stop: () => sized.disconnect(), patternRow, looker: (answer) => hovered ?? answer.at };
}
