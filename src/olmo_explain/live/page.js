// `olmo` in the console of every page: the model is loaded at the first call, and never before. What the
// page's explorers share is here too: the one model, and the reader's sentence.
//
// By script tags, since a page that was opened as a file may read no other file in another way. Each
// script leaves what it holds on its own element. The weights come in parts, to say how far they are.

(() => {
  "use strict";

  const here = document.currentScript.src;
  const listeners = new Set();
  let opening = null;

  async function load(name) {
    const script = document.createElement("script");
    script.src = new URL(name, here);
    const ended = new Promise((resolve, reject) => {
      script.onload = resolve;
      script.onerror = () => reject(new Error(
        "The model did not arrive: check the network, and try again."));
    });
    document.head.append(script);
    await ended.finally(() => script.remove()); // sooner, and WebKit may forget whom to tell
    return script;
  }

  async function fetchModel() {
    const { parts, open } = (await load("tiny.js")).model;
    let arrived = 0;
    const loading = parts.map(async (name) => {
      const { part } = await load(name);
      arrived++;
      for (const listener of listeners) listener(arrived, parts.length);
      return part;
    });
    return open(await Promise.all(loading));
  }

  /** The model itself; `progress(arrived, parts)` hears of each part. Loaded once for the whole page. */
  async function open(progress) {
    if (progress) listeners.add(progress);
    opening ??= fetchModel();
    try {
      return await opening;
    } catch (error) {
      opening = null; // the next call tries again
      throw error;
    } finally {
      listeners.delete(progress);
    }
  }

  // The reader's own sentence, with its token ids and what each token reads: typed once, and shown by
  // every explorer that shows one, also by those that never load a tokenizer.
  const KEY = "olmo-explain.sentence";
  const hearing = new Set();
  let own = kept();
  let isKept = true; // what is there was read there

  function kept() {
    try {
      const { text, ids, tokens } = JSON.parse(localStorage.getItem(KEY));
      const isSound = text && typeof text === "string" && ids.every(Number.isInteger) && tokens.length === ids.length;
      return isSound ? { text, ids, tokens } : null;
    } catch {
      return null; // nothing is kept, or may be
    }
  }

  /** Keeps it, null for nothing; whether this browser will know it on the next page. */
  function keep(sentence) {
    own = sentence;
    try {
      if (own) localStorage.setItem(KEY, JSON.stringify(own));
      else localStorage.removeItem(KEY);
      isKept = true;
    } catch {
      isKept = false;
    }
    for (const listener of [...hearing]) listener(own);
    return isKept;
  }

  function again() {
    own = kept();
    for (const listener of [...hearing]) listener(own);
  }
  // Kept in another tab, or while this page was left.
  addEventListener("storage", ({ key }) => (key === KEY || key === null) && again());
  addEventListener("pageshow", ({ persisted }) => persisted && isKept && again());

  const sentence = {
    /** { text, ids, tokens }, or null where the reader has typed none. */
    get: () => own,
    /** Whether this browser will know it on the next page. */
    isKept: () => isKept,
    set: (text, ids, tokens = ids.map(String)) => keep({ text, ids: [...ids], tokens: [...tokens] }),
    forget: () => keep(null),
    /** Calls `listener` with each change; answers with the way back. */
    on(listener) {
      hearing.add(listener);
      return () => hearing.delete(listener);
    },
  };

  window.olmo = {
    open,
    sentence,
    run: async (...asked) => (await open()).run(...asked),
    write: async (...asked) => (await open()).write(...asked),
    verify: async () => (await open()).verify(),
    readHead: async (...asked) => (await load("reader.js")).readHead(...asked),
  };
})();
