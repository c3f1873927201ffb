// The claim explorer: every statement of the report with its verdict, by verdict, section and words.

const STATE = ["verdict", "section", "search"];
const ALL = "all";
// A mark and a word for each verdict: colour only repeats them.
const MARK = { reproduced: "✓", corrected: "≠", recorded: "○" };
const COLUMNS = ["verdict", "claim", "measured", "shown in"];
const LONG = 120; // characters; longer values are not written out beside what says them already

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

// The roles say again what the elements are: drawn as cards, on a phone, a table would lose them.
const cell = (name, ...content) =>
  make("td", { role: "cell", className: `oe-claims-${name}` }, ...content);

/** What was measured; where it is not what the report says, from that to this. */
function values({ verdict, claimed, measured }) {
  if (verdict === "recorded") return "–";
  if (verdict === "reproduced") return measured.length > LONG ? "as claimed" : measured;
  if (claimed.length + measured.length > LONG) return "see the note";
  return make("span", {}, `${claimed} → `, make("b", {}, measured));
}

function claimRow(claim) {
  const says = make("th", { role: "rowheader", scope: "row", className: "oe-claims-says" }, claim.statement);
  if (claim.why) says.append(make("p", { className: "oe-claims-why" }, claim.why));
  says.append(make("p", { className: "oe-claims-how" }, `Check: ${claim.how} `, make("code", {}, claim.id)));
  const verdict = make("span", { className: "oe-claims-badge" },
    make("i", { ariaHidden: "true" }, MARK[claim.verdict]), claim.verdict);
  const row = make("tr", { role: "row" }, cell("verdict", verdict), says,
    cell("measured", values(claim)), cell("chapter", chapterLink(claim.chapter)));
  row.dataset.verdict = claim.verdict;
  return row;
}

/** The table, built once; `show(seen)` hides what is not among the claims seen. */
function ledger(claims, sections) {
  const rows = claims.map(claimRow);
  const head = make("tr", { role: "row" }, ...COLUMNS.map((text) =>
    make("th", { role: "columnheader", scope: "col" }, text)));
  const groups = sections.map((section) => {
    const title = make("tr", { role: "row", className: "oe-claims-section" },
      make("th", { role: "rowheader", scope: "rowgroup", colSpan: COLUMNS.length }, section));
    return make("tbody", { role: "rowgroup" }, title,
      ...rows.filter((_, i) => claims[i].section === section));
  });
  const table = make("table", { role: "table", ariaLabel: "Claims" },
    make("thead", { role: "rowgroup" }, head), ...groups);
  const node = make("div", { className: "oe-claims-list", role: "region", ariaLabel: "The ledger", tabIndex: 0 }, table);
  const show = (seen) => {
    node.hidden = !seen.size;
    rows.forEach((row, i) => (row.hidden = !seen.has(claims[i])));
    sections.forEach((section, i) => (groups[i].hidden = ![...seen].some((c) => c.section === section)));
  };
  return { node, show };
}

/** Radio buttons for the verdict, each with how many claims it would show. */
function verdictControl(model) {
  const name = `oe-verdict-${Math.random().toString(36).slice(2, 8)}`;
  const choices = [ALL, ...Object.keys(MARK)].map((value) => {
    const input = make("input", { type: "radio", name, value });
    input.addEventListener("change", () => choose(model, { verdict: value }));
    const output = make("b");
    const mark = make("i", { ariaHidden: "true" }, MARK[value] ?? "");
    return { value, input, output, node: make("label", {}, input, mark, `${value} `, output) };
  });
  const node = make("fieldset", { className: "oe-claims-verdicts" }, make("legend", {}, "Verdict"),
    ...choices.map((choice) => choice.node));
  const show = (counts) => {
    for (const { value, input, output } of choices) {
      input.checked = value === model.get("verdict");
      output.textContent = counts[value];
    }
  };
  return { node, show };
}

function searchControl(model) {
  const input = make("input", { type: "search", autocomplete: "off", spellcheck: false });
  input.addEventListener("input", () => choose(model, { search: input.value }));
  const node = make("div", { className: "oe-control" }, labelled("Search", input), input);
  const show = () => {
    if (input.value !== model.get("search")) input.value = model.get("search");
  };
  return { node, show, focus: () => input.focus() };
}

/** What stands in place of the table when no claim is left. */
function nothing(model, search) {
  const text = make("span");
  const clear = make("button", { type: "button" }, "Clear the filters");
  clear.addEventListener("click", () => {
    choose(model, { verdict: ALL, section: ALL, search: "" });
    search.focus(); // this button is about to go
  });
  const node = make("p", { className: "oe-claims-nothing" }, text, clear);
  const show = (empty) => {
    const [verdict, section, sought] = STATE.map((trait) => model.get(trait));
    const parts = [verdict !== ALL && `is ${verdict}`, sought.trim() && `holds “${sought.trim()}”`];
    const where = section === ALL ? "" : ` in “${section}”`;
    text.textContent = `No claim${where} ${parts.filter(Boolean).join(" and ")}. `;
    node.hidden = !empty;
  };
  return { node, show };
}

function render({ model, el }) {
  keepKeys(el);
  const [claims, sections] = [model.get("claims"), model.get("sections")];
  const texts = claims.map(({ id, statement, claimed, measured, verdict, how, why }) =>
    plain([id, statement, claimed, measured, verdict, how, why].join("\n")));

  const verdicts = verdictControl(model);
  const section = menu(model, "section", { label: "Section",
    options: [[ALL, "all"], ...sections.map((name) => [name, name])] });
  const search = searchControl(model);
  const [table, empty] = [ledger(claims, sections), nothing(model, search)];
  const [says, spoken] = [make("p", { className: "oe-note" }), status()];
  el.append(make("section", { className: "oe oe-claims", ariaLabel: "Claim explorer" },
    make("div", { className: "oe-controls" }, verdicts.node, section.node, search.node),
    says, table.node, empty.node, spoken));

  return redrawOn(model, STATE, () => {
    const [verdict, place, sought] = STATE.map((trait) => model.get(trait));
    const wanted = words(sought);
    const found = claims.filter((claim, i) => (place === ALL || claim.section === place) &&
      wanted.every((word) => texts[i].includes(word)));
    const counts = { [ALL]: found.length };
    for (const name of Object.keys(MARK))
      counts[name] = found.filter((claim) => claim.verdict === name).length;
    const seen = new Set(found.filter((claim) => verdict === ALL || claim.verdict === verdict));

    verdicts.show(counts);
    section.show();
    search.show();
    table.show(seen);
    empty.show(!seen.size);
    const shown = `${seen.size} of ${claims.length} claims`;
    says.textContent = `Measured on ${model.get("name")}. Shown: ${shown}.`;
    spoken.say(seen.size ? `${shown} shown.` : "No claim is left.");
  });
}

export default { render };
