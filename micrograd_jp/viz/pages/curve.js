// Losses as small curves: one scale for all of them, logarithmic where they span decades.
const CURVE = { width: 320, height: 120, pad: 8 };

function scaleOf(values) {
  const finite = values.filter(Number.isFinite);
  // Not Math.min(...finite): a long training has more losses than a call may have arguments.
  const low = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const high = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = low > 0 && finite.length > 1 && high / low > 1e3;
  const scale = (x) => (log ? Math.log(x) : x);
  return { log, scale, low: scale(low), span: scale(high) - scale(low) || 1 };
}

// The curve of losses i = 0, 1, …, and a dot at the last of them.
function placeCurve(line, dot, losses, { scale, low, span }) {
  const { width, height, pad } = CURVE;
  const points = losses.map((x, i) => [
    pad + (i * (width - 2 * pad)) / Math.max(losses.length - 1, 1),
    Number.isFinite(x) ? height - pad - ((scale(x) - low) * (height - 2 * pad)) / span : pad,
  ]);
  line.setAttribute("points", points.map((p) => p.join()).join(" "));
  const [x, y] = points[points.length - 1];
  dot.setAttribute("cx", x);
  dot.setAttribute("cy", y);
}

const DIVERGING = "⚠ 発散しています (diverging): 学習率 η を小さくしてください。";

// Not a number any more, or more than ten times worse than at the start and still rising.
function isDiverging(losses) {
  if (losses.length < 2) return false;
  const [first, last] = [losses[0], losses[losses.length - 1]];
  if (!Number.isFinite(last)) return Number.isFinite(first);
  return last - first > 9 * Math.abs(first) && last > losses[losses.length - 2];
}
