"""人が待つ時間: import、活性化関数、勾配確認、ヤコビ行列、最適化、保存を、相手と並べて測る。

    pip install torch==2.13.0   # 比べる相手。なければ、自分の時間だけを印字する
    python tests/benchmarks/bench_felt.py

どれも別々のプロセスで、交互に動かす。1 つのスレッドの CPU 時間の最小で、「1 倍」は相手と同じ時間。
`fast` は llvmlite の機械語、`numpy` は NumPy だけ。import は numpy の import との比、保存は
safetensors そのものとの比（こちらは CRC-32 を確かめる。保存は、どちらもディスクに届くまで）。
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

N = 1 << 16
ACTIVATIONS = ("sigmoid", "silu", "gelu", "erf", "softplus", "tanh")
OPTIMIZERS = ("SGD", "Adagrad", "Adam")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MICROGRAD_JP_THREADS"), "1")
IMPORTS = {
    "import micrograd_jp": "import micrograd_jp",
    "Value": "from micrograd_jp.engine import Value",
    "mg.tensor": "import micrograd_jp as mg; mg.tensor",
    "はじめの図": "import micrograd_jp as mg; mg.draw(mg.Value(2.0) * 3).pipe('svg')",
}


def best(function: Callable[[], Any], rounds: int = 7) -> float:
    """CPU seconds of one call: the shortest of some rounds, each of about 20 ms."""
    function()
    start = time.process_time()
    function()
    times = max(1, int(0.02 / max(time.process_time() - start, 1e-6)))
    found = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(times):
            function()
        found.append((time.process_time() - start) / times)
    return min(found)


def gradient(x: Any, f: Callable[[Any], Any], seed: Any) -> Callable[[], None]:
    def both() -> None:
        x.grad = None
        f(x).backward(seed)

    return both


def ours(kind: str) -> Iterator[tuple[str, float]]:
    import micrograd_jp as mg
    from micrograd_jp import native

    data = np.random.default_rng(0).normal(size=N).astype(np.float32)
    with native.disabled() if kind == "numpy" else contextlib.nullcontext():
        x = mg.tensor(data, requires_grad=True)
        square = mg.tensor(data.reshape(256, 256), requires_grad=True)
        for name in ACTIVATIONS:
            yield name, best(gradient(x, getattr(mg, name), mg.ones_like(x)))
        softmax, norm = lambda t: mg.softmax(t, -1), mg.nn.LayerNorm(256)
        yield "softmax", best(gradient(square, softmax, mg.ones_like(square)))
        yield "layer_norm", best(gradient(square, norm, mg.ones_like(square)))
        yield from derivatives(mg, mg.testing.gradcheck, mg.hessian, mg.jacobian, mg.tensor)
        yield from updates(mg.optim, mg.zeros(1000, 1000, requires_grad=True), mg.tensor)


def pytorch() -> Iterator[tuple[str, float]]:
    import torch

    torch.set_num_threads(1)
    data = np.random.default_rng(0).normal(size=N).astype(np.float32)
    x = torch.tensor(data, requires_grad=True)
    square = torch.tensor(data.reshape(256, 256), requires_grad=True)
    F = torch.nn.functional
    for name in ACTIVATIONS:
        f = getattr(torch, name, None) or getattr(F, name)
        yield name, best(gradient(x, f, torch.ones_like(x)))
    softmax, norm = lambda t: torch.softmax(t, -1), torch.nn.LayerNorm(256)
    yield "softmax", best(gradient(square, softmax, torch.ones_like(square)))
    yield "layer_norm", best(gradient(square, norm, torch.ones_like(square)))
    func = torch.func
    tracked = lambda a: torch.tensor(a, requires_grad=True)
    yield from derivatives(torch, torch.autograd.gradcheck, func.hessian, func.jacrev, tracked)
    yield from updates(torch.optim, torch.zeros(1000, 1000, requires_grad=True), torch.tensor)


def derivatives(
    m: Any, gradcheck: Any, hessian: Any, jacobian: Any, tensor: Any
) -> Iterator[tuple[str, float]]:
    rng = np.random.default_rng(0)
    many, x, A = (
        tensor(rng.normal(size=1000)),
        tensor(rng.normal(size=100)),
        rng.normal(size=(100, 100)),
    )
    A = tensor(A)
    yield "gradcheck 1,000", best(lambda: gradcheck(lambda a: (m.tanh(a) * a).sum(), (many,)), 2)
    yield "hessian 100", best(lambda: hessian(lambda x: (m.tanh(A @ x) ** 2).sum())(x))
    yield "jacobian 100", best(lambda: jacobian(lambda x: m.tanh(A @ x) * x)(x))


def updates(optim: Any, p: Any, tensor: Any) -> Iterator[tuple[str, float]]:
    p.grad = tensor(np.random.default_rng(0).normal(size=(1000, 1000)).astype(np.float32))
    for name in OPTIMIZERS:
        yield f"{name} 10⁶", best(getattr(optim, name)([p], lr=1e-4).step)


def saving() -> None:
    """Forty megabytes."""
    if importlib.util.find_spec("safetensors") is None:
        return
    import safetensors.numpy as library

    import micrograd_jp as mg

    rng = np.random.default_rng(0)
    arrays = {f"w{i}": rng.normal(size=(1000, 1000)).astype(np.float32) for i in range(10)}
    state = {name: mg.tensor(x) for name, x in arrays.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"

        def sync() -> None:
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.close(file)

        for name, mine, theirs in (
            (
                "保存",
                lambda: mg.save(state, path),
                lambda: (library.save_file(arrays, path), sync()),
            ),
            ("読み込み", lambda: mg.load(path), lambda: library.load_file(path)),
        ):
            print(f"safetensors {name}: {best(mine) / best(theirs):.2f} 倍")


def started(program: str) -> float:
    """CPU seconds of a new interpreter, the shortest of seven."""
    # As for everybody: what was compiled once is kept.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    found = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True, env=env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main() -> None:
    if sys.argv[1:]:
        kind = sys.argv[1]
        print(json.dumps(dict(pytorch() if kind == "torch" else ours(kind))))
        return
    base = started("import numpy")
    for name, program in IMPORTS.items():
        seconds = started(program)
        print(f"{name}: {seconds * 1e3:.0f} ms（numpy の {seconds / base:.2f} 倍）", flush=True)
    kinds = ["numpy", *(k for k, m in (("fast", "llvmlite"), ("torch", "torch"))
                        if importlib.util.find_spec(m))]  # fmt: skip
    shortest: dict[str, dict[str, float]] = {kind: {} for kind in kinds}
    for _ in range(2):
        for kind in kinds:
            env = {**os.environ, **ONE_THREAD}
            run = subprocess.run(
                [sys.executable, __file__, kind],
                check=True,
                capture_output=True,
                text=True,
                env=env,
            )
            for name, seconds in json.loads(run.stdout).items():
                before = shortest[kind].get(name, seconds)
                shortest[kind][name] = min(seconds, before)
    for name in shortest["numpy"]:
        peer = shortest.get("torch", {}).get(name)
        ratios = [
            f"{kind} {found[name] * 1e3:.3f} ms"
            + (f"（PyTorch の {found[name] / peer:.2f} 倍）" if peer else "")
            for kind, found in shortest.items()
            if kind != "torch"
        ]
        print(f"{name}: {'、'.join(ratios)}")
    saving()


if __name__ == "__main__":
    main()
