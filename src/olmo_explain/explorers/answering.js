// Who computes. In a published page it is the engine in the page, which its host opens; in JupyterLab
// Python sends that engine, or computes itself and sets the traits that are shown.

const openings = new WeakMap(); // model → the engine, or the promise of it

/** The engine that computes here, loaded at the first call; null where Python computes. */
function engineOf(model, progress = () => {}) {
  if (!openings.has(model)) {
    const opening = asked(model, progress);
    opening.catch(() => openings.delete(model)); // the next touch tries again
    openings.set(model, opening);
  }
  return openings.get(model);
}

function asked(model, progress) {
  return new Promise((resolve, reject) => {
    const hear = (message, buffers) => {
      if (message.answer === "progress") return progress(message.arrived, message.parts);
      model.off("msg:custom", hear);
      if (message.answer === "failed") reject(new Error(message.why));
      else if (message.answer === "python") resolve(null);
      else resolve(message.model ?? started(message, buffers));
    };
    model.on("msg:custom", hear);
    try {
      model.send({ ask: "open" });
    } catch { // JupyterLab's, where the kernel has forgotten the widget
      model.off("msg:custom", hear);
      reject(new Error("Python does not answer: run the cell again."));
    }
  });
}

/** The engine from what Python sent: its text, what it must know of the model, and the weights. */
async function started({ engine, about }, [weights]) {
  const url = URL.createObjectURL(new Blob([`${engine}\nexport default live;`], { type: "text/javascript" }));
  const { default: live } = await import(url);
  URL.revokeObjectURL(url);
  return live.openModel({ ...about, weights: numbers(weights, Uint8Array) });
}

/** What Python answers, as the engine does: float32 laid over bytes, attention out of uint16. */
function unpacked(answer) {
  const whole = (name, value) => {
    if (value instanceof DataView)
      return name === "looks" || name === "pattern"
        ? Float32Array.from(numbers(value, Uint16Array), (share) => share / 65535) : numbers(value, Float32Array);
    if (Array.isArray(value) || value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([inner, part]) => [inner, whole(inner, part)]));
  };
  return whole("", answer);
}
