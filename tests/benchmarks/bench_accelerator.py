"""学習の 1 更新の時間を、CPU と、JAX の見つけた装置 (GPU, TPU) で、3 つの型で測る。

    pip install "micrograd_jp[accel,data]"   # GPU なら、それに合った JAX を（jax の案内を見る）
    python tests/benchmarks/bench_accelerator.py

`mg.fit(…, jit=True)` で、MLP 784-1024-1024-10、`DeepConvNet`、`resnet_small` を、float32、
bfloat16、float16 で学習する（損失は float32、Adam、128 枚ずつ）。時間は、コンパイルの終わった
2 エポック目からの最小を、更新の回数で割ったもの。データは MNIST があればその一部、なければ
scikit-learn の数字を拡大したもの。同じ種から始め、評価データの正解率が CPU の float32 と
3 ポイント以内であることを確かめる。

`--quick` は小さなモデルだけを短く、`--cpu` は CPU だけを測る。
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import micrograd_jp as mg
from micrograd_jp import nn

BATCH, SEED, MARGIN = 128, 0, 0.03
QUICK = "--quick" in sys.argv
IMAGES, TEST, EPOCHS = (1_024, 500, 3) if QUICK else (8_192, 2_000, 4)
DTYPES = {"float32": mg.float32, "bfloat16": mg.bfloat16, "float16": mg.float16}

Arrays = tuple[Any, Any]


class Net(NamedTuple):
    """1 つのモデルと、それに合う学習率。"""

    make: Callable[[], nn.Module]
    rate: float
    flat: bool = False


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


NETS = {
    "MLP": Net(mlp, 1e-3, flat=True),
    "DeepConvNet": Net(lambda: nn.models.DeepConvNet(batch_norm=True), 1e-3),
    "resnet_small": Net(lambda: nn.models.resnet_small(20, width=16), 3e-3),
}


def data() -> tuple[str, Arrays, Arrays]:
    """(name, training, test) as arrays: images (N, 1, 28, 28) and labels."""
    rng = np.random.default_rng(SEED)
    try:
        train, test = mg.data.datasets.mnist(download=False)
        parts = ((train, IMAGES), (test, TEST))
        found = [part[rng.permutation(len(part))[:n]] for part, n in parts]
        (x, t), (y, s) = ((a.numpy(), b.numpy()) for a, b in found)
        return "MNIST", (x.reshape(-1, 1, 28, 28), t), (y.reshape(-1, 1, 28, 28), s)
    except FileNotFoundError:
        x, t = (a.numpy() for a in mg.data.datasets.digits()[:])
        large = np.pad(x[:, None].repeat(3, 2).repeat(3, 3), ((0, 0), (0, 0), (2, 2), (2, 2)))
        order = rng.permutation(len(t))
        kept, rest = order[:1_437], order[1_437:]
        return "8×8 の数字", (large[kept], t[kept]), (large[rest], t[rest])


def batches(arrays: Arrays, net: Net, dtype: Any, place: Any) -> list[Any]:
    """The mini-batches, already where they are needed: what is measured is the update."""
    x, t = arrays
    x = x.reshape(len(x), -1) if net.flat else x
    rows = range(0, len(t) - BATCH + 1, BATCH)
    return [
        (mg.tensor(x[i : i + BATCH]).to(place).to(dtype), mg.tensor(t[i : i + BATCH]).to(place))
        for i in rows
    ]


def loss(y: Any, t: Any) -> Any:
    return mg.cross_entropy(y.float(), t)


def measured(net: Net, dtype: Any, place: Any, train: Arrays, test: Arrays) -> tuple[float, float]:
    """(milliseconds of an update, accuracy)."""
    mg.manual_seed(SEED)
    model = net.make().to(place).to(dtype)
    optimizer = mg.optim.Adam(model.parameters(), lr=net.rate, eps=1e-7)
    history = mg.fit(
        model, batches(train, net, dtype, place), loss, optimizer, EPOCHS, jit=True,
        progress=False,
    )  # fmt: skip
    ends = [(row["updates"], row["seconds"]) for row in history.epochs]
    each = [(s - r) / (m - n) for (n, r), (m, s) in pairwise(ends)]
    x, t = test
    found = mg.training.evaluate(model, batches((x, t), net, dtype, place))
    return 1e3 * min(each), float(found.metric or 0)


def places() -> list[tuple[str, Any]]:
    """(name, device): the CPU, and one of whatever else JAX has found."""
    import jax

    found = [(f"CPU ({jax.devices('cpu')[0].device_kind})", mg.device("jax"))]
    other = jax.devices()[0]
    if other.platform != "cpu" and "--cpu" not in sys.argv:
        found.append((other.device_kind, mg.device(other)))
    return found


def main() -> None:
    import jax

    name, train, test = data()
    print(f"JAX {jax.__version__}、{name} 訓練 {len(train[1]):,}・評価 {len(test[1]):,} 枚")
    print("装置、モデル、型: 1 更新のミリ秒（CPU の float32 との比）、正解率")
    worst, started = 0.0, time.perf_counter()
    for net_name in list(NETS)[: 1 if QUICK else None]:
        first: tuple[float, float] | None = None
        for where, place in places():
            for dtype_name, dtype in DTYPES.items():
                ms, accuracy = measured(NETS[net_name], dtype, place, train, test)
                first = first or (ms, accuracy)
                worst = max(worst, abs(accuracy - first[1]))
                print(
                    f"{where}、{net_name}、{dtype_name}: {ms:.2f} ms ({ms / first[0]:.2f})、"
                    f"{accuracy:.2%}",
                    flush=True,
                )
    print(f"{time.perf_counter() - started:.0f} 秒、正解率の違いは最大 {100 * worst:.1f} ポイント")
    if worst > MARGIN:
        raise SystemExit("正解率が違いすぎます。")


if __name__ == "__main__":
    main()
