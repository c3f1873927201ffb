// What comes next: the most likely tokens as bars, with a tick where each was in the model as it is.

const BARS = 6;
const isBroken = ({ rope = "per-layer", fault = "" }) => rope !== "per-layer" || fault !== "";

function nextPanel() {
  const list = make("ol", { className: "oe-bars", ariaLabel: "The most likely next tokens" });
  const rows = Array.from({ length: BARS }, () => {
    const [token, bar, tick, share] = [make("code"), make("i"), make("b"), make("span", { className: "oe-share" })];
    const node = make("li", {}, token, make("span", { className: "oe-track", ariaHidden: "true" }, bar, tick), share);
    list.append(node);
    return { node, token, bar, tick, share };
  });
  const title = make("p", { className: "oe-title" });
  const key = make("p", { className: "oe-note" });
  const node = make("div", { className: "oe-next" }, title, list, key);

  const show = (answer) => {
    const { next, intact, asked } = answer;
    const changed = asked.off.length > 0 || isBroken(asked);
    title.textContent = answer.at === answer.ids.length - 1 ? "The next token" : `The next token after ${short(answer.tokens[answer.at])}`;
    const shown = next.tokens.slice(0, BARS).map((token, i) => ({ token, share: next.shares[i], before: next.before[i] }));
    const isMissing = changed && !shown.some(({ token }) => token === intact.token);
    if (isMissing) shown[BARS - 1] = { token: intact.token, before: intact.shares[0], share: intact.shares[1] };
    rows.forEach(({ node, token, bar, tick, share }, i) => {
      node.classList.toggle("oe-empty", !shown[i]);
      if (!shown[i]) return;
      token.textContent = visible(shown[i].token);
      bar.style.width = `${100 * shown[i].share}%`;
      tick.style.left = `${100 * shown[i].before}%`;
      tick.hidden = !changed;
      share.textContent = percent(shown[i].share);
    });
    key.textContent = changed ? "Upright mark: its probability in the unchanged model." : "";
  };
  return { node, show };
}
