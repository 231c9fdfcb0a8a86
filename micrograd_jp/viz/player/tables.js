// Arrays as tables: the leaves as inputs, and the products and sums of a step.
const MOST_SHOWN = 10; // rows and columns of a table

// The rows of a flat array: the last axis runs along a row.
function rowsOf(x, shape) {
  const width = shape.length ? shape[shape.length - 1] : 1;
  const rows = [];
  for (let i = 0; i < x.length; i += width || 1) rows.push(x.slice(i, i + width));
  return rows;
}

function table(caption, x, shape, cell = (value) => make("td", {}, short(value))) {
  const element = make("table");
  element.append(make("caption", {}, caption));
  const rows = rowsOf(x, shape);
  rows.slice(0, MOST_SHOWN).forEach((row, r) => {
    const line = make("tr");
    line.append(...row.slice(0, MOST_SHOWN).map((value, c) => cell(value, r * row.length + c)));
    if (row.length > MOST_SHOWN) line.append(make("td", {}, "…"));
    element.append(line);
  });
  if (rows.length > MOST_SHOWN) {
    const line = make("tr");
    line.append(make("td", { colspan: 2 + MOST_SHOWN }, `… 全 ${rows.length} 行`));
    element.append(line);
  }
  return element;
}

function leafTable(j) {
  const { shape } = NODES[j];
  if (!shape) return leafInput(j, 0);
  return table(`形 ${shapeText(j)}`, state.leaves[j], shape, (_, i) => {
    const cell = make("td");
    cell.append(leafInput(j, i));
    return cell;
  });
}

function showTables(step) {
  const found = [];
  const put = (caption, x, shape) => found.push(table(caption, isArray(x) ? x : [x], shape));
  const sign = (text) => found.push(make("span", { class: "sign" }, text));
  if (step.phase === "forward" && NODES[step.j].shape) {
    const between = /^\{0\} (\S) \{1\}$/.exec(NODES[step.j].words)?.[1];
    NODES[step.j].args.forEach((a, k) => {
      if (k === 1 && between) sign(between);
      if (typeof a === "number" && NODES[a].shape) put(`${nameOf(a)} ${shapeText(a)}`, now.values[a], NODES[a].shape);
      else if (isArray(a.c)) put(a.text, a.c, a.shape);
      else if (between) sign(brief(typeof a === "number" ? now.values[a] : a.c));
    });
    sign("→");
    put(`${nameOf(step.j)} ${shapeText(step.j)}`, now.values[step.j], NODES[step.j].shape);
  } else if (step.key && now.parts[step.key].factors) {
    const part = now.parts[step.key];
    const factors = part.factors.length > 1 || !part.copies ? part.factors : [];
    factors.forEach(({ text, x, shape }, i) => {
      if (i) sign(part.sign);
      put(text ? inNames(text, step.j) : `∂${nameOf(step.j)}/∂${nameOf(step.to)}`, x, shape);
    });
    if (part.copies) {
      if (factors.length) sign("=");
      put("コピーごとの勾配", part.copies.x, part.copies.shape);
      sign("→ 和 →");
    } else sign(factors.length > 1 ? "=" : "→");
    put(gradOf(step.to), part.share, NODES[step.to].shape ?? []);
  }
  $("tables").replaceChildren(...found);
}
