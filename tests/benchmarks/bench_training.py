"""`fit` の速さを、PyTorch の素朴な学習のくり返しと並べて測る。

    pip install torch==2.13.0   # 比べる相手。なければ飛ばす
    python tests/benchmarks/bench_training.py

本物の MNIST、MLP 784-100-100-10、float32、バッチ 128、SGD。`fit` は、進み具合の棒を出し、エポック
ごとに 10,000 枚を評価する（その時間も含む）。PyTorch は訓練だけで、棒も評価もない。`DataLoader` を
使うものと、並べ替えた番号で配列を直に切り出すものの 2 通り。別々のプロセスで交互に動かし、毎秒の
枚数、PyTorch の速い方との比、終わりの正解率を印字する。
"""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH, RATE, HIDDEN = 128, 0.1, 100
EPOCHS, ROUNDS = 2, 3


def data() -> tuple[Any, Any]:
    """Training and test data."""
    from micrograd_jp.data import datasets

    return datasets.mnist(flatten=True)


def accuracy_of(logits: np.ndarray, labels: np.ndarray) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def ours(**options: Any) -> tuple[int, float, float]:
    """Samples trained on, seconds, accuracy."""
    import micrograd_jp as mg
    from micrograd_jp import nn

    train, test = data()
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
        nn.Linear(HIDDEN, 10),
    )  # fmt: skip
    optimizer = mg.optim.SGD(model.parameters(), lr=RATE)
    loader = mg.data.DataLoader(train, BATCH, shuffle=True, seed=0)
    started = time.perf_counter()
    history = mg.fit(
        model, loader, mg.cross_entropy, optimizer, EPOCHS, development=test, **options
    )
    seconds = time.perf_counter() - started
    return EPOCHS * len(train), seconds, history.epochs[-1]["metric"]


def bare() -> tuple[int, float, float]:
    """The same training in a loop written by hand on our own library, without any service."""
    import micrograd_jp as mg
    from micrograd_jp import nn

    train, test = data()
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
        nn.Linear(HIDDEN, 10),
    )  # fmt: skip
    optimizer = mg.optim.SGD(model.parameters(), lr=RATE)
    loader = mg.data.DataLoader(train, BATCH, shuffle=True, seed=0)
    started = time.perf_counter()
    for _ in range(EPOCHS):
        for x, t in loader:
            optimizer.zero_grad()
            loss = mg.cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    x, t = test[:]
    return EPOCHS * len(train), seconds, accuracy_of(model(x).data, t.data)


def pytorch(batches_of: Callable[..., Any]) -> tuple[int, float, float]:
    import torch
    from torch import nn

    train, test = data()
    images, labels = (torch.from_numpy(x.numpy()) for x in train[:])
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
        nn.Linear(HIDDEN, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    criterion = nn.CrossEntropyLoss()
    batches = batches_of(torch, images, labels)
    started = time.perf_counter()
    for _ in range(EPOCHS):
        for x, t in batches():
            optimizer.zero_grad()
            loss = criterion(model(x), t)
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    x, t = test[:]
    with torch.no_grad():
        logits = model(torch.from_numpy(x.numpy())).numpy()
    return EPOCHS * len(labels), seconds, accuracy_of(logits, t.data)


def with_loader(torch: Any, images: Any, labels: Any) -> Callable[[], Any]:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(images, labels), BATCH, shuffle=True)
    return lambda: loader


def with_slices(torch: Any, images: Any, labels: Any) -> Callable[[], Any]:
    def batches() -> Any:
        for rows in torch.randperm(len(labels)).split(BATCH):
            yield images[rows], labels[rows]

    return batches


def loader_alone() -> tuple[int, float, float]:
    """The loader with nothing to feed."""
    import micrograd_jp as mg

    train, _ = data()
    loader = mg.data.DataLoader(train, BATCH, shuffle=True, seed=0)
    started = time.perf_counter()
    seen = sum(len(t) for _ in range(EPOCHS) for _, t in loader)
    return seen, time.perf_counter() - started, 0.0


PEERS: dict[str, Callable[[], tuple[int, float, float]]] = {
    "micrograd_jp の fit（棒と評価つき）": ours,
    "micrograd_jp の素朴なくり返し": bare,
    "PyTorch（配列を切り出す）": lambda: pytorch(with_slices),
    "PyTorch（DataLoader）": lambda: pytorch(with_loader),
    "micrograd_jp の DataLoader だけ": loader_alone,
}


def main() -> None:
    for package in ("numpy", "torch", "tqdm"):
        try:
            print(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            print(package, "なし")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    for _ in range(ROUNDS):
        for name in PEERS:
            command = [sys.executable, __file__, name]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode == 0:
                samples, seconds, accuracy = json.loads(ended.stdout)
                found[name].append((samples / seconds, accuracy))
            elif "No module named 'torch'" not in ended.stderr:
                raise RuntimeError(ended.stderr)
    speeds = {name: statistics.median(s for s, _ in runs) for name, runs in found.items() if runs}
    fastest = max((s for name, s in speeds.items() if "PyTorch" in name), default=None)
    for name, speed in speeds.items():
        ratio = "" if fastest is None else f"  PyTorch の速い方の {speed / fastest:5.2f} 倍"
        accuracy = statistics.median(a for _, a in found[name])
        shown = f"  正解率 {accuracy:.2%}" if accuracy else ""
        print(f"{speed:11,.0f} 枚/秒{ratio}  {name}{shown}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(PEERS[sys.argv[1]]()))
    else:
        main()
