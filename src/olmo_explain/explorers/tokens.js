// A sentence as its tokens: one of them is looked at.

/** The tokens as chips, in one line that scrolls; `trait` is the one that is chosen. */
function chips(model, { go, trait = "at" }) {
  const name = `oe-at-${Math.random().toString(36).slice(2, 8)}`;
  const line = make("div", { className: "oe-chips", role: "radiogroup", ariaLabel: "Tokens" });
  const step = (by) => () => go({ [trait]: shownAt + by });
  const [earlier, later] = [button("Earlier token", step(-1)), button("Later token", step(1))];
  let [made, shownAt] = [null, 0];
  const focus = () => line.children[shownAt]?.firstChild.focus({ preventScroll: true });
  const show = (answer) => {
    const focused = line.contains(document.activeElement);
    shownAt = answer.at ?? 0;
    if (!made || !same(made, answer.tokens)) {
      line.replaceChildren(...answer.tokens.map((token, t) => {
        const radio = make("input", { type: "radio", name, value: t });
        radio.addEventListener("change", () => go({ [trait]: t }));
        return make("label", { title: `token ${answer.ids[t]}, position ${t}` }, radio, make("code", {}, visible(token)));
      }));
      made = answer.tokens;
    }
    rest(earlier, !shownAt);
    rest(later, shownAt >= answer.ids.length - 1);
    const chosen = line.children[shownAt];
    if (!chosen) return;
    chosen.firstChild.checked = true;
    if (focused) focus(); // it may be a token of the sentence before
    const [left, right] = [chosen.offsetLeft - line.offsetLeft, chosen.offsetLeft - line.offsetLeft + chosen.offsetWidth];
    if (left < line.scrollLeft || right > line.scrollLeft + line.clientWidth) line.scrollLeft = left - line.clientWidth / 2;
  };
  /** Above their lines in the map, where they are not too wide for that. */
  const align = ({ upright, left, right, narrow }) => {
    line.classList.toggle("oe-aligned", !upright);
    line.style.padding = upright ? "" : `4px ${right}px 0 ${left}px`;
  };
  return { node: line, buttons: [earlier, later], align, show, focus };
}
