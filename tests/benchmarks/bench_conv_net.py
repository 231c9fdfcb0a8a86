"""畳み込みネットワークの学習の 1 歩の速さとメモリを、PyTorch と並べて測る。

    pip install torch==2.13.0   # 比べる相手。なければ飛ばす。extra の fast と accel も同じ
    python tests/benchmarks/bench_conv_net.py

`DeepConvNet`、28×28 の画像 100 枚、float32、Adam、ドロップアウトあり。順伝播、損失、逆伝播、更新
まで。どれも別々のプロセスで交互に動かし、比だけを読む。PyTorch は 2 つの並び (NCHW と
channels_last) の速い方を相手とする。`--batch-norm` で、バッチ正規化を入れたものを測る。

はじめに、同じ重みから、ドロップアウトなしで何歩か動かし、損失が一致することを確かめる。メモリは
常駐メモリ (RSS) の最大で、2 つの数を出す（Linux だけ）: 歩と歩の間より増えた分（その 1 歩が使う
もの）と、小さな入力での準備の後より増えた分（重み、最適化手法の状態、コンパイルの残りも含む）。
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

BATCH, CHECKED, RATE = 100, 4, 1e-3
SECONDS, ROUNDS = 1.5, 3
BATCH_NORM = "--batch-norm" in sys.argv
TARGETS = {
    "micrograd_jp (NumPy)": 4.0,
    "micrograd_jp (fast)": 1.5,
    "micrograd_jp (fast, BLAS 1)": 1.5,
    "micrograd_jp (jax.jit)": 2.5,
}
MEMORY_TARGET = 2.0

Step = Callable[[bool], float]
"""1 歩進めて、損失を返す関数。引数は、ドロップアウトするか。"""


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sparse images as of handwritten digits, and labels."""
    rng = np.random.default_rng(0)
    ink = rng.random((n, 1, 28, 28), dtype=np.float32)
    return np.where(ink > 0.8, ink, 0).astype(np.float32), rng.integers(0, 10, n)


def weights(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """He's initial values, the same for everybody; ones for scales of one axis after weights."""
    rng = np.random.default_rng(1)
    return [
        rng.normal(0, (2 / np.prod(s[1:])) ** 0.5, s).astype(np.float32)
        if len(s) > 1
        else rng.normal(0.5, 0.1, s).astype(np.float32)
        for s in shapes
    ]


# ---- 学習の 1 歩を作る ---------------------------------------------------------------------------


def ours(n: int) -> Step:
    step, model, _, batch = _our_step(n)

    def run(drop: bool) -> float:
        model.train()
        model.classifier[3].train(drop)
        return float(step(*batch).item())

    return run


def jitted(n: int) -> Step:
    import micrograd_jp as mg

    step, model, optimizer, batch = _our_step(n)
    fast = mg.jit(step, model, optimizer)

    def run(drop: bool) -> float:
        model.train()
        model.classifier[3].train(drop)
        return float(fast(*batch).item())

    return run


def _our_step(n: int) -> Any:
    import micrograd_jp as mg

    model = mg.nn.models.DeepConvNet(batch_norm=BATCH_NORM)
    for p, w in zip(
        model.parameters(), weights([p.shape for p in model.parameters()]), strict=True
    ):
        p.data[...] = w
    optimizer = mg.optim.Adam(model.parameters(), lr=RATE)

    def step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step, model, optimizer, tuple(map(mg.tensor, data(n)))


def pytorch(n: int, last: bool) -> Step:
    import torch
    from torch import nn

    layers: list[Any] = []
    before = 1
    for stage, channels in enumerate((16, 32, 64)):
        for second in (False, True):
            padding = 2 if stage == 1 and second else 1
            layers.append(nn.Conv2d(before, channels, 3, padding=padding, bias=not BATCH_NORM))
            layers += [nn.BatchNorm2d(channels)] if BATCH_NORM else []
            layers.append(nn.ReLU())
            before = channels
        layers.append(nn.MaxPool2d(2))
    dropout = nn.Dropout(0.5)
    layers += [nn.Flatten(), nn.Linear(1024, 50), nn.ReLU(), dropout, nn.Linear(50, 10)]
    model = nn.Sequential(*layers)
    x, t = map(torch.from_numpy, data(n))
    with torch.no_grad():
        shapes = [tuple(p.shape) for p in model.parameters()]
        for p, w in zip(model.parameters(), weights(shapes), strict=True):
            p.copy_(torch.from_numpy(w))
    if last:
        model, x = (a.to(memory_format=torch.channels_last) for a in (model, x))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)

    def run(drop: bool) -> float:
        dropout.train(drop)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return run


CONTESTANTS: dict[str, Callable[[int], Step]] = {
    "micrograd_jp (NumPy)": ours,
    "micrograd_jp (fast)": ours,
    "micrograd_jp (fast, BLAS 1)": ours,  # the same time: no idle thread of BLAS spins beside ours
    "micrograd_jp (jax.jit)": jitted,
    "PyTorch NCHW": lambda n: pytorch(n, False),
    "PyTorch channels_last": lambda n: pytorch(n, True),
}


# ---- 測る ----------------------------------------------------------------------------------------


def resident(field: str) -> int | None:
    """VmRSS or VmHWM (the highest RSS) of this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))
    except (OSError, StopIteration):
        return None


def reset_peak() -> None:
    """Give back what is free, and let VmHWM begin anew."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def contestant(name: str) -> dict[str, Any]:
    """Losses, median seconds of a step, and the memory that it takes, in this process."""
    if name.startswith("micrograd_jp (fast"):
        from micrograd_jp import native

        if not native.enabled():
            raise SystemExit("extra の fast (llvmlite) がありません")
    CONTESTANTS[name](2)(True)  # libraries are loaded, kernels compiled
    reset_peak()
    before = resident("VmRSS")
    step = CONTESTANTS[name](BATCH)
    losses = [step(False) for _ in range(CHECKED)]
    for _ in range(2):
        step(True)
    reset_peak()
    between = resident("VmRSS")
    for _ in range(3):
        step(True)
    peak = resident("VmHWM")
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 5:
        start = time.perf_counter()
        step(True)
        times.append(time.perf_counter() - start)
    return {
        "losses": losses, "seconds": statistics.median(times),
        "memory": None if peak is None or between is None else peak - between,
        "in all": None if peak is None or before is None else peak - before,
    }  # fmt: skip


def measured(name: str) -> dict[str, Any] | None:
    command = [sys.executable, __file__, "--contestant", name, *(["--batch-norm"] * BATCH_NORM)]
    settings = {"MICROGRAD_JP_NATIVE": "0" if name == "micrograd_jp (NumPy)" else "1"}
    if name.endswith("BLAS 1)"):
        settings["OPENBLAS_NUM_THREADS"] = "1"
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
    if done.returncode:
        print(f"   {name}: 飛ばします ({done.stderr.strip().splitlines()[-1]})")
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare() -> None:
    runs: dict[str, list[dict[str, Any]]] = {}
    missing: set[str] = set()
    for _ in range(ROUNDS):
        for name in CONTESTANTS:
            if name in missing:
                continue
            found = measured(name)
            if found is None:
                missing.add(name)
            else:
                runs.setdefault(name, []).append(found)
    losses = runs["micrograd_jp (NumPy)"][0]["losses"]
    for name, found in runs.items():
        for run in found:
            assert np.allclose(run["losses"], losses, rtol=2e-3), (name, run["losses"], losses)
    print(f"   同じ重みからの {CHECKED} 歩の損失は一致: {', '.join(f'{x:.4f}' for x in losses)}")

    def medians(what: str) -> dict[str, float]:
        return {
            name: statistics.median(run[what] for run in found)
            for name, found in runs.items()
            if found[0][what] is not None
        }

    seconds, memory, in_all = map(medians, ("seconds", "memory", "in all"))
    for name, median in seconds.items():
        used = "メモリは測れません"
        if name in memory:
            used = f"{memory[name] / 1e6:4.0f} MB（準備の後から {in_all[name] / 1e6:4.0f} MB）"
        print(f"   {1e3 * median:8.1f} ms   {used}   {name}")
    peers = [name for name in seconds if name.startswith("PyTorch")]
    if not peers:
        return
    peer = min(peers, key=seconds.__getitem__)
    for name, target in TARGETS.items():
        if name in seconds:
            ratio = seconds[name] / seconds[peer]
            print(f"   → {name}: {peer} の {ratio:.2f} 倍の時間（目標 ≤ {target}）")
        if name in memory and peer in memory:
            ratio = memory[name] / memory[peer]
            print(f"     メモリは {ratio:.2f} 倍（目標 ≤ {MEMORY_TARGET}）")


def main() -> None:
    if sys.argv[1:2] == ["--contestant"]:
        print(json.dumps(contestant(sys.argv[2])))
        return
    versions = {"Python": sys.version.split()[0]}
    for module in ("numpy", "micrograd_jp", "torch", "jax", "llvmlite"):
        try:
            versions[module] = getattr(importlib.import_module(module), "__version__", "?")
        except ImportError:
            versions[module] = "なし"
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    norm = "、バッチ正規化あり" if BATCH_NORM else ""
    print(f"\nDeepConvNet の学習の 1 歩、{BATCH} 枚、Adam{norm}")
    compare()


if __name__ == "__main__":
    main()
