// A tour of seven stops: each sets the figure and says one sentence, with the numbers that it then shows.

/** { changes, say(answer) } for each stop, of the sentence whose halves the slider pulls apart. */
function tourOf(model) {
  const apart = model.get("apart");
  const start = { text: apart[0], written: [], off: [], rope: "per-layer", fault: "", view: "heads", layer: 7, head: 0, at: null };
  const of = (answer, token) => {
    const i = answer.next.tokens.indexOf(token);
    return i < 0 ? "next to nothing" : percent(answer.next.shares[i]);
  };
  const word = " France";
  const plain = (token) => visible(token).replace("␣", "");
  const look = (answer) => answer.pattern[(answer.at) * answer.ids.length + answer.tokens.indexOf(word)];
  const gone = [[7, 0], [7, 1], [7, 2]];
  return [
    { changes: { ...start, layer: 0, at: 2 },
      say: (a) => `Each upright line is one of ${a.ids.length} tokens, and the layers run from top to bottom. After the first “from” the model expects “${plain(a.next.tokens[0])}”.` },
    { changes: { ...start, layer: 0 },
      say: (a) => `After the second “from” it expects “${plain(a.next.tokens[0])}”, with ${of(a, word)}. Something told it what had followed the first.` },
    { changes: start,
      say: (a) => `Here it is: in layer 7, head 0 gives ${percent(look(a))} of its attention to “France”, the word after the earlier “from”.` },
    { changes: { ...start, off: [gone[0]] },
      say: (a) => `Switch that head off, and “France” falls from ${percent(a.intact.shares[0])} to ${of(a, word)}: two more heads do the same work.` },
    { changes: { ...start, off: gone },
      say: (a) => `Without heads 0, 1 and 2 of layer 7 it has ${of(a, word)}, and the model says “${plain(a.next.tokens[0])}”.` },
    { changes: { ...start, text: apart[2] },
      say: (a) => `Pull the halves apart: “France” is ${a.ids.length - 1 - a.tokens.indexOf(word)} tokens back, out of sight of every sliding layer. The full layers still fetch it: ${of(a, word)}.` },
    { changes: { ...start, text: apart[2], rope: "yarn-lost" },
      say: (a) => `The same weights with YaRN lost, as a model that some releases saved runs today: “France” falls to ${of(a, word)}, and no error message appears. Now type a sentence of your own.` },
  ];
}

/** The strip of the tour: closed until it is asked for, left at any time, and then all is as it was. */
function tour(model, { go, answered, spoken, opened }) {
  const stops = tourOf(model);
  const kept = ["text", "written", "off", "rope", "fault", "view", "layer", "head", "at"];
  let [at, before] = [-1, null];
  const open = button(`Show me around: ${stops.length} stops`, () => move(0));
  const sentence = make("p", { className: "oe-model-stop" });
  const where = make("span", { className: "oe-label" });
  const [back, next, leave] = [button("Back", () => move(at - 1)), button("Next", () => move(at + 1), { className: "oe-button oe-primary" }),
    button("Leave the tour", () => end())];
  const strip = make("div", { className: "oe-model-strip", role: "group", ariaLabel: "Tour", hidden: true },
    sentence, make("div", { className: "oe-row" }, where, back, next, leave));
  const node = make("div", { className: "oe-model-tour" }, strip);
  strip.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) move(Math.min(Math.max(at + step, 0), stops.length - 1));
    else if (event.key === "Escape") end();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  async function move(to) {
    if (to >= stops.length) return end();
    opened();
    if (at < 0) before = Object.fromEntries(kept.map((name) => [name, model.get(name)]));
    at = to;
    open.hidden = true;
    strip.hidden = false;
    where.textContent = `${at + 1} of ${stops.length}`;
    rest(back, at === 0);
    next.textContent = at === stops.length - 1 ? "Done" : "Next";
    if (!strip.contains(document.activeElement)) next.focus({ preventScroll: true });
    go(stops[at].changes);
    const answer = await answered();
    if (at !== to) return; // the reader was faster
    strip.scrollIntoView({ block: "start" }); // with the map below it, on a phone too
    sentence.textContent = answer ? stops[at].say(answer) : "The model did not arrive, so there is nothing to show here yet.";
    spoken.say(`Stop ${at + 1} of ${stops.length}. ${sentence.textContent}`);
  }
  /** The reader does something else: what the tour changed beside the text is as it was. */
  function close() {
    if (at < 0) return;
    at = -1;
    strip.hidden = true;
    open.hidden = false;
    go({ off: before.off, rope: before.rope, fault: before.fault });
  }
  function end() {
    close();
    open.focus({ preventScroll: true });
    go(before);
  }
  return { node, open, isOpen: () => at >= 0, close };
}
