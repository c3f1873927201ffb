// `olmo` in the console of every page: the model is loaded at the first call, and never before.
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
        `The model did not arrive (${script.src}): check the network, and call again.`));
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

  window.olmo = {
    open,
    run: async (...asked) => (await open()).run(...asked),
    write: async (...asked) => (await open()).write(...asked),
    verify: async () => (await open()).verify(),
  };
})();
