"""勾配消失 (vanishing gradient) と勾配爆発、そしてスキップ接続 (skip connection)。

1. 層を重ねると、勾配は 1 層戻るごとに何倍かになる。その倍率が 1 より小さければ入力に近い層の
   勾配は消え、大きければ爆発する。ReLU なら、重みの標準偏差が σ、幅が n のとき、倍率はおよそ

       √(n σ² / 2)      （n 個の和で n σ² 倍、半分の ReLU が 0 で ½ 倍。これは 2 乗の大きさ）

   なので、σ = √(2/n)（He ら 2015）なら 1 になる。Xavier の初期値 (Glorot and Bengio 2010) は
   幅が同じなら σ = √(1/n) で、双曲線正接に合う。シグモイドは微分が最大でも 1/4 しかなく、
   どちらの初期値でも消える。

2. スキップ接続では、層の出力 F(x) に入力をそのまま足して H = F(x) + x とする（He ら 2016）。
   計算グラフで x は 2 つに分かれるので、戻ってくる勾配は 2 つの道の和になる。

       ∂L/∂x = ∂L/∂H · ∂F/∂x + ∂L/∂H

   第 2 項には何も掛かっていない。∂F/∂x がどんなに小さくても、勾配はそのまま前の層に届く。

3. だから 1,000 層でも学習できる。スキップ接続のない 1,000 層は、He の初期値から始めても、1 層ごとの
   小さなばらつきが積もって勾配が消え、どの学習率でも損失は log 2 ≈ 0.693 から動かない。
   （1,000 個の F を足しても大きくなりすぎないように、F の重みは 1/√1000 倍から始める。）

    python demos/vanishing_gradients.py --out out
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from command import options, save

import micrograd_jp as mg
from micrograd_jp.viz import figures

WIDTH = 100
BATCH = 32
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "シグモイド": mg.sigmoid,
    "双曲線正接": mg.tanh,
    "ReLU": mg.relu,
}
INITIALIZATIONS: dict[str, Callable[[int], float]] = {
    "小さすぎる σ = 0.01": lambda n: 0.01,
    "Xavier σ = √(1/n)": lambda n: (1 / n) ** 0.5,
    "He σ = √(2/n)": lambda n: (2 / n) ** 0.5,
    "大きすぎる σ = 1": lambda n: 1.0,
}
DEPTHS = (5, 10, 20, 30, 40, 50)
LAYERS = 1000
LEARNING_RATES = {False: (1.0, 0.05), True: (0.05, 0.02)}
"""スキップ接続の有無と、試す学習率。"""


# ---- 1. 層ごとの勾配 --------------------------------------------------------------------------


def gradient_norms(
    depth: int, activation: Callable[[Any], Any], sigma: float, width: int = WIDTH, seed: int = 0
) -> list[float]:
    """出力に大きさ 1 の勾配を与えたとき、入力と各層の出力での勾配の大きさ。

    Args:
        depth: 層の数。
        activation: 活性化関数。
        sigma: 重みの標準偏差。
        width: 幅 n。
        seed: 乱数の種。

    Returns:
        入力から順に、depth + 1 個のノルム。最後は 1。
    """
    rng = np.random.default_rng(seed)
    outputs = [mg.tensor(rng.standard_normal((BATCH, width)), requires_grad=True)]
    for _ in range(depth):
        W = sigma * rng.standard_normal((width, width))
        outputs.append(activation(outputs[-1] @ W))
    return _norms(outputs, rng)


def _norms(outputs: list[mg.Tensor], rng: np.random.Generator) -> list[float]:
    """Hand a gradient of norm 1 to the last of `outputs`: the norms that reach each of them."""
    for output in outputs:
        output.retain_grad()
    upstream = rng.standard_normal(outputs[-1].shape)
    outputs[-1].backward(upstream / np.linalg.norm(upstream))
    return [float(np.linalg.norm(output.grad.numpy())) for output in outputs]


# ---- 2. スキップ接続の勾配 ----------------------------------------------------------------------


class Skip(NamedTuple):
    """スキップ接続 1 つの計算グラフ。"""

    x: mg.Value
    F: mg.Value
    H: mg.Value
    loss: mg.Value


def skip_connection(x: float = 0.5, w: float = -0.8, t: float = 1.0) -> Skip:
    """F = tanh(wx)、H = F + x、L = ½ (H − t)² の計算グラフ。勾配まで求めてある。"""
    start = mg.Value(x, label="x")
    branch = mg.tanh(w * start)
    branch.label = "F"
    total = branch + start
    total.label = "H"
    loss = 0.5 * (total - t) ** 2
    loss.label = "L"
    loss.backward()
    return Skip(start, branch, total, loss)


# ---- 3. 1,000 層を学習する ----------------------------------------------------------------------


def deep(depth: int, skip: bool, width: int = 16, seed: int = 0) -> mg.nn.Sequential:
    """同じ幅の層を重ねたネットワーク f: ℝ² → ℝ。重みは He の初期値。

    Args:
        depth: 層の数。
        skip: 真なら、各層の入力を出力に足す (`mg.nn.Residual`)。そのときの重みは 1/√depth 倍。
        width: 幅。
        seed: 乱数の種。
    """
    mg.manual_seed(seed)
    linears = [mg.nn.Linear(2, width), *[mg.nn.Linear(width, width) for _ in range(depth)]]
    for linear in linears:
        mg.nn.init.kaiming_normal_(linear.weight)
        mg.nn.init.zeros_(linear.bias)
        if skip and linear is not linears[0]:
            linear.weight.data /= depth**0.5
    layer = mg.nn.Residual if skip else mg.nn.Sequential
    layers = [layer(mg.nn.ReLU(), linear) for linear in linears[1:]]
    output = mg.nn.Sequential(mg.nn.ReLU(), mg.nn.Linear(width, 1))
    return mg.nn.Sequential(linears[0], *layers, output).double()


def norms_in(model: mg.nn.Sequential) -> list[float]:
    """`model` の最後の隠れ層の出力に大きさ 1 の勾配を与えたとき、各層の出力での勾配の大きさ。"""
    outputs = [mg.tensor(rings(BATCH, seed=0)[0])]
    for layer in list(model)[:-1]:
        outputs.append(layer(outputs[-1]))
    return _norms(outputs[1:], np.random.default_rng(0))


def rings(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """半径 1 の輪（0）と半径 2 の輪（1）の点。形は (count, 2) と (count, 1)。"""
    rng = np.random.default_rng(seed)
    outer = np.arange(count) % 2
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = 1 + outer + 0.15 * rng.standard_normal(count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points, outer[:, None].astype(float)


def train(model: mg.nn.Module, steps: int, learning_rate: float) -> list[float]:
    """交差エントロピー誤差を最急降下法（バッチ法）で下げ、更新ごとの損失を返す。

    学習率は直線的に 0 へ近づける。大きさが 1 を超える勾配は 1 に縮める（勾配クリッピング）。
    """
    points, outer = map(mg.tensor, rings(128, seed=1))
    optimizer = mg.optim.SGD(model.parameters(), lr=learning_rate)
    scheduler = mg.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    losses = []
    for _ in range(steps):
        loss = mg.nn.functional.binary_cross_entropy_with_logits(model(points), outer)
        optimizer.zero_grad()
        loss.backward()
        mg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


def accuracy(model: mg.nn.Module) -> float:
    """学習に使わなかった 400 点の正解率。"""
    points, outer = rings(400, seed=2)
    return mg.training.evaluate(model, mg.data.TensorDataset(points, outer)).metric or 0.0


# ---- 図 --------------------------------------------------------------------------------------


def draw_norms(depth: int, depths: Sequence[int]) -> Any:
    """上の段: 層ごとの勾配の大きさ。下の段: 深さと、入力での勾配の大きさ。"""
    figure, axes = figures.subplots(2, 3, size=(13, 7), sharey="row")
    for column, (name, activation) in enumerate(ACTIVATIONS.items()):
        layers = {
            start: gradient_norms(depth, activation, sigma(WIDTH))
            for start, sigma in INITIALIZATIONS.items()
        }
        inputs = {
            start: [gradient_norms(d, activation, sigma(WIDTH))[0] for d in depths]
            for start, sigma in INITIALIZATIONS.items()
        }
        figures.plot_curves(axes[0, column], layers, log=True, title=name, xlabel="層")
        figures.plot_curves(
            axes[1, column], inputs, x=depths, log=True, marker="o", xlabel="層の数 (depth)"
        )
    axes[0, 0].set_ylabel(f"‖∂L/∂h‖（{depth} 層）")
    axes[1, 0].set_ylabel("入力に届いた ‖∂L/∂x‖")
    for axis in axes.flat[1:]:
        axis.get_legend().remove()
    return figure


def draw_training(depth: int, curves: dict[str, list[float]], trained: mg.nn.Module) -> Any:
    """学習前の勾配の大きさ、損失、学習した境界の図。"""
    figure, (left, middle, right) = figures.subplots(1, 3, size=(13, 4))
    norms = {
        "スキップ接続なし": norms_in(deep(depth, skip=False)),
        "スキップ接続あり": norms_in(deep(depth, skip=True)),
    }
    figures.plot_curves(
        left, norms, log=True, xlabel="層", ylabel="‖∂L/∂h‖", title=f"学習前の {depth:,} 層の勾配"
    )
    figures.plot_curves(
        middle, curves, xlabel="更新の回数", ylabel="損失", ylim=(0, 1.2), title="損失"
    )
    mg.viz.decision_boundary(trained, rings(200, seed=2), names=["内側", "外側"], axes=right, n=61)
    right.set(aspect="equal", title=f"学習した境界（正解率 {accuracy(trained):.1%}）")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    depth, depths = (20, (5, 20)) if given.quick else (50, DEPTHS)
    layers, steps = (100, 10) if given.quick else (LAYERS, 60)
    for name, activation in ACTIVATIONS.items():
        for start, sigma in INITIALIZATIONS.items():
            norm = gradient_norms(depth, activation, sigma(WIDTH))[0]
            print(f"{name}, {start}: {depth} 層の入力に届く勾配は {norm:.1e} 倍")
    node = skip_connection()
    print(f"∂L/∂x = {node.x.grad:.4f} = {node.F.grad:.4f}·∂F/∂x + {node.H.grad:.4f}")

    trained = {}
    for skip, rates in LEARNING_RATES.items():
        for rate in rates:
            model = deep(layers, skip)
            losses = train(model, steps, rate)
            name = f"スキップ接続{'あり' if skip else 'なし'}, α = {rate:g}"
            print(
                f"{layers:,} 層, {name}: 損失 {losses[0]:.3f} → {losses[-1]:.3f}, "
                f"正解率 {accuracy(model):.1%}"
            )
            trained[name] = losses, model
    curves = {name: losses for name, (losses, _) in trained.items()}
    _, best = min(trained.values(), key=lambda run: run[0][-1])
    save(draw_norms(depth, depths), given.out / "vanishing_gradients.png")
    save(mg.draw(node.loss, style="textbook"), given.out / "skip_connection.svg")
    save(draw_training(layers, curves, best), given.out / "skip_connection.png")


if __name__ == "__main__":
    main()
