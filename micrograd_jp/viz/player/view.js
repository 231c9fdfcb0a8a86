// What is shown and what can be pressed. All text is set as text: labels are never markup.
const svg = document.querySelector("#picture svg");

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

// A rule of the backward pass is no derivative: it has a sign of its own.
const withSign = (before, text) => (text.startsWith("⟨") ? text : before + text);

function paint(picture, index) {
  const step = STEPS[index];
  for (const text of picture.querySelectorAll("[data-slot]"))
    text.textContent = withSign(text.dataset.before, slotText(text.dataset.slot, index));
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
  at = Math.max(0, Math.min(LAST_STEP, index));
  const step = STEPS[at];
  paint(svg, at);
  if (!quiet) say(about(step), step.phase, title(step));
  showTables(step);
  $("scrubber").value = at;
  $("scrubber").setAttribute("aria-valuetext", title(step));
  if (!quiet) bringIntoView();
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
