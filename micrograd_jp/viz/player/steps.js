// The steps of the timeline, and what each of them says.
const PHASES = {
  start: "はじめ", forward: "順伝播 (forward)", backward: "逆伝播 (backward)", update: "更新 (update)",
};

const STEPS = [{ phase: "start" }];
NODES.forEach((node, j) => node.rule && STEPS.push({ phase: "forward", j }));
STEPS.push({ phase: "backward", j: LAST, seed: true });
for (let j = LAST; j >= 0; j--)
  if (NODES[j].rule)
    for (const k of NODES[j].wanted)
      STEPS.push({ phase: "backward", j, k, to: NODES[j].args[k], key: `${j}.${k}` });
STEPS.push({ phase: "update" });
const LAST_STEP = STEPS.length - 1;
const PACE = 1200;

const counts = {};
STEPS.forEach((step, i) => {
  step.index = i;
  step.number = counts[step.phase] = (counts[step.phase] ?? 0) + 1;
});
const forwardAt = []; // node -> the step that computes it
STEPS.forEach((step) => step.phase === "forward" && (forwardAt[step.j] = step.index));
const arrivals = NODES.map(() => []); // node -> the steps that bring it gradients
STEPS.forEach((step) => step.key && arrivals[step.to].push(step));
const seedAt = STEPS.find((step) => step.seed).index;

const isComputed = (j, at) => (forwardAt[j] ?? 0) <= at;
// The gradient of a node as far as step `at`; undefined while nothing has arrived.
function gradAt(j, at) {
  const arrived = arrivals[j].filter((step) => step.index <= at);
  const seeded = j === LAST && seedAt <= at;
  if (!arrived.length && !seeded) return state.start[j];
  const start = plus(state.start[j] ?? filled(j, 0), seeded ? 1 : 0);
  return arrived.reduce((total, step) => plus(total, now.parts[step.key].share), start);
}

function title(step) {
  const of = counts[step.phase];
  return PHASES[step.phase] + (of > 1 ? ` ${step.number} / ${of}` : "");
}

function aboutForward({ j }) {
  const { words, whole } = NODES[j];
  const value = NODES[j].shape ? `${brief(now.values[j])}（形 ${shapeText(j)}）` : short(now.values[j]);
  const lines = [equal(nameOf(j), inNames(words, j), inNumbers(words, j, now.values), value)];
  if (whole) lines.push(`途中の式も開くと ${equal(nameOf(j), ...opened(j, now.values), value)}`);
  return lines;
}

const shapeText = (j) => `(${NODES[j].shape.join(", ")}${NODES[j].shape.length === 1 ? "," : ""})`;

function aboutSeed() {
  return [`${gradOf(LAST)} = 1`, `出力 ${nameOf(LAST)} を自分自身で微分すると 1。ここから辺を逆にたどります。`];
}

function aboutEdge({ j, k, to, key, index }) {
  const { local, share } = now.parts[key];
  const g = now.grads[j];
  const among = arrivals[to].length > 1 || state.start[to] !== undefined;
  const left = among ? `${nameOf(j)} を通って ${nameOf(to)} に届く分` : gradOf(to);
  const derivative = `∂${nameOf(j)}/∂${nameOf(to)}`;
  const rule = NODES[j].slopes[k];
  const lines = [];
  if (NODES[j].shape || isArray(share) || local === undefined) {
    lines.push(...aboutArrays(left, j, k, to, now.parts[key]));
  } else {
    lines.push(
      equal(`${left} = 上流の勾配 × 局所微分`, `${gradOf(j)} × ${derivative}`,
        `${short(g)} × ${wrapped(local ?? 0)}`, short(share)),
      `局所微分 ${equal(derivative, inNames(rule, j), inNumbers(rule, j, now.values), short(local ?? 0))}`
        + (local === SHUT ? "（つながっていない）" : ""),
    );
  }
  if (among) lines.push(aboutSum(to, index));
  return lines;
}

// Of arrays: which product gives the share, and which copies are added up.
function aboutArrays(left, j, k, to, { factors, sign, copies }) {
  const lines = [];
  const texts = factors.map(({ text }) => inNames(text, j));
  if (sign === "@") {
    lines.push(`${left} = ${texts.map((t) => (t.includes("/") && t.endsWith("ᵀ") ? `(${t.slice(0, -1)})ᵀ` : t)).join(" @ ")}（行列の積）`);
  } else if (sign) {
    const derivative = `∂${nameOf(j)}/∂${nameOf(to)}`;
    lines.push(`${left} = 上流の勾配 × 局所微分（要素ごとの積） = ${gradOf(j)} × ${derivative}`);
    if (NODES[j].slopes[k]) lines.push(`局所微分 ${derivative} = ${inNames(NODES[j].slopes[k], j)}`);
  } else {
    lines.push(`${left}: 上流の勾配 ${gradOf(j)} を、「${NODES[j].summary}」の逆向きに ${nameOf(to)} の形へ`);
  }
  if (copies) {
    const size = isArray(now.values[to]) ? now.values[to].length : 1;
    lines.push(`${nameOf(to)} の数は、1 つが ${copies.x.length / size} 回ずつ使われた（コピー）。`
      + "コピーごとの勾配を足し合わせる。");
  }
  return lines;
}

function aboutSum(to, index) {
  const come = arrivals[to].filter((step) => step.index <= index);
  const more = arrivals[to].length - come.length;
  const terms = come.map((step) => now.parts[step.key].share);
  if (state.start[to] !== undefined) terms.unshift(state.start[to]);
  const total = gradAt(to, index);
  const sum = isArray(total) || terms.length > 12
    ? `${terms.length} つの道の和`
    : terms.map((x, i) => (i ? wrapped(x) : short(x))).join(" + ");
  const rest = more ? `（あと ${more} つの道から届きます）` : "";
  return `● 道が集まる所では足し合わせる: ${equal(gradOf(to), sum, brief(total))}${rest}`;
}

function aboutUpdate() {
  const lines = [`w ← w − η × ∂${nameOf(LAST)}/∂w`];
  for (const j of state.learned) {
    const [x, g, after] = [state.leaves[j], now.grads[j], updated(j)];
    lines.push(isArray(x)
      ? `${nameOf(j)} ← ${nameOf(j)} − η × ${gradOf(j)}: ${brief(x)} → ${brief(after)}`
      : `${nameOf(j)} ← ${short(x)} − ${short(state.rate)} × ${wrapped(g)} = ${short(after)}`);
  }
  if (!state.learned.size) lines.push("更新する葉がありません。下の表で選んでください。");
  else lines.push("「1 歩学習」を押すと、葉の値がこの値になります。");
  return lines;
}

function about(step) {
  if (step.phase === "forward") return aboutForward(step);
  if (step.seed) return aboutSeed();
  if (step.phase === "backward") return aboutEdge(step);
  if (step.phase === "update") return aboutUpdate();
  return ["葉の値だけが入っています。「次へ」で 1 つずつ計算が進みます。"];
}
