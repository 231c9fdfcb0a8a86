// The array program of this page, on memory for N samples: four kinds of steps over Float32Array,
// forward and backward. Rows below `fixed` are single numbers, rows from there on have N each.
function expanded({ shape, first, by, rows }) {
  if (rows) return rows;
  let found = [first];
  shape.forEach((count, axis) => {
    found = found.flatMap((row) => Array.from({ length: count }, (_, i) => row + i * by[axis]));
  });
  return found;
}

class Machine {
  constructor(program, rules, N, Numbers = Float32Array) {
    const { fixed, varying } = program;
    this.program = program;
    this.rules = rules;
    this.N = N;
    this.values = new Numbers(fixed + varying * N);
    this.grads = new Numbers(fixed + varying * N);
    this.values.set(program.constants, program.parameters);
    this.steps = program.steps.map((step) => {
      const wide = step.start >= fixed;
      const blocks = step.blocks.map((block) => {
        const found = expanded(block);
        // Where each row starts, and how far one sample is from the next.
        return {
          at: Int32Array.from(found, (r) => this.place(r)),
          by: Int32Array.from(found, (r) => Number(r >= fixed)),
        };
      });
      const [rows, columns = 1] = step.shape;
      const inner = step.blocks[0].shape[step.kind === "matmul" ? 1 : 0];
      const most = Math.max(rows, inner);
      const list = { weight: new Float64Array(most), at: new Int32Array(most), by: new Int32Array(most) };
      const [at, n, count] = [this.place(step.start), wide ? N : 1, rows * columns];
      return { ...step, blocks, at, n, count, rows, columns, inner, list };
    });
  }

  place(row) {
    const { fixed } = this.program;
    return row < fixed ? row : fixed + (row - fixed) * this.N;
  }

  // The numbers of one row, one for each sample.
  row(row) {
    const at = this.place(row);
    if (row >= this.program.fixed) return this.values.subarray(at, at + this.N);
    return new this.values.constructor(this.N).fill(this.values[at]);
  }

  // Input i, one number for each sample.
  load(i, numbers) {
    this.values.set(numbers, this.place(this.program.fixed + i));
  }

  rule(step, activation) {
    return this.rules[step.hidden && activation ? activation : step.rule];
  }

  forward(weights, activation, all = true) {
    this.values.set(weights);
    for (const step of this.steps)
      if (all || step.trained) KINDS[step.kind].forward(step, this.rule(step, activation), this.values);
  }

  meanLoss() {
    return this.row(this.program.loss).reduce((a, b) => a + b, 0) / this.N;
  }

  // The gradient of the mean loss; forward comes first.
  backward(activation) {
    const { program, values, grads, N } = this;
    grads.fill(0);
    const [at, by] = [this.place(program.loss), Number(program.loss >= program.fixed)];
    for (let s = 0; s < N; s++) grads[at + s * by] += 1 / N;
    for (let k = this.steps.length - 1; k >= 0; k--) {
      const step = this.steps[k];
      if (step.trained && step.wanted.some(Boolean))
        KINDS[step.kind].backward(step, this.rule(step, activation), values, grads);
    }
    return grads.subarray(0, program.parameters);
  }
}

const KINDS = {
  // The same function for each element.
  map: {
    forward({ blocks: [a, b = a, c = a], at, count, n }, { value }, V) {
      for (let i = 0, z = at; i < count; i++) {
        let [x, y, w] = [a.at[i], b.at[i], c.at[i]];
        const [dx, dy, dw] = [a.by[i], b.by[i], c.by[i]];
        for (let s = 0; s < n; s++, z++, x += dx, y += dy, w += dw) V[z] = value(V[x], V[y], V[w]);
      }
    },
    backward({ blocks, wanted, at, count, n }, { partials }, V, G) {
      const [a, b = a, c = a] = blocks;
      partials.forEach((partial, k) => {
        if (!wanted[k]) return;
        const to = blocks[k];
        for (let i = 0, z = at; i < count; i++) {
          let [x, y, w] = [a.at[i], b.at[i], c.at[i]];
          const [dx, dy, dw] = [a.by[i], b.by[i], c.by[i]];
          const [place, apart] = [to.at[i], to.by[i]];
          let total = 0;
          for (let s = 0; s < n; s++, z++, x += dx, y += dy, w += dw) {
            const share = times(G[z], partial(V[z], V[x], V[y], V[w]));
            if (apart) G[place + s] += share;
            else total += share;
          }
          G[place] += total;
        }
      });
    },
  },

  // Lists of numbers, each made into one.
  fold: {
    forward({ blocks: [{ at: from, by }], at, count, inner, n }, { value }, V) {
      for (let i = 0; i < count; i++)
        for (let s = 0; s < n; s++) {
          const xs = Array.from({ length: inner }, (_, j) => V[from[j * count + i] + s * by[j * count + i]]);
          V[at + i * n + s] = value(xs);
        }
    },
    backward({ blocks: [{ at: from, by }], at, count, inner, n }, { partials }, V, G) {
      for (let i = 0; i < count; i++)
        for (let s = 0; s < n; s++) {
          const places = Array.from({ length: inner }, (_, j) => from[j * count + i] + s * by[j * count + i]);
          const z = at + i * n + s;
          partials(V[z], places.map((p) => V[p])).forEach((d, j) => (G[places[j]] += times(G[z], d)));
        }
    },
  },

  // Sums of products of two lists.
  dot: {
    forward({ blocks: [a, b], at, count, inner, n }, _, V) {
      for (let i = 0; i < count; i++)
        for (let s = 0; s < n; s++) {
          let total = 0;
          for (let j = i; j < inner * count; j += count)
            total += V[a.at[j] + s * a.by[j]] * V[b.at[j] + s * b.by[j]];
          V[at + i * n + s] = total;
        }
    },
    backward({ blocks: [a, b], wanted, at, count, inner, n }, _, V, G) {
      for (const [own, other, wants] of [[a, b, wanted[0]], [b, a, wanted[1]]]) {
        if (!wants) continue;
        for (let j = 0; j < inner * count; j++) {
          const z = at + (j % count) * n;
          let total = 0;
          for (let s = 0; s < n; s++) {
            const share = G[z + s] * V[other.at[j] + s * other.by[j]];
            if (own.by[j]) G[own.at[j] + s] += share;
            else total += share;
          }
          G[own.at[j]] += total;
        }
      }
    },
  },

  // W X + b.
  matmul: {
    forward({ blocks: [w, x, b], at, rows, columns, inner, n, list }, _, V) {
      for (let c = 0; c < rows; c++)
        for (let r = 0; r < columns; r++) {
          const to = at + (c * columns + r) * n;
          V.fill(0, to, to + n);
          for (let j = 0; j < inner; j++) {
            list.weight[j] = V[w.at[c * inner + j]];
            list.at[j] = x.at[j * columns + r];
            list.by[j] = x.by[j * columns + r];
          }
          addProducts(V, to, n, V, list, inner);
          if (!b) continue;
          const i = b.at.length === rows ? c : c * columns + r;
          for (let s = 0; s < n; s++) V[to + s] += V[b.at[i] + s * b.by[i]];
        }
    },
    backward({ blocks: [w, x, b], wanted, at, rows, columns, inner, n, list }, _, V, G) {
      for (let r = 0; r < columns; r++) {
        for (let c = 0; c < rows; c++) {
          const z = at + (c * columns + r) * n;
          if (wanted[0])
            for (let j = 0; j < inner; j++)
              G[w.at[c * inner + j]] += product(G, z, V, x.at[j * columns + r], x.by[j * columns + r], n);
          if (!wanted[2]) continue;
          const i = b.at.length === rows ? c : c * columns + r;
          let total = 0;
          for (let s = 0; s < n; s++) {
            if (b.by[i]) G[b.at[i] + s] += G[z + s];
            else total += G[z + s];
          }
          G[b.at[i]] += total;
        }
        if (!wanted[1]) continue;
        for (let j = 0; j < inner; j++) {
          if (!x.by[j * columns + r]) continue; // padding
          for (let c = 0; c < rows; c++) {
            list.weight[c] = V[w.at[c * inner + j]];
            list.at[c] = at + (c * columns + r) * n;
            list.by[c] = 1;
          }
          addProducts(G, x.at[j * columns + r], n, G, list, rows);
        }
      }
    },
  },
};

// Row `to` of A += Σ weight × row of B: four rows at a time, so that less is written.
function addProducts(A, to, n, B, { weight, at, by }, count) {
  let j = 0;
  for (; j + 3 < count; j += 4) {
    let a = at[j], b = at[j + 1], c = at[j + 2], d = at[j + 3];
    const p = weight[j], q = weight[j + 1], u = weight[j + 2], v = weight[j + 3];
    const da = by[j], db = by[j + 1], dc = by[j + 2], dd = by[j + 3];
    for (let s = to; s < to + n; s++, a += da, b += db, c += dc, d += dd)
      A[s] += p * B[a] + q * B[b] + u * B[c] + v * B[d];
  }
  for (; j < count; j++)
    for (let s = 0; s < n; s++) A[to + s] += weight[j] * B[at[j] + s * by[j]];
}

// The sum of the products of two rows: four sums, none of which waits for another.
function product(A, a, B, b, by, n) {
  let [p, q, u, v] = [0, 0, 0, 0];
  let s = 0;
  for (; s + 3 < n; s += 4, a += 4, b += 4 * by) {
    p += A[a] * B[b];
    q += A[a + 1] * B[b + by];
    u += A[a + 2] * B[b + 2 * by];
    v += A[a + 3] * B[b + 3 * by];
  }
  for (; s < n; s++, a++, b += by) p += A[a] * B[b];
  return p + q + u + v;
}
