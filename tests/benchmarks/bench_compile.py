"""コンパイルしたスカラーの計算を、NumPy の手書き・PyTorch・micrograd と並べて測る。

    pip install torch==2.13.0 micrograd==0.1.0   # 比べる相手。ないものは飛ばす
    python tests/benchmarks/bench_compile.py           # すべて
    python tests/benchmarks/bench_compile.py moons     # 1 つだけ (moons, mnist, conv8, conv28)

どれも別々のプロセスで交互に動かす。比だけを読む。どの相手とも、はじめの数手順の損失が一致する
ことを確かめてから比を印字する。MNIST が手元になければ、同じ形の乱数で測り、そう断る。
"""

from __future__ import annotations

import importlib
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

RATE = 0.1
UPDATES = 50  # of one call of minimize
Step = Callable[[], float]


# ---- 問題: データと、はじめのパラメータ ------------------------------------------------------


def moons_problem() -> tuple[Any, Any, list[Any]]:
    """100 points of two half moons, labels ±1, and the weights of an MLP 2-16-16-1."""
    rng = np.random.default_rng(0)
    angle = np.pi * rng.random(100)
    y = np.where(np.arange(100) % 2, 1.0, -1.0)
    x = np.stack([np.cos(angle), np.sin(angle)], 1) * y[:, None]
    x += [0.25, 0.25] + 0.1 * rng.standard_normal((100, 2))
    sizes = (2, 16, 16, 1)
    parameters = []
    for n, m in pairwise(sizes):
        parameters += [rng.uniform(-1, 1, (m, n)), np.zeros(m)]
    return x.astype(np.float32), y.astype(np.float32), [p.astype(np.float32) for p in parameters]


def digits(n: int) -> tuple[Any, Any, bool]:
    """Images (n, 28, 28) and one-hot labels: MNIST where it is at hand."""
    try:
        from micrograd_jp.data.datasets import mnist

        train = mnist(True, download=False)
        x, labels, real = np.asarray(train.images[:n]), np.asarray(train.labels[:n]), True
    except FileNotFoundError:
        rng = np.random.default_rng(1)
        x, labels, real = rng.random((n, 28, 28)), rng.integers(0, 10, n), False
    return x.astype(np.float32), np.eye(10, dtype=np.float32)[labels], real


def mnist_problem() -> tuple[Any, Any, list[Any]]:
    """A batch of 128 and the weights of an MLP 784-100-10."""
    x, t, _ = digits(128)
    rng = np.random.default_rng(0)
    parameters = []
    for n, m in ((784, 100), (100, 10)):
        parameters += [rng.standard_normal((m, n)) * (2 / n) ** 0.5, np.zeros(m)]
    return x.reshape(128, 784), t, [p.astype(np.float32) for p in parameters]


def conv_problem(size: int, channels: int) -> tuple[Any, Any, list[Any]]:
    """A batch of 128 images, `channels` filters 3×3, and a dense layer of 10."""
    x, t, _ = digits(128)
    x = x if size == 28 else x[:, 6:22:2, 6:22:2]
    rng = np.random.default_rng(0)
    n = channels * (size - 2) ** 2
    parameters = [
        rng.standard_normal((channels, 3, 3)) / 3, np.zeros(channels),
        rng.standard_normal((10, n)) * (2 / n) ** 0.5, np.zeros(10),
    ]  # fmt: skip
    return np.ascontiguousarray(x), t, [p.astype(np.float32) for p in parameters]


# ---- 同じスカラーのプログラム。パラメータは `Value` か micrograd の Value --------------------


def affine(rows: Any, biases: Any, xs: Any) -> list[Any]:
    """Written out one number at a time, as in micrograd."""
    return [
        sum((w * x for w, x in zip(row, xs)), b) for row, b in zip(rows, biases, strict=True)
    ]  # fmt: skip


def moons_scores(parameters: Any, x: Any) -> Any:
    (W1, b1, W2, b2, W3, b3) = parameters
    h = [z.relu() for z in affine(W1, b1, x)]
    h = [z.relu() for z in affine(W2, b2, h)]
    return affine(W3, b3, h)[0]


def values_of(arrays: list[Any], make: Callable[[float], Any]) -> Any:
    """The same nesting with one object per number."""

    def build(x: Any) -> Any:
        return [build(y) for y in x] if isinstance(x, list) else make(x)

    return [build(a.tolist()) for a in arrays]


def flat(nested: Any) -> list[Any]:
    return [x for y in nested for x in flat(y)] if isinstance(nested, list) else [nested]


# ---- 1 手順をして損失を返す関数を作る ---------------------------------------------------------


class Ours:
    """Tracing and compiling happen in `start`; then a step is three lines."""

    def __init__(self, task: str) -> None:
        import micrograd_jp as mg

        self.mg = mg
        self.x, self.t, arrays = PROBLEMS[task]()
        self.parameters = values_of(arrays, mg.Value)
        self.loss = mg.compile(getattr(self, task))

    def moons(self, x: Any, t: Any) -> Any:
        penalty = 1e-4 * sum(p * p for p in flat(self.parameters))
        return (1 + -t * moons_scores(self.parameters, x)).relu() + penalty

    def mnist(self, x: Any, t: Any) -> Any:
        W1, b1, W2, b2 = self.parameters
        z = affine(W2, b2, [a.relu() for a in affine(W1, b1, x)])
        return self.mg.logsumexp(z) - self.mg.dot(t, z)

    def conv8(self, x: Any, t: Any) -> Any:
        filters, biases, rows, b = self.parameters
        n = len(x) - 2
        h = [
            sum((w[u][v] * x[i + u][j + v] for u in range(3) for v in range(3)), c).relu()
            for w, c in zip(filters, biases, strict=True)
            for i in range(n)
            for j in range(n)
        ]
        z = affine(rows, b, h)
        return self.mg.logsumexp(z) - self.mg.dot(t, z)

    conv28 = conv8

    def start(self) -> Step:
        self.loss.trace(self.x, self.t)
        optimizer = self.mg.optim.SGD(self.loss.parameters(), lr=RATE)

        def step() -> float:
            values = self.loss(self.x, self.t)
            optimizer.zero_grad()
            self.loss.backward()
            optimizer.step()
            return values  # type: ignore[no-any-return]

        return step

    def minimize(self) -> Any:
        """`UPDATES` steps in one call: their losses."""
        self.loss.trace(self.x, self.t)
        optimizer = self.mg.optim.SGD(self.loss.parameters(), lr=RATE)
        options = {"batch_size": len(self.x), "epochs": UPDATES}

        def steps() -> Any:
            values = self.loss.minimize(optimizer, self.x, self.t, **options)
            return values.numpy().reshape(UPDATES, -1).mean(1)

        return steps


def by_hand(task: str) -> Step:
    """NumPy with matrices, as one writes it who knows them."""
    x, t, p = PROBLEMS[task]()
    return {"moons": moons_by_hand, "mnist": mnist_by_hand}[task](x, t, p)


def moons_by_hand(x: Any, t: Any, p: Any) -> Step:
    W1, b1, W2, b2, W3, b3 = p
    n = len(x)

    def step() -> float:
        h1 = np.maximum(x @ W1.T + b1, 0)
        h2 = np.maximum(h1 @ W2.T + b2, 0)
        margin = 1 - t * (h2 @ W3.T + b3)[:, 0]
        loss = np.maximum(margin, 0).mean() + 1e-4 * sum((a * a).sum() for a in p)
        g = (-t * (margin > 0) / n)[:, None].astype(np.float32)
        g2 = (g @ W3) * (h2 > 0)
        g1 = (g2 @ W2) * (h1 > 0)
        grads = (g1.T @ x, g1.sum(0), g2.T @ h1, g2.sum(0), g.T @ h2, g.sum(0))
        for a, grad in zip(p, grads):
            a -= RATE * (grad + 2e-4 * a)
        return float(loss)

    return step


def mnist_by_hand(x: Any, t: Any, p: Any) -> Step:
    W1, b1, W2, b2 = p
    n = len(x)

    def step() -> float:
        h = np.maximum(x @ W1.T + b1, 0)
        z = h @ W2.T + b2
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(total[:, 0]) - (z * t).sum(axis=1))
        g = (e / total - t) / n
        g1 = (g @ W2) * (h > 0)
        for a, grad in ((W2, g.T @ h), (b2, g.sum(0)), (W1, g1.T @ x), (b1, g1.sum(0))):
            a -= RATE * grad
        return float(loss)

    return step


def pytorch(task: str) -> Step:
    import torch

    x, t, p = PROBLEMS[task]()
    X, T = torch.from_numpy(x), torch.from_numpy(t)
    p = [torch.from_numpy(a).requires_grad_() for a in p]
    optimizer = torch.optim.SGD(p, lr=RATE)
    linear, relu = torch.nn.functional.linear, torch.relu
    cross_entropy = torch.nn.functional.cross_entropy

    def moons() -> Any:
        h = relu(linear(relu(linear(X, p[0], p[1])), p[2], p[3]))
        penalty = 1e-4 * sum((a * a).sum() for a in p)
        return relu(1 - T * linear(h, p[4], p[5])[:, 0]).mean() + penalty

    def mnist() -> Any:
        return cross_entropy(linear(relu(linear(X, p[0], p[1])), p[2], p[3]), labels)

    def conv() -> Any:
        h = relu(torch.nn.functional.conv2d(images, p[0][:, None], p[1]))
        return cross_entropy(linear(h.flatten(1), p[2], p[3]), labels)

    labels, images = T.argmax(-1), X[:, None]
    if task.startswith("conv"):  # the layout that is fastest on the processor
        images = images.contiguous(memory_format=torch.channels_last)
    forward = {"moons": moons, "mnist": mnist}.get(task, conv)

    def step() -> float:
        optimizer.zero_grad()
        loss = forward()
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def micrograd(task: str) -> Step:
    from micrograd.engine import Value

    x, t, arrays = PROBLEMS[task]()
    parameters = values_of(arrays, Value)
    every = flat(parameters)
    samples = list(zip(x.tolist(), t.tolist(), strict=True))
    sys.setrecursionlimit(1_000_000)  # its backward recurses

    def step() -> float:
        scores = [moons_scores(parameters, sample) for sample, _ in samples]
        losses = [(1 + -label * s).relu() for (_, label), s in zip(samples, scores)]
        loss = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in every)
        for p in every:
            p.grad = 0
        loss.backward()
        for p in every:
            p.data -= RATE * p.grad
        return float(loss.data)

    return step


PROBLEMS: dict[str, Callable[[], tuple[Any, Any, list[Any]]]] = {
    "moons": moons_problem,
    "mnist": mnist_problem,
    "conv8": lambda: conv_problem(8, 4),
    "conv28": lambda: conv_problem(28, 16),
}
MAKERS: dict[str, Callable[[str], Step]] = {
    "NumPy 手書き": by_hand,
    "PyTorch": pytorch,
    "micrograd": micrograd,
}
PEERS = {
    "moons": ["NumPy 手書き", "PyTorch", "micrograd"],
    "mnist": ["NumPy 手書き", "PyTorch"],
    "conv8": ["PyTorch"],
    "conv28": ["PyTorch"],
}
REPEATS = {"moons": 6000, "mnist": 400, "conv8": 800, "conv28": 40}
TARGETS = {
    "moons": {"PyTorch": 0.25},
    "mnist": {"NumPy 手書き": 1.15, "PyTorch": 0.9},
    "conv8": {"PyTorch": 0.6},
    "conv28": {"PyTorch": 1.2},
}
COMPILE = {"mnist": 0.5, "conv28": 2.0}


def contestant(task: str, name: str) -> dict[str, Any]:
    """Seconds of a late step (median), of compiling, of 100 steps, and the first losses."""
    random.seed(0)
    if name == "micrograd_jp":
        ours = Ours(task)
        start = time.perf_counter()
        step = ours.start()
        compiled = time.perf_counter() - start
        first = [float(np.mean(step().data)) for _ in range(3)]
        for _ in range(97):
            step()
        hundred = time.perf_counter() - start
    elif name == "minimize":
        step, compiled, hundred = Ours(task).minimize(), 0.0, 0.0
        first = step()[:3].tolist()
    else:
        step, compiled, hundred = MAKERS[name](task), 0.0, 0.0
        first = [step() for _ in range(3 if name != "micrograd" else 1)]
    times, updates = [], UPDATES if name == "minimize" else 1
    for _ in range(max(REPEATS[task] // updates, 3) if name != "micrograd" else 1):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) / updates)
    seconds = statistics.median(times[len(times) // 2 :])
    return {"seconds": seconds, "compile": compiled, "hundred": hundred, "first": first}


def compare(task: str, rounds: int = 5) -> None:
    names = ["micrograd_jp", "minimize", *PEERS[task]]
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names:
            if name == "micrograd" and turn:
                continue  # one is enough: it is thousands of times slower
            command = [sys.executable, __file__, "--contestant", task, name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"   {name}: 飛ばします ({done.stderr.strip().splitlines()[-1]})")
                continue
            results[name].append(json.loads(done.stdout))
    mine = results["micrograd_jp"]
    seconds = {n: statistics.median(r["seconds"] for r in rs) for n, rs in results.items() if rs}
    for name in names[:2]:
        print(f"   {1e6 * seconds[name]:10.1f} µs   {name}")
    for name in [n for n in names if n in seconds]:
        for ours, theirs in zip(mine[0]["first"], results[name][0]["first"]):
            assert np.isclose(ours, theirs, rtol=2e-4), (task, name, ours, theirs)
    for name in [n for n in PEERS[task] if n in seconds]:
        loop, at_once = (f"{seconds[n] / seconds[name]:.2g} 倍" for n in names[:2])
        wanted = f"  目標 ≤ {TARGETS[task][name]}" if name in TARGETS[task] else ""
        took = f"   {1e6 * seconds[name]:10.1f} µs   "
        print(f"{took}micrograd_jp はこの {loop}（minimize で {at_once}）   {name}{wanted}")
    compiled = statistics.median(r["compile"] for r in mine)
    wanted = f"  目標 ≤ {COMPILE[task]} s" if task in COMPILE else ""
    print(f"   記録からコンパイルまで {compiled:.3f} s{wanted}")
    if "micrograd" in seconds:
        hundred = statistics.median(r["hundred"] for r in mine)
        ratio = 100 * seconds["micrograd"] / hundred
        took = f"   100 手順（コンパイルを含む） {hundred:.4f} s"
        print(f"{took}: micrograd の {ratio:,.0f} 倍速い  目標 ≥ 3,000")


TITLES = {
    "moons": "moons、MLP 2-16-16-1、ヒンジ + L2、100 標本、全標本を 1 手順",
    "mnist": "MNIST、スカラーの MLP 784-100-10、batch 128、SGD",
    "conv8": "8×8 の画像、3×3 の畳み込み 4 チャネル、全結合 10、batch 128",
    "conv28": "28×28 の画像、3×3 の畳み込み 16 チャネル、全結合 10、batch 128",
}


def main() -> None:
    if sys.argv[1:2] == ["--contestant"]:
        print(json.dumps(contestant(sys.argv[2], sys.argv[3])))
        return
    versions = {"Python": sys.version.split()[0]}
    for module in ("numpy", "micrograd_jp", "torch", "micrograd"):
        try:
            versions[module] = getattr(importlib.import_module(module), "__version__", "0.1.0")
        except ImportError:
            versions[module] = "なし"
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print("画像: " + ("MNIST" if digits(1)[2] else "乱数（MNIST がありません）"))
    for task in sys.argv[1:] or TITLES:
        print(f"\n{TITLES[task]}")
        compare(task)


if __name__ == "__main__":
    main()
