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
    model.send({ ask: "open" });
  });
}

/** The engine from what Python sent: its text, what it must know of the model, and the weights. */
async function started({ engine, about }, [weights]) {
  const url = URL.createObjectURL(new Blob([`${engine}\nexport default live;`], { type: "text/javascript" }));
  const { default: live } = await import(url);
  URL.revokeObjectURL(url);
  return live.openModel({ ...about, weights: numbers(weights, Uint8Array) });
}

/** What Python answers, its arrays laid over their bytes; what the engine answers stays as it is. */
function unpacked(answer) {
  if (answer instanceof DataView) return numbers(answer, Float32Array);
  if (Array.isArray(answer) || answer === null || typeof answer !== "object") return answer;
  if (ArrayBuffer.isView(answer)) return answer;
  return Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, unpacked(value)]));
}
