// The ledger: every statement of the report with its verdict, a line each, by what went wrong or by section.

const STATE = ["verdict", "section", "search", "group"];
const ALL = "all";
// A mark and a word for each verdict: colour only repeats them.
const MARK = { reproduced: "✓", corrected: "≠", recorded: "○" };
const LONG = 64; // characters; longer values wait for the line to be opened

/** Text as it is searched: small letters, numbers without thousands separators. */
const plain = (text) => text.toLowerCase().replace(/(\d),(?=\d)/g, "$1");

/** Every word of a search, in the form of `plain`. */
const words = (search) => plain(search).split(/\s+/).filter(Boolean);

/** Where a sibling chapter is, or null where no page has siblings (Colab, an editor's own view). */
function chapterAddress(chapter) {
  // JupyterLab's address ends with the notebook's name; a published page holds its widgets' state.
  if (location.pathname.endsWith(".ipynb")) return `${chapter}.ipynb`;
  const published = document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]');
  return published ? `${chapter}.html` : null;
}

function chapterLink(chapter) {
  if (location.pathname.includes(chapter)) return "this chapter";
  const [text, href] = [`chapter ${parseInt(chapter, 10)}`, chapterAddress(chapter)];
  if (!href) return text;
  // In JupyterLab a tab of its own: the kernel and the notebook at hand stay as they are.
  return make("a", { href, ...(href.endsWith(".ipynb") && { target: "_blank", rel: "noopener" }) }, text);
}

const mark = (verdict) => make("i", { className: "oe-claims-mark", ariaHidden: "true" }, MARK[verdict]);

/** What was measured; where it is not what the report says, from that to this. */
function values({ verdict, claimed, measured }) {
  const node = make("span", { className: "oe-claims-values" });
  const isLong = (verdict === "corrected" ? claimed + measured : measured).length > LONG;
  if (verdict === "recorded") node.append("not measured here");
  else if (isLong) node.append(verdict === "corrected" ? "another value" : "as reported");
  else if (verdict === "corrected") node.append(make("del", {}, claimed), " → ", make("b", {}, measured));
  else node.append(measured);
  return node;
}

function claimLine(claim) {
  const { id, statement, claimed, measured, verdict, how, why, chapter } = claim;
  const options = how.split(/(--\w+)/).map((part, at) => (at % 2 ? make("span", {}, part) : part)); // none is broken in two
  const said = { Reported: [claimed], Measured: [verdict === "recorded" ? "" : measured], Why: [why], "How checked": options };
  const about = make("dl", { className: "oe-claims-about" });
  for (const [name, parts] of Object.entries(said)) if (parts.some(Boolean)) about.append(make("dt", {}, name), make("dd", {}, ...parts));
  about.append(make("dt", {}, "Shown in"), make("dd", {}, chapterLink(chapter)),
    make("dt", {}, "Its name"), make("dd", {}, make("code", {}, id)));
  const summary = make("summary", {}, mark(verdict),
    make("span", { className: "oe-claims-says" }, make("span", { className: "oe-claims-heard" }, `${verdict}: `), ...foldable(statement, /(?<=[a-z]\.)(?=[a-z])/)), values(claim));
  summary.dataset.verdict = verdict;
  return make("li", {}, make("details", {}, summary, about));
}

/** The lines, built once; `show(seen, groups)` puts those that are seen under their headings. */
function ledger(claims) {
  const lines = new Map(claims.map((claim) => [claim, claimLine(claim)]));
  const node = roving(make("div", { className: "oe-claims-list", role: "region", ariaLabel: "The ledger", tabIndex: 0 }));
  const show = (groups) => {
    node.hidden = !groups.length;
    node.replaceChildren(...groups.map(([name, among]) => make("section", { className: "oe-claims-group" },
      make("h3", {}, name, " ", make("span", {}, String(among.length))),
      make("ul", {}, ...among.map((claim) => lines.get(claim))))));
    const first = node.querySelector("summary[tabindex='0']") ?? node.querySelector("summary");
    if (first) node.stopAt(first);
  };
  return { node, show };
}

function searchControl(model) {
  const input = make("input", { type: "search", autocomplete: "off", spellcheck: false, placeholder: "a module, a number, a word" });
  input.addEventListener("input", () => choose(model, { search: input.value }));
  const node = make("div", { className: "oe-control" }, labelled("Search", input), input);
  const show = () => {
    if (input.value !== model.get("search")) input.value = model.get("search");
  };
  return { node, show, focus: () => input.focus() };
}

/** What stands in place of the lines when no claim is left. */
function nothing(model, search) {
  const text = make("span");
  const clear = button("Clear the filters", () => {
    choose(model, { verdict: ALL, section: ALL, search: "" });
    search.focus(); // this button is about to go
  });
  const node = make("p", { className: "oe-claims-nothing" }, text, clear);
  const show = (isEmpty) => {
    const [verdict, section, sought] = STATE.map((trait) => model.get(trait));
    const parts = [verdict !== ALL && `is ${verdict}`, sought.trim() && `holds “${sought.trim()}”`];
    const where = section === ALL ? "" : ` in “${section}”`;
    text.textContent = `No claim${where} ${parts.filter(Boolean).join(" and ")}. `;
    node.hidden = !isEmpty;
  };
  return { node, show };
}

function render({ model, el }) {
  hold(el, "claims");
  const [claims, sections, slips] = ["claims", "sections", "slips"].map((trait) => model.get(trait));
  const texts = claims.map(({ id, statement, claimed, measured, verdict, how, why }) =>
    plain([id, statement, claimed, measured, verdict, how, why].join("\n")));

  const numbers = Object.fromEntries([ALL, ...Object.keys(MARK)].map((value) => [value, make("b")]));
  const face = (value) => {
    const node = make("em", {}, ...(MARK[value] ? [mark(value)] : []), `${value} `, numbers[value]);
    node.dataset.verdict = value;
    return node;
  };
  const verdicts = segments(model, "verdict", { label: "Verdict", options: Object.keys(numbers).map((value) => [value, face(value)]) });
  const group = segments(model, "group", { label: "Group by", options: [["slip", "what went wrong"], ["section", "section"]] });
  const section = wholeMenu(model, "section", { label: "Section", groups: [["", [[ALL, "all"], ...sections.map((name) => [name, name])]]] });
  const search = searchControl(model);
  const [list, empty] = [ledger(claims), nothing(model, search)];
  const [says, spoken] = [make("p", { className: "oe-label" }), status()];
  el.append(make("section", { className: "oe oe-claims", ariaLabel: "Claim explorer" },
    make("div", { className: "oe-part oe-claims-choice" }, verdicts.node, group.node, says, section.node, search.node),
    list.node, empty.node, spoken,
    make("p", { className: "oe-tag" }, `Measured on ${model.get("name")}. Open a line to see how it was checked, and why.`)));

  return redrawOn(model, STATE, () => {
    const [verdict, place, sought, by] = STATE.map((trait) => model.get(trait));
    const wanted = words(sought);
    const found = claims.filter((claim, i) => (place === ALL || claim.section === place) &&
      wanted.every((word) => texts[i].includes(word)));
    const seen = found.filter((claim) => verdict === ALL || claim.verdict === verdict);
    for (const [name, node] of Object.entries(numbers))
      node.textContent = name === ALL ? found.length : found.filter((claim) => claim.verdict === name).length;
    const groups = (by === "slip" ? slips : sections)
      .map((name) => [name, seen.filter((claim) => claim[by] === name)]).filter(([, among]) => among.length);

    for (const control of [verdicts, group, section, search]) control.show();
    list.show(groups);
    empty.show(!seen.length);
    const shown = `${seen.length} of ${claims.length} claims`;
    says.textContent = `${shown} shown`;
    spoken.say(seen.length ? `${shown} shown.` : "No claim is left.");
  });
}

export default { render };
