"""不規則なスカラーの計算のテープを、C で書いたテープと CasADi と並べて測る。

    pip install casadi                                  # 比べる相手。なければ飛ばす (C は gcc)
    python tests/benchmarks/bench_compile_tape.py
    python tests/benchmarks/bench_compile_tape.py --instructions   # 命令 1 つずつの時間

問題は A. Rogozhnikov, "Fastest Autograd in the West" (2023) の 10,000 演算のグラフ: softplus、
4 つの和、2 つの積、4 つの softmax をこの順にくり返し、直前の 30 ノードを使う。`random` は同じ演算を
でたらめな順に、直前の 1,000 ノードのどれかに適用したもので、次に来る命令を CPU が予測できない。
順伝播と逆伝播で 1 回。どれも別々のプロセスで交互に動かす。比だけを読む。
はじめに 200 演算のグラフで、値と勾配が互いに一致することを確かめる。
"""

from __future__ import annotations

import ctypes
import importlib
import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

OPERATIONS = 10_000
INPUTS = 100
KINDS = ("softplus", "sum", "product", "softmax")
Operation = tuple[int, list[int], list[int]]


# ---- 問題 ------------------------------------------------------------------------------------


def graph(name: str, operations: int) -> list[Operation]:
    """(kind, results, arguments) of every operation; nodes 0 … 99 are the inputs."""
    rng, nodes = random.Random(0), list(range(INPUTS))
    made = []
    for k in range(operations):
        kind = k % 4 if name == "west" else rng.randrange(4)
        count = (1, 4, 2, 4)[kind]
        if name == "west":
            window = (nodes[-10:-9], nodes[-30:-10:5], [nodes[-20], nodes[-10]], nodes[-4:])
            args = window[kind]
        else:
            args = rng.sample(nodes[-1000:], count)
        results = list(range(len(nodes), len(nodes) + (4 if kind == 3 else 1)))
        made.append((kind, results, args))
        nodes += results
    return made


def start(name: str) -> Any:
    """The inputs: 0 … 99 as in the article; small ones where products may follow products."""
    x = np.arange(INPUTS, dtype=np.float32)
    return x if name == "west" else x / 100


def live(operations: list[Operation]) -> list[Operation]:
    """What the last node depends on. Every contestant gets only that."""
    needed, kept = {operations[-1][1][-1]}, []
    for operation in reversed(operations):
        if needed & set(operation[1]):
            kept.append(operation)
            needed |= set(operation[2])
    return kept[::-1]


def problem(name: str, operations: int) -> tuple[list[Operation], int]:
    made = graph(name, operations)
    return live(made), made[-1][1][-1]


# ---- C ---------------------------------------------------------------------------------------

SOURCE = r"""
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef struct { uint32_t op, out, in[4]; } Op;
void passes(const Op *ops, const Op *end, float *restrict v, float *restrict g, size_t slots,
            size_t root, long times) {
  for (long t = 0; t < times; t++) {
    for (const Op *o = ops; o < end; o++) switch (o->op) {
      case 0: {
        float x = v[o->in[0]], e = expf(-fabsf(x));
        v[o->out] = fmaxf(x, 0.f) + log1pf(e);
        v[o->out + 1] = (x > 0 ? 1.f : e) / (1.f + e);
        break; }
      case 1: v[o->out] = v[o->in[0]] + v[o->in[1]] + v[o->in[2]] + v[o->in[3]]; break;
      case 2: v[o->out] = v[o->in[0]] * v[o->in[1]]; break;
      case 3: {
        float a = v[o->in[0]], b = v[o->in[1]], c = v[o->in[2]], d = v[o->in[3]];
        float m = fmaxf(fmaxf(a, b), fmaxf(c, d));
        a = expf(a - m); b = expf(b - m); c = expf(c - m); d = expf(d - m);
        float s = 1.f / (a + b + c + d), *z = v + o->out;
        z[0] = a * s; z[1] = b * s; z[2] = c * s; z[3] = d * s;
        break; }
    }
    memset(g, 0, slots * sizeof(float));
    g[root] = 1.f;
    for (const Op *o = end - 1; o >= ops; o--) switch (o->op) {
      case 0: g[o->in[0]] += g[o->out] * v[o->out + 1]; break;
      case 1: {
        float u = g[o->out];
        g[o->in[0]] += u; g[o->in[1]] += u; g[o->in[2]] += u; g[o->in[3]] += u;
        break; }
      case 2: {
        float u = g[o->out], x = v[o->in[0]], y = v[o->in[1]];
        g[o->in[0]] += u * y; g[o->in[1]] += u * x;
        break; }
      case 3: {
        const float *z = v + o->out, *h = g + o->out;
        float a = z[0] * h[0], b = z[1] * h[1], c = z[2] * h[2], d = z[3] * h[3];
        float s = a + b + c + d;
        g[o->in[0]] += a - z[0] * s; g[o->in[1]] += b - z[1] * s;
        g[o->in[2]] += c - z[2] * s; g[o->in[3]] += d - z[3] * s;
        break; }
    }
  }
}
"""
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC"]


class C:
    """The tape in C: one switch, arguments and results in one array, σ kept for softplus."""

    def __init__(self, name: str, operations: int) -> None:
        if shutil.which("gcc") is None:
            raise ModuleNotFoundError("gcc")
        with tempfile.TemporaryDirectory() as folder:
            source, library = Path(folder, "tape.c"), Path(folder, "tape.so")
            source.write_text(SOURCE)
            subprocess.run(["gcc", *FLAGS, "-o", library, source, "-lm"], check=True)
            self.passes = ctypes.CDLL(str(library)).passes
        made, root = problem(name, operations)
        slot, rows, free = list(range(INPUTS)) + [0] * (5 * operations), [], INPUTS
        for kind, results, args in made:
            for k, i in enumerate(results):
                slot[i] = free + k
            rows.append([kind, free, *[slot[a] for a in args], *[0] * (4 - len(args))])
            free += len(results) + (kind == 0)
        self.rows = np.array(rows, dtype=np.uint32)
        self.v, self.g = np.zeros(free, np.float32), np.zeros(free, np.float32)
        self.v[:INPUTS], self.root = start(name), slot[root]

    def run(self, times: int) -> None:
        first = self.rows.ctypes.data
        pointers = (first, first + self.rows.nbytes, self.v.ctypes.data, self.g.ctypes.data)
        sizes = (ctypes.c_size_t(self.v.size), ctypes.c_size_t(self.root), ctypes.c_long(times))
        self.passes(*map(ctypes.c_void_p, pointers), *sizes)

    def answer(self) -> list[float]:
        self.run(1)
        return [float(self.v[self.root]), *self.g[:INPUTS].tolist()]


# ---- CasADi ----------------------------------------------------------------------------------


class CasADi:
    """The expression and its gradient as one function of CasADi's virtual machine (float64)."""

    def __init__(self, name: str, operations: int) -> None:
        ca = importlib.import_module("casadi")
        made, root = problem(name, operations)
        x = ca.SX.sym("x", INPUTS)
        nodes = dict(enumerate(ca.vertsplit(x)))
        for kind, results, args in made:
            xs = [nodes[a] for a in args]
            if kind == 0:
                values = [ca.fmax(xs[0], 0) + ca.log1p(ca.exp(-ca.fabs(xs[0])))]
            elif kind == 1:
                values = [xs[0] + xs[1] + xs[2] + xs[3]]
            elif kind == 2:
                values = [xs[0] * xs[1]]
            else:
                top = ca.fmax(ca.fmax(xs[0], xs[1]), ca.fmax(xs[2], xs[3]))
                es = [ca.exp(y - top) for y in xs]
                scale = 1 / (es[0] + es[1] + es[2] + es[3])
                values = [e * scale for e in es]
            nodes.update(zip(results, values, strict=True))
        function = ca.Function("f", [x], [nodes[root], ca.gradient(nodes[root], x)])
        buffer, self.evaluate = function.buffer()
        self.x, self.y = start(name).astype(np.float64), np.zeros(1)
        self.gradient = np.zeros(INPUTS)
        buffer.set_arg(0, memoryview(self.x))
        buffer.set_res(0, memoryview(self.y))
        buffer.set_res(1, memoryview(self.gradient))
        self.buffer = buffer

    def run(self, times: int) -> None:
        for _ in range(times):
            self.evaluate()

    def answer(self) -> list[float]:
        self.run(1)
        return [float(self.y[0]), *self.gradient.tolist()]


# ---- micrograd_jp ----------------------------------------------------------------------------


def written(name: str, operations: int) -> Callable[[Any], Any]:
    """The same graph as a user would write it."""
    import micrograd_jp as mg

    made, root = problem(name, operations)

    def function(x: Any) -> Any:
        nodes = dict(enumerate(x))
        for kind, results, args in made:
            xs = [nodes[a] for a in args]
            if kind == 0:
                values = [mg.softplus(xs[0])]
            elif kind == 1:
                values = [mg.sum(xs)]
            elif kind == 2:
                values = [xs[0] * xs[1]]
            else:
                values = mg.softmax(xs)
            nodes.update(zip(results, values, strict=True))
        return nodes[root]

    return function


class Tape:
    """The executor as `mg.compile` uses it: one call of forward and one of backward."""

    def __init__(self, name: str, operations: int, batch: int = 1, how: str = "tape") -> None:
        import micrograd_jp as mg

        compiled = mg.compile(written(name, operations), executor=how, dtype=np.float32)
        rows = np.tile(start(name), (batch, 1))
        compiled(rows)
        self.executor = compiled.compilations[0].executor
        self.parameters = np.empty(0, np.float32)
        self.inputs, self.seeds = [rows.T.copy()], np.ones((1, batch), np.float32)

    def run(self, times: int) -> None:
        for _ in range(times):
            self.value = self.executor.forward(self.parameters, self.inputs)
            _, self.gradient = self.executor.backward(self.seeds, True)

    def answer(self) -> list[float]:
        self.run(1)
        return [float(self.value[0, 0]), *self.gradient[:, 0].tolist()]


CONTESTANTS: dict[str, tuple[Callable[[str, int], Any], int, int]] = {
    "C": (C, 20, 1),
    "CasADi": (CasADi, 5, 1),
    "テープ 1 レーン": (Tape, 20, 1),
    "テープ 16 レーン": (lambda name, n: Tape(name, n, 16), 10, 16),
    "テープ 64 レーン": (lambda name, n: Tape(name, n, 64), 5, 64),
    "テープ 標本 256": (lambda name, n: Tape(name, n, 256), 2, 256),
    "NumPy の段, 標本 64": (lambda name, n: Tape(name, n, 64, "levels"), 1, 64),
}
"""Maker, passes to time at once, samples in a pass."""

TARGETS = {"テープ 1 レーン": 1.2, "テープ 64 レーン": 0.15}


def contestant(label: str, name: str) -> dict[str, Any]:
    """Microseconds per sample of some runs, in a process of its own."""
    make, times, batch = CONTESTANTS[label]
    answer = make(name, 200).answer()
    made = make(name, OPERATIONS)
    made.run(2)
    runs = []
    for _ in range(7):
        began = time.perf_counter()
        made.run(times)
        runs.append(1e6 * (time.perf_counter() - began) / times / batch)
    return {"answer": answer, "runs": runs}


def in_a_process(*arguments: str) -> Any:
    """What this file prints when run with these arguments; None where something is missing."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare(name: str, rounds: int = 3) -> None:
    runs: dict[str, list[float]] = {}
    answers: dict[str, Any] = {}
    for _ in range(rounds):
        for label in CONTESTANTS:
            result = in_a_process("--contestant", label, name)
            if result is not None:
                runs.setdefault(label, []).extend(result["runs"])
                answers[label] = result["answer"]
    reference = next(iter(answers.values()))
    for label, answer in answers.items():
        assert np.allclose(answer, reference, rtol=1e-3, atol=1e-6), label
    medians = {label: statistics.median(times) for label, times in runs.items()}
    print(
        f"\n{name}: 1 標本の順伝播と逆伝播（float32, {len(problem(name, OPERATIONS)[0]):,} 演算）"
    )
    for label, median in medians.items():
        ratio = f"C の {median / medians['C']:6.3f} 倍" if "C" in medians else ""
        goal = f"（目標 ≤ {TARGETS[label]}）" if label in TARGETS else ""
        print(f"   {median:9.1f} µs   {ratio} {goal}  {label}")
    if "CasADi" in medians:
        ratio = medians["テープ 1 レーン"] / medians["CasADi"]
        print(f"   テープ 1 レーン / CasADi = {ratio:.3f}（目標 ≤ 0.3）")


# ---- 全部で ----------------------------------------------------------------------------------

PASSES = 10_000


def whole() -> float:
    """Seconds for import, trace, compile and 10,000 passes through the public surface."""
    began = time.perf_counter()
    import micrograd_jp as mg

    compiled = mg.compile(written("west", OPERATIONS), executor="tape", dtype=np.float32)
    x = start("west")[None]
    for _ in range(PASSES):
        compiled(x)
        compiled.backward()
    return time.perf_counter() - began


def whole_c() -> float:
    made = C("west", OPERATIONS)
    began = time.perf_counter()
    made.run(PASSES)
    return time.perf_counter() - began


def compare_whole(rounds: int = 3) -> None:
    in_a_process("--whole")  # fills the cache of machine code
    times: dict[str, list[float]] = {"--whole": [], "--whole-c": []}
    for _ in range(rounds):
        for mode, found in times.items():
            seconds = in_a_process(mode)
            if seconds is not None:
                found.append(seconds)
    ours = statistics.median(times["--whole"])
    print(f"\nimport・記録・コンパイルと {PASSES:,} 回の順伝播と逆伝播（核はキャッシュ済み）")
    print(f"   {ours:6.2f} s   mg.compile")
    if times["--whole-c"]:
        c = statistics.median(times["--whole-c"])
        print(f"   {c:6.2f} s   C（実行だけ）   比 {ours / c:.2f}（目標 ≤ {2.5 / 0.9:.2f}）")


# ---- 命令 1 つずつ -----------------------------------------------------------------------------


def instructions(count: int = 5000) -> None:
    """Nanoseconds for single operations, from which the constants of the estimate come."""
    import micrograd_jp as mg

    functions: dict[str, Callable[[Any, Any], Any]] = {
        "足すだけ": lambda x, y: x, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
        "exp": lambda x, y: mg.exp(x), "log": lambda x, y: mg.log(x),
        "tanh": lambda x, y: mg.tanh(x), "softplus": lambda x, y: mg.softplus(x),
        "sin": lambda x, y: mg.sin(x), "pow": lambda x, y: x**y,
        "logsumexp of 3": lambda x, y: mg.logsumexp([x, y, 0.5]),
        "softmax of 3": lambda x, y: mg.softmax([x, y, 0.5])[0],
    }  # fmt: skip
    for label, function in functions.items():
        for batch in (1, 64):

            def program(x: Any, f: Any = function) -> Any:
                return mg.sum([f(a, b) for a, b in zip(x, [*x[1:], x[0]])])

            compiled = mg.compile(program, executor="tape", dtype=np.float32)
            compiled(np.ones((batch, count)))
            runner, x = compiled.compilations[0].executor, np.full((count, batch), 0.7, np.float32)
            seeds, p, runs = np.ones((1, batch), np.float32), np.empty(0, np.float32), []
            for _ in range(30):
                began = time.perf_counter()
                runner.forward(p, [x])
                runner.backward(seeds, False)
                runs.append(time.perf_counter() - began)
            print(f"   {1e9 * statistics.median(runs) / count:8.2f} ns   {label}, {batch} レーン")


def main() -> None:
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "--contestant":
        print(json.dumps(contestant(*sys.argv[2:4])))
    elif mode in ("--whole", "--whole-c"):
        print(json.dumps(whole() if mode == "--whole" else whole_c()))
    elif mode == "--instructions":
        instructions()
    else:
        versions = [f"Python {platform.python_version()}", f"numpy {np.__version__}"]
        for module in ("llvmlite", "casadi"):
            try:
                versions.append(f"{module} {importlib.import_module(module).__version__}")
            except ModuleNotFoundError:
                versions.append(f"{module} なし")
        if shutil.which("gcc"):
            told = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True)
            versions.append(f"gcc {told.stdout.strip()} {' '.join(FLAGS[:3])}")
        print(", ".join(versions))
        for name in ("west", "random"):
            compare(name)
        compare_whole()


if __name__ == "__main__":
    main()
