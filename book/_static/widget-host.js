// Brings saved anywidgets to life in a published page, where there is no kernel and may be no network.
//
// The build saves each widget's state, its `_esm` module and its `_css` into the page. This reads them
// back and calls `initialize` and `render` as anywidget does (anywidget.dev/en/afm). A change made in
// the page is heard in the page and goes no further: there is nobody behind `save_changes`.
//
// In the page's head, behind the saved state and not deferred, it imports the modules while the rest of
// the page is read, after its first frame: on a slow processor an explorer is there a fifth sooner.

(() => {
  "use strict";

  const STATE = "application/vnd.jupyter.widget-state+json";
  const VIEW = "application/vnd.jupyter.widget-view+json";
  const scripts = (type) => [...document.querySelectorAll(`script[type="${type}"]`)];

  /** The state of one widget, its binary traits laid back into their places. */
  function restore({ state, buffers = [] }) {
    for (const { path, data } of buffers) {
      const letters = atob(data);
      const bytes = new Uint8Array(letters.length);
      for (let at = 0; at < bytes.length; at++) bytes[at] = letters.charCodeAt(at);
      const holder = path.slice(0, -1).reduce((node, key) => node[key], state);
      holder[path.at(-1)] = new DataView(bytes.buffer);
    }
    return state;
  }

  class Model {
    #state;
    #listeners = new Map();

    constructor(state) {
      this.#state = state;
    }

    get(name) {
      return this.#state[name];
    }

    set(name, value) {
      if (Object.is(this.#state[name], value)) return;
      this.#state[name] = value;
      for (const event of [`change:${name}`, "change"]) this.#emit(event, this, value);
    }

    #emit(event, ...said) {
      for (const listener of [...(this.#listeners.get(event) ?? [])]) listener(...said);
    }

    on(event, listener) {
      if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
      this.#listeners.get(event).add(listener);
    }

    off(event, listener) {
      if (listener) this.#listeners.get(event)?.delete(listener);
      else this.#listeners.delete(event);
    }

    save_changes() {}

    /** What Python answers in JupyterLab: here the page has a model of its own, if it is that one. */
    send({ ask }) {
      const answer = (message) => this.#emit("msg:custom", message, []);
      if (ask !== "open") return;
      const opening = this.#state.in_page && window.olmo
        ? window.olmo.open((arrived, parts) => answer({ answer: "progress", arrived, parts }))
        : Promise.reject(new Error("This page cannot run the model: open the notebook in JupyterLab."));
      opening.then(
        (model) => answer({ answer: "open", model }),
        (error) => answer({ answer: "failed", why: error.message }));
    }
  }

  /** Imports a widget's module and initializes its model: once, however many views it has. */
  async function awaken(saved) {
    const state = saved && restore(saved);
    if (!state?._esm) throw new Error("this page holds no saved state that it could start from");
    // A page opened as a file may import no file, but it may import a Blob.
    const url = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
    const { default: exported } = await import(url);
    URL.revokeObjectURL(url);
    document.head.append(Object.assign(document.createElement("style"), { textContent: state._css ?? "" }));

    const widget = typeof exported === "function" ? await exported() : exported;
    const model = new Model(state);
    const { signal } = new AbortController(); // never aborted: the page is the widget's whole life
    await widget.initialize?.({ model, signal });
    return (el) => widget.render?.({ model, el, signal });
  }

  const saved = Object.assign({}, ...scripts(STATE).map((node) => JSON.parse(node.textContent).state));
  const awake = new Map();

  function awakenAll() {
    if (awake.size) return;
    for (const [id, widget] of Object.entries(saved)) {
      if (!widget.state._esm) continue; // a layout
      awake.set(id, awaken(widget));
      awake.get(id).catch(() => {}); // said where it would be drawn
    }
  }

  function draw(script) {
    const id = JSON.parse(script.textContent).model_id;
    const el = document.createElement("div");
    script.after(el);
    Promise.resolve(awake.get(id) ?? awaken())
      .then((render) => render(el))
      .catch((error) => {
        el.className = "oe-widget-error";
        el.setAttribute("role", "alert");
        el.textContent = `This widget could not start: ${error.message}. What it shows is in the figure or table beside it.`;
      });
  }

  // Once the page is read, and before the deferred scripts run, which DOMContentLoaded waits for: on the
  // front page, and where a link leads to a place below them. Else they are far down, and wait for the page.
  const drawAll = () => {
    awakenAll();
    const views = scripts(VIEW);
    if (document.querySelector(".oe-front") || location.hash || document.readyState === "complete") views.forEach(draw);
    else addEventListener("load", () => views.forEach((view) => setTimeout(draw, 0, view)), { once: true });
  };
  if (document.readyState !== "loading") drawAll();
  else {
    requestAnimationFrame(() => setTimeout(awakenAll));
    document.addEventListener("readystatechange", drawAll, { once: true });
  }
})();
