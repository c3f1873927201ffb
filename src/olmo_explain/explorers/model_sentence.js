// The sentence of the live figure: a field, what else to try, and the slider that pulls the halves of one
// apart. In a page of the book what a reader types is kept for the other chapters.

const HIGH = 198; // pixels: of more lines the field scrolls

/** `changed()` hears of another text by the reader's hand; `engine()` is the page's, if it is there. */
function sentencePanel(model, { go, engine, changed }) {
  const choose = (text) => {
    isSettled = true;
    changed();
    go({ text, written: [], at: null });
  };
  const field = make("textarea", { rows: 1, spellcheck: false, dir: "auto", maxLength: MOST_LETTERS });
  field.setAttribute("autocapitalize", "off");
  const beginning = (text) => `${text.trim().split(/\s+/).slice(0, 3).join(" ")} …`;
  const mine = button("Yours", () => choose(kept.text), { hidden: true });
  const texts = [model.get("own_text"), ...model.get("others")].filter(Boolean);
  const tries = make("div", { className: "oe-row oe-model-tries" }, make("span", { className: "oe-label" }, "Try:"),
    mine, ...texts.map((text) => button(beginning(text), () => choose(text), { title: text })));

  const apart = model.get("apart");
  const lines = make("input", { type: "range", min: 0, max: apart.length - 1, step: 1 });
  const said = make("span");
  lines.addEventListener("input", () => choose(apart[lines.valueAsNumber]));
  const pull = make("div", { className: "oe-control" }, labelled("Pull its halves apart", lines), lines, said);

  const note = make("p", { className: "oe-note" });
  const forget = button("Forget it", () => {
    page().forget();
    field.focus({ preventScroll: true });
  }, { className: "oe-button oe-chip" });
  const keeping = make("p", { className: "oe-note oe-row oe-model-keeps", hidden: true }, make("span"), forget);
  const node = make("div", { className: "oe-model-sentence" }, labelled("Your sentence", field), field, note, keeping, tries, pull);
  if (!model.get("has_tokenizer")) {
    node.replaceChildren(note);
    note.textContent = "This model came without a tokenizer: its tokens are shown by their ids.";
    return { node, field, tries, show() {}, stop() {} };
  }

  // -- what the page keeps --------------------------------------------------------------------------

  const page = () => window.olmo.sentence;
  let [kept, inView, isSettled, pending] = [null, false, false, null];
  /** On arrival what is kept is taken up, once: never over something that the reader chose here. */
  function takeUp() {
    if (!kept || !inView || isSettled) return;
    isSettled = true;
    go({ text: kept.text, written: [], at: null });
  }
  /** What was typed is kept once it can be read: other explorers are told its tokens, too. */
  function keep() {
    if (!engine() || !window.olmo || pending === null) return;
    const { tokenizer } = engine();
    const [text, ids] = [pending, tokenizer.encode(pending)];
    pending = null;
    if (!ids.length || text === model.get("own_text")) page().forget();
    else page().set(text, ids, ids.map((id) => tokenizer.piece(id)));
  }
  const offer = () => (mine.hidden = !kept || kept.text === model.get("text"));
  const unfollow = !model.get("in_page") ? () => {} : follow((sentence) => {
    const before = kept;
    kept = sentence;
    keeping.hidden = !kept;
    offer();
    keeping.firstChild.textContent = page().isKept()
      ? "Your sentence is kept in this browser, for the chapters. Nothing is sent."
      : "This browser keeps nothing: your sentence is gone when you leave the page. Nothing is sent.";
    takeUp();
    if (!kept && before) {
      changed();
      if (model.get("text") === before.text) choose(model.get("own_text"));
    }
  });
  const seen = new IntersectionObserver((entries) => {
    inView = entries.at(-1).isIntersecting;
    takeUp();
  });
  seen.observe(node);

  field.addEventListener("input", () => {
    pending = field.value.replace(/\p{Surrogate}/gu, "\ufffd"); // half a letter
    choose(pending);
  });

  const show = (answer, ready) => {
    const whole = model.get("text") + (ready && model.get("written").length ? answer.tail : "");
    if (field.value !== whole && (ready || !model.get("written").length)) field.value = whole;
    if (model.get("written").length) field.scrollTop = field.scrollHeight; // what is below stays where it is
    else {
      field.style.height = "auto";
      field.style.height = `${Math.min(field.scrollHeight + 2, HIGH)}px`;
    }
    offer();
    const at = apart.indexOf(model.get("text"));
    pull.hidden = at < 0;
    if (at >= 0) {
      lines.value = at;
      said.textContent = at ? `${at} ${at === 1 ? "line" : "lines"} between` : "side by side";
      lines.setAttribute("aria-valuetext", said.textContent);
    }
    note.textContent = [
      answer.dropped ? `This text has ${count(answer.ids.length + answer.dropped)} tokens: the last ${answer.ids.length} are read.` : "",
      field.value.length >= MOST_LETTERS ? `A text ends here after ${count(MOST_LETTERS)} letters.` : "",
    ].join(" ").trim();
    if (ready) keep();
  };
  const stop = () => {
    unfollow();
    seen.disconnect();
  };
  const settle = () => { isSettled = true; };
  return { node, field, tries, show, stop, settle };
}
