// The small things of every page: Ctrl K, the field of the live figure, and which chapters were read.

(() => {
  "use strict";
  const shown = (node) => node.checkVisibility();

  // Ctrl K, or ⌘ K: the search field that is in sight, or the one in the menu.
  const isMac = navigator.platform.startsWith("Mac");
  if (isMac) for (const hint of document.querySelectorAll(".oe-search kbd")) hint.textContent = "⌘ K";
  addEventListener("keydown", (event) => {
    const held = isMac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
    if (event.key.toLowerCase() !== "k" || !held || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const fields = [...document.querySelectorAll(".oe-search input")];
    if (!fields.some(shown)) document.getElementById("oe-nav")?.showPopover();
    const field = fields.find(shown);
    field?.focus({ preventScroll: true });
    field?.select();
  });

  // Sphinx's script keeps Escape from the browser, which would close what is open over the page.
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.querySelector("[popover]:popover-open")?.hidePopover();
  }, true);
  for (const over of document.querySelectorAll("[popover]")) {
    over.addEventListener("click", (event) => {
      if (event.target.closest("a") && over.matches(":popover-open")) over.hidePopover();
    });
  }

  // The contents beside the text make room while something wider than the text passes over them.
  const contents = document.querySelector(".oe-contents");
  const wide = document.querySelectorAll('div.cell:has(> .cell_output script[type$="widget-view+json"])');
  if (contents && wide.length) {
    const over = new Set();
    const { top, bottom } = contents.getBoundingClientRect();
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) over[isIntersecting ? "add" : "delete"](target);
      contents.classList.toggle("oe-covered", over.size > 0);
    }, { rootMargin: `${-top}px 0px ${Math.min(0, bottom - innerHeight)}px` });
    for (const cell of wide) seen.observe(cell);
  }

  // The theme marks the section last seen, at the top of a page too, which is above all of them.
  // It may do so after the last step of a smooth scroll.
  const unmark = () => {
    if (scrollY < 80) for (const link of document.querySelectorAll(".oe-contents a.active")) link.classList.remove("active");
  };
  for (const event of ["scroll", "scrollend"]) addEventListener(event, unmark, { passive: true });

  // "Type your own sentence" leads to the figure; with the script, into its field.
  document.querySelector('a[href="#your-sentence"]')?.addEventListener("click", (event) => {
    const field = document.querySelector("#your-sentence textarea");
    if (!field) return;
    event.preventDefault();
    field.focus({ preventScroll: true });
    field.select();
    field.scrollIntoView({ block: "center" });
  });

  // A chapter is read when its end was in sight. It is kept in this browser, and nowhere else.
  const KEY = "oe-read";
  const nameOf = (address) => /\/notebooks\/(\w+)\.html/.exec(address)?.[1];
  const kept = () => {
    try {
      return new Set(JSON.parse(localStorage.getItem(KEY) ?? "[]"));
    } catch {
      return new Set();
    }
  };
  const forget = document.querySelector(".oe-forget");
  const tick = () => {
    const read = kept();
    for (const link of document.querySelectorAll(".oe-nav li > a")) {
      const isRead = read.has(nameOf(link.href));
      if (isRead === link.classList.contains("oe-read")) continue;
      link.classList.toggle("oe-read", isRead);
      if (isRead) link.append(Object.assign(document.createElement("span"), { className: "oe-heard", textContent: ", read" }));
      else link.querySelector(".oe-heard")?.remove();
    }
    if (forget) forget.hidden = !read.size;
  };
  forget?.addEventListener("click", () => {
    localStorage.removeItem(KEY);
    tick();
  });
  tick();
  const here = nameOf(location.pathname);
  const end = document.querySelector(".oe-turn");
  if (here && end) {
    new IntersectionObserver((seen, observer) => {
      if (!seen.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      localStorage.setItem(KEY, JSON.stringify([...kept().add(here)]));
      tick();
    }).observe(end);
  }
})();
