// Units and edges that say what they are: touched by a pointer, or reached with the arrow keys.
const svg = document.querySelector("#picture svg");
const { columns, names } = DATA;

const edgeAt = (k, i, j) => svg.querySelector(`.edge[data-edge="${k}.${i}.${j}"]`);
const unitAt = (k, i) => svg.querySelector(`.unit[data-unit="${k}.${i}"]`);
const place = (k, i) => columns[k].units.indexOf(i);

function nameOfUnit(k, i) {
  const given = k === 0 ? names[0] : k === columns.length - 1 ? names[1] : null;
  const own = k === 0 ? `入力 ${i}` : `${columns[k].title.join(" → ")} のユニット ${i}`;
  return given ? `${given[i]}（${own}）` : own;
}
const filled = (name, i, j) => name.replace("{i}", i).replace("{j}", j);
const numberOf = (linked, kind, ...at) => {
  const found = linked?.[kind];
  return found && at.reduce((part, index) => part[index], found);
};
const valueOf = (k, i) => columns[k].values && columns[k].values[place(k, i)];
const told = (grad) => (grad === undefined ? "勾配はまだありません" : `勾配 ${short(grad)}`);

function aboutEdge(k, i, j) {
  const { edges } = columns[k];
  const at = [place(k, i), place(k - 1, j)];
  const w = numberOf(edges, "weight", ...at);
  const lines = [`${filled(edges.name, i, j)} = ${short(w)}、${told(numberOf(edges, "grad", ...at))}`];
  const from = valueOf(k - 1, j);
  if (from !== null)
    lines.push(`重み × 入力 = ${short(w)} × ${wrapped(from)} = ${short(w * from)}`);
  lines.push(`${nameOfUnit(k - 1, j)} から ${nameOfUnit(k, i)} へ`);
  return lines;
}

function aboutUnit(k, i) {
  const { bias, edges } = columns[k];
  const value = valueOf(k, i);
  const lines = [nameOfUnit(k, i)];
  if (value !== null) lines.push(`出力 ${short(value)}`);
  if (bias) {
    const at = place(k, i);
    lines.push(`バイアス ${filled(bias.name, i)} = ${short(numberOf(bias, "weight", at))}、`
      + told(numberOf(bias, "grad", at)));
  }
  if (edges && columns[k - 1].units.length < columns[k - 1].count)
    lines.push(`そこへの線は ${columns[k - 1].count} 本です（⋮ で略したものは、表にも出ません）。`);
  return lines;
}

function edgesTable(k, i) {
  const { edges } = columns[k];
  if (!edges) return [];
  const table = make("table");
  table.append(make("caption", {}, `${nameOfUnit(k, i)} への線`));
  const head = make("tr");
  head.append(...["どこから", "名前", "重み", "勾配", "重み × 入力"].map((text) => make("th", { scope: "col" }, text)));
  table.append(head);
  for (const j of columns[k - 1].units) {
    const at = [place(k, i), place(k - 1, j)];
    const [w, grad, from] = [numberOf(edges, "weight", ...at), numberOf(edges, "grad", ...at), valueOf(k - 1, j)];
    const row = make("tr");
    row.append(make("th", { scope: "row" }, k === 1 && names[0] ? names[0][j] : `${j}`));
    row.append(...[filled(edges.name, i, j), short(w), grad === undefined ? "—" : short(grad),
      from === null ? "—" : short(w * from)].map((text) => make("td", {}, text)));
    table.append(row);
  }
  return [table];
}

const parse = (text) => text.split(".").map(Number);

// ---- what is chosen -------------------------------------------------------------------------

let chosen = null; // [k, i] or [k, i, j]

function choose(k, i, j = null) {
  chosen = j === null ? [k, i] : [k, i, j];
  for (const part of svg.querySelectorAll(".now, .quiet")) part.classList.remove("now", "quiet");
  const element = j === null ? unitAt(k, i) : edgeAt(k, i, j);
  element.classList.add("now");
  for (const edge of svg.querySelectorAll(".edge")) {
    const [a, b, c] = parse(edge.dataset.edge);
    const near = j === null ? (a === k && b === i) || (a === k + 1 && c === i) : edge === element;
    edge.classList.toggle("quiet", !near);
  }
  const lines = j === null ? aboutUnit(k, i) : aboutEdge(k, i, j);
  $("status").replaceChildren(
    make("strong", {}, j === null ? "ユニット" : "重み"), ...lines.map((line) => make("p", {}, line)));
  $("tables").replaceChildren(...(j === null ? edgesTable(k, i) : []));
}

function touched(event) {
  const part = event.target.closest("[data-edge], [data-unit]");
  if (part) choose(...parse(part.dataset.edge ?? part.dataset.unit));
}
svg.addEventListener("pointerover", touched);
svg.addEventListener("click", touched);

// ---- the keyboard: one unit is in the order of Tab, arrows go on from there -------------------

function focus(k, i, j = null) {
  const element = j === null ? unitAt(k, i) : edgeAt(k, i, j);
  for (const part of svg.querySelectorAll("[tabindex='0']")) part.setAttribute("tabindex", -1);
  element.setAttribute("tabindex", 0);
  element.focus();
}

const clamp = (x, count) => Math.max(0, Math.min(count - 1, x));
$("picture").addEventListener("focusin", touched); // on the picture it would make it a stop of Tab
svg.addEventListener("keydown", (event) => {
  if (!chosen || event.altKey || event.ctrlKey || event.metaKey) return;
  const [k, i, j] = chosen;
  const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const list = j === undefined ? columns[k].units : columns[k - 1].units;
  if (down) {
    const next = list[clamp(list.indexOf(j ?? i) + down, list.length)];
    if (j === undefined) focus(k, next);
    else focus(k, i, next);
  } else if (across) {
    const to = clamp(k + across, columns.length);
    focus(to, columns[to].units[clamp(place(k, i), columns[to].units.length)]);
  } else if (event.key === "Enter" && k > 0) focus(k, i, j === undefined ? columns[k - 1].units[0] : j);
  else if (event.key === "Escape") focus(k, i);
  else return;
  event.preventDefault();
});

// ---- weights or gradients -------------------------------------------------------------------

function paint(kind) {
  for (const edge of svg.querySelectorAll(".edge")) {
    const [k, i, j] = parse(edge.dataset.edge);
    const { edges } = columns[k];
    const w = numberOf(edges, kind, place(k, i), place(k - 1, j));
    const wide = Number.isFinite(w) ? (DATA.widest * Math.abs(w)) / edges[`${kind}Largest`] : 0;
    edge.setAttribute("stroke-width", wide);
    edge.classList.toggle("negative", w < 0);
    edge.classList.toggle("positive", !(w < 0));
    if (w < 0) edge.setAttribute("stroke-dasharray", DATA.dashes);
    else edge.removeAttribute("stroke-dasharray");
  }
  for (const text of svg.querySelectorAll("text.key"))
    text.textContent = text.textContent[0] + (kind === "grad" ? "の ∂L/∂w" : "の重み");
}

// ---- the beginning --------------------------------------------------------------------------

svg.setAttribute("role", "group");
for (const edge of svg.querySelectorAll(".edge")) {
  const hit = edge.cloneNode(); // wide enough for a finger, below the units
  hit.setAttribute("class", "hit");
  hit.setAttribute("stroke-width", 10);
  hit.removeAttribute("stroke-dasharray");
  edge.after(hit);
  edge.setAttribute("tabindex", -1);
  edge.setAttribute("role", "img");
  edge.setAttribute("aria-label", aboutEdge(...parse(edge.dataset.edge)).join("。"));
}
for (const unit of svg.querySelectorAll(".unit")) {
  const [k, i] = parse(unit.dataset.unit);
  unit.setAttribute("tabindex", k || i ? -1 : 0);
  unit.setAttribute("role", "img");
  unit.setAttribute("aria-label", aboutUnit(k, i).join("。"));
  const value = valueOf(k, i);
  if (value === null) continue;
  const ellipse = unit.querySelector("ellipse");
  const share = Number.isFinite(value) ? 60 * Math.min(1, Math.abs(value) / columns[k].largest) : 0;
  const colour = value < 0 ? "var(--negative)" : "var(--positive)";
  ellipse.style.fill = `color-mix(in srgb, ${colour} ${share}%, var(--paper))`;
}
$("gradient").checked = DATA.show === "grad";
$("gradient").disabled = !DATA.hasGrad;
$("why").textContent = DATA.hasGrad ? "" : "勾配はまだありません。loss.backward() のあとに描くと選べます。";
$("gradient").addEventListener("change", () => paint($("gradient").checked ? "grad" : "weight"));
$("status").replaceChildren(make("p", {}, "円か線に触れるか、Tab で図に入って矢印キーで選んでください。"));
