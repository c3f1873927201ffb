// What the model can do wrongly: RoPE as some releases had it, and faults by the names of `diagnose`.

const REGIME = [
  ["per-layer", "as designed", "YaRN in the full layers alone, as OLMo 3 was trained."],
  ["yarn-everywhere", "YaRN everywhere", "YaRN in every layer: what transformers 5.0 to 5.12 ran."],
  ["yarn-lost", "YaRN lost", "YaRN in no layer: what newer releases run of a model that those saved."],
];
const WHOLE = { rope: "per-layer", fault: "" };

/** Regimes, where there is YaRN; a menu of faults; a sentence on what is wrong, and the way back. */
function faultsPanel(model, { go }) {
  const faults = model.get("faults");
  const called = ({ name, detail }) => (detail ? `${name} (${detail})` : name);
  const rope = segments(model, "rope", { label: "Positions (RoPE)", go, options: REGIME });
  const menu = wholeMenu(model, "fault", { label: "Break it", go: (fault) => go({ fault }),
    groups: [["", [["", "nothing is broken"], ...faults.map((fault) => [fault.name, called(fault)])]]] });
  const said = make("span");
  const mend = button("Mend it", () => {
    go(WHOLE);
    menu.node.querySelector("select").focus({ preventScroll: true });
  }, { className: "oe-button oe-chip" });
  const node = make("div", { className: "oe-model-positions" },
    make("div", { className: "oe-row oe-model-faults" }, ...(model.get("has_yarn") ? [rope.node] : []), menu.node),
    make("p", { className: "oe-note oe-row" }, said, mend));
  const show = () => {
    rope.show();
    menu.show();
    const [, , regime] = REGIME.find(([value]) => value === model.get("rope"));
    const fault = faults.find(({ name }) => name === model.get("fault"));
    const sentences = [fault && `${fault.name}: ${fault.says}.`, (!fault || model.get("rope") !== WHOLE.rope) && regime];
    said.textContent = sentences.filter(Boolean).join(" ");
    mend.hidden = !isBroken({ rope: model.get("rope"), fault: model.get("fault") });
  };
  return { node, show };
}
