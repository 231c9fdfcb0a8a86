"""系列の層の速さを、PyTorch (eager, CPU) と並べて測る: LSTM、Transformer の 1 層、注意。

    pip install torch==2.13.0   # 比べる相手
    python tests/benchmarks/bench_sequence.py

どれも順伝播と逆伝播。プログラムは同じで、ライブラリだけが違う。別々のプロセスで交互に、同じ数の
スレッドで動かす（1 つと、すべての核）。比だけを読む。損失が一致することを確かめてから比を印字する。
目標は、PyTorch が最も速いスレッドの数で 1.3 倍以下。
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


def lstm(m: Any) -> Callable[[], float]:
    """Batch 32, hidden 128, 20 steps."""
    layer, x = weighted(m, m.nn.LSTM(128, 128)), numbers(m, 20, 32, 128)
    return stepper(lambda: layer(x)[0], layer.parameters())


def gru(m: Any) -> Callable[[], float]:
    """Batch 32, hidden 128, 20 steps."""
    layer, x = weighted(m, m.nn.GRU(128, 128)), numbers(m, 20, 32, 128)
    return stepper(lambda: layer(x)[0], layer.parameters())


def block(m: Any) -> Callable[[], float]:
    """A layer of a Transformer's encoder: batch 16, length 64, 128 numbers, 4 heads."""
    layer = weighted(m, m.nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True))
    x = numbers(m, 16, 64, 128, tracked=True)
    return stepper(lambda: layer(x), [*layer.parameters(), x])


def attention(m: Any) -> Callable[[], float]:
    """Causal scaled dot products: batch 8, 4 heads, length 128, 32 numbers each."""
    q, k, v = (numbers(m, 8, 4, 128, 32, tracked=True) for _ in range(3))
    attend = m.nn.functional.scaled_dot_product_attention
    return stepper(lambda: attend(q, k, v, is_causal=True), [q, k, v])


def stepper(forward: Callable[[], Any], leaves: Any) -> Callable[[], float]:
    """Forward and backward of the mean of the squares."""
    leaves = list(leaves)

    def step() -> float:
        for p in leaves:
            p.grad = None
        y = forward()
        loss = (y * y).mean()
        loss.backward()
        return float(loss.item())

    return step


CASES = {"LSTM": lstm, "GRU": gru, "Transformer の 1 層": block, "注意": attention}


def contestant(library: str, case: str, threads: int, seconds: float = 1.5) -> dict[str, Any]:
    """Median seconds of a step, in this process."""
    m = importlib.import_module(library)
    if library == "torch":
        m.set_num_threads(threads)
    step = CASES[case](m)
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
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(rounds: int = 3) -> None:
    if len(sys.argv) > 3:
        print(json.dumps(contestant(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
        return
    every = sorted({1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1})
    print("順伝播と逆伝播 1 回の時間。比は micrograd_jp / PyTorch（小さいほど速い）")
    for case in CASES:
        rows: dict[int, dict[str, float]] = {}
        for threads in every:
            found: dict[str, list[dict[str, Any]]] = {"micrograd_jp": [], "torch": []}
            for _ in range(rounds):
                for library, results in found.items():
                    results.append(measured(library, case, threads))
            losses = [results[0]["loss"] for results in found.values()]
            assert np.isclose(*losses, rtol=1e-4), losses
            rows[threads] = {k: min(r["seconds"] for r in rs) for k, rs in found.items()}
        best = min(every, key=lambda n: rows[n]["torch"])
        for threads, row in rows.items():
            ratio = row["micrograd_jp"] / row["torch"]
            mark = f"  ← PyTorch の最速。目標 ≤ {GOAL}" if threads == best else ""
            print(
                f"{case}: スレッド {threads}  {1e3 * row['micrograd_jp']:6.2f} ms と "
                f"{1e3 * row['torch']:6.2f} ms  比 {ratio:4.2f}{mark}"
            )


if __name__ == "__main__":
    main()
