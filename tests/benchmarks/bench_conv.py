"""畳み込みの速さを、PyTorch・MyGrad と並べて測る。

    pip install torch==2.13.0 mygrad   # 比べる相手。ないものは飛ばす
    python tests/benchmarks/bench_conv.py

micrograd_jp は 2 通りに測る: extra `fast` の機械語 (llvmlite) と、NumPy だけ。
どれも別々のプロセスで交互に動かす（スレッドを持つ相手どうしは、同じプロセスでは互いを遅くする）。
比だけを読む。PyTorch は 2 つの並び (NCHW と channels_last) の速い方を相手とする。micrograd_jp に
は、前の畳み込みの出力と同じ並び (channels_last) の入力を渡す。結果の一致を確かめてから印字する。
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

BATCH = 128
SHAPES = ((1, 28, 16), (16, 28, 16), (32, 14, 32), (64, 8, 64))
"""(入力のチャネル, 大きさ, 出力のチャネル)。1 チャネルの入力には、勾配を求めない。"""
NUMPY, FAST = "micrograd_jp (NumPy)", "micrograd_jp (fast)"
TARGETS = {NUMPY: 3.5, FAST: 1.3}
"""PyTorch の何倍の時間まで。"""
SECONDS = 1.0
ROUNDS = 5


def problem(task: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, weights and the upstream gradient, float32."""
    c, side, o = SHAPES[task]
    rng = np.random.default_rng(0)
    x, w, g = (
        rng.standard_normal(shape, dtype=np.float32)
        for shape in ((BATCH, c, side, side), (o, c, 3, 3), (BATCH, o, side, side))
    )
    return x, w, g


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


# ---- 順伝播と逆伝播をして、重みの勾配（と入力の勾配）を返す関数を作る ---------------------


def ours(task: int) -> Callable[[], list[Any]]:
    from micrograd_jp import native

    if not native.enabled():
        raise ImportError('llvmlite がありません: pip install "micrograd_jp[fast]"')
    return ours_in_numpy(task)


def ours_in_numpy(task: int) -> Callable[[], list[Any]]:
    import micrograd_jp as mg
    from micrograd_jp.nn.functional import conv2d

    x, w, g = problem(task)
    X = mg.Tensor(channels_last(x), requires_grad=x.shape[1] > 1)
    W, G = mg.tensor(w, requires_grad=True), mg.Tensor(channels_last(g))
    leaves = [W, X] if X.requires_grad else [W]

    def step() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        conv2d(X, W, padding=1).backward(G)
        return [leaf.grad.data for leaf in leaves]

    return step


def pytorch(task: int, last: bool) -> Callable[[], list[Any]]:
    import torch

    x, w, g = map(torch.from_numpy, problem(task))
    if last:
        x, w, g = (a.to(memory_format=torch.channels_last) for a in (x, w, g))
    w.requires_grad_()
    x.requires_grad_(x.shape[1] > 1)
    leaves = [w, x] if x.requires_grad else [w]

    def step() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        torch.nn.functional.conv2d(x, w, padding=1).backward(g)
        return [leaf.grad.numpy() for leaf in leaves]

    return step


def mygrad(task: int) -> Callable[[], list[Any]]:
    import mygrad as mg
    from mygrad.nnet.layers import conv_nd

    mg.turn_memory_guarding_off()
    x, w, g = problem(task)
    X, W = mg.tensor(x, constant=x.shape[1] == 1), mg.tensor(w)

    def step() -> list[Any]:
        conv_nd(X, W, stride=1, padding=1).backward(g)
        return [W.grad] if X.constant else [W.grad, X.grad]

    return step


CONTESTANTS: dict[str, Callable[[int], Callable[[], list[Any]]]] = {
    NUMPY: ours_in_numpy,
    FAST: ours,
    "PyTorch NCHW": lambda task: pytorch(task, False),
    "PyTorch channels_last": lambda task: pytorch(task, True),
    "MyGrad": mygrad,
}


def contestant(name: str, task: int) -> dict[str, Any]:
    """Median seconds of a step, and a digest of the gradients, in this process."""
    step = CONTESTANTS[name](task)
    digest = [float(np.abs(a).sum(dtype=np.float64)) for a in step()]
    step()
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times), "digest": digest}


def compare(task: int) -> None:
    seconds: dict[str, list[float]] = {}
    digests: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name in CONTESTANTS:
            command = [sys.executable, __file__, "--contestant", name, str(task)]
            how = {**os.environ, "MICROGRAD_JP_NATIVE": "0" if name == NUMPY else "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=how)
            if done.returncode:
                print(f"   {name}: 飛ばします ({done.stderr.strip().splitlines()[-1]})")
                continue
            result = json.loads(done.stdout)
            seconds.setdefault(name, []).append(result["seconds"])
            digests[name] = result["digest"]
    for name, digest in digests.items():
        assert np.allclose(digest, digests[NUMPY], rtol=1e-3), (name, digest)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"   {1e3 * median:8.2f} ms   {name}")
    torch = [median for name, median in medians.items() if name.startswith("PyTorch")]
    for name, target in TARGETS.items():
        if torch and name in medians:
            ratio = medians[name] / min(torch)
            print(f"   → {name}: PyTorch の速い方の {ratio:.2f} 倍の時間（目標 ≤ {target}）")
        if "MyGrad" in medians and name in medians:
            ratio = medians["MyGrad"] / medians[name]
            print(f"   → {name}: MyGrad の {ratio:.1f} 倍の速さ（目標 ≥ 3）")


def main() -> None:
    if sys.argv[1:2] == ["--contestant"]:
        print(json.dumps(contestant(sys.argv[2], int(sys.argv[3]))))
        return
    versions = {"Python": sys.version.split()[0]}
    for module in ("numpy", "llvmlite", "micrograd_jp", "torch", "mygrad"):
        try:
            versions[module] = getattr(importlib.import_module(module), "__version__", "?")
        except ImportError:
            versions[module] = "なし"
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for task, (c, side, o) in enumerate(SHAPES):
        print(f"\n{task + 1}. conv2d 3×3 same, batch {BATCH}, {c}×{side}×{side} → {o}, 順 + 逆伝播")
        compare(task)


if __name__ == "__main__":
    main()
