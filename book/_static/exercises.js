/* The cards of exercises on a page: a field, Check, what is said to the answer, and what was right before.
 *
 * The browser keeps, under "oe-answers", {"05.1": {answer: "3072", state: "right"}, …}: the last answer to
 * each exercise as it was typed. Where it keeps nothing, as in a private window, the page does until it is left.
 */
(() => {
  const KEY = "oe-answers";
  const saved = JSON.parse(document.getElementById("oe-exercises").textContent);
  const bytes = Uint8Array.from(atob(saved.exercises), (letter) => letter.charCodeAt(0));
  const exercises = JSON.parse(new TextDecoder().decode(bytes));
  const { words, marks } = saved.data;

  let unsaved = {};
  function kept() {
    try {
      const found = Object.entries(JSON.parse(localStorage.getItem(KEY)) ?? {});
      return Object.fromEntries(found.filter(([, one]) => typeof one?.answer === "string"));
    } catch {
      return unsaved;
    }
  }
  function keep(answers) {
    unsaved = answers;
    try {
      localStorage.setItem(KEY, JSON.stringify(answers));
    } catch {
      // no storage here
    }
    document.dispatchEvent(new CustomEvent(KEY, { detail: answers }));
  }

  /** A message as nodes: `code` and *stress*. */
  function marked(message) {
    return message.split(/(`[^`]+`|\*\w\*|\*\w[^*]*\w\*)/).map((part, at) => {
      if (at % 2 === 0) return part;
      const node = document.createElement(part[0] === "`" ? "code" : "em");
      node.textContent = part.slice(1, -1);
      return node;
    });
  }

  const cards = Object.entries(exercises).map(([name, exercise]) => {
    const card = document.querySelector(`[data-exercise="${name}"]`);
    const form = card.querySelector("form"), status = card.querySelector("[role=status]");
    const field = form.elements.answer, expected = status.textContent.trim();

    function say(state, message = "") {
      const mark = document.createElement("span"), word = document.createElement("strong");
      mark.textContent = marks[state];
      mark.ariaHidden = "true";
      word.textContent = message ? `${words[state]}:` : words[state];
      status.dataset.state = state;
      status.toggleAttribute("data-explains", Boolean(message));
      status.replaceChildren(mark, " ", word, " ", ...marked(message));
    }
    function checked(text) {
      const value = oeAnswers.read(text, exercise);
      if (value !== null) return oeAnswers.check(exercise, value, saved.data);
      return { state: "open", message: text.trim() ? `that cannot be read. ${expected}` : expected };
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const { state, message } = checked(field.value);
      say(state, message);
      if (state !== "open") keep({ ...kept(), [name]: { answer: field.value, state } });
      count();
    });
    const solution = card.querySelector(".oe-solution");
    solution.addEventListener("toggle", () => {
      solution.querySelector(".oe-answered").replaceChildren(...marked(exercise.shows));
    }, { once: true });
    const hint = card.querySelector(".oe-hint");
    hint.addEventListener("toggle", () => hint.classList.add("oe-read"), { once: true });

    return {
      name,
      recall({ answer }) {
        field.value = answer;
        say(checked(answer).state); // and no more: nothing is to move while the page opens
      },
      forget() {
        form.reset();
        delete status.dataset.state;
        delete status.dataset.explains;
        status.textContent = expected;
      },
    };
  });

  const progress = document.querySelector(".oe-progress");
  const [counted, forget] = progress.children;
  function count() {
    const answers = kept(), here = cards.filter(({ name }) => answers[name]);
    const right = here.filter(({ name }) => answers[name].state === "right");
    counted.textContent = `${right.length} of ${cards.length} right.`;
    forget.disabled = here.length === 0;
  }
  forget.addEventListener("click", () => {
    const others = kept();
    for (const card of cards) {
      delete others[card.name];
      card.forget();
    }
    keep(others);
    count();
  });

  const answers = kept();
  for (const card of cards) if (answers[card.name]) card.recall(answers[card.name]);
  count();
})();
