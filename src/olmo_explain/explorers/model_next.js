// Writing on, a token at a time.

const PAUSE_TO_READ = 60; // milliseconds between two tokens

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
  const note = make("span", { className: "oe-label" });
  const node = make("div", { className: "oe-model-write oe-row" }, start, one, back,
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
