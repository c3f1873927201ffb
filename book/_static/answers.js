/* What is said to an answer on a page: olmo_explain/course in JavaScript, on what exported.py writes.
 *
 * A whole number is a BigInt here and any other number a Number, as Python tells int from float; a
 * tuple is an array, a set a Set, None null.
 */
var oeAnswers = (() => {
  // -- What a reader types ----------------------------------------------------------------------

  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const WHOLE = /^[-+]?\d+$/;
  const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
  const GROUPED = /^[-+]?[1-9]\d{0,2}((,\d{3})+|( \d{3})+|(_\d{3})+|(['’]\d{3})+)(\.\d+)?$/;
  const QUOTES = /^[\s`'"“”‘’]+|[\s`'"“”‘’]+$/g;

  const bare = (text) => text.replace(QUOTES, "");

  /** The number that a text is, or null: 4,096 · 4 096 · −3 · 0,25 · 2.5e3 · 2.5 × 10³ · 1/4 · 12 %. */
  function number(text) {
    const [above, below, ...more] = text.split("/");
    if (below !== undefined) {
      const [a, b] = [number(above), number(below)];
      return more.length || a === null || b === null ? null : Number(a) / Number(b);
    }
    let plain = bare(text)
      .replace(/[\u00a0\u2009\u202f]/g, " ")
      .replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+/, (power) => `^${[...power].map((d) => (d === "⁻" ? "-" : SUPERSCRIPTS.indexOf(d))).join("")}`)
      .replace(/[−–]/g, "-")
      .replace(/\s*[×x*·]\s*10\s*(?:\^|\*\*)\s*(-?\d+)/, "e$1");
    const share = plain.endsWith("%");
    if (share) plain = plain.slice(0, -1).trim();
    if (GROUPED.test(plain)) plain = plain.replace(/[, _'’]/g, "");
    else if (/^[-+]?\d*,\d+$/.test(plain)) plain = plain.replace(",", ".");
    if (!NUMBER.test(plain)) return null;
    if (share) return Number(plain) / 100;
    return WHOLE.test(plain) ? BigInt(plain.replace("+", "")) : Number(plain);
  }

  /** One of several values: a number, None or a name; "layer 7" is 7. */
  function item(text) {
    const plain = bare(text).replace(/^(layer|head)\s+(?=\d)/i, "");
    return /^none$/i.test(plain) ? null : number(plain) ?? plain;
  }

  /** The parts of (32, 128) · 32 × 128 · 4,096, 11,008 · 32 128; and of 7.1, as heads are called. */
  function parts(text) {
    const inside = text.replace(/^[\s([{]+|[\s)\]},]+$/g, "").replace(/(\d)\s*[x*]\s*(?=\d)/gi, "$1×");
    const words = inside.split(/\s+/);
    if (/^\s*\d{1,2}\.\d\s*$/.test(text)) return text.split(".");
    if (words.length > 1 && words.every((word) => number(word) !== null)) return words;
    const separator = [/[;×]/, /,\s/, /,/, /\s/].find((one) => one.test(inside)) ?? /\n/;
    return inside.split(separator).filter((part) => part.trim());
  }

  const READ = {
    count: (text) => number(text),
    number: (text) => number(text),
    name: (text) => bare(text) || null,
    values: (text) => (parts(text).length ? parts(text).map(item) : null),
    names: (text) => {
      const names = text.replace(/[()[\]{}]/g, " ").split(/[\s,;&]+/).map(bare);
      const found = names.filter((name) => name && name !== "and");
      return found.length ? new Set(found) : null;
    },
  };

  /** An answer as typed, or null where it cannot be read as what is asked for. */
  function read(text, { kind, unit }) {
    const own = unit && new RegExp(`\\s*${unit}?$`, "i"); // "1 call", too
    return READ[kind](own ? text.trim().replace(own, "") : text);
  }

  // -- Whether two are the same, as answers.py ----------------------------------------------------

  const isInt = (value) => typeof value === "bigint";
  const isNumber = (value) => isInt(value) || typeof value === "number";
  const size = (value) => Math.abs(Number(value));

  /** Python's math.isclose. */
  function close(a, b, tolerance) {
    a = Number(a), b = Number(b);
    if (a === b) return true;
    return Number.isFinite(a) && Number.isFinite(b)
      && Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b));
  }

  function same(right, answer, tolerance, data) {
    if (isNumber(right)) {
      if (!isNumber(answer)) return false;
      if (tolerance === null && isInt(right)) return answer == right; // across both types
      if (Number(right) === 0) return size(answer) <= (tolerance ?? 0);
      return close(right, answer, tolerance ?? data.close);
    }
    if (typeof right === "string") {
      return typeof answer === "string" && answer.toLowerCase() === right.toLowerCase();
    }
    if (right instanceof Set) {
      return answer instanceof Set && answer.size === right.size && [...answer].every((v) => right.has(v));
    }
    if (Array.isArray(right)) {
      return Array.isArray(answer) && answer.length === right.length
        && right.every((each, at) => same(each, answer[at], tolerance, data));
    }
    return right === answer;
  }

  // -- What went wrong in any exercise, as slips.py -----------------------------------------------

  const filled = (template, ...values) => values.reduce((text, value) => text.replace("{}", () => value), template);

  function findSlip(right, answer, exercise, data) {
    if (isNumber(right) && isNumber(answer)) return inNumbers(right, answer, exercise, data);
    if (Array.isArray(right) && Array.isArray(answer)) return inTuples(right, answer, exercise, data);
    if (right instanceof Set && answer instanceof Set) return inSets(right, answer, data);
    return null;
  }

  function inNumbers(right, answer, exercise, { says, factors, exact, near }) {
    const r = Number(right), a = Number(answer), count = isInt(right);
    if (!Number.isFinite(a)) return says.infinite;
    exact = count ? exact : 1e-3;
    if (r && close(a, -r, exact)) return says.sign;
    if (Math.abs(r) > 2 && Math.abs(a - r) === 1) return says["by one"];
    if (count && roundedCount(r, a)) return says["rounded count"];
    if (count && close(a, r, 1e-3)) return says["near a count"];
    if (r && close(a * r, 1, exact)) return says["upside down"];
    for (const [by, said] of factors[exercise.factors]) {
      if (r && close(a, r * by, exact)) return said;
    }
    if (!count && close(a, r, near)) return rounded(r, a) ? says.rounded : says.near;
    return null;
  }

  /** Whether the answer is the right one to as many digits as it has. */
  function rounded(right, answer) {
    const [digits, exponent] = answer.toExponential().split("e");
    const last = Number(exponent) - Math.max(0, digits.replace("-", "").length - 2); // its power of ten
    const kept = Number(right.toExponential().split("e")[1]) - last + 1;
    return kept > 0 && kept <= 100 && Number(right.toPrecision(kept)) === answer;
  }

  const roundedCount = (right, answer) =>
    right > 1e5 && [2, 3, 4].some((digits) => Number(right.toPrecision(digits)) === answer);

  /** By size, names after numbers. */
  const ordered = (values) => [
    ...values.filter(isNumber).sort((a, b) => Number(a) - Number(b)),
    ...values.filter((v) => !isNumber(v)).sort(),
  ];

  function inTuples(right, answer, { tolerance }, data) {
    const { says } = data;
    const isShape = [...right, ...answer].every(isInt);
    const axes = (values) => values.filter((v) => v !== 1n).join();
    const product = (values) => values.reduce((a, b) => a * b, 1n);
    if (same(ordered(right), ordered(answer), tolerance, data)) return says.order;
    if (isShape && axes(right) === axes(answer)) return says["size 1"];
    if (answer.length !== right.length) {
      return isShape && product(right) === product(answer) ? says.axes : filled(says.length, answer.length);
    }
    const wrong = right.flatMap((each, at) => (same(each, answer[at], tolerance, data) ? [] : [at + 1]));
    return wrong.length < right.length ? filled(says.values, right.length, wrong.join(", ")) : null;
  }

  function inSets(right, answer, { says }) {
    const extra = [...answer].filter((v) => !right.has(v)).sort();
    if (extra.length === answer.size) return null;
    if (extra.length) return filled(says.extra, extra.join(", "));
    return filled(says.more, right.size - answer.size);
  }

  // -- As checking.py -----------------------------------------------------------------------------

  /** A value as exported.py writes it. */
  function revived(written) {
    if (Array.isArray(written)) return written.map(revived);
    if (written?.n !== undefined) return BigInt(written.n);
    return written?.set ? new Set(written.set) : written;
  }

  /** Whether an answer is right, and what is said to it; `data`: what exercises have in common. */
  function check(exercise, answer, data) {
    const right = revived(exercise.right);
    const is = (value) => same(value, answer, exercise.tolerance, data);
    if (is(right)) return { state: "right", message: exercise.shows };
    const wrong = exercise.wrong.find(([, values]) => values.some((value) => is(revived(value))));
    const message = wrong ? wrong[0] : findSlip(right, answer, exercise, data) ?? exercise.hint;
    return { state: "wrong", message };
  }

  return { read, check, revived };
})();
