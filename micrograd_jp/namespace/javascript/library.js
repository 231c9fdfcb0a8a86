// What the functions written from the declarations call. Every function is IEEE 754: no exceptions.
"use strict";

// The local derivative behind a shut gate: not connected, whatever comes from upstream.
const SHUT = null;
const times = (g, d) => (d === SHUT ? 0 : g * d);

const m = {
  exp: Math.exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p,
  log2: Math.log2, log10: Math.log10, sqrt: Math.sqrt,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan,
  sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh,
  asinh: Math.asinh, acosh: Math.acosh, atanh: Math.atanh,
  abs: Math.abs, floor: Math.floor,
  sign: (x) => (x === 0 ? 0 : Math.sign(x)),
  maximum: (x, y) => (x >= y || x !== x ? x : y),
  minimum: (x, y) => (x <= y || x !== x ? x : y),
  // C and Python: 1 to any power, and −1 to an infinite one, is 1. JavaScript says NaN.
  pow: (x, y) => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y),

  // Lists of numbers.
  sum: (xs) => xs.reduce((a, b) => a + b, 0),
  prod: (xs) => xs.reduce((a, b) => a * b, 1),
  dot: (ws, xs) => ws.reduce((total, w, i) => total + w * xs[i], 0),
  logsumexp: (xs) => {
    const top = Math.max(...xs);
    if (!Number.isFinite(top)) return top;
    return top + Math.log(m.sum(xs.map((x) => Math.exp(x - top))));
  },
};

// Lines of the array programs; arrays are flat.
const each = (count, f) => Array.from({ length: count }, (_, i) => f(i));
const take = (x, places, otherwise) => places.map((p) => (p < 0 ? otherwise : x[p]));
const rows = (x, width) => each(x.length / width, (r) => x.slice(r * width, (r + 1) * width));

function scatter(count, places, g) {
  const out = Array(count).fill(0);
  places.forEach((place, i) => (out[place] += g[i]));
  return out;
}

function matmul(a, b, batch, n, k, width) {
  return each(batch * n * width, (i) => {
    const [at, row, column] = [Math.floor(i / (n * width)), Math.floor(i / width), i % width];
    let total = 0;
    for (let j = 0; j < k; j++) total += a[row * k + j] * b[(at * k + j) * width + column];
    return total;
  });
}

m.amax = (xs) => Math.max(...xs);
m.amin = (xs) => Math.min(...xs);
m.isfinite = Number.isFinite;
m.running = (xs) => {
  let total = 0;
  return xs.map((x) => (total += x));
};
// As NumPy: the sign of the divisor, and the quotient that goes with it.
m.remainder = (x, y) => {
  const rest = x % y;
  if (rest === 0) return x < 0 || Object.is(x, -0) ? -0 : 0;
  return rest < 0 !== y < 0 ? rest + y : rest;
};
m.floor_divide = (x, y) => {
  if (y === 0) return x / y;
  const rest = x % y;
  const quotient = (x - rest) / y - (rest !== 0 && rest < 0 !== y < 0 ? 1 : 0);
  const whole = Math.floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
};
