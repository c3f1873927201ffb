// The sentence of the live figure: a field, what else to try, and the slider that pulls the halves of one
// apart. In a page of the book what a reader types is kept for the other chapters.

const HIGH = 132; // pixels: of more lines the field scrolls

function sentencePanel(model, { go, answered }) {
  const typed = (text) => go({ text, written: [], at: null });
  const field = make("textarea", { rows: 1, spellcheck: false, dir: "auto", maxLength: 20000 });
  field.setAttribute("data-lm-suppress-shortcuts", "true");
  field.setAttribute("autocapitalize", "off");
  const short = (text) => `${text.trim().split(/\s+/).slice(0, 3).join(" ")} …`;
  const attempt = (text, name) => button(name ?? short(text), () => typed(text), { title: text });
  const mine = button("Yours", () => typed(kept.text), { hidden: true });
  const tries = make("div", { className: "oe-model-row oe-model-tries" }, make("span", { className: "oe-model-label" }, "Try:"),
    mine, ...[model.get("own_text"), ...model.get("others")].map((text) => attempt(text)));

  const apart = model.get("apart");
  const lines = make("input", { type: "range", min: 0, max: apart.length - 1, step: 1 });
  lines.setAttribute("data-lm-suppress-shortcuts", "true");
  const said = make("span");
  lines.addEventListener("input", () => typed(apart[lines.valueAsNumber]));
  tries.append(make("div", { className: "oe-control" }, labelled("Pull its halves apart", lines), lines, said));

  const note = make("p", { className: "oe-note" });
  const forget = button("Forget it", () => page().forget(), { className: "oe-button oe-model-chip" });
  const keeping = make("p", { className: "oe-note oe-model-row", hidden: true }, make("span"), forget);
  const node = make("div", { className: "oe-model-sentence" }, labelled("Your sentence", field), field, note, keeping, tries);
  if (!model.get("has_tokenizer")) {
    node.replaceChildren(note);
    note.textContent = "This model came without a tokenizer: its tokens are shown by their ids.";
    return { node, field, tries, show() {}, stop() {} };
  }

  // -- what the page keeps --------------------------------------------------------------------------

  const page = () => window.olmo.sentence;
  let [kept, inView] = [null, false];
  const isMine = () => kept?.text === model.get("text");
  /** Kept once it is read: other explorers are told its tokens, too. */
  async function keep(text) {
    const answer = await answered();
    if (!window.olmo || answer?.asked.text !== text || !answer.ids.length) return;
    if (text === model.get("own_text")) page().forget();
    else page().set(text, answer.ids, answer.tokens);
  }
  const takeUp = () => inView && kept && !isMine() && typed(kept.text);
  const unfollow = follow((sentence) => {
    const before = kept;
    kept = sentence;
    mine.hidden = keeping.hidden = !kept;
    keeping.firstChild.textContent = page().isKept()
      ? "Your sentence is kept in this browser for the chapters; nothing is sent."
      : "This browser keeps nothing: your sentence is gone when you leave the page. Nothing is sent.";
    if (kept) takeUp();
    else if (before?.text === model.get("text")) typed(model.get("own_text"));
  });
  const seen = new IntersectionObserver((entries) => {
    const was = inView;
    inView = entries.at(-1).isIntersecting;
    if (!was) takeUp();
  });
  seen.observe(node);

  field.addEventListener("input", () => {
    const text = field.value.replace(/\p{Surrogate}/gu, "\ufffd"); // half a letter
    typed(text);
    keep(text);
  });

  const show = (answer) => {
    const whole = model.get("text") + (model.get("written").length ? answer.tail : "");
    if (field.value !== whole) field.value = whole;
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight + 2, HIGH)}px`;
    if (model.get("written").length) field.scrollTop = field.scrollHeight;
    const at = apart.indexOf(model.get("text"));
    lines.parentElement.hidden = at < 0;
    if (at >= 0) {
      lines.value = at;
      said.textContent = at ? `${at} ${at === 1 ? "line" : "lines"} between` : "side by side";
      lines.setAttribute("aria-valuetext", said.textContent);
    }
    note.textContent = answer.dropped
      ? `This text has ${count(answer.ids.length + answer.dropped)} tokens: the last ${answer.ids.length} are read.` : "";
  };
  const stop = () => {
    unfollow();
    seen.disconnect();
  };
  return { node, field, tries, show, stop };
}
