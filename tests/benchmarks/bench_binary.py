"""±1 の行列の積の速さを、float32 の行列の積 (BLAS) と並べて測る。どちらもスレッドは 1 本。

    python tests/benchmarks/bench_binary.py

1 つのプロセスの中で、BLAS、機械語 (extra `fast`)、NumPy だけ、を交互に動かし、いちばん速かった
時間の比だけを読む。BLAS の相手には、速い方の並び (x @ w か x @ w.T) を使う。計算結果がすべて等しい
ことを確かめてから印字する。時間は、詰めた x を受け取って整数の和を返すまで（x を詰める時間は別に
示す）。
"""

# ruff: noqa: E402 - the number of threads is read when NumPy is loaded
from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MICROGRAD_JP_THREADS"):
    os.environ[name] = "1"

import platform
import time
from collections.abc import Callable

import numpy as np

from micrograd_jp import native
from micrograd_jp.nn.packed.bits import Bits, Weights

LAYERS = ((1024, 1, 6.0), (1024, 128, 6.0), (1024, 1000, None), (4096, 1, 15.0), (4096, 128, 15.0))
"""(入力と出力の数, バッチ, 機械語の目標: BLAS の何倍の速さ)。"""
ROUNDS = 30


def rounds(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """それぞれの、いちばん速かった秒。交互に動かす。"""
    best = dict.fromkeys(works, np.inf)
    for _ in range(ROUNDS):
        for name, work in works.items():
            work()  # what another one left in the cache is gone
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def compare(features: int, batch: int, target: float | None) -> None:
    rng = np.random.default_rng(0)
    up = rng.random((batch, features)) < 0.5, rng.random((features, features)) < 0.5
    x, w = (np.where(a, np.float32(1), np.float32(-1)) for a in up)
    columns = np.ascontiguousarray(w.T)
    bits, weights = Bits.of(up[0]), Weights(Bits.of(up[1]).words, features)

    def numpy_only() -> object:
        with native.disabled():
            return weights.dots(bits.words)

    works: dict[str, Callable[[], object]] = {
        "BLAS x @ w": lambda: x @ columns,
        "BLAS x @ w.T": lambda: x @ w.T,
        "ビット (fast)": lambda: weights.dots(bits.words),
        "ビット (NumPy)": numpy_only,
        "x を詰める": lambda: Bits.of(x >= 0),
    }
    if not native.enabled():
        del works["ビット (fast)"]
    wanted = x @ w.T
    for name in works:
        if name.startswith("ビット"):
            np.testing.assert_array_equal(works[name](), wanted)
    best = rounds(works)
    blas = min(best["BLAS x @ w"], best["BLAS x @ w.T"])
    print(f"\n{features} × {features}, バッチ {batch}")
    for name, seconds in best.items():
        ratio = f"BLAS の {blas / seconds:.1f} 倍の速さ" if name.startswith("ビット") else ""
        if "fast" in name and target:
            ratio += f"（目標 ≥ {target:g}）"
        print(f"   {1e6 * seconds:10.1f} µs   {name}   {ratio}")


def main() -> None:
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    for layer in LAYERS:
        compare(*layer)


if __name__ == "__main__":
    main()
