"""系列の層の速さを、PyTorch (eager, CPU) と並べて測る: LSTM、Transformer の 1 層、注意。

    pip install torch==2.13.0   # 比べる相手
    python tests/benchmarks/bench_sequence.py

    python tests/benchmarks/bench_sequence.py LSTM GRU   # そのうちのいくつか

どれも順伝播と逆伝播。プログラムは同じで、ライブラリだけが違う。別々のプロセスで交互に、同じ数の
スレッドで動かす（1 つと、すべての核）。比だけを読む。損失が一致することを確かめてから比を印字する。
`fast`（機械語）、NumPy だけ、`mg.jit` のそれぞれを、PyTorch の eager と比べる。
目標は、PyTorch が最も速いスレッドの数で、`fast` と `mg.jit` が 1.3 倍以下。
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

GOAL = 1.3


def weighted(m: Any, layer: Any) -> Any:
    """The layer with weights that are the same in both libraries."""
    rng = np.random.default_rng(0)
    state = {
        name: m.tensor(rng.uniform(-0.1, 0.1, tuple(x.shape)).astype(np.float32))
        for name, x in layer.state_dict().items()
    }
    layer.load_state_dict(state)
    return layer


def numbers(m: Any, *shape: int, tracked: bool = False) -> Any:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    return m.tensor(x, requires_grad=tracked)


Case = tuple[Any, list[Any], Callable[..., Any]]
"""A layer (or nothing), the inputs, and what is computed of them."""


def lstm(m: Any) -> Case:
    """Batch 32, hidden 128, 20 steps."""
    layer = weighted(m, m.nn.LSTM(128, 128))
    return layer, [numbers(m, 20, 32, 128)], lambda x: layer(x)[0]


def gru(m: Any) -> Case:
    """Batch 32, hidden 128, 20 steps."""
    layer = weighted(m, m.nn.GRU(128, 128))
    return layer, [numbers(m, 20, 32, 128)], lambda x: layer(x)[0]


def block(m: Any) -> Case:
    """A layer of a Transformer's encoder: batch 16, length 64, 128 numbers, 4 heads."""
    layer = weighted(m, m.nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True))
    return layer, [numbers(m, 16, 64, 128, tracked=True)], layer


def attention(m: Any) -> Case:
    """Causal scaled dot products: batch 8, 4 heads, length 128, 32 numbers each."""
    attend = m.nn.functional.scaled_dot_product_attention
    inputs = [numbers(m, 8, 4, 128, 32, tracked=True) for _ in range(3)]
    return None, inputs, lambda q, k, v: attend(q, k, v, is_causal=True)


def stepper(m: Any, case: Case, compiled: bool = False) -> Callable[[], float]:
    """Forward and backward of the mean of the squares."""
    layer, inputs, forward = case
    parameters = [] if layer is None else list(layer.parameters())

    def step(*xs: Any) -> tuple[Any, list[Any]]:
        leaves = [*parameters, *[x for x in xs if x.requires_grad]]
        for p in leaves:
            p.grad = None
        y = forward(*xs)
        loss = (y * y).mean()
        loss.backward()
        return loss, [p.grad for p in leaves]

    def traced(*xs: Any) -> tuple[Any, list[Any]]:  # what is traced is no leaf of its own
        fresh = zip(xs, inputs)
        return step(*[x.detach().requires_grad_(given.requires_grad) for x, given in fresh])

    run = m.jit(traced, *[] if layer is None else [layer]) if compiled else step

    def once() -> float:
        loss, slopes = run(*inputs)
        if compiled:  # they may not be computed yet
            for slope in slopes:
                np.asarray(slope.data)
        return float(loss.item())

    return once


WAYS = {"fast": "`fast`", "numpy": "NumPy だけ", "jit": "mg.jit"}
CASES = {"LSTM": lstm, "GRU": gru, "Transformer の 1 層": block, "注意": attention}


def contestant(library: str, case: str, threads: int, seconds: float = 1.5) -> dict[str, Any]:
    """Median seconds of a step, in this process."""
    m = importlib.import_module("torch" if library == "torch" else "micrograd_jp")
    if library == "torch":
        m.set_num_threads(threads)
    step = stepper(m, CASES[case](m), library == "jit")
    loss = [step() for _ in range(3)][-1]
    times: list[float] = []
    while sum(times) < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times), "loss": loss}


def measured(library: str, case: str, threads: int) -> dict[str, Any]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MICROGRAD_JP_THREADS")
    command = [sys.executable, __file__, library, case, str(threads)]
    env = os.environ | dict.fromkeys(names, str(threads))
    env["MICROGRAD_JP_NATIVE"] = "0" if library == "numpy" else "1"
    if threads == 1:
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(rounds: int = 3) -> None:
    if sys.argv[1:2] and sys.argv[1] in ("torch", *WAYS):
        print(json.dumps(contestant(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
        return
    every = sorted({1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1})
    print("順伝播と逆伝播 1 回の時間の、PyTorch に対する比（小さいほど速い）")
    for case in sys.argv[1:] or CASES:
        rows: dict[int, dict[str, float]] = {}
        for threads in every:
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("torch", *WAYS)}
            for _ in range(rounds):
                for library, results in found.items():
                    results.append(measured(library, case, threads))
            losses = [results[0]["loss"] for results in found.values()]
            assert np.allclose(losses, losses[0], rtol=1e-4), losses
            rows[threads] = {k: min(r["seconds"] for r in rs) for k, rs in found.items()}
        best = min(every, key=lambda n: rows[n]["torch"])
        for threads, row in rows.items():
            ratios = "  ".join(f"{text} {row[k] / row['torch']:4.2f}" for k, text in WAYS.items())
            mark = f"  ← PyTorch の最速。目標 ≤ {GOAL}" if threads == best else ""
            print(f"{case}: スレッド {threads}  {1e3 * row['torch']:6.2f} ms  {ratios}{mark}")


if __name__ == "__main__":
    main()
