// One picture of the training at a time, its sentence, and where it is on the curve of the loss.
const LAST_STEP = DATA.frames.length - 1;
const PACE = 250;
const losses = DATA.losses;
const sources = DATA.frames.map((frame) => `data:image/png;base64,${frame}`);

function show(index) {
  at = Math.max(0, Math.min(LAST_STEP, index));
  const caption = DATA.captions[at];
  $("frame").src = sources[at];
  $("frame").alt = `学習の途中の図: ${caption}`;
  // While it plays a screen reader would never be silent: then only the picture says it.
  $("status").setAttribute("aria-live", timer === null ? "polite" : "off");
  $("status").replaceChildren(make("p", {}, caption));
  $("scrubber").value = at;
  $("scrubber").setAttribute("aria-valuetext", caption);
  if (losses.length) placeDot(dot, pointOf(losses, Math.max(0, DATA.updates[at] - 1), scale));
}

// The curve has every update; the dot is at the update of the picture.
const dot = $("curve").querySelector("circle");
let scale;
function drawLosses() {
  scale = scaleOf(losses);
  placeCurve($("curve").querySelector("polyline"), dot, losses, scale);
  const [first, last] = [losses[0], losses[losses.length - 1]];
  const text = `${losses.length} 更新: ${short(first)} → ${short(last)}${scale.log ? "（対数目盛）" : ""}`;
  $("losses").textContent = text;
  $("curve").setAttribute("aria-label", `損失の曲線: ${text}`);
}
