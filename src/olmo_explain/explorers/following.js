// The reader's own sentence, which the page keeps for all its explorers and for the other chapters.

const LONGEST = 128; // tokens: of a longer text the last ones are read
const MOST_LETTERS = 6000; // of one word as long as this the tokenizer takes a second

/**
 * Calls `heard` with the sentence, { text, ids, tokens } or null, and again with each change; answers with the
 * way back. Never in JupyterLab, where Python holds what an explorer shows.
 */
function follow(heard) {
  let stop = () => {};
  const start = () => {
    if (!window.olmo) return;
    stop = window.olmo.sentence.on(heard);
    heard(window.olmo.sentence.get());
  };
  // An explorer may be drawn before the page's script has run, which is deferred.
  if (window.olmo || document.readyState === "complete") start();
  else addEventListener("load", start, { once: true });
  return () => stop();
}
