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
  placeDot();
}

// The curve has every update; the dot is at the update of the picture.
let scale;
function drawLosses() {
  scale = scaleOf(losses);
  const few = 1200; // more points than the curve is wide show nothing more
  const every = Math.ceil(losses.length / few);
  const thin = every < 2 ? losses : losses.filter((_, i) => i % every === 0 || i === losses.length - 1);
  placeCurve($("curve").querySelector("polyline"), $("curve").querySelector("circle"), thin, scale);
  const [first, last] = [losses[0], losses[losses.length - 1]];
  const text = `${losses.length} 更新: ${short(first)} → ${short(last)}${scale.log ? "（対数目盛）" : ""}`;
  $("losses").textContent = text;
  $("curve").setAttribute("aria-label", `損失の曲線: ${text}`);
}

function placeDot() {
  if (!losses.length) return;
  const i = Math.max(0, DATA.updates[at] - 1);
  const { width, height, pad } = CURVE;
  const dot = $("curve").querySelector("circle");
  const share = losses.length > 1 ? i / (losses.length - 1) : 0;
  dot.setAttribute("cx", pad + share * (width - 2 * pad));
  dot.setAttribute("cy", Number.isFinite(losses[i])
    ? height - pad - ((scale.scale(losses[i]) - scale.low) * (height - 2 * pad)) / scale.span : pad);
}
