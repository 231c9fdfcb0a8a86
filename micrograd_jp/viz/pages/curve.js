// Losses as small curves: one scale for all of them, logarithmic where they span decades.
const CURVE = { width: 320, height: 120, pad: 8 };

function scaleOf(values) {
  const finite = values.filter(Number.isFinite);
  // Not Math.min(...finite): a long training has more losses than a call may have arguments.
  const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = low > 0 && finite.length > 1 && high / low > 1e3;
  const scale = (x) => (log ? Math.log(x) : x);
  return { log, scale, low: scale(low), span: scale(high) - scale(low) || 1, ends: [low, high] };
}

// Where loss i of losses 0, 1, … is.
function pointOf(losses, i, { scale, low, span }) {
  const { width, height, pad } = CURVE;
  return [
    pad + (i * (width - 2 * pad)) / Math.max(losses.length - 1, 1),
    Number.isFinite(losses[i]) ? height - pad - ((scale(losses[i]) - low) * (height - 2 * pad)) / span : pad,
  ];
}

function placeDot(dot, [x, y]) {
  dot.setAttribute("cx", x);
  dot.setAttribute("cy", y);
}

// Which losses are drawn: all, or of a long training the ends, and the extremes of every few.
function drawn(losses) {
  const every = Math.ceil(losses.length / (2 * CURVE.width));
  const height = (i) => (Number.isFinite(losses[i]) ? losses[i] : Infinity);
  const found = new Set([0]);
  for (let from = 0; from < losses.length; from += every) {
    let [low, high] = [from, from];
    for (let i = from; i < Math.min(from + every, losses.length); i++) {
      if (height(i) < height(low)) low = i;
      if (height(i) > height(high)) high = i;
    }
    found.add(Math.min(low, high)).add(Math.max(low, high));
  }
  return [...found.add(losses.length - 1)];
}

// The curve of losses, and a dot at the last of them.
function placeCurve(line, dot, losses, found) {
  const points = drawn(losses).map((i) => pointOf(losses, i, found));
  line.setAttribute("points", points.map((p) => p.join()).join(" "));
  placeDot(dot, points[points.length - 1]);
}

const DIVERGING = "⚠ 発散しています (diverging): 学習率 η を小さくしてください。";

// Not a number any more, or more than ten times worse than at the start and still rising.
function isDiverging(losses) {
  if (losses.length < 2) return false;
  const [first, last] = [losses[0], losses[losses.length - 1]];
  if (!Number.isFinite(last)) return Number.isFinite(first);
  return last - first > 9 * Math.abs(first) && last > losses[losses.length - 2];
}
