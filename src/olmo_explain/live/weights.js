// Weights out of the bytes of a safetensors file: its header, then each tensor widened to float32.

/** The bytes that base64 says. `fetch` of a data: URL would take ten times as long. */
function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** The parts of a file in one piece. */
function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let end = 0;
  for (const part of parts) {
    bytes.set(part, end);
    end += part.length;
  }
  return bytes;
}

/** name → { shape, data: Float32Array } of a file's bytes, stored in bfloat16 or in float32. */
function readSafetensors(bytes) {
  const start = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const weights = {};
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    // Copied: what lies in a file need not begin where an array may.
    const { buffer } = bytes.slice(start + offsets[0], start + offsets[1]);
    if (dtype === "F32") weights[name] = { shape, data: new Float32Array(buffer) };
    else if (dtype === "BF16") weights[name] = { shape, data: widen(new Uint16Array(buffer)) };
    else throw new Error(`${name} is stored as ${dtype}; only BF16 and F32 are read here.`);
  }
  return weights;
}

/** bfloat16 is the first half of a float32. */
function widen(halves) {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}
