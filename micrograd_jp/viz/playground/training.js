// Gradient descent with all training points at once: the weights, the data and the losses.
const WEIGHTS = Float32Array.from(DATA.weights);
const weights = Float32Array.from(DATA.weights);
const state = { rate: DATA.rate, decay: DATA.decay, noise: 0, activation: "", steps: 0 };
const MOST_KEPT = 600; // losses of a curve: a longer training keeps every 2nd, 4th, …

const POINTS = { train: DATA.train, development: DATA.development };
const machines = {};
for (const [name, points] of Object.entries(POINTS))
  if (points.labels.length) machines[name] = new Machine(DATA.program, RULES, points.labels.length);
const kept = { every: 1, train: [], development: [] };
const fresh = new Set(); // the data whose forward pass is of these weights and settings

// Coordinate k of the points as they are seen: with noise.
const coordinates = ({ x, noise }, k) =>
  Float32Array.from(x[k], (value, i) => value + state.noise * noise[k][i]);

function loadData() {
  for (const [name, machine] of Object.entries(machines)) {
    const points = POINTS[name];
    [0, 1].forEach((k) => machine.load(k, coordinates(points, k)));
    const scores = DATA.program.scores.length;
    if (scores === 1) machine.load(2, points.labels);
    else
      for (let k = 0; k < scores; k++) machine.load(2 + k, points.labels.map((t) => Number(t === k)));
  }
  fresh.clear();
}

function measured(name) {
  if (!fresh.has(name)) machines[name].forward(weights, state.activation);
  fresh.add(name);
  return machines[name].meanLoss();
}

// Which class the model chooses for each sample of a machine.
function chosen(machine) {
  const rows = DATA.program.probabilities.map((row) => machine.row(row));
  if (rows.length === 1) return Array.from(rows[0], (p) => Number(p > 0.5));
  return Array.from(rows[0], (_, s) => rows.reduce((best, row, k) => (row[s] > rows[best][s] ? k : best), 0));
}

function accuracy(name) {
  measured(name);
  const found = chosen(machines[name]);
  return found.filter((k, s) => k === POINTS[name].labels[s]).length / found.length;
}

function keep() {
  if (state.steps % kept.every) return;
  for (const name of Object.keys(machines)) kept[name].push(measured(name));
  if (kept.train.length <= MOST_KEPT) return;
  kept.every *= 2;
  for (const name of Object.keys(machines)) kept[name] = kept[name].filter((_, i) => i % 2 === 0);
}

function learn(count = 1) {
  const machine = machines.train;
  for (let i = 0; i < count; i++) {
    if (!fresh.has("train")) machine.forward(weights, state.activation, false);
    const gradient = machine.backward(state.activation);
    for (let j = 0; j < weights.length; j++)
      weights[j] = updated(weights[j], gradient[j], state.rate, state.decay);
    state.steps += 1;
    fresh.clear();
    keep();
  }
}

function reset() {
  weights.set(WEIGHTS);
  state.steps = 0;
  Object.assign(kept, { every: 1, train: [], development: [] });
  fresh.clear();
  keep();
}
