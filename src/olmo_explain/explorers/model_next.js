// What comes next: the most likely tokens as bars, with a tick where each was in the model as it is, and
// writing on, a token at a time.

const BARS = 6;
const PAUSE_TO_READ = 60; // milliseconds between two tokens

function nextPanel() {
  const list = make("ol", { className: "oe-model-bars", ariaLabel: "The most likely next tokens" });
  const rows = Array.from({ length: BARS + 1 }, () => {
    const [token, bar, tick, share] = [make("code"), make("i"), make("b"), make("span", { className: "oe-model-share" })];
    const node = make("li", {}, token, make("span", { className: "oe-model-track", ariaHidden: "true" }, bar, tick), share);
    list.append(node);
    return { node, token, bar, tick, share };
  });
  const title = make("p", { className: "oe-model-title" });
  const key = make("p", { className: "oe-note" });
  const node = make("div", { className: "oe-model-next" }, title, list, key);

  const show = (answer) => {
    const { next, intact, asked } = answer;
    const changed = asked.off.length > 0 || asked.rope !== "per-layer";
    title.textContent = answer.at === answer.ids.length - 1 ? "The next token" : `The next token after ${short(answer.tokens[answer.at])}`;
    const shown = next.tokens.slice(0, BARS).map((token, i) => ({ token, share: next.shares[i], before: next.before[i] }));
    const isMissing = changed && !shown.some(({ token }) => token === intact.token);
    if (isMissing) shown.push({ token: intact.token, before: intact.shares[0], share: intact.shares[1] });
    rows.forEach(({ node, token, bar, tick, share }, i) => {
      node.classList.toggle("oe-model-empty", !shown[i]);
      if (!shown[i]) return;
      token.textContent = visible(shown[i].token);
      bar.style.width = `${100 * shown[i].share}%`;
      tick.style.left = `${100 * shown[i].before}%`;
      tick.hidden = !changed;
      share.textContent = percent(shown[i].share);
    });
    key.textContent = changed ? "Upright mark: its probability in the unchanged model." : "";
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

/** Writing on, until the figure is full, the text ends, or the reader does something else. */
function writer(model, { go, shown, spoken, answered }) {
  let run = null; // what is running: another one, or none, ends it
  const temperature = make("input", { type: "range", min: 0, max: 1.5, step: 0.1, value: 0 });
  const said = make("span");
  const sayTemperature = () => {
    const value = temperature.valueAsNumber;
    said.textContent = value ? `${value.toFixed(1)}: drawn from ${shown().next?.ids.length ?? "the"} likeliest` : "0: always the likeliest";
    temperature.setAttribute("aria-valuetext", said.textContent);
  };
  temperature.addEventListener("input", sayTemperature);
  const start = button("Write on", () => (run ? stop() : write(Infinity)), { className: "oe-button oe-primary" });
  const one = button("One token", () => write(1));
  const back = button("Undo", () => go({ written: [], at: null }), { ariaLabel: "Undo what was written" });
  const note = make("span", { className: "oe-model-label" });
  const node = make("div", { className: "oe-model-write oe-model-row" }, start, one, back,
    make("div", { className: "oe-control" }, labelled("Temperature", temperature), temperature, said), note);

  async function write(count) {
    const mine = (run = {});
    const text = model.get("text");
    show(shown());
    for (let n = 0; n < count; n++) {
      if (model.get("at") !== null) go({ at: null });
      const answer = await answered();
      if (run !== mine || model.get("text") !== text) break;
      if (!answer || answer.at === null || isFull(answer)) break;
      const id = drawn(answer.next, temperature.valueAsNumber);
      if (model.get("ends").includes(id)) break;
      go({ written: [...model.get("written"), id], at: null });
      await answered();
      if (count > 1) await new Promise((done) => setTimeout(done, PAUSE_TO_READ));
    }
    if (run !== mine) return;
    stop();
    if (model.get("text") === text && shown().tail) spoken.say(`Wrote: ${shown().tail}`);
  }
  function stop() {
    run = null;
    show(shown());
  }
  const isFull = (answer) => answer.ids.length + answer.dropped >= model.get("longest");
  const show = (answer) => {
    start.textContent = run ? "Stop" : "Write on";
    rest(start, !run && (isFull(answer) || answer.at === null));
    rest(one, run || isFull(answer) || answer.at === null);
    rest(back, run || !model.get("written").length);
    note.textContent = isFull(answer) ? `${model.get("longest")} tokens are all that the figure writes to.` : "";
    sayTemperature();
  };
  return { node, show, stop: () => run && stop(), isRunning: () => run !== null };
}
