// What is shown and what can be pressed. All text is set as text: labels are never markup.
const $ = (id) => document.getElementById(id);
const svg = document.querySelector("#picture svg");
let at = 0;
let timer = null;

function make(tag, attributes = {}, text = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function say(lines, phase, heading) {
  const status = $("status");
  status.className = phase;
  status.replaceChildren(make("strong", {}, heading), ...lines.map((line) => make("p", {}, line)));
}

// ---- the picture ----------------------------------------------------------------------------

function slotText(slot, step) {
  const [j, k] = slot.slice(1).split(".").map(Number);
  const kind = slot[0];
  if (kind === "v") return isComputed(j, step) ? brief(now.values[j]) : "?";
  if (kind === "g") {
    const grad = gradAt(j, step);
    return grad === undefined ? "—" : brief(grad);
  }
  const part = now.parts[`${j}.${k}`];
  if (kind === "d") return isComputed(j, step) ? slopeText(j, k, part) : "?";
  const arrived = arrivals[NODES[j].args[k]].some((s) => s.key === `${j}.${k}` && s.index <= step);
  return arrived ? brief(part.share) : "—";
}

// What an edge says of its derivative: a number, or of arrays the other factor of the product.
function slopeText(j, k, part) {
  if (!part.factors) return short(part.local ?? 0);
  const text = part.label ? inNames(part.label, j) : brief(part.factors[1].x);
  return text.length > 12 ? "要素ごと" : text;
}

function paint(picture, index) {
  const step = STEPS[index];
  for (const text of picture.querySelectorAll("[data-slot]"))
    text.textContent = text.dataset.before + slotText(text.dataset.slot, index);
  for (const group of picture.querySelectorAll("[data-node]")) {
    const j = Number(group.dataset.node);
    const active = step.phase === "forward" ? step.j === j
      : step.seed ? step.j === j
      : step.phase === "backward" ? (step.to === j && group.dataset.part !== "op")
        || (step.j === j && group.dataset.part === "op")
      : step.phase === "update" && state.learned.has(j);
    group.classList.toggle("now", active);
    group.classList.toggle("later", !isComputed(j, index));
  }
  for (const group of picture.querySelectorAll("[data-edge]"))
    group.classList.toggle("now", step.key === group.dataset.edge);
  picture.setAttribute("class", step.phase);
}

function show(index, quiet = false) {
  at = Math.max(0, Math.min(STEPS.length - 1, index));
  const step = STEPS[at];
  paint(svg, at);
  if (!quiet) say(about(step), step.phase, title(step));
  showTables(step);
  $("scrubber").value = at;
  $("scrubber").setAttribute("aria-valuetext", title(step));
  if (!quiet) bringIntoView();
}

function go(index) {
  show(index);
  try {
    history.replaceState(null, "", `#step=${at}`);
  } catch {
    // A page inside a sandbox has no address of its own.
  }
}

function bringIntoView() {
  const box = $("picture");
  const lit = [...svg.querySelectorAll(".now")].map((group) => group.getBoundingClientRect());
  if (!lit.length || box.scrollWidth <= box.clientWidth) return;
  const whole = box.getBoundingClientRect();
  const left = Math.min(...lit.map((part) => part.left)) - whole.left;
  const right = Math.max(...lit.map((part) => part.right)) - whole.left;
  // What does not fit begins at the left edge.
  box.scrollLeft += right - left > box.clientWidth ? left - 8 : (left + right - box.clientWidth) / 2;
}

// ---- playing --------------------------------------------------------------------------------

function play(on) {
  clearInterval(timer);
  timer = null;
  if (on) {
    if (at === STEPS.length - 1) go(0);
    timer = setInterval(() => {
      go(at + 1);
      if (at === STEPS.length - 1) play(false);
    }, 1200 / Number($("speed").value));
  }
  $("play").setAttribute("aria-label", on ? "一時停止" : "再生");
  $("play").title = on ? "一時停止 (Space)" : "再生 (Space)";
  $("play").classList.toggle("playing", on);
}

const stop = (f) => () => {
  play(false);
  f();
};
const moves = {
  first: () => go(0), previous: () => go(at - 1), next: () => go(at + 1),
  last: () => go(STEPS.length - 1),
};
for (const [id, move] of Object.entries(moves)) $(id).addEventListener("click", stop(move));
$("play").addEventListener("click", () => play(timer === null));
$("speed").addEventListener("change", () => timer !== null && play(true));
$("scrubber").max = STEPS.length - 1;
$("scrubber").addEventListener("input", stop(() => go(Number($("scrubber").value))));

const KEYS = { ArrowLeft: "previous", ArrowRight: "next", Home: "first", End: "last" };
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea")) return; // they have keys of their own
  if (event.key === " " && !event.target.closest("button, summary")) play(timer === null);
  else if (KEYS[event.key]) stop(moves[KEYS[event.key]])();
  else return;
  event.preventDefault();
});

// ---- the leaves -----------------------------------------------------------------------------

// One unit of the number that a small movement of the pointer changes.
const unit = (x) => 10 ** Math.max(-2, Math.floor(Math.log10(Math.abs(x) || 1)) - 1);
const inputs = []; // one for each element of each leaf

const elementName = (j, i) => {
  const { name, shape } = NODES[j];
  if (!shape || !shape.length) return name;
  const place = [];
  for (let axis = shape.length - 1, rest = i; axis >= 0; axis--) {
    place.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return `${name}[${place.join(", ")}]`;
};

function change(j, i, x, typing) {
  setLeaf(j, same(state.leaves[j], (old, place) => (place === i ? x : old)));
  refresh(typing);
}

const elementOf = (j, i) => (isArray(state.leaves[j]) ? state.leaves[j][i] : state.leaves[j]);

// All that is shown follows the leaves; but what is just being typed is left alone.
function refresh(typing = null) {
  show(at);
  for (const { input, j, i } of inputs) {
    if (input === typing) continue;
    const x = elementOf(j, i);
    input.value = Number.isFinite(x) ? Number(x.toPrecision(6)) : "";
    input.placeholder = Number.isFinite(x) ? "" : short(x);
  }
  $("losses").textContent = drawCurve($("curve"), state.losses);
  listSteps();
}

function drags(element, j, i) {
  let from = null;
  element.classList.add("drag");
  element.addEventListener("pointerdown", (event) => {
    const x = elementOf(j, i);
    from = { at: event.clientX, x, unit: unit(x) };
    element.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  element.addEventListener("pointermove", (event) => {
    if (!from) return;
    const moved = Math.round((event.clientX - from.at) / 4);
    change(j, i, Number((from.x + moved * from.unit).toPrecision(12)));
  });
  for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => (from = null));
}

function leafInput(j, i) {
  const input = make("input", { type: "number", step: "any", "aria-label": elementName(j, i) });
  inputs.push({ input, j, i });
  input.addEventListener("input", () => {
    const typed = input.valueAsNumber;
    input.setAttribute("aria-invalid", Number.isNaN(typed));
    if (!Number.isNaN(typed)) change(j, i, typed, input);
  });
  input.addEventListener("blur", () => {
    input.setAttribute("aria-invalid", false);
    refresh();
  });
  return input;
}

NODES.forEach((node, j) => {
  if (node.rule) return;
  const row = make("div", { class: "leaf-row" });
  const name = make("span", { class: "name", title: "左右に引っ張ると値が変わります" }, node.name);
  const box = leafTable(j);
  row.append(name, box);
  if (node.grad) {
    const label = make("label", { class: "learned" }, "更新する");
    const check = make("input", { type: "checkbox", "aria-label": `${node.name} を更新する` });
    check.checked = state.learned.has(j);
    check.addEventListener("change", () => {
      state.learned[check.checked ? "add" : "delete"](j);
      refresh();
    });
    label.prepend(check);
    row.append(label);
  }
  $("leaves").append(row);
  if (node.shape && node.size !== 1) return;
  drags(name, j, 0);
  for (const group of svg.querySelectorAll(`[data-node="${j}"]`)) drags(group, j, 0);
});

// ---- learning -------------------------------------------------------------------------------

function learned(count) {
  play(false);
  const loss = lossOf(now.values);
  const changes = [...state.learned].slice(0, 6).map((j) => `${nameOf(j)} ${brief(state.leaves[j])}`);
  learn(count);
  refresh();
  const after = [...state.learned].slice(0, 6).map((j) => brief(state.leaves[j]));
  say(
    [`${nameOf(LAST)}: ${short(loss)} → ${short(lossOf(now.values))}`,
      changes.map((text, i) => `${text} → ${after[i]}`).join("、"),
      ...(isDiverging(state.losses) ? ["⚠ 発散しています (diverging): 学習率 η を小さくしてください。"] : [])],
    "update", `${count} 歩学習しました（η = ${short(state.rate)}）`,
  );
}

$("learn").addEventListener("click", () => learned(1));
$("learn10").addEventListener("click", () => learned(10));
$("undo").addEventListener("click", () => {
  play(false);
  if (!before.length) {
    say(["まだ学習していないので、戻る先がありません。"], "update", "戻る");
    return;
  }
  undo();
  refresh();
  say([`${nameOf(LAST)} = ${short(lossOf(now.values))}`], "update", "学習の前に戻りました");
});
const rate = $("rate");
rate.max = Math.max(1, 2 * GRAPH.rate);
rate.step = Math.min(0.001, 10 ** Math.floor(Math.log10(GRAPH.rate) - 1));
rate.value = GRAPH.rate;
function setRate() {
  state.rate = Number(rate.value);
  $("rateText").textContent = short(state.rate);
  rate.setAttribute("aria-valuetext", short(state.rate));
}
rate.addEventListener("input", () => {
  setRate();
  refresh();
});
$("accumulate").addEventListener("change", () => {
  state.accumulates = $("accumulate").checked;
  if (!state.accumulates) zeroGrad();
});
function zeroGrad() {
  state.start = {};
  recompute();
  refresh();
}
$("zero").addEventListener("click", () => {
  zeroGrad();
  say(["葉の勾配を 0 にしました。次の逆伝播は 0 から足し始めます。"], "update", "zero_grad");
});

// ---- as text, and on paper ------------------------------------------------------------------

const inOneLine = (step) => about(step).map((line) => line.replace(/。?$/, "。")).join(" ");

function listSteps() {
  if ($("every").open)
    $("sentences").replaceChildren(
      ...STEPS.map((step) => make("li", {}, `${title(step)}: ${inOneLine(step)}`)));
}
$("every").addEventListener("toggle", listSteps);

addEventListener("beforeprint", () => {
  const sheets = ["forward", "backward", "update"].map((phase) => {
    const steps = STEPS.filter((step) => step.phase === phase);
    const sheet = make("section");
    const picture = svg.cloneNode(true);
    picture.style.minWidth = ""; // as wide as the paper
    paint(picture, steps[steps.length - 1].index);
    for (const group of picture.querySelectorAll(".now")) group.classList.remove("now");
    const list = make("ol");
    list.append(...steps.map((step) => make("li", {}, inOneLine(step))));
    sheet.append(make("h2", {}, PHASES[phase]), picture, list);
    return sheet;
  });
  $("print").replaceChildren(...sheets);
});
addEventListener("afterprint", () => $("print").replaceChildren());

const linked = () => Number(/step=(\d+)/.exec(location.hash)?.[1] ?? 0);
addEventListener("hashchange", stop(() => show(linked())));
// As wide as the window, but never so small that the letters cannot be read: then it scrolls.
svg.style.minWidth = `${0.85 * svg.viewBox.baseVal.width}px`;
setRate();
show(linked());
refresh();
