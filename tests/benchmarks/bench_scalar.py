"""スカラーエンジンの速さとメモリを、micrograd と 1 回の実行の中で並べて測る。

    python tests/benchmarks/bench_scalar.py

1 は、両者を別々のプロセスで交互に動かした 1 手順の中央値。比だけを読む（機械の速さは揺れる）。
回収器 (garbage collector) は既定のまま、プロセスにはほかに何もない状態で測る。
"""

from __future__ import annotations

import gc
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import micrograd.engine as original
import micrograd.nn as original_nn
import numpy as np
from sklearn.datasets import make_moons

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.engine import Value


class HandWrittenNeuron(nn.Neuron):
    """The neuron as micrograd writes it: one node for each product and each sum."""

    def __call__(self, x: Any) -> Any:
        activation = sum((wi * xi for wi, xi in zip(self.w, x)), self.b)
        return activation.relu() if self.nonlin else activation


def hand_written(model: nn.MLP) -> nn.MLP:
    for layer in model.layers:
        for neuron in layer.neurons:
            neuron.__class__ = HandWrittenNeuron
    return model


def moons() -> tuple[list[list[float]], list[int]]:
    X, y = make_moons(n_samples=100, noise=0.1, random_state=1337)
    return X.tolist(), (y * 2 - 1).tolist()


def moons_step(V: Any, model: Any, X: list[list[float]], y: list[int]) -> float:
    """One full forward, backward and update of micrograd's demo: hinge loss + L2."""
    inputs = [list(map(V, row)) for row in X]
    scores = list(map(model, inputs))
    losses = [(1 + -yi * score).relu() for yi, score in zip(y, scores)]
    loss = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= 0.1 * p.grad
    return float(loss.data)


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


CONTESTANTS: dict[str, tuple[Any, Callable[[], Any], int]] = {
    "micrograd": (original.Value, lambda: original_nn.MLP(2, [16, 16, 1]), 4),
    "nn.MLP": (Value, lambda: nn.MLP(2, [16, 16, 1]), 20),
    "手書きのニューロン": (Value, lambda: hand_written(nn.MLP(2, [16, 16, 1])), 10),
}
TARGETS = {"nn.MLP": 30, "手書きのニューロン": 6}


def contestant(name: str) -> tuple[list[float], list[float]]:
    """Seconds and losses of some steps, in a process of its own."""
    V, make, steps = CONTESTANTS[name]
    X, y = moons()
    random.seed(1)
    model = make()
    losses: list[float] = []
    times = [seconds(lambda: losses.append(moons_step(V, model, X, y))) for _ in range(steps)]
    return times, losses


def benchmark_moons(rounds: int) -> None:
    """Contestants alternate in fresh processes.

    In one process the one would pay for collecting the cyclic garbage that the other left.
    """
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    losses: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in CONTESTANTS:
            command = [sys.executable, __file__, "--contestant", name]
            output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
            some, losses[name] = json.loads(output)
            times[name] += some
    for name in TARGETS:
        assert np.allclose(losses["micrograd"], losses[name][:4], rtol=1e-9), name
    base = statistics.median(times["micrograd"])
    print("1. moons（100 点, MLP 2-16-16-1, hinge + L2）: 順伝播 + 逆伝播 + 更新")
    for name in CONTESTANTS:
        median = statistics.median(times[name])
        goal = f"  目標 ≥ {TARGETS[name]}×" if name in TARGETS else ""
        print(f"   {1000 * median:9.1f} ms   {base / median:6.1f}×{goal}   {name}")


def benchmark_chain(length: int = 1_000_000) -> None:
    gc.collect()
    before = _resident()
    start = time.perf_counter()
    x = y = Value(1.0)
    for _ in range(length):
        y = y + 1.0
    built = time.perf_counter()
    y.backward()
    differentiated = time.perf_counter()
    held = _resident() - before
    assert x.grad == 1.0
    del y
    dropped = time.perf_counter()
    left = _resident() - before
    print(f"\n3. 長さ {length:,} の鎖（再帰なし）")
    print(f"   作る {built - start:.2f} s, 逆伝播 {differentiated - built:.2f} s, ", end="")
    print(f"捨てる {dropped - differentiated:.2f} s")
    print(f"   1 ノードあたり {held / length:.0f} バイト（逆伝播の作業領域を含む）, ", end="")
    print(f"捨てた直後に残るのはその {100 * left / held:.1f} %")


def _resident() -> int:
    """Bytes of memory this process occupies now (Linux; elsewhere the peak so far)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def random_graph(nodes: int) -> Value:
    rng = random.Random(0)
    values = [Value(rng.uniform(-1, 1)) for _ in range(10)]
    for _ in range(nodes):
        values.append(rng.choice(values[-50:]) * 0.5 + rng.choice(values[-50:]) * 0.5)
    return mg.sum(values[-50:])


def benchmark_linearity() -> None:
    medians = []
    for nodes in (10_000, 100_000):
        root = random_graph(nodes // 3)
        medians.append(statistics.median(seconds(root.backward) for _ in range(7)))
    print("\n2. 逆伝播の時間はノードと辺に比例する: 10,000 → 100,000 ノード")
    print(f"   {1000 * medians[0]:.1f} ms → {1000 * medians[1]:.1f} ms: ", end="")
    print(f"{medians[1] / medians[0]:.1f}×  目標 ≤ 12×")


def main() -> None:
    sys.setrecursionlimit(100_000)  # micrograd's own backward recurses
    if sys.argv[1:2] == ["--contestant"]:
        print(json.dumps(contestant(sys.argv[2])))
        return
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, "
        f"micrograd_jp {mg.__version__}, micrograd 0.1.0\n"
    )
    benchmark_moons(rounds=5)
    benchmark_linearity()
    benchmark_chain()


if __name__ == "__main__":
    main()
