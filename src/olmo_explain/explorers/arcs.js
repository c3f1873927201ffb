// One token looking back at others: arcs, as wide as its shares are large.

const GHOST = 0.35; // the share from which other tokens' looks are drawn, too

const percent = (share) => `${(100 * share).toFixed(1)}%`;
const short = (token, most = 9) => {
  const text = visible(token);
  return [...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text;
};

/** A curve from one token up and over to an earlier one, standing on a line. */
function arc(from, to, ground, height, share, kind = "") {
  const [width, opacity] = [1 + 3 * share, Math.min(1, 0.12 + share ** 0.6)];
  const d = `M${from.toFixed(1)},${ground}C${from.toFixed(1)},${(ground - height * 1.33).toFixed(1)} ` +
    `${to.toFixed(1)},${(ground - height * 1.33).toFixed(1)} ${to.toFixed(1)},${ground}`;
  return svg("path", { d, class: `oe-map-arc ${kind}`, style: `stroke-width:${width.toFixed(2)};opacity:${opacity.toFixed(2)}` });
}

/**
 * All that a head gives from one token, `looker`, to those before it, and faintly what other tokens look at
 * most. `rowOf(token)`: its shares, of itself and each before it. `x(token)`: where it stands on `ground`.
 */
function lookingBack({ x, column, ground, rise, far, looker, off, tokens, rowOf }) {
  const shares = rowOf(looker);
  const high = (distance) => rise * (0.3 + 0.7 * Math.min(1, distance / far));
  const parts = [];
  for (let t = 1; t < tokens; t++) {
    if (t === looker) continue;
    const other = rowOf(t);
    const key = other.indexOf(Math.max(...other.subarray(0, t)));
    if (key >= 0 && key < t && other[key] > GHOST) parts.push(arc(x(t), x(key), ground, high(t - key), other[key] / 4, "oe-map-ghost"));
  }
  const ranked = [...shares].map((share, key) => [key, share]).sort((a, b) => b[1] - a[1]);
  for (const [key, share] of ranked.slice(0, 24))
    if (key < looker && share >= 0.02)
      parts.push(arc(x(looker), x(key), ground, high(looker - key), share, off ? "oe-map-off" : "oe-map-now"));
  const said = []; // percents that do not run into each other
  for (const [key, share] of ranked.slice(0, 4)) {
    if (share < 0.02 || said.some((other) => Math.abs(x(other) - x(key)) < 30)) continue;
    said.push(key);
    parts.push(svg("circle", { cx: x(key), cy: ground, r: Math.min(5, column / 2 + 1.5), class: "oe-map-target" }));
    parts.push(svg("text", { x: x(key), y: ground + 16, class: "oe-map-share" }, `${Math.round(100 * share)}%`));
  }
  parts.push(svg("circle", { cx: x(looker), cy: ground, r: Math.min(5, column / 2 + 2), class: "oe-map-looker" }));
  return { parts, targets: said };
}
