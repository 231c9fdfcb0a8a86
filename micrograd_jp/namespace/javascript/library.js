// What the functions written from the declarations call. Every function is IEEE 754: no exceptions.
"use strict";

// The local derivative behind a shut gate: not connected, whatever comes from upstream.
const SHUT = null;
const times = (g, d) => (d === SHUT ? 0 : g * d);

const plain = (xs, f, start) => xs.reduce(f, start);

const m = {
  exp: Math.exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p, sqrt: Math.sqrt,
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
  sum: (xs) => plain(xs, (a, b) => a + b, 0),
  prod: (xs) => plain(xs, (a, b) => a * b, 1),
  dot: (ws, xs) => plain(ws, (total, w, i) => total + w * xs[i], 0),
  logsumexp: (xs) => {
    const top = Math.max(...xs);
    if (!Number.isFinite(top)) return top;
    return top + Math.log(m.sum(xs.map((x) => Math.exp(x - top))));
  },
};
