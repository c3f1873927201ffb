// Looks through the sections of the book (sections.js), for the words typed and those that mean the same.

(() => {
  "use strict";
  const MOST = 40;
  const [field] = document.querySelectorAll("main .oe-search input");
  const place = document.getElementById("search-results");
  const up = document.documentElement.dataset.content_root ?? "./";
  const escaped = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  // A word is found in any number and form: "heads" in "head", "normalizing" in "normalized".
  const stem = (word) => (word.length > 4 ? word.replace(/(?:ies|ing|es|ed|s)$/, "") : word);
  const pattern = (word, flags = "i") => new RegExp(`(?<![\\p{L}\\p{N}])${escaped(stem(word))}`, `${flags}u`);

  /** What was typed as terms, each with its own word first and then those that mean the same. */
  function termsOf(typed) {
    let rest = ` ${typed.toLowerCase().replace(/[^\p{L}\p{N}_.-]+/gu, " ").trim()} `;
    const terms = [];
    const known = SAME.flatMap((group) => group.map((word) => [word, group]));
    for (const [word, group] of known.sort(([a], [b]) => b.length - a.length)) {
      const as = [` ${word} `, ` ${word}s `].find((form) => rest.includes(form));
      if (!as) continue;
      rest = rest.replace(as, " ");
      terms.push([word, ...group.filter((other) => other !== word)]);
    }
    return [...terms, ...rest.split(" ").map((word) => word.replace(/^[-.]+|[-.]+$/g, "")).filter(Boolean).map((word) => [word])]
      .map((words) => words.map((word) => ({ word, find: pattern(word) })));
  }

  /** How well a section answers one term: 0, not at all; a title counts more than text. */
  function scoreOf([, page, title, text], words) {
    return Math.max(...words.map(({ find }, at) => {
      const weight = at ? 0.5 : 1;
      const often = text.match(new RegExp(find, "giu"))?.length ?? 0;
      return weight * (20 * find.test(title) + 9 * find.test(page) + (often && 3 + Math.min(often, 6)));
    }));
  }

  function find(terms, enough) {
    const found = [];
    for (const section of SECTIONS) {
      const scores = terms.map((words) => scoreOf(section, words));
      if (scores.filter(Boolean).length < enough) continue;
      const bonus = section[0].startsWith("notebooks/") ? 10 : section[0].startsWith("book/api") ? -20 : 0;
      found.push([scores.reduce((sum, score) => sum + score, bonus), section]);
    }
    return found.sort(([a], [b]) => b - a).map(([, section]) => section);
  }

  const make = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };

  /** A piece of the text around the first word found, the words marked. */
  function excerpt(text, terms) {
    const finds = terms.flatMap((words) => words.map((one) => one.find));
    const first = finds.map((one) => text.search(one)).filter((at) => at >= 0)[0] ?? 0;
    const from = first < 70 ? 0 : text.indexOf(" ", first - 60) + 1;
    const isCut = text.length > from + 180;
    const to = isCut ? text.lastIndexOf(" ", from + 180) : text.length;
    const piece = `${from ? "… " : ""}${text.slice(from, to)}${isCut ? " …" : ""}`;
    const all = new RegExp(finds.map((one) => `${one.source}[\\p{L}\\p{N}]*`).join("|"), "giu");
    const nodes = [];
    let at = 0;
    for (const match of piece.matchAll(all)) {
      nodes.push(piece.slice(at, match.index), make("mark", { textContent: match[0] }));
      at = match.index + match[0].length;
    }
    return [...nodes, piece.slice(at)];
  }

  function show() {
    const typed = field.value.trim();
    place.replaceChildren();
    if (!typed) return;
    const terms = termsOf(typed);
    let found = terms.length ? find(terms, terms.length) : [];
    const isPart = !found.length && terms.length > 1;
    if (isPart) found = find(terms, 1);
    const others = [...new Set(terms.flatMap((words) => words.slice(1).map(({ word }) => word)))];
    const count = `${found.length} section${found.length === 1 ? "" : "s"}`;
    const parts = [
      isPart ? `No section has all of these words; ${count} with some of them` : `${count} found`,
      found.length > MOST ? `, the best ${MOST} shown` : "",
      others.length ? `. Also looked for: ${others.join(", ")}` : "",
    ];
    const said = found.length
      ? `${parts.join("")}.`
      : `“${typed}” did not match any section. Try one word of it, or a name from the code, such as q_proj; the glossary explains the words of this book.`;
    place.append(make("p", { className: "search-summary", role: "status" }, said));
    if (!found.length) {
      const link = (to, name) => make("a", { href: up + to, className: "oe-button" }, name);
      place.append(make("p", { className: "oe-places" }, link("book/glossary.html", "Open the glossary"), link("book/index.html#chapters", "See all chapters")));
    }
    place.append(make("ol", { className: "oe-results" }, ...found.slice(0, MOST).map((section) => {
      const [to, page, title, text] = section;
      const name = title === page ? title : `${page} › ${title}`;
      return make("li", {}, make("a", { href: up + to }, make("strong", {}, name), make("span", {}, ...excerpt(text, terms))));
    })));
  }

  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.focus();
  field.addEventListener("input", show);
  field.form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
