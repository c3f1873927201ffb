// The sentence behind a word of the glossary, where the word stands. A pointer or the focus shows it;
// a finger's first tap too, which would leave the page otherwise. The sentence is the link's title.
(() => {
  const terms = document.querySelectorAll("a.oe-term[title]");
  if (!terms.length) return;
  const card = document.createElement("div");
  card.className = "oe-card";
  card.id = "oe-card";
  card.setAttribute("role", "tooltip");
  card.hidden = true;
  document.body.append(card);
  let shown = null;
  let closing = 0;

  const close = () => {
    shown?.removeAttribute("aria-describedby");
    shown = null;
    card.hidden = true;
  };
  const closeSoon = () => { closing = setTimeout(close, 200); };
  const open = (term) => {
    clearTimeout(closing);
    if (shown === term) return;
    close();
    shown = term;
    term.setAttribute("aria-describedby", card.id);
    const whole = Object.assign(document.createElement("a"), { href: term.href, textContent: "Glossary" });
    card.replaceChildren(term.dataset.card, " ", whole);
    card.hidden = false;
    const at = term.getClientRects()[0];
    const room = document.documentElement.clientWidth - card.offsetWidth - 8;
    card.style.left = `${Math.max(8, Math.min(at.left, room)) + scrollX}px`;
    const above = at.bottom + card.offsetHeight + 12 > innerHeight && at.top > card.offsetHeight + 12;
    card.style.top = `${(above ? at.top - card.offsetHeight - 6 : at.bottom + 6) + scrollY}px`;
  };

  for (const term of terms) {
    term.dataset.card = term.title;
    term.removeAttribute("title");
    let touched = false;
    term.addEventListener("pointerdown", (event) => { touched = event.pointerType !== "mouse"; });
    term.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && open(term));
    term.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && closeSoon());
    term.addEventListener("focus", () => open(term));
    term.addEventListener("blur", closeSoon);
    term.addEventListener("click", (event) => {
      if (!touched) return;
      event.preventDefault();
      open(term);
    });
  }
  card.addEventListener("pointerenter", () => clearTimeout(closing));
  card.addEventListener("pointerleave", closeSoon);
  card.addEventListener("focusin", () => clearTimeout(closing));
  card.addEventListener("focusout", closeSoon);
  addEventListener("keydown", (event) => event.key === "Escape" && close());
  addEventListener("pointerdown", (event) => {
    if (shown && !card.contains(event.target) && !shown.contains(event.target)) close();
  });
})();
