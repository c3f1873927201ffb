// The bar in which a sentence stands and is typed. In a page the engine computes what follows from it,
// and the page keeps it; in JupyterLab the trait `text` goes to Python, and what follows comes back.

const PAUSE = 300; // ms without a key before Python computes

/**
 * `show(run)` draws the reader's sentence, { text, ids, tokens, session }; `show(null)` what is saved in
 * the traits. Answers with null where there is no text to change.
 */
function sentenceBar(model, spoken, show) {
  const own = model.get("own_text");
  if (!own) return null;
  const field = make("textarea", { rows: 1, dir: "auto", maxLength: MOST_LETTERS, spellcheck: false });
  const label = labelled("Sentence", field);
  const says = make("p", { id: `${field.id}-says`, className: "oe-note", tabIndex: -1 });
  field.setAttribute("aria-describedby", says.id);
  const back = button("", () => (isOwn() ? toChapters() : read(kept.text)));
  const forget = button("Forget it", () => page().forget());
  [label, back, says, forget].forEach((part, at) =>
    part.classList.add(`oe-sentence-${["label", "back", "says", "forget"][at]}`));
  const node = make("div", { className: "oe-sentence" }, label, back, field, says, forget);

  let asked = model.get("text"); // the text that was asked for last
  let run = null; // what is shown of the reader's sentence in a page, null for what is saved
  let session = null; // of this explorer: one token more costs one position
  let kept = null; // what the page keeps for all explorers
  let later = null; // a sentence that waits until the explorer is in view
  let [waiting, failure, inView, frame, timer] = ["", "", false, 0, 0];

  const page = () => window.olmo?.sentence;
  const shown = () => run ?? { text: model.get("text"), tokens: model.get("tokens"), dropped: model.get("dropped") };
  const isOwn = () => shown().text !== own;
  const chapters = () => (window.olmo ? "chapter’s" : "first");

  // -- what the bar says ----------------------------------------------------------------------------

  function describe() {
    const focused = [back, forget].find((button) => button === document.activeElement);
    back.textContent = isOwn() ? `The ${chapters()} sentence` : "Your sentence";
    back.classList.toggle("oe-unseen", !isOwn() && (!kept || kept.text === own));
    forget.hidden = !kept;
    says.textContent = [...about(), kept && keeping()].filter(Boolean).join(" ");
    if (focused?.hidden || focused?.classList.contains("oe-unseen")) says.focus();
  }

  function about() {
    const { tokens, dropped } = shown();
    const whose = isOwn() ? "your sentence" : `the ${chapters()} sentence`;
    const Whose = whose[0].toUpperCase() + whose.slice(1);
    if (failure) return [`${failure} What is shown is ${asked === shown().text ? "" : "still "}${whose}.`];
    if (!asked) return [`There is nothing to read: type a letter or more. What is shown is still ${whose}.`];
    if (waiting) return [`${waiting}. What is shown is ${asked === shown().text ? "" : "still "}${whose}.`];
    const many = `${count(tokens.length)} ${tokens.length === 1 ? "token, which sees only itself" : "tokens"}`;
    return [`${Whose}: ${many}.`, ...notes(dropped),
      isOwn() ? "" : "Type your own."];
  }

  function notes(dropped) {
    return [
      dropped ? `Of its ${count(dropped + shown().tokens.length)} tokens the last ${shown().tokens.length} are read.` : "",
      field.value !== whole(field.value) ? "Half a letter, of two that only together are one, is read as �." : "",
      field.value.length >= MOST_LETTERS ? `A text ends here after ${count(MOST_LETTERS)} letters.` : "",
    ];
  }

  const keeping = () => (page().isKept()
    ? "Kept in this browser for the other chapters, nothing is sent."
    : "This browser keeps nothing: your sentence is gone when you leave the page. Nothing is sent.");

  // -- the model, and what it reads -----------------------------------------------------------------

  /** The engine, null where Python computes, undefined where it failed, which the bar then says. */
  async function opened() {
    [failure, waiting] = ["", waiting || "Waiting for the model"];
    describe();
    try {
      return await engineOf(model, (arrived, parts) => {
        waiting = `Loading tiny: ${arrived} of ${parts} parts`;
        spoken.say(`${waiting}.`);
        describe();
      });
    } catch (error) {
      failure = error.message;
    } finally {
      waiting = "";
      describe();
      if (failure) spoken.say(says.textContent);
    }
  }

  async function read(text, isTyped = false) {
    [asked, later] = [whole(text), null];
    if (field.value !== text) write(text);
    clearTimeout(timer);
    if (!asked) {
      describe();
      return spoken.say(says.textContent);
    }
    const [engine, wanted] = [await opened(), whole(text)];
    if (engine === undefined || asked !== wanted) return; // it failed, or a newer text has overtaken it
    if (engine === null) timer = setTimeout(() => choose(model, { text: wanted }), PAUSE);
    else if (wanted === own) {
      toChapters();
      if (isTyped) page().forget();
    } else {
      const ids = engine.tokenizer.encode(wanted);
      session ??= engine.session.fork();
      const tokens = ids.map((id) => engine.tokenizer.piece(id));
      const [last, dropped] = [(all) => all.slice(-LONGEST), Math.max(ids.length - LONGEST, 0)];
      run = { text: wanted, ids: last(ids), tokens: last(tokens), dropped, session };
      show(run);
      page().set(wanted, ids, tokens);
      describe();
    }
  }

  /** The sentence that is saved: it needs no model, and what is kept for other explorers stays. */
  function toChapters() {
    [asked, later] = [own, null];
    write(own);
    if (run) show((run = null));
    else choose(model, { text: own });
    describe();
  }

  // -- what sets it going ---------------------------------------------------------------------------

  function write(text) {
    field.value = text;
    grow();
  }

  /** As high as its text; the style sheet says how high at most. */
  function grow() {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
  }

  const touched = () => (asked === shown().text ? opened() : read(asked));
  for (const event of ["focusin", "pointerdown"]) field.addEventListener(event, touched);
  field.addEventListener("input", () => {
    grow();
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => read(field.value, true));
  });

  const seen = new IntersectionObserver((entries) => {
    inView = entries.at(-1).isIntersecting;
    if (inView && later !== null) read(later);
  });
  seen.observe(node);
  let width = 0;
  const sized = new ResizeObserver(() => {
    if (width !== (width = node.clientWidth)) requestAnimationFrame(grow); // its height follows
  });
  sized.observe(node);

  const unfollow = follow((sentence) => {
    const before = kept;
    kept = sentence;
    node.hidden = !model.get("in_page"); // this page has no model that could read
    if (!sentence && before && [asked, shown().text].includes(before.text)) toChapters();
    else if (sentence && sentence.text !== asked) {
      if (inView) read(sentence.text);
      else later = sentence.text;
    }
    describe();
  });
  const heard = () => {
    asked = shown().text;
    if (field.value !== asked) write(asked);
    describe();
  };
  const told = ["change:text", "change:tokens", "change:dropped"];
  for (const event of told) model.on(event, heard);
  write(asked);
  describe();

  const stop = () => {
    for (const event of told) model.off(event, heard);
    seen.disconnect();
    sized.disconnect();
    unfollow();
  };
  return { node, stop };
}

/** A text as UTF-8 can hold it: half of a surrogate pair becomes U+FFFD. */
function whole(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
