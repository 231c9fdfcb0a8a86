"""半精度 (half precision): 16 ビットの数で学習すると、何が失われ、どう守るか。

float16 は 2⁻²⁴ ≈ 6·10⁻⁸ より小さい数を持たず、bfloat16 は仮数が 8 ビットしかない。

1. **消える勾配 (underflow)**: シグモイドを 5 つ重ねると、1 層目の勾配の何割かは 2⁻²⁵ より小さく、
   float16 では 0 になる。損失を 2¹⁶ 倍すれば、どの勾配も 2¹⁶ 倍になり、ほとんど 0 にならない。

       ∂(S·L)/∂w = S·∂L/∂w        S で割り戻してから、重みを更新する (loss scaling)

2. **小さな損失**: 損失を 10⁻⁵ 倍すると、ReLU の 3 層でも、float16 の勾配はほとんど 0 になり、学習は
   進まない。`GradScaler` を使えば、float32 と同じように学習する。bfloat16 は指数が float32 と同じ
   8 ビットなので、そのままでよい。

3. **失われる更新**: 1.0 から 0.0001 ずつ 1,000 回引くと 0.9 になるはずだが、float16 では 1.0 の
   まま。1.0 のすぐ下の float16 は 1 − 2⁻¹¹ ≈ 0.9995 で、その半分より小さい更新は丸められて消える。
   だから重みは float32 で持つ (master weights)。`mg.autocast` では、いつもそうなる。

4. **正解率**: MNIST を混合精度で学習しても、3 つの種の平均は float32 と 0.2 ポイント違わない。

Micikevicius et al. (2018) "Mixed Precision Training"。CPU では半精度は速くならない: ここで
確かめるのは数の性質と、バイト数が半分になること。

    pip install "micrograd_jp[accel]"        # bfloat16 は ml_dtypes にある
    python demos/half_precision.py --out out
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from command import options, save
from digit_data import Digits, accuracy, load, log_scale, network, smooth

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader, TensorDataset
from micrograd_jp.viz import figures

FLOOR = -24
"""float16 の最も小さい正の数は 2 の何乗か。"""

SCALE = 2.0**16
FACTOR = 1e-5
BATCH = 128
SEEDS = range(6)
PRECISIONS = {"float32": None, "float16": "16-mixed", "bfloat16": "bf16-mixed"}


def stacked(activation: type[nn.Module], *sizes: int) -> nn.Sequential:
    """全結合層と活性化関数を重ねた MLP。重みは `nn.Linear` のはじめの値のまま。"""
    *hidden, last = pairwise(sizes)
    parts: list[nn.Module] = []
    for n, m in hidden:
        parts += [nn.Linear(n, m), activation()]
    return nn.Sequential(*parts, nn.Linear(*last))


# ---- 1. 消える勾配 -----------------------------------------------------------------------------


def sigmoid_gradients(digits: Digits, layers: int = 5, width: int = 100) -> list[np.ndarray]:
    """シグモイドの層を重ねたネットワークの、層ごとの重みの勾配 (float32)。"""
    mg.manual_seed(0)
    model = stacked(nn.Sigmoid, digits.pixels, *[width] * layers, 10)
    x, t = digits.training[:BATCH]
    mg.cross_entropy(model(x), t).backward()
    return [p.grad.numpy() for p in model.parameters() if p.ndim == 2]


def vanished(gradients: np.ndarray, scale: float = 1.0) -> float:
    """0 でない勾配のうち、`scale` 倍して float16 にすると 0 になる割合。"""
    alive = gradients[gradients != 0]
    return float((np.float16(alive * np.float32(scale)) == 0).mean())


# ---- 2. 小さな損失 ------------------------------------------------------------------------------


class Trained(NamedTuple):
    """1 つの学習: 更新ごとの損失（10⁻⁵ 倍する前）と、正解率。"""

    losses: list[float]
    accuracy: float


def train(digits: Digits, dtype: Any, scaled: bool, epochs: int, seed: int = 0) -> Trained:
    """損失を 10⁻⁵ 倍して学習する。

    Args:
        digits: データ。
        dtype: `autocast` の型。`None` なら float32。
        scaled: `GradScaler` を使うか。
        epochs: エポックの数。
        seed: 乱数の種。
    """
    mg.manual_seed(seed)
    model = stacked(nn.ReLU, digits.pixels, 200, 100, 50, 10)
    optimizer = optim.Adam(model.parameters())
    scaler = mg.amp.GradScaler(enabled=scaled)
    losses = []
    for _ in range(epochs):
        for x, t in DataLoader(digits.training, BATCH, shuffle=True):
            optimizer.zero_grad()
            with mg.autocast(dtype=dtype, enabled=dtype is not None):
                loss = mg.cross_entropy(model(x), t) * FACTOR
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item() / FACTOR)
    return Trained(losses, accuracy(model, digits.test))


# ---- 3. 失われる更新 ----------------------------------------------------------------------------


def walk(dtype: Any, steps: int = 1000, rate: float = 1e-4) -> list[float]:
    """1.0 から始めて、勾配 1 の方向に `rate` ずつ `steps` 回下りる。"""
    w = mg.ones(1, dtype=dtype, requires_grad=True)
    optimizer = optim.SGD([w], lr=rate)
    places = [w.item()]
    for _ in range(steps):
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()
        places.append(w.item())
    return places


# ---- 4. 正解率とバイト数 ------------------------------------------------------------------------


def mixed(digits: Digits, precision: str | None, epochs: int, seed: int) -> float:
    """`fit` で学習したときの、評価データの正解率。"""
    mg.manual_seed(seed)
    model = network(digits.pixels, 300, 100, 10)
    loader = DataLoader(digits.training, BATCH, shuffle=True, seed=seed)
    mg.fit(
        model, loader, mg.cross_entropy, optim.Adam(model.parameters()), epochs,
        precision=precision, progress=False,
    )  # fmt: skip
    return accuracy(model, digits.test)


def weight_bytes(dtype: Any) -> int:
    """784-300-100-10 の重みのバイト数。"""
    model = network(784, 300, 100, 10).to(dtype)
    return sum(p.numel() * p.dtype.itemsize for p in model.parameters())


# ---- 図 ----------------------------------------------------------------------------------------


def draw(
    gradients: list[np.ndarray], runs: dict[str, Trained], walks: dict[str, list[float]]
) -> Any:
    """勾配の大きさの分布、学習曲線、失われる更新。"""
    figure, (left, middle, right) = figures.subplots(1, 3, size=(15, 4.6))
    every = np.concatenate([g.ravel() for g in gradients])
    sizes = np.log2(np.abs(every[every != 0]).astype(np.float64))
    bins = np.arange(np.floor(sizes.min()), np.ceil(sizes.max()) + 17)
    left.hist(sizes, bins, color="C0", alpha=0.6, label="そのまま")
    left.hist(sizes + 16, bins, color="C1", alpha=0.6, label="損失を 2¹⁶ 倍")
    left.axvspan(bins[0], FLOOR - 1, color="0.85", zorder=0, label="float16 では 0")
    left.axvline(FLOOR, color="0.3", linestyle="--", label="最小の正の数 2⁻²⁴")
    left.set(
        xlabel="log₂ |勾配|", ylabel="重みの数", title="シグモイド 5 層の勾配の大きさ",
        xlim=(bins[0], bins[-1]),
    )  # fmt: skip
    left.set_ylim(0, 1.4 * left.get_ylim()[1])  # room for the legend
    left.legend(fontsize=9)
    styles = {"float32": "-", "bfloat16": "--", "float16 + GradScaler": ":", "float16": "-"}
    for name, run in runs.items():
        label = f"{name}（正解率 {run.accuracy:.1%}）"
        middle.plot(*smooth(run.losses, 20), styles[name], label=label)
    middle.set(
        xlabel="更新の回数", ylabel="損失（10⁻⁵ 倍する前）", title="損失を 10⁻⁵ 倍した学習",
        ylim=(0.1, 20),
    )  # fmt: skip
    log_scale(middle, (0.1, 1, 10))
    for name, places in walks.items():
        right.plot(places, "--" if name == "bfloat16" else "-", label=f"{name}: {places[-1]:.4f}")
    right.set(xlabel="更新の回数", ylabel="重み w", title="1.0 から 0.0001 ずつ引く")
    figures.finish_curves(middle)
    figures.finish_curves(right)
    left.grid(alpha=0.3)
    middle.legend(fontsize=9)
    right.legend()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    digits = load(given.quick)
    epochs, seeds = (15, SEEDS[:1]) if given.quick else (3, SEEDS)
    gradients = sigmoid_gradients(digits)
    for scale, name in ((1.0, "そのまま"), (SCALE, "損失を 2¹⁶ 倍")):
        every = np.concatenate([g.ravel() for g in gradients])
        print(
            f"シグモイド 5 層、{name}: float16 で 0 になる勾配は、1 層目の "
            f"{vanished(gradients[0], scale):.1%}、全体の {vanished(every, scale):.1%}"
        )

    few = Digits(
        digits.name, TensorDataset(*digits.training[:20_000]), digits.development,
        TensorDataset(*digits.test[:5_000]),
    )  # fmt: skip
    runs = {
        "float32": train(few, None, False, epochs),
        "bfloat16": train(few, "bfloat16", False, epochs),
        "float16 + GradScaler": train(few, mg.float16, True, epochs),
        "float16": train(few, mg.float16, False, epochs),
    }
    for name, run in runs.items():
        print(f"損失を 10⁻⁵ 倍、{name}: 損失 {run.losses[-1]:.2f}、正解率 {run.accuracy:.2%}")

    walks = {str(dtype): walk(dtype) for dtype in (mg.float32, mg.float16, mg.bfloat16)}
    for name, places in walks.items():
        print(f"1.0 から 0.0001 ずつ 1,000 回引く、{name}: {places[-1]:.4f}")

    for name, precision in PRECISIONS.items():
        found = [mixed(digits, precision, 1 if given.quick else 4, seed) for seed in seeds]
        each = "、".join(f"{x:.2%}" for x in found)
        print(f"{digits.name}、{name}: 平均 {np.mean(found):.2%}（種ごとに {each}）")
    sizes = [weight_bytes(dtype) for dtype in (mg.float32, mg.float16)]
    print(f"重み: float32 で {sizes[0]:,} バイト、float16 で {sizes[1]:,} バイト")
    save(draw(gradients, runs, walks), given.out / "half_precision.png")


if __name__ == "__main__":
    main()
