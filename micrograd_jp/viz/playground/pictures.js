// What the model makes of the plane: the decision boundary with the points, and every unit's output.
const GRID = 48; // points along each side of a picture
const plane = new Machine(DATA.program, RULES, GRID * GRID);
{
  const { low, size } = DATA.plane;
  const along = (i) => (i + 0.5) / GRID;
  const every = Array.from({ length: GRID * GRID }, (_, i) => [i % GRID, GRID - 1 - Math.floor(i / GRID)]);
  [0, 1].forEach((k) => plane.load(k, every.map((place) => low[k] + along(place[k]) * size)));
}

// ---- colours --------------------------------------------------------------------------------

let colours;
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    const digits = hex.length === 3 ? [...hex].map((d) => d + d).join("") : hex;
    return [0, 2, 4].map((i) => parseInt(digits.slice(i, i + 2), 16));
  };
  colours = { paper: read("--paper"), ink: read("--ink"), classes: [0, 1, 2, 3, 4, 5].map((k) => read(`--class${k}`)) };
}
const colourOf = (k) => colours.classes[k % colours.classes.length];
const css = (colour) => `rgb(${colour.join()})`;

// A picture of the grid: `colourAt(i)` is a colour, and how much of it lies over the paper.
function imageOf(colourAt) {
  const image = new ImageData(GRID, GRID);
  for (let i = 0; i < GRID * GRID; i++) {
    const [colour, strength] = colourAt(i);
    for (let c = 0; c < 3; c++)
      image.data[4 * i + c] = colours.paper[c] + strength * (colour[c] - colours.paper[c]);
    image.data[4 * i + 3] = 255;
  }
  return image;
}

// ---- lines where a quantity changes its sign ------------------------------------------------

function strokeZero(context, values, scale) {
  context.beginPath();
  for (let r = 0; r + 1 < GRID; r++)
    for (let c = 0; c + 1 < GRID; c++) {
      const i = r * GRID + c;
      const sign = values[i] < 0;
      if (values[i + 1] < 0 === sign && values[i + GRID] < 0 === sign && values[i + GRID + 1] < 0 === sign)
        continue;
      const corners = [[c, r], [c + 1, r], [c + 1, r + 1], [c, r + 1]];
      const crossings = [];
      corners.forEach(([x, y], k) => {
        const [u, v] = corners[(k + 1) % 4];
        const [a, b] = [values[y * GRID + x], values[v * GRID + u]];
        if (a < 0 === b < 0) return;
        const t = a / (a - b);
        crossings.push([x + t * (u - x), y + t * (v - y)]);
      });
      for (let k = 0; k + 1 < crossings.length; k += 2) {
        context.moveTo((crossings[k][0] + 0.5) * scale, (crossings[k][1] + 0.5) * scale);
        context.lineTo((crossings[k + 1][0] + 0.5) * scale, (crossings[k + 1][1] + 0.5) * scale);
      }
    }
  context.stroke();
}

// ---- the points -----------------------------------------------------------------------------

const polygon = (...corners) => (context, r) => {
  corners.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * r, y * r));
  context.closePath();
};
const MARKS = [
  { sign: "●", draw: (context, r) => context.arc(0, 0, r, 0, 2 * Math.PI) },
  { sign: "▲", draw: polygon([0, -1.25], [1.15, 0.85], [-1.15, 0.85]) },
  { sign: "■", draw: polygon([-0.95, -0.95], [0.95, -0.95], [0.95, 0.95], [-0.95, 0.95]) },
  { sign: "◆", draw: polygon([0, -1.35], [1.1, 0], [0, 1.35], [-1.1, 0]) },
  { sign: "▼", draw: polygon([0, 1.25], [1.15, -0.85], [-1.15, -0.85]) },
  { sign: "✚", draw: polygon([-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]) },
];
const markOf = (k) => MARKS[k % MARKS.length];

function drawPoints(context, points, side, hollow) {
  const [xs, ys] = [0, 1].map((k) => coordinates(points, k));
  const { low, size } = DATA.plane;
  points.labels.forEach((label, i) => {
    context.save();
    context.translate(((xs[i] - low[0]) / size) * side, (1 - (ys[i] - low[1]) / size) * side);
    context.beginPath();
    markOf(label).draw(context, side / 85);
    context.fillStyle = css(hollow ? colours.paper : colourOf(label));
    context.strokeStyle = css(hollow ? colourOf(label) : colours.paper);
    context.lineWidth = side / (hollow ? 220 : 400);
    context.fill();
    context.stroke();
    context.restore();
  });
}

// ---- the pictures ---------------------------------------------------------------------------

const small = document.createElement("canvas");
small.width = small.height = GRID;

function drawBoundary() {
  const context = $("map").getContext("2d");
  const side = $("map").width;
  const rows = DATA.program.probabilities.map((row) => plane.row(row));
  const lines = [];
  let colourAt;
  if (rows.length === 1) {
    colourAt = (i) => [colourOf(Number(rows[0][i] > 0.5)), 0.6 * Math.abs(2 * rows[0][i] - 1)];
    lines.push(rows[0].map((p) => p - 0.5));
  } else {
    colourAt = (i) => {
      const mixed = [0, 0, 0];
      let most = 0;
      rows.forEach((row, k) => {
        most = Math.max(most, row[i]);
        colourOf(k).forEach((part, c) => (mixed[c] += row[i] * part));
      });
      return [mixed, 0.6 * most];
    };
    rows.forEach((row, k) => lines.push(row.map((p, i) =>
      p - rows.reduce((best, other, j) => (j === k ? best : Math.max(best, other[i])), 0))));
  }
  small.getContext("2d").putImageData(imageOf(colourAt), 0, 0);
  context.drawImage(small, 0, 0, side, side);
  context.strokeStyle = css(colours.ink);
  context.lineWidth = side / 200;
  for (const line of lines) strokeZero(context, line, side / GRID);
}

const units = []; // {canvas, row, button}
let enlarged = null; // the unit that is shown instead of the decision boundary
const MOST_UNITS = 24; // of a layer

function addLayer(title, rows) {
  const found = make("div", { class: "layer", role: "group", "aria-label": title });
  rows.slice(0, MOST_UNITS).forEach((row, i) => {
    const canvas = make("canvas", { width: 2 * GRID, height: 2 * GRID });
    const button = make("button", { type: "button", "aria-pressed": false, "aria-label": `${i + 1} 番目のユニット` });
    button.append(canvas);
    found.append(button);
    const unit = { canvas, row, button };
    units.push(unit);
    button.addEventListener("click", () => enlarge(enlarged === unit ? null : unit));
  });
  if (rows.length > MOST_UNITS) found.append(make("span", {}, `⋮ ほか ${rows.length - MOST_UNITS} 個`));
  $("units").append(make("h3", {}, title), found);
  return found;
}

function enlarge(unit) {
  enlarged = unit;
  for (const { button } of units) button.setAttribute("aria-pressed", button === unit?.button);
  show();
}

function drawUnit({ row }, canvas, lineWidth) {
  const values = plane.row(row);
  const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  const context = canvas.getContext("2d");
  const colourAt = (i) => [colourOf(Number(values[i] > 0)), Number.isFinite(values[i]) ? 0.8 * Math.abs(values[i] / most) : 0];
  small.getContext("2d").putImageData(imageOf(colourAt), 0, 0);
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.strokeStyle = css(colours.ink);
  context.lineWidth = lineWidth;
  strokeZero(context, values, canvas.width / GRID);
}

function drawPictures() {
  plane.forward(weights, state.activation);
  const map = $("map");
  if (enlarged) drawUnit(enlarged, map, map.width / 200);
  else drawBoundary();
  for (const [name, points] of Object.entries(POINTS))
    drawPoints(map.getContext("2d"), points, map.width, name === "development");
  for (const unit of units) drawUnit(unit, unit.canvas, 1);
}
