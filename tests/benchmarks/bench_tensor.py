"""`Tensor` の速さとメモリを、手書きの NumPy・PyTorch・MyGrad・HIPS/autograd と並べて測る。

    pip install torch==2.13.0 mygrad autograd   # 比べる相手。ないものは飛ばす
    python tests/benchmarks/bench_tensor.py

どれも別々のプロセスで交互に動かす（スレッドを持つ相手どうしは、同じプロセスでは互いを遅くする）。
比だけを読む。損失が一致することを確かめてから比を印字する。
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

BATCH, SIZES = 128, (784, 100, 100, 10)
RATE = 0.1


def problem() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Images, labels, and the weights and biases of the MLP, float32."""
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, SIZES[0]), dtype=np.float32)
    t = rng.integers(0, SIZES[-1], BATCH)
    parameters = []
    for n, m in pairwise(SIZES):
        parameters.append((rng.standard_normal((n, m)) * (2 / n) ** 0.5).astype(np.float32))
        parameters.append(np.zeros(m, dtype=np.float32))
    return x, t, parameters


# ---- 1 手順（順伝播、逆伝播、SGD の更新）をして損失を返す関数を作る ----------------------------


def by_hand() -> Callable[[], float]:
    x, t, (W1, b1, W2, b2, W3, b3) = problem()
    rows = np.arange(BATCH)

    def step() -> float:
        h1 = np.maximum(x @ W1 + b1, 0)
        h2 = np.maximum(h1 @ W2 + b2, 0)
        z = h2 @ W3 + b3
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        total = p.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(total[:, 0]) - z[rows, t])
        p /= total
        p[rows, t] -= 1
        p /= BATCH
        g2 = (p @ W3.T) * (h2 > 0)
        g1 = (g2 @ W2.T) * (h1 > 0)
        for parameter, grad in (
            (W3, h2.T @ p), (b3, p.sum(0)), (W2, h1.T @ g2), (b2, g2.sum(0)),
            (W1, x.T @ g1), (b1, g1.sum(0)),
        ):  # fmt: skip
            parameter -= RATE * grad
        return float(loss)

    return step


def ours() -> Callable[[], float]:
    """With the two fused primitives, as PyTorch's and MyGrad's programs below."""
    import micrograd_jp as mg
    from micrograd_jp.tensor.functions.linalg import linear
    from micrograd_jp.tensor.functions.loss import softmax_cross_entropy

    x, t, arrays = problem()
    X = mg.tensor(x)
    # (out, in) as linear wants them, over memory in the order (in, out), as nn.Linear has them.
    parameters = [mg.tensor(a.T, requires_grad=True) for a in arrays]
    W1, b1, W2, b2, W3, b3 = parameters

    def loss() -> Any:
        h = mg.relu(linear(X, W1, b1))
        h = mg.relu(linear(h, W2, b2))
        return softmax_cross_entropy(linear(h, W3, b3), t).mean()

    return sgd(loss, parameters)


def ours_unfused() -> Callable[[], float]:
    """The same out of the usual operations, one node each."""
    import micrograd_jp as mg

    x, t, arrays = problem()
    X = mg.tensor(x)
    parameters = [mg.tensor(a, requires_grad=True) for a in arrays]
    W1, b1, W2, b2, W3, b3 = parameters
    rows = np.arange(BATCH)

    def loss() -> Any:
        h = mg.relu(X @ W1 + b1)
        h = mg.relu(h @ W2 + b2)
        logits = h @ W3 + b3
        return (logits.logsumexp(1) - logits[rows, t]).mean()

    return sgd(loss, parameters)


def sgd(loss: Callable[[], Any], parameters: list[Any]) -> Callable[[], float]:
    """One step of ours."""

    def step() -> float:
        out = loss()
        for p in parameters:
            p.grad = None
        out.backward()
        for p in parameters:
            p.data -= RATE * p.grad.data
        return float(out.item())

    return step


def pytorch() -> Callable[[], float]:
    import torch

    x, t, arrays = problem()
    X, T = torch.from_numpy(x), torch.from_numpy(t)
    parameters = [torch.from_numpy(a).requires_grad_() for a in arrays]
    W1, b1, W2, b2, W3, b3 = parameters
    optimizer = torch.optim.SGD(parameters, lr=RATE)

    def step() -> float:
        h = torch.relu(torch.addmm(b1, X, W1))
        h = torch.relu(torch.addmm(b2, h, W2))
        loss = torch.nn.functional.cross_entropy(torch.addmm(b3, h, W3), T)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def mygrad() -> Callable[[], float]:
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    mg.turn_memory_guarding_off()
    x, t, arrays = problem()
    parameters = [mg.tensor(a) for a in arrays]
    W1, b1, W2, b2, W3, b3 = parameters

    def step() -> float:
        h = relu(mg.matmul(x, W1) + b1)
        h = relu(mg.matmul(h, W2) + b2)
        loss = softmax_crossentropy(mg.matmul(h, W3) + b3, t)
        loss.backward()
        for p in parameters:
            p.data -= RATE * p.grad
        return float(loss.item())

    return step


def hips_autograd() -> Callable[[], float]:
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    x, t, parameters = problem()
    rows = np.arange(BATCH)

    def loss(p: Any) -> Any:
        h = anp.maximum(anp.dot(x, p[0]) + p[1], 0)
        h = anp.maximum(anp.dot(h, p[2]) + p[3], 0)
        z = anp.dot(h, p[4]) + p[5]
        return anp.mean(logsumexp(z, axis=1) - z[rows, t])

    both = value_and_grad(loss)

    def step() -> float:
        value, grads = both(parameters)
        for p, g in zip(parameters, grads):
            p -= RATE * g.astype(np.float32)
        return float(value)

    return step


# ---- 小さな演算の手間: 長さ 4 のベクトルの足し算の順伝播と逆伝播 ----------------------------


def small_ours() -> Callable[[], Any]:
    import micrograd_jp as mg

    a, b = (mg.tensor(np.ones(4, np.float32), requires_grad=True) for _ in range(2))
    seed = mg.tensor(np.ones(4, np.float32))
    return lambda: (a + b).backward(seed)


def small_pytorch() -> Callable[[], Any]:
    import torch

    a, b = (torch.ones(4, requires_grad=True) for _ in range(2))
    seed = torch.ones(4)
    return lambda: (a + b).backward(seed)


def small_mygrad() -> Callable[[], Any]:
    import mygrad as mg

    mg.turn_memory_guarding_off()
    a, b = (mg.tensor(np.ones(4, np.float32)) for _ in range(2))
    seed = np.ones(4, np.float32)
    return lambda: (a + b).backward(seed)


def small_hips_autograd() -> Callable[[], Any]:
    from autograd import make_vjp

    a, b = np.ones(4, np.float32), np.ones(4, np.float32)
    seed = np.ones(4, np.float32)
    return lambda: make_vjp(lambda ab: ab[0] + ab[1])((a, b))[0](seed)


CONTESTANTS: dict[str, tuple[Callable[[], Callable[[], Any]], int]] = {
    "mlp NumPy 手書き": (by_hand, 300),
    "mlp micrograd_jp": (ours, 300),
    "mlp micrograd_jp（融合なし）": (ours_unfused, 300),
    "mlp PyTorch": (pytorch, 300),
    "mlp MyGrad": (mygrad, 300),
    "mlp HIPS/autograd": (hips_autograd, 150),
    "add micrograd_jp": (small_ours, 20_000),
    "add PyTorch": (small_pytorch, 20_000),
    "add MyGrad": (small_mygrad, 10_000),
    "add HIPS/autograd": (small_hips_autograd, 5_000),
}


def contestant(name: str) -> dict[str, Any]:
    """Median seconds of a step and the first losses, in this process."""
    make, repeats = CONTESTANTS[name]
    step = make()
    first = [step() for _ in range(3)]
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {"seconds": statistics.median(times), "first": first if name[:3] == "mlp" else None}


def compare(task: str, base: str, rounds: int = 5) -> None:
    seconds: dict[str, list[float]] = {}
    losses: dict[str, Any] = {}
    for _ in range(rounds):
        for name in (n for n in CONTESTANTS if n.startswith(task)):
            command = [sys.executable, __file__, "--contestant", name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"   {name}: 飛ばします ({done.stderr.strip().splitlines()[-1]})")
                continue
            result = json.loads(done.stdout)
            seconds.setdefault(name, []).append(result["seconds"])
            losses[name] = result["first"]
    reference = next(iter(losses.values()))
    for name, first in losses.items():
        assert reference is None or np.allclose(first, reference, rtol=1e-4), (name, first)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        ratio = medians["mlp micrograd_jp" if task == "mlp" else "add micrograd_jp"] / median
        print(f"   {1e6 * median:9.1f} µs   micrograd_jp はこの {ratio:5.2f} 倍の時間   {name[4:]}")


def peak_memory() -> None:
    import micrograd_jp as mg

    step = ours()
    step()
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    hidden = SIZES[1:]
    # Per layer the sum and the bias added, per hidden layer the ReLU; a gradient for each
    # parameter, the update's temporary of the largest, and the gradients of two activations.
    activations = 4 * BATCH * (2 * sum(hidden) + sum(hidden[:-1]))
    parameters = [4 * n * m for n, m in zip(SIZES, hidden)] + [4 * m for m in hidden]
    needed = activations + sum(parameters) + max(parameters) + 2 * 4 * BATCH * max(hidden)
    print(
        f"\n3. MLP 1 手順の最大メモリ {peak / 1e3:.0f} kB、"
        f"活性と勾配に必要な {needed / 1e3:.0f} kB の ",
        end="",
    )
    print(f"{peak / needed:.2f} 倍  目標 ≤ 1.2")
    assert mg.is_grad_enabled()


def chain(length: int = 1_000_000) -> None:
    import micrograd_jp as mg

    start = time.perf_counter()
    x = y = mg.tensor([1.0], requires_grad=True)
    for _ in range(length):
        y = y + 1.0
    built = time.perf_counter()
    y.backward()
    done = time.perf_counter()
    assert x.grad.item() == 1.0
    print(
        f"\n4. 長さ {length:,} の Tensor の鎖: "
        f"作る {built - start:.1f} s, 逆伝播 {done - built:.1f} s"
    )


def main() -> None:
    if sys.argv[1:2] == ["--contestant"]:
        print(json.dumps(contestant(sys.argv[2])))
        return
    versions = {"Python": sys.version.split()[0]}
    for module in ("numpy", "micrograd_jp", "torch", "mygrad", "autograd"):
        try:
            found = importlib.import_module(module)
            versions[module] = getattr(found, "__version__", "?")
        except ImportError:
            versions[module] = "なし"
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print("\n1. MLP 784-100-100-10, batch 128, 交差エントロピー, SGD（目標: 手書きの 1.3 倍以下）")
    compare("mlp", "NumPy 手書き")
    print("\n2. 長さ 4 のベクトルの足し算、順伝播 + 逆伝播  (目標: どれよりも速い)")
    compare("add", "PyTorch")
    peak_memory()
    chain()


if __name__ == "__main__":
    main()
