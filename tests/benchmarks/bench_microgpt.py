"""1 つ 1 つの数で書いた GPT（1 層、16 次元、4 ヘッド、7 文字）の、1 文書の順伝播 + 逆伝播。

    pip install torch==2.13.0 jax                       # 比べる相手。ないものは飛ばす
    python tests/benchmarks/bench_microgpt.py           # すべて
    python tests/benchmarks/bench_microgpt.py native hand   # 名前のもの

どれも同じ重みと文書で、別々のプロセスで交互に、1 スレッドで動かす。損失が一致することを確かめてから
比を印字する。「40 行の Value」は、この型のプログラムがいつも使う自動微分を、ここに書き直したもの。
"""

from __future__ import annotations

import gc
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

LETTERS, POSITIONS, WIDTH, HEADS = 27, 7, 16, 4
SIZE = WIDTH // HEADS
BATCHES = (1, 16, 64, 128)
SHAPES = {
    "characters": (LETTERS, WIDTH), "positions": (POSITIONS, WIDTH), "query": (WIDTH, WIDTH),
    "key": (WIDTH, WIDTH), "value": (WIDTH, WIDTH), "output": (WIDTH, WIDTH),
    "up": (4 * WIDTH, WIDTH), "down": (WIDTH, 4 * WIDTH), "head": (LETTERS, WIDTH),
}  # fmt: skip
UPDATES = 100  # of one call of minimize
Step = Callable[[], float]


def problem(batch: int) -> tuple[dict[str, Any], Any, Any]:
    """The weights, and the numbers of the characters and of those that follow (batch, n)."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.3, shape) for name, shape in SHAPES.items()}
    documents = np.random.default_rng(1).integers(0, LETTERS, (128, POSITIONS + 1))[:batch]
    return weights, documents[:, :-1], documents[:, 1:]


# ---- 1 つ 1 つの数のプログラム -----------------------------------------------------------------


class Scalar:
    """The Value that such programs are written with."""

    __slots__ = ("data", "grad", "parents", "slopes")

    def __init__(self, data: float, parents: Any = (), slopes: Any = ()) -> None:
        self.data, self.grad, self.parents, self.slopes = data, 0.0, parents, slopes

    def __add__(self, other: Any) -> Scalar:
        other = other if isinstance(other, Scalar) else Scalar(other)
        return Scalar(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other: Any) -> Scalar:
        other = other if isinstance(other, Scalar) else Scalar(other)
        return Scalar(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n: float) -> Scalar:
        return Scalar(self.data**n, (self,), (n * self.data ** (n - 1),))

    def log(self) -> Scalar:
        return Scalar(math.log(self.data), (self,), (1 / self.data,))

    def exp(self) -> Scalar:
        return Scalar(math.exp(self.data), (self,), (math.exp(self.data),))

    def relu(self) -> Scalar:
        return Scalar(max(0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self) -> Scalar:
        return self * -1

    def __sub__(self, other: Any) -> Scalar:
        return self + -other

    def __truediv__(self, other: Any) -> Scalar:
        return self * other**-1

    __radd__, __rmul__ = __add__, __mul__

    def backward(self) -> None:
        order, seen = [], set()

        def visit(v: Scalar) -> None:
            if v not in seen:
                seen.add(v)
                for parent in v.parents:
                    visit(parent)
                order.append(v)

        visit(self)
        self.grad = 1
        for v in reversed(order):
            for parent, slope in zip(v.parents, v.slopes):
                parent.grad += slope * v.grad


def linear(rows: Any, x: Any) -> Any:
    return [sum(w * a for w, a in zip(row, x)) for row in rows]


def norm(x: Any) -> Any:
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


def softmax(xs: Any) -> Any:
    top = max(x.data for x in xs)
    es = [(x - top).exp() for x in xs]
    total = sum(es)
    return [e / total for e in es]


def chosen(xs: Any, i: int) -> Any:
    return xs[i]


def document_loss(p: Any, document: Any, following: Any, take: Any = chosen) -> Any:
    """The mean loss of the characters of a document, one number at a time."""
    keys, values, losses = [], [], []
    for i, (character, target) in enumerate(zip(document, following)):
        x = norm([a + b for a, b in zip(take(p["characters"], character), p["positions"][i])])
        y = norm(x)
        q = linear(p["query"], y)
        keys.append(linear(p["key"], y))
        values.append(linear(p["value"], y))
        out = []
        for start in range(0, WIDTH, SIZE):
            part = range(start, start + SIZE)
            weights = softmax([sum(q[j] * k[j] for j in part) / SIZE**0.5 for k in keys])
            out += [sum(w * v[j] for w, v in zip(weights, values)) for j in part]
        x = [a + b for a, b in zip(linear(p["output"], out), x)]
        hidden = [a.relu() ** 2 for a in linear(p["up"], norm(x))]
        x = [a + b for a, b in zip(linear(p["down"], hidden), x)]
        losses.append(-take(softmax(linear(p["head"], x)), target).log())
    return sum(losses) / len(losses)


def in_scalars(value: Any) -> Step:
    weights, documents, following = problem(1)
    parameters = {name: [[value(x) for x in row] for row in w] for name, w in weights.items()}

    def step() -> float:
        loss = document_loss(parameters, documents[0].tolist(), following[0].tolist())
        loss.backward()
        return float(loss.data)

    return step


def compiled(batch: int, executor: str | None, adam: bool = False, minimize: bool = False) -> Step:
    import micrograd_jp as mg

    weights, documents, following = problem(batch)
    parameters = {name: [[mg.Value(x) for x in row] for row in w] for name, w in weights.items()}

    @mg.compile(executor=executor)
    def loss(document: Any, following: Any) -> Any:
        return document_loss(parameters, document, following, mg.take)

    optimizer = mg.optim.Adam(loss.trace(documents, following).parameters(), lr=0.0)

    if minimize:
        every = [np.tile(x, (UPDATES, 1)) for x in (documents, following)]
        return lambda: loss.minimize(optimizer, *every, batch_size=batch)  # type: ignore[no-any-return]

    def step() -> float:
        values = loss(documents, following)
        loss.zero_grad()
        loss.backward()
        if adam:
            optimizer.step()
        return values  # type: ignore[no-any-return]

    return step


# ---- 行列のプログラム --------------------------------------------------------------------------


def by_hand(batch: int) -> Step:
    """NumPy with matrices and derivatives, as one writes it who knows them: (n, features, N)."""
    weights, documents, following = problem(batch)
    p = {name: w.astype(np.float32) for name, w in weights.items()}
    tokens, targets = documents.T.ravel(), following.T.ravel()
    count, columns = POSITIONS * batch, np.arange(POSITIONS * batch)
    mask = np.triu(np.full((POSITIONS, POSITIONS), -np.inf, np.float32), 1)
    w_qkv = np.concatenate([p["query"], p["key"], p["value"]])

    def norm_forward(x: Any) -> Any:
        scale = ((x * x).mean(0) + np.float32(1e-5)) ** np.float32(-0.5)
        return x * scale, scale

    def norm_backward(g: Any, x: Any, scale: Any) -> Any:
        return g * scale - x * ((g * x).mean(0) * scale**3)

    def heads(x: Any) -> Any:  # (WIDTH, n·N) → (N, HEADS, n, SIZE)
        return x.reshape(HEADS, SIZE, POSITIONS, batch).transpose(3, 0, 2, 1)

    def back(x: Any) -> Any:
        return x.transpose(1, 3, 2, 0).reshape(WIDTH, count)

    def step() -> float:
        e = p["characters"].T[:, tokens] + np.repeat(p["positions"].T, batch, 1)
        x0, s0 = norm_forward(e)
        y, s1 = norm_forward(x0)
        qkv = w_qkv @ y
        q, k, v = (heads(part) for part in np.split(qkv, 3))
        scores = q @ k.swapaxes(2, 3) * np.float32(SIZE**-0.5) + mask
        scores -= scores.max(-1, keepdims=True)
        a = np.exp(scores)
        a /= a.sum(-1, keepdims=True)
        o = back(a @ v)
        x1 = p["output"] @ o + x0
        z, s2 = norm_forward(x1)
        h = np.maximum(p["up"] @ z, 0)
        hh = h * h
        x2 = p["down"] @ hh + x1
        logits = p["head"] @ x2
        logits -= logits.max(0)
        probabilities = np.exp(logits)
        total = probabilities.sum(0)
        loss = np.log(total).mean() - logits[targets, columns].mean()
        probabilities /= total
        probabilities[targets, columns] -= 1
        g = probabilities * np.float32(1 / count)
        grads = {"head": g @ x2.T}
        g = p["head"].T @ g
        grads["down"] = g @ hh.T
        gh = (p["down"].T @ g) * (2 * h)
        grads["up"] = gh @ z.T
        g = g + norm_backward(p["up"].T @ gh, x1, s2)
        grads["output"] = g @ o.T
        go = heads(p["output"].T @ g)
        ga = go @ v.swapaxes(2, 3)
        gv = a.swapaxes(2, 3) @ go
        gs = a * (ga - (ga * a).sum(-1, keepdims=True)) * np.float32(SIZE**-0.5)
        gqkv = np.concatenate([back(gs @ k), back(gs.swapaxes(2, 3) @ q), back(gv)])
        grads["qkv"] = gqkv @ y.T
        g = norm_backward(g + norm_backward(w_qkv.T @ gqkv, x0, s1), e, s0)
        chosen = np.zeros((LETTERS, count), np.float32)
        chosen[tokens, columns] = 1
        grads["characters"] = chosen @ g.T
        grads["positions"] = g.reshape(WIDTH, POSITIONS, batch).sum(-1).T
        return float(loss)

    return step


def batched_loss(m: Any, p: Any, documents: Any, following: Any) -> Any:
    """The same model on arrays of PyTorch or JAX."""
    n, batch = POSITIONS, len(documents)

    def norm(x: Any) -> Any:
        return x * ((x * x).mean(-1)[..., None] + 1e-5) ** -0.5

    def heads(x: Any) -> Any:
        return m.swapaxes(x.reshape(batch, n, HEADS, SIZE), 1, 2)

    x = norm(p["characters"][documents] + p["positions"])
    q, k, v = (heads(norm(x) @ p[name].T) for name in ("query", "key", "value"))
    scores = q @ m.swapaxes(k, 2, 3) * SIZE**-0.5
    scores = m.where(m.tril(m.ones((n, n))) > 0, scores, -math.inf)
    a = m.exp(scores - m.amax(scores, -1)[..., None])
    a = a / a.sum(-1)[..., None]
    x = x + m.swapaxes(a @ v, 1, 2).reshape(batch, n, WIDTH) @ p["output"].T
    h = norm(x) @ p["up"].T
    x = x + (h * (h > 0)) ** 2 @ p["down"].T
    logits = x @ p["head"].T
    rows, columns = m.arange(batch)[:, None], m.arange(n)
    return (m.logsumexp(logits, -1) - logits[rows, columns, following]).mean()


def in_torch(batch: int, compile: bool = False) -> Step:
    import torch

    torch.set_num_threads(1)
    weights, documents, following = problem(batch)
    p = {k: torch.tensor(w, dtype=torch.float32, requires_grad=True) for k, w in weights.items()}
    x, t = torch.tensor(documents), torch.tensor(following)
    loss = torch.compile(batched_loss) if compile else batched_loss

    def step() -> float:
        for w in p.values():
            w.grad = None
        out = loss(torch, p, x, t)
        out.backward()
        return out.item()  # type: ignore[no-any-return]

    return step


def in_jax(batch: int) -> Step:
    import jax
    import jax.numpy as jnp

    class Names:
        def __getattr__(self, name: str) -> Any:
            return getattr(jax.nn if name == "logsumexp" else jnp, name)

    weights, documents, following = problem(batch)
    p = {k: jnp.asarray(w, jnp.float32) for k, w in weights.items()}
    loss = jax.jit(jax.value_and_grad(lambda p, x, t: batched_loss(Names(), p, x, t)))
    x, t = jnp.asarray(documents), jnp.asarray(following)

    def step() -> float:
        out, grads = loss(p, x, t)
        jax.block_until_ready(grads)
        return float(out)

    return step


# ---- 測る --------------------------------------------------------------------------------------


def value() -> Step:
    from micrograd_jp import Value

    return in_scalars(Value)


CONTESTANTS: dict[str, tuple[str, Any]] = {
    "scalar": ("40 行の Value", lambda n: in_scalars(Scalar)),
    "scalar-nogc": ("40 行の Value（回収器なし）", lambda n: (gc.disable(), in_scalars(Scalar))[1]),
    "value": ("micrograd_jp の Value、ほかは同じ", lambda n: value()),
    "lift": ("mg.compile、NumPy だけ", lambda n: compiled(n, "lift")),
    "native": ("mg.compile、fast", lambda n: compiled(n, "native")),
    "native-adam": ("mg.compile、fast、Adam も", lambda n: compiled(n, "native", True)),
    "minimize": ("同じもの、minimize で", lambda n: compiled(n, "native", True, minimize=True)),
    "hand": ("NumPy で手書き", by_hand),
    "torch": ("PyTorch", in_torch),
    "torch-compile": ("torch.compile", lambda n: in_torch(n, True)),
    "jax": ("jax.jit", in_jax),
}
ONE = {"scalar", "scalar-nogc", "value"}


def contestant(name: str, batch: int) -> dict[str, Any]:
    """The loss, the time to the first step, and the best time of a document in seconds."""
    started = time.perf_counter()
    step = CONTESTANTS[name][1](batch)
    first = step()
    first = float(np.mean(getattr(first, "_data", first)))
    begun = time.perf_counter() - started
    times, until = [], time.perf_counter() + (3.0 if name in ONE else 1.0)
    while time.perf_counter() < until or len(times) < 2:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    documents = batch * (UPDATES if name == "minimize" else 1)
    return {"loss": first, "begun": begun, "seconds": min(times) / documents}


def main() -> None:
    """Every contestant in a process of its own, three times in turn."""
    if sys.argv[1:2] == ["--contestant"]:
        print(json.dumps(contestant(sys.argv[2], int(sys.argv[3]))))
        return
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MICROGRAD_JP_THREADS"), "1"
    )
    threads["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    environment = {**os.environ, **threads}
    wanted = sys.argv[1:] or list(CONTESTANTS)
    runs = [(name, n) for name in wanted for n in (BATCHES if name not in ONE else (1,))]
    results: dict[Any, list[dict[str, Any]]] = {run: [] for run in runs}
    for _ in range(3):
        for name, n in runs:
            command = [sys.executable, __file__, "--contestant", name, str(n)]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                print(f"{name}: 飛ばします ({done.stderr.strip().splitlines()[-1]})")
                continue
            results[name, n].append(json.loads(done.stdout))
    losses: dict[int, float] = {}
    base = None
    for (name, n), found in results.items():
        if not found:
            continue
        assert np.isclose(losses.setdefault(n, found[0]["loss"]), found[0]["loss"], rtol=1e-4), name
        seconds = statistics.median(r["seconds"] for r in found)
        spread = [1e6 * f(r["seconds"] for r in found) for f in (min, max)]
        base = base or seconds
        print(
            f"{CONTESTANTS[name][0]:　<20} N = {n:<4} {1e6 * seconds:12,.2f} µs/文書 "
            f"({spread[0]:,.2f}〜{spread[1]:,.2f})  はじめの {base / seconds:12,.0f} 倍速い  "
            f"はじめの 1 歩まで {statistics.median(r['begun'] for r in found):.2f} s"
        )


if __name__ == "__main__":
    for module in ("numpy", "torch", "jax"):
        if "--contestant" not in sys.argv and importlib.util.find_spec(module):
            print(module, importlib.import_module(module).__version__, end="  ")
    main()
