// Rotary position embedding in plain JavaScript: the functions of by_hand/rope.py, which explains them.
//
// `rope` is what `olmo-explain config MODEL --json` prints for one layer type. What torch keeps in
// float32 is rounded to float32 here too: at position 1000 the last bit of a frequency would show.

const float32 = Math.fround;

/** By how many radians each pair turns from one position to the next: (Dh/2,). */
function frequencies(rope, headDim) {
  const ramp = rope.rope_type === "default" ? null : yarnRamp(rope, headDim);
  const turns = new Float32Array(headDim / 2);
  for (let pair = 0; pair < turns.length; pair++) {
    const radiansPerTurn = float32(rope.rope_theta ** float32((2 * pair) / headDim));
    const original = float32(1 / radiansPerTurn);
    if (ramp === null) {
      turns[pair] = original;
      continue;
    }
    const stretched = float32(1 / float32(rope.factor * radiansPerTurn));
    const kept = float32(1 - ramp[pair]);
    turns[pair] = float32(stretched * float32(1 - kept)) + float32(original * kept);
  }
  return turns;
}

/** How far YaRN slows each pair: 0 not at all, 1 by the whole `factor`, a straight line between. */
function yarnRamp(rope, headDim) {
  let first = pairThatTurns(rope.beta_fast, rope, headDim);
  let last = pairThatTurns(rope.beta_slow, rope, headDim);
  if (rope.truncate) [first, last] = [Math.floor(first), Math.ceil(last)];
  [first, last] = [Math.max(first, 0), Math.min(last, headDim - 1)];
  if (first === last) last += 0.001; // a step instead of a line, and no division by zero
  const ramp = new Float32Array(headDim / 2);
  return ramp.map((_, pair) => Math.min(Math.max((pair - first) / (last - first), 0), 1));
}

/** The pair, as a fraction, that turns this many times in the original context length. */
function pairThatTurns(times, rope, headDim) {
  const context = rope.original_max_position_embeddings;
  return (headDim * Math.log(context / (times * 2 * Math.PI))) / (2 * Math.log(rope.rope_theta));
}

/** cos and sin of every pair's angle at positions from … to − 1: (N, Dh) each. */
function cosSin(rope, headDim, from, to) {
  const [cos, sin] = [tensor(to - from, headDim), tensor(to - from, headDim)];
  const [turns, half, factor] = [frequencies(rope, headDim), headDim / 2, float32(rope.attention_factor)];
  for (let position = from, at = 0; position < to; position++, at += half) {
    for (let pair = 0; pair < half; pair++, at++) {
      const angle = float32(position * turns[pair]);
      cos.data[at] = cos.data[at + half] = float32(Math.cos(angle)) * factor; // i is paired with i + Dh/2
      sin.data[at] = sin.data[at + half] = float32(Math.sin(angle)) * factor;
    }
  }
  return { cos, sin };
}

/** Turns each pair (a, b) of each head into (a·cos − b·sin, b·cos + a·sin): (H, N, Dh). */
function rotate(x, cos, sin) {
  const [heads, N, Dh] = x.shape;
  const turned = tensor(heads, N, Dh);
  const half = Dh / 2;
  for (let head = 0, at = 0; head < heads; head++) {
    for (let turn = 0; turn < N * Dh; turn += half, at += half) {
      for (let pair = 0; pair < half; pair++, turn++, at++) {
        const a = x.data[at];
        const b = x.data[at + half];
        turned.data[at] = a * cos.data[turn] - b * sin.data[turn];
        turned.data[at + half] = b * cos.data[turn] + a * sin.data[turn];
      }
    }
  }
  return turned;
}
