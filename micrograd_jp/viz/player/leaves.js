// The leaves: a box for each element, and what drags its value.
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
    if (event.button || element === document.activeElement) return; // there it selects letters
    if (event.pointerType === "touch" && element.closest(".wide")) return; // there it scrolls
    const x = elementOf(j, i);
    from = { at: event.clientX, x, unit: unit(x), drags: false };
    if (element.tagName !== "INPUT") event.preventDefault();
  });
  element.addEventListener("pointermove", (event) => {
    if (!from) return;
    const moved = Math.round((event.clientX - from.at) / 4);
    if (!from.drags && !moved) return; // a click, so far
    if (!from.drags) {
      element.setPointerCapture(event.pointerId);
      element.blur();
    }
    from.drags = true;
    change(j, i, Number((from.x + moved * from.unit).toPrecision(12)));
  });
  for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => (from = null));
}

// Where a table is wider than its place, a finger on it scrolls.
function fit() {
  for (const row of document.querySelectorAll(".leaf-row"))
    row.classList.toggle("wide", row.scrollWidth > row.clientWidth);
}
addEventListener("resize", fit);

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
  drags(input, j, i);
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
