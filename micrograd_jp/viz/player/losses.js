// The loss after each step of learning.
function drawCurve(element, losses) {
  const found = scaleOf(losses);
  placeCurve(element.querySelector("polyline"), element.querySelector("circle"), losses, found);
  const [first, last] = [losses[0], losses[losses.length - 1]];
  const diverges = isDiverging(losses);
  element.classList.toggle("diverged", diverges);
  const text = losses.length === 1
    ? `損失 ${short(last)}（まだ学習していません）`
    : `${losses.length - 1} 歩: 損失 ${short(first)} → ${short(last)}${found.log ? "（対数目盛）" : ""}`;
  element.setAttribute("aria-label", `損失の曲線: ${text}`);
  return text + (diverges ? ` ${DIVERGING}` : "");
}
