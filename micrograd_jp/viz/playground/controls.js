// What is shown besides the pictures, and what can be pressed.
const NAMES = { train: "訓練データ", development: "開発データ" };
const percent = (x) => `${(100 * x).toFixed(1)} %`;
let timer = null;

const titleOf = (rule) => DATA.choices.find(({ name }) => name === rule)?.title ?? rule;

function sentences() {
  const lines = Object.keys(machines).map((name) =>
    `${NAMES[name]} ${POINTS[name].labels.length} 個: 損失 ${short(measured(name))}、正解率 ${percent(accuracy(name))}`);
  if (isDiverging(kept.train)) lines.push(DIVERGING);
  return lines;
}

function drawLosses() {
  const losses = [...kept.train, ...kept.development];
  let scale = scaleOf(losses);
  if (!scale.log) scale = scaleOf([0, ...losses]); // how far there is to go
  const [low, high] = scale.ends.map(short);
  for (const name of Object.keys(machines)) {
    const group = $(`curve-${name}`);
    placeCurve(group.querySelector("polyline"), group.querySelector("circle"), kept[name], scale);
  }
  $("curve").classList.toggle("diverged", isDiverging(kept.train));
  const text = Object.keys(machines).map((name) => {
    const losses = kept[name];
    return `${NAMES[name]} ${short(losses[0])} → ${short(losses[losses.length - 1])}`;
  });
  $("curve").setAttribute("aria-label", `${state.steps} 歩の損失の曲線: ${text.join("、")}`);
  $("scale").textContent = `（縦 ${low} 〜 ${high}${scale.log ? " 対数目盛" : ""}、横 0 〜 ${state.steps} 歩）`;
}

function show() {
  drawPictures();
  drawLosses();
  $("steps").textContent = `${state.steps} 歩`;
  const lines = sentences();
  $("numbers").replaceChildren(...lines.map((line) => make("p", {}, line)));
  const what = enlarged
    ? `${enlarged.button.parentNode.getAttribute("aria-label")}: ${enlarged.button.getAttribute("aria-label")}の出力`
    : "決定境界";
  $("meaning").textContent = enlarged
    ? `いまは「${what}」の図: 色の濃さは出力の大きさ、線は 0。`
    : "色の濃さは確率、線は決定境界。";
  $("map").setAttribute("aria-label", `${what}と点の図。${lines.join("。")}`);
}

// For screen readers: only when nothing runs, or it would never be silent.
function announce() {
  $("status").textContent = `${state.steps} 歩。${sentences().join("。")}`;
}

function remeasured() {
  fresh.clear();
  for (const name of Object.keys(machines)) kept[name][kept[name].length - 1] = measured(name);
  show();
  if (timer === null) announce();
}

// ---- playing --------------------------------------------------------------------------------

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let shown = 0; // when the pictures were last drawn

function frame(now) {
  const most = Number($("speed").value);
  const started = performance.now();
  let steps = 0;
  do {
    learn();
    steps += 1;
  } while (steps < most && performance.now() - started < 12);
  if (now - shown >= (calm.matches ? 1000 : 0)) {
    shown = now;
    show();
  }
  timer = requestAnimationFrame(frame);
}

function play(on) {
  if (timer !== null) cancelAnimationFrame(timer);
  timer = on ? requestAnimationFrame(frame) : null;
  $("play").setAttribute("aria-label", on ? "一時停止" : "再生");
  $("play").title = on ? "一時停止 (Space)" : "再生 (Space)";
  $("play").classList.toggle("playing", on);
  if (!on) {
    show();
    announce();
  }
}

const stopped = (f) => () => {
  f();
  play(false);
};
$("play").addEventListener("click", () => play(timer === null));
$("learn").addEventListener("click", stopped(() => learn()));
$("reset").addEventListener("click", stopped(reset));
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea, button, summary")) return;
  if (event.key === " ") play(timer === null);
  else if (event.key === "ArrowRight") stopped(() => learn())();
  else return;
  event.preventDefault();
});

// ---- settings -------------------------------------------------------------------------------

// A slider: what it means is written beside it.
function slider(id, start, valueOf, set) {
  const input = $(id);
  const write = (x) => {
    set(x);
    $(`${id}Text`).textContent = short(x);
    input.setAttribute("aria-valuetext", short(x));
  };
  input.addEventListener("input", () => write(valueOf(Number(input.value))));
  write(start);
}

const rounded = (x) => Number(x.toPrecision(2));
$("rate").value = Math.log10(DATA.rate);
slider("rate", DATA.rate, (x) => rounded(10 ** x), (x) => (state.rate = x));
// The lowest place of the slider is none at all.
const LEAST = -5;
$("decay").value = DATA.decay ? Math.log10(DATA.decay) : LEAST;
slider("decay", DATA.decay, (x) => (x <= LEAST ? 0 : rounded(10 ** x)), (x) => (state.decay = x));
$("noise").max = 50;
slider("noise", 0, (x) => rounded((x / 50) * DATA.mostNoise), (x) => {
  state.noise = x;
  loadData();
  if (kept.train.length) remeasured();
});

const rules = new Set(DATA.program.layers.map((k) => titleOf(DATA.program.steps[k].rule)));
$("activation").append(
  make("option", { value: "" }, `モデルのとおり (${[...rules].join("、") || "なし"})`),
  ...DATA.choices.map(({ name, title }) => make("option", { value: name }, title)),
);
$("activation").disabled = !DATA.program.layers.length;
$("activation").addEventListener("change", () => {
  state.activation = $("activation").value;
  titleLayers();
  remeasured();
});

// ---- the start ------------------------------------------------------------------------------

const layers = DATA.program.layers.map((k, i) => {
  const { start, shape: [count], rule } = DATA.program.steps[k];
  const group = addLayer("", Array.from({ length: count }, (_, j) => start + j));
  return { group, rule, title: `${i + 1} 層目の ${count} 個のユニット` };
});
addLayer("出力のスコア", DATA.program.scores);

function titleLayers() {
  for (const { group, rule, title } of layers) {
    const text = `${title} (${titleOf(state.activation || rule)})`;
    group.previousSibling.textContent = text;
    group.setAttribute("aria-label", text);
  }
}

DATA.names.forEach((name, k) => {
  const sign = make("span", { class: `mark class${k % 6}`, "aria-hidden": "true" }, markOf(k).sign);
  const item = make("li", {}, ` ${name}`);
  item.prepend(sign);
  $("legend").append(item);
});
if (!machines.development) $("curve-development").remove();
$("hollow").hidden = $("dashed").hidden = !machines.development;
$("extent").textContent = ["x₁", "x₂"].map((name, k) =>
  `${name}: ${short(DATA.plane.low[k])} 〜 ${short(DATA.plane.low[k] + DATA.plane.size)}`).join("、");
$("program").textContent = DATA.text;
readColours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  drawPictures();
});
titleLayers();
reset();
show();
