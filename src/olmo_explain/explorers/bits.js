// What the bits of a number say.

// Bits of sign, exponent and mantissa, as IEEE 754 and bfloat16 lay them out, highest first.
const FORMATS = { BF16: [1, 8, 7], F16: [1, 5, 10], F32: [1, 8, 23], F64: [1, 11, 52] };
const FIELDS = ["sign", "exponent", "mantissa"];

/** As text, since 64 of them are more than a number holds; the byte that comes first holds the last ones. */
const bitsOf = (bytes) => Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).reverse().join("");
const bytesOf = (bits) => bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)).reverse();

/** Counted from 0 at the right. */
const flip = (bits, flipped) => [...bits].map((bit, at) =>
  flipped.includes(bits.length - 1 - at) ? String(1 - bit) : bit).join("");

/** The three fields of a number and what it is worth. */
function decode(bits, dtype) {
  const [, exponentBits, mantissaBits] = FORMATS[dtype];
  const [sign, exponent, mantissa] = [bits.slice(0, 1), bits.slice(1, 1 + exponentBits),
    bits.slice(1 + exponentBits)].map((field) => parseInt(field, 2));
  const [bias, whole] = [2 ** (exponentBits - 1) - 1, 2 ** mantissaBits];
  const signed = sign ? -1 : 1;
  const special = exponent === 2 ** exponentBits - 1;
  const subnormal = exponent === 0; // zero among them: no leading 1, and the smallest exponent
  const power = subnormal ? 1 - bias : exponent - bias;
  const factor = mantissa / whole + (subnormal ? 0 : 1);
  const value = special ? (mantissa ? NaN : signed * Infinity) : signed * 2 ** power * factor;
  return { sign, exponent, mantissa, bias, whole, power, factor, value, special, subnormal };
}

/** All numbers of some bytes. A bfloat16 is the upper half of a float32. */
function valuesOf(bytes, dtype) {
  const { buffer } = bytes.slice();
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "F64") return new Float64Array(buffer);
  const halves = new Uint16Array(buffer);
  if (dtype === "BF16") return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  return Float32Array.from(halves, (half) => decode(half.toString(2).padStart(16, "0"), dtype).value);
}

const RAISED = { "-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((digit, at) => [at, digit])) };
const raised = (n) => [...String(n)].map((letter) => RAISED[letter]).join("");

/** With all digits, of long ones those that tell it from its neighbours, and a real minus. */
function written(value, dtype = "F32") {
  if (Object.is(value, -0)) return "−0";
  let text = String(value);
  if (text.length > 16 && dtype !== "F64") {
    const tells = Array.from({ length: 9 }, (_, at) => Number(value.toPrecision(at + 1)));
    text = String(tells.find((short) => Math.fround(short) === value) ?? value);
  }
  const [digits, power] = text.split("e");
  return digits.replace("-", "−").replace("Infinity", "∞") + (power ? ` × 10${raised(Number(power))}` : "");
}

/** In three digits. */
const brief = (value) => (Number.isFinite(value) ? written(Number(value.toPrecision(3))) : written(value));

/** What each field contributes, in the words of the formula. */
function meanings(number) {
  const { exponent, mantissa, bias, whole, power, factor, special, subnormal } = number;
  const how = subnormal ? "" : `2^(${exponent} − ${bias}) = `;
  return {
    sign: number.sign ? "−" : "+",
    exponent: special ? "all ones: no finite number" : `${how}2${raised(power)}`,
    mantissa: special ? (mantissa ? "not zero: not a number" : "zero: infinity")
      : `${subnormal ? "" : "1 + "}${count(mantissa)}/${count(whole)} = ${factor}`,
  };
}

/** The bits, each a button that turns it over, and what they are worth. */
function bitsPanel(model) {
  const bits = roving(make("div", { className: "oe-bytes-bits", role: "group", ariaLabel: "Bits, the highest first" }));
  const fields = make("div", { className: "oe-bytes-fields" });
  const [formula, value] = [make("span"), make("b")];
  const [says, undo] = [make("p", { className: "oe-note" }), button("Undo", () => turn([]))];
  const turn = (flipped) => choose(model, { flipped });
  let made = "";

  function build(dtype) {
    const sizes = FORMATS[dtype];
    const all = sizes.reduce((a, b) => a + b);
    bits.replaceChildren(...sizes.flatMap((size, field) => Array.from({ length: size }, (_, at) => {
      const bit = (field === 0 ? all - 1 : field === 1 ? all - 2 - at : size - 1 - at);
      const worth = ["±", count(2 ** (size - 1 - at)), `2${raised(-1 - at)}`][field];
      const node = button(make("b"), () => {
        const flipped = model.get("flipped");
        turn(flipped.includes(bit) ? flipped.filter((other) => other !== bit) : [...flipped, bit]);
      }, { ariaLabel: `bit ${bit}, ${FIELDS[field]}` });
      node.dataset.field = FIELDS[field];
      node.append(make("small", {}, worth));
      return node;
    })));
    bits.stopAt(bits.firstChild);
    fields.className = `oe-bytes-fields${all === 16 ? " oe-bytes-aligned" : ""}`;
    fields.style.setProperty("--oe-columns", sizes.map((size) => `minmax(0, ${size}fr)`).join(" "));
    made = dtype;
  }

  /** `stored`: the bits as they are in the file. Returns the number, and the file's where it is another. */
  function show(stored, dtype) {
    if (made !== dtype) build(dtype);
    const flipped = model.get("flipped").filter((bit) => bit < stored.length);
    const now = flip(stored, flipped);
    [...bits.children].forEach((node, at) => {
      node.firstChild.textContent = now[at];
      node.ariaPressed = String(now[at] === "1");
      node.classList.toggle("oe-bytes-flipped", now[at] !== stored[at]);
    });
    const number = decode(now, dtype);
    const means = meanings(number);
    fields.replaceChildren(...FIELDS.map((field) => {
      const node = make("p", {}, make("b", {}, field), " ", make("span", {}, `${count(number[field])}: `, means[field]));
      node.dataset.field = field;
      return node;
    }));
    formula.textContent = number.special ? "" : `${means.sign} 2${raised(number.power)} × ${number.factor} = `;
    value.textContent = written(number.value, dtype);
    const inFile = written(decode(stored, dtype).value, dtype);
    says.textContent = flipped.length
      ? `${flipped.length} bit${flipped.length === 1 ? "" : "s"} flipped, in this page only. The file is as it was: ${inFile}.`
      : "Press a bit to flip it.";
    rest(undo, !flipped.length);
    return { value: number.value, inFile: flipped.length ? inFile : null };
  }
  const node = make("div", {}, bits, fields,
    make("p", { className: "oe-bytes-value" }, formula, value), make("div", { className: "oe-bytes-undo" }, says, undo));
  /** Whether sixteen bits are one line: the beams may cross. */
  const isOneLine = () => getComputedStyle(bits).gridTemplateColumns.split(" ").length === 16;
  return { node, show, isOneLine };
}
