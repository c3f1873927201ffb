// What comes next: the most likely tokens as bars, with a tick where each was in the model as it is, and
// writing on, a token at a time.

const BARS = 6;

function nextPanel(model, { go, heads }) {
  const list = make("ol", { className: "oe-model-bars" });
  const rows = Array.from({ length: BARS + 1 }, () => {
    const [token, bar, tick, share] = [make("code"), make("i"), make("b"), make("span", { className: "oe-model-share" })];
    const node = make("li", {}, token, make("span", { className: "oe-model-track", ariaHidden: "true" }, bar, tick), share);
    list.append(node);
    return { node, token, bar, tick, share };
  });
  const title = make("h3");
  const key = make("p", { className: "oe-note" });
  const node = make("div", { className: "oe-model-next" }, title, list, key);

  const show = (answer) => {
    const { next, intact } = answer;
    const changed = model.get("off").length > 0 || model.get("rope") !== "per-layer";
    title.textContent = answer.at === answer.ids.length - 1 ? "The next token" : `The next token after ${short(answer.tokens[answer.at])}`;
    const shown = next.tokens.slice(0, BARS).map((token, i) => ({ token, share: next.shares[i], before: next.before[i] }));
    const isMissing = changed && !shown.some(({ token }) => token === intact.token);
    if (isMissing) shown.push({ token: intact.token, share: intact.now, before: intact.share });
    rows.forEach(({ node, token, bar, tick, share }, i) => {
      node.classList.toggle("oe-model-empty", !shown[i]);
      if (!shown[i]) return;
      token.textContent = visible(shown[i].token);
      bar.style.width = `${100 * shown[i].share}%`;
      tick.style.left = `${100 * shown[i].before}%`;
      tick.hidden = !changed;
      share.textContent = percent(shown[i].share);
      share.title = changed ? `was ${percent(shown[i].before)}` : "";
    });
    key.textContent = changed ? "The upright mark: where it was with every head on and the right RoPE." : "";
  };
  return { node, show };
}

/** One of the next tokens: the most likely at temperature 0, else drawn by its share. */
function drawn(next, temperature) {
  if (!temperature) return next.ids[0];
  const weights = Array.from(next.shares, (share) => (share / next.shares[0]) ** (1 / temperature));
  let left = Math.random() * weights.reduce((sum, weight) => sum + weight, 0);
  return next.ids[Math.max(0, weights.findIndex((weight) => (left -= weight) < 0))];
}

/**
 * Writing on, until the text is full, it ends, or the reader stops it. `answered()` resolves with the
 * answer for what is asked now.
 */
function writer(model, { go, answered, longest, ends }) {
  const pause = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 60; // milliseconds: to be read along
  let running = false;
  const temperature = make("input", { type: "range", min: 0, max: 1.5, step: 0.1, value: 0 });
  temperature.setAttribute("data-lm-suppress-shortcuts", "true");
  const said = make("span");
  const sayTemperature = () => {
    const value = temperature.valueAsNumber;
    said.textContent = value ? value.toFixed(1) : "0: always the first";
    temperature.setAttribute("aria-valuetext", said.textContent);
  };
  temperature.addEventListener("input", sayTemperature);
  sayTemperature();
  const start = button("Write on", () => (running ? (running = false) : write(Infinity)), { className: "oe-button oe-primary" });
  const one = button("One token", () => write(1));
  const back = button("Take back", () => go({ written: [], at: null }));
  const node = make("div", { className: "oe-model-write" },
    make("div", { className: "oe-model-row" }, start, one, back),
    make("div", { className: "oe-control" }, labelled("Temperature", temperature), temperature, said));

  async function write(count) {
    if (running) return;
    running = true;
    show();
    for (let n = 0; n < count && running; n++) {
      go({ at: null });
      const answer = await answered();
      if (!answer || !running || answer.at === null || answer.ids.length >= longest) break;
      const id = drawn(answer.next, temperature.valueAsNumber);
      if (ends.includes(id)) break;
      go({ written: [...model.get("written"), id], at: null });
      if (!(await answered())) break;
      if (count > 1) await new Promise((done) => setTimeout(done, pause));
    }
    running = false;
    show();
  }
  const show = () => {
    start.textContent = running ? "Stop" : "Write on";
    start.setAttribute("aria-pressed", String(running));
    one.disabled = running;
    back.disabled = running || !model.get("written").length;
  };
  return { node, show, stop: () => (running = false), isRunning: () => running };
}
