"""`DataLoader` の速さを、手書きの NumPy と PyTorch の `DataLoader` と並べて測る。

    python tests/benchmarks/bench_data.py

MNIST と同じ大きさの float32 の画像を 128 枚ずつ、毎エポック並べ替えて取り出す。相手ごとに別の
プロセスで、交互に動かす。PyTorch がなければ飛ばす。毎秒の枚数と、手書きの NumPy との比を印字する。
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np

SAMPLES, PIXELS, BATCH = 60_000, 784, 128
EPOCHS, ROUNDS = 5, 3


def problem() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.random((SAMPLES, PIXELS), dtype=np.float32)
    return images, rng.integers(0, 10, SAMPLES)


def by_hand() -> Iterable[tuple[np.ndarray, np.ndarray]]:
    images, labels = problem()
    rng = np.random.default_rng(1)

    class Epoch:
        def __iter__(self):
            order = rng.permutation(SAMPLES)
            for start in range(0, SAMPLES, BATCH):
                batch = order[start : start + BATCH]
                yield images[batch], labels[batch]

    return Epoch()


def loader(prefetch: int = 0) -> Iterable:
    from micrograd_jp.data import DataLoader, TensorDataset

    data = TensorDataset(*problem())
    return DataLoader(data, BATCH, shuffle=True, seed=1, prefetch=prefetch)


def torch() -> Iterable:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(*map(torch.from_numpy, problem()))
    return DataLoader(data, BATCH, shuffle=True)


PEERS: dict[str, Callable[[], Iterable]] = {
    "NumPy で手書き": by_hand,
    "micrograd_jp": loader,
    "micrograd_jp (prefetch=2)": lambda: loader(2),
    "PyTorch": torch,
}


def measure(name: str) -> float:
    """Samples a second of the best epoch; the first one warms up."""
    batches = PEERS[name]()
    epochs = []
    for _ in range(1 if name == "PyTorch" else EPOCHS):
        started = time.perf_counter()
        seen = sum(len(t) for _, t in batches)
        epochs.append(seen / (time.perf_counter() - started))
    return max(epochs)


def main() -> None:
    found: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(ROUNDS):
        for name in PEERS:
            command = [sys.executable, __file__, name]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode == 0:
                found[name].append(float(ended.stdout))
            elif "ModuleNotFoundError" not in ended.stderr:
                raise RuntimeError(ended.stderr)
    base = statistics.median(found["NumPy で手書き"])
    for name, speeds in found.items():
        if speeds:
            speed = statistics.median(speeds)
            print(f"{speed / 1e6:6.2f} 百万枚/秒  手書きの {speed / base:5.2f} 倍  {name}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(sys.argv[1]))
    else:
        main()
