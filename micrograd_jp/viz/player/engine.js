// The graph of this page, computed as a whole: values forward, gradients backward.
const NODES = GRAPH.nodes;
const LAST = NODES.length - 1;

// A number of the graph is a number here, an array is flat.
const isArray = Array.isArray;
const same = (x, f) => (isArray(x) ? x.map(f) : f(x, 0));
const plus = (x, y) => same(x, (value, i) => value + (isArray(y) ? y[i] : y));
const filled = (j, value) => (NODES[j].shape ? Array(NODES[j].size).fill(value) : value);

const asArray = (x) => (isArray(x) ? x : [x]);

const operands = (j, values) =>
  NODES[j].args.map((a) => (typeof a === "number" ? values[a] : a.c));

function forward(leaves) {
  const values = [];
  NODES.forEach((node, j) => {
    if (!node.rule) {
      values.push(leaves[j]);
      return;
    }
    const { value, partials, shares } = RULES[node.rule];
    const xs = operands(j, values);
    if (shares) {
      const z = value(...xs.map(asArray));
      values.push(node.shape ? z : z[0]);
    } else values.push(isArray(partials) ? value(...xs) : value(xs));
  });
  return values;
}

// What operation j gives back to each of its operands that wants it: {share}, and how it came about.
function pieces(j, values, g) {
  const { partials, shares } = RULES[NODES[j].rule];
  const xs = operands(j, values);
  if (shares) {
    const all = [g, values[j], ...xs].map(asArray);
    return NODES[j].wanted.map((k) => {
      const part = shares[k](...all);
      return [k, isArray(xs[k]) ? part : { ...part, share: part.share[0] }];
    });
  }
  const all = isArray(partials)
    ? partials.map((d) => d(values[j], ...xs))
    : partials(values[j], xs);
  return NODES[j].wanted.map((k) => [k, { local: all[k], share: times(g, all[k]) }]);
}

// Gradients add up to what the leaves had before (`start`); the order is the one of Python.
function backward(values, start) {
  const grads = NODES.map((node, j) => start[j] ?? filled(j, 0));
  const parts = {};
  grads[LAST] = plus(grads[LAST], 1);
  for (let j = LAST; j >= 0; j--) {
    if (!NODES[j].rule) continue;
    for (const [k, part] of pieces(j, values, grads[j])) {
      parts[`${j}.${k}`] = part;
      const to = NODES[j].args[k];
      grads[to] = plus(grads[to], part.share);
    }
  }
  return { grads, parts };
}

const lossOf = (values) => (isArray(values[LAST]) ? values[LAST][0] : values[LAST]);

const state = {
  leaves: Object.fromEntries(NODES.flatMap((node, j) => (node.rule ? [] : [[j, node.x]]))),
  learned: new Set(NODES.flatMap((node, j) => (node.learned ? [j] : []))),
  start: {},
  accumulates: false,
  rate: GRAPH.rate,
  losses: [],
};
const before = []; // what 「戻る」 goes back to
let now; // values, grads and parts of the leaves as they are

function recompute() {
  const values = forward(state.leaves);
  now = { values, ...backward(values, state.start) };
}

const updated = (j) => same(state.leaves[j], (x, i) =>
  x - state.rate * (isArray(now.grads[j]) ? now.grads[j][i] : now.grads[j]));

function learn(count) {
  before.push({ leaves: { ...state.leaves }, start: state.start, losses: [...state.losses] });
  for (let i = 0; i < count; i++) {
    const leaves = { ...state.leaves };
    for (const j of state.learned) leaves[j] = updated(j);
    state.start = {};
    if (state.accumulates) for (const j of state.learned) state.start[j] = now.grads[j];
    state.leaves = leaves;
    recompute();
    state.losses.push(lossOf(now.values));
  }
}

function undo() {
  Object.assign(state, before.pop());
  recompute();
}

function setLeaf(j, value) {
  state.leaves = { ...state.leaves, [j]: value };
  recompute();
  state.losses[state.losses.length - 1] = lossOf(now.values);
}

recompute();
state.losses.push(lossOf(now.values));
