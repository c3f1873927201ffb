// The length of the reader's sentence, for an explorer that shows no text.

/**
 * How long the reader's sentence is, and what `trait` is then; beside it the way there, and back to the
 * chapter's number. `atOnce`: it becomes that without being asked. `told(tokens, value)` is the sentence about it.
 */
function lengthLine(model, trait, { value, told, atOnce = true }) {
  const chapters = model.get(trait);
  let own = null; // the value for the reader's sentence
  const words = make("span");
  const other = () => (model.get(trait) === own ? chapters : own);
  const switched = button("", () => choose(model, { [trait]: other() }));
  const node = make("p", { className: "oe-sentence-length", hidden: true }, words, switched);
  const show = () => {
    node.hidden = own === null;
    switched.textContent = model.get(trait) === own ? `The chapter’s: ${count(chapters)}` : `Yours: ${count(own ?? 0)}`;
  };
  const stop = follow((sentence) => {
    const before = own;
    own = sentence && value(sentence.ids.length);
    if (sentence) {
      const tokens = sentence.ids.length === 1 ? "1 token" : `${count(sentence.ids.length)} tokens`;
      words.textContent = `${told(tokens, count(own))} Counted with tiny’s tokenizer: ` +
        "one with a larger vocabulary makes fewer.";
      if (atOnce || model.get(trait) === before) choose(model, { [trait]: own });
    } else if (model.get(trait) === before) choose(model, { [trait]: chapters });
    show();
  });
  return { node, show, stop };
}
