// The loss after each step of learning, as a small curve.
const CURVE = { width: 320, height: 120, pad: 8 };

function drawCurve(element, losses) {
  const { width, height, pad } = CURVE;
  const finite = losses.filter(Number.isFinite);
  const positive = finite.every((x) => x > 0);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const log = positive && finite.length > 1 && high / low > 1e3;
  const scale = (x) => (log ? Math.log(x) : x);
  const span = scale(high) - scale(low) || 1;
  const points = losses.map((x, i) => [
    pad + (i * (width - 2 * pad)) / Math.max(losses.length - 1, 1),
    Number.isFinite(x) ? height - pad - ((scale(x) - scale(low)) * (height - 2 * pad)) / span : pad,
  ]);
  element.querySelector("polyline").setAttribute("points", points.map((p) => p.join()).join(" "));
  const [x, y] = points[points.length - 1];
  const dot = element.querySelector("circle");
  dot.setAttribute("cx", x);
  dot.setAttribute("cy", y);
  const [first, last] = [losses[0], losses[losses.length - 1]];
  const diverges = isDiverging(losses);
  element.classList.toggle("diverged", diverges);
  const text = losses.length === 1
    ? `損失 ${short(last)}（まだ学習していません）`
    : `${losses.length - 1} 歩: 損失 ${short(first)} → ${short(last)}${log ? "（対数目盛）" : ""}`;
  element.setAttribute("aria-label", `損失の曲線: ${text}`);
  return text + (diverges ? " ⚠ 発散しています (diverging): 学習率 η を小さくしてください。" : "");
}

// Not a number any more, or more than ten times worse than at the start and still rising.
function isDiverging(losses) {
  if (losses.length < 2) return false;
  const [first, last] = [losses[0], losses[losses.length - 1]];
  if (!Number.isFinite(last)) return Number.isFinite(first);
  return last - first > 9 * Math.abs(first) && last > losses[losses.length - 2];
}
