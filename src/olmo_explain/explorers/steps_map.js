// The map of a layer: every value that it computes, where it leaves the stream and is added back. It is
// the picker: radio buttons, in the lanes of their steps.

const MAP = [
  { stream: "resid_pre" },
  { block: "Attention", columns: [
    [["Query", "q_proj", "q_norm", "q"], ["Key", "k_proj", "k_norm", "k"], ["Value", "v_proj", "v"], ["Position", "cos", "sin"]],
    [["Compare", "scores", "mask", "masked_scores", "pattern"]],
    [["Hand over", "z", "o_proj", "attn_out"]],
  ] },
  { stream: "resid_mid" },
  { block: "MLP", columns: [
    [["Gate", "gate_proj", "silu"], ["Up", "up_proj"]],
    [["Let through", "intermediate", "down_proj", "mlp_out"]],
  ] },
  { stream: "resid_post" },
];

function stepsMap(model, { go }) {
  const name = `oe-step-${Math.random().toString(36).slice(2, 8)}`;
  const steps = model.get("steps");
  const chipsOf = new Map();
  const chip = (value) => {
    const at = steps.findIndex((step) => step.name === value);
    const radio = make("input", { type: "radio", name, value: at });
    radio.addEventListener("change", () => go({ at }));
    const node = make("label", { className: "oe-step", title: `Step ${steps[at].step}: ${steps[at].formula}` },
      radio, make("code", {}, value));
    chipsOf.set(value, { node, radio });
    return node;
  };
  const lane = ([title, ...values], isAlone) => make("div", { className: `oe-lane${isAlone ? " oe-lane-down" : ""}` },
    make("span", { className: "oe-label" }, title), ...values.map(chip));
  const node = make("div", { className: "oe-steps-map", role: "radiogroup", ariaLabel: "Values of a layer" },
    ...MAP.map(({ stream, block, columns }) => (stream
      ? make("div", { className: "oe-steps-stream" }, chip(stream))
      : make("div", { className: "oe-steps-block" }, make("p", { className: "oe-steps-title" }, block),
        ...columns.map((lanes) => make("div", { className: "oe-steps-lanes" }, ...lanes.map((each) => lane(each, lanes.length === 1))))))));
  const show = () => {
    const about = steps[model.get("at")];
    for (const [value, { node, radio }] of chipsOf) {
      radio.checked = value === about.name;
      node.classList.toggle("oe-step-read", about.reads.includes(value));
    }
  };
  return { node, show };
}
