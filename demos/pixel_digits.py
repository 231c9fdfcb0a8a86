"""4×3 画素の数字: 「どれだけ変えたいか」を、出力から重みと入力へ戻していく。

画素 (pixel) 12 個の入力 x から、0〜9 の「らしさ」10 個の出力 p = Wx + b を計算する。
正解の数字だけ 5、ほかは −5 が理想 t である。0 の絵を見せたら

    p = (0.8,  0.1,  1.5,  1.1, −0.9,  0.3,  0.8,  1.2, −1.0,  1.0)
    t = (5,   −5,   −5,   −5,   −5,   −5,   −5,   −5,   −5,   −5)

だったとする。出力を変えたい量は、その差である。

    Δp = t − p = (4.2, −5.1, −6.5, −6.1, −4.1, −5.3, −5.8, −6.2, −4.0, −6.0)

これは損失 L = ½ Σ (t − p)² の勾配に負号をつけた −∂L/∂p にほかならない。同じように、
バイアス・重み・入力を変えたい量も、誤差逆伝播法 (backpropagation) で求まる。

    Δb = Δp           b は p にそのまま足されている
    ΔW = Δp xᵀ        画素 j が光っていれば、その重みの列を Δp だけ変えたい
    Δx = Wᵀ Δp        下に層があるなら、その出力をこれだけ変えたい

下の層の出力が x = ReLU(p′) なら、Δp′ は p′ > 0 の所で Δx に等しく、p′ < 0 の所では 0 になる。
少し変えても、ReLU が 0 のまま通さないからである。

W と b を ΔW と Δb の向きに少しずつ動かすことを繰り返すと、10 個の数字をすべて読めるようになる。
雑音 (noise) を加えた絵で学習すると、雑音のある絵にも強くなる。

    python demos/pixel_digits.py --out out
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from command import options, save

import micrograd_jp as mg
from micrograd_jp.viz import figures

ROWS, COLUMNS = 4, 3
PATTERNS = (
    ".#. #.# #.# .#.",
    ".#. ##. .#. ###",
    "##. ..# .#. ###",
    "### .## ..# ###",
    "#.. #.# ### ..#",
    "### ##. ..# ##.",
    "#.. ### #.# ###",
    "### ..# .#. .#.",
    "### ### #.# ###",
    "### #.# ### ..#",
)
OUTPUTS = (0.8, 0.1, 1.5, 1.1, -0.9, 0.3, 0.8, 1.2, -1.0, 1.0)
LEARNING_RATE = 0.1
TRAINING_NOISE = 0.3
NOISES = tuple(k / 10 for k in range(11))


class Changes(NamedTuple):
    """出力 p と、変えたい量 Δ = −∂L/∂。"""

    p: np.ndarray
    dp: np.ndarray
    db: np.ndarray
    dW: np.ndarray
    dx: np.ndarray


class Data(NamedTuple):
    """絵 (枚数, 12) と、その数字 (枚数,)。"""

    images: np.ndarray
    labels: np.ndarray


class Weights(NamedTuple):
    """重み W (10, 12) とバイアス b (10,)。"""

    W: np.ndarray
    b: np.ndarray


def digits() -> np.ndarray:
    """10 個の数字の絵。形は (10, 12) で、光っている画素が 1。"""
    pixels = [[float(c == "#") for c in pattern if c != " "] for pattern in PATTERNS]
    return np.array(pixels)


def ideals(labels: Any) -> np.ndarray:
    """理想の出力 t。正解の数字だけ 5、ほかは −5。形は (枚数, 10)。"""
    return np.where(np.eye(10)[labels] == 1, 5.0, -5.0)


def example() -> tuple[Weights, np.ndarray]:
    """0 の絵 x に対して、ちょうど p = OUTPUTS になる W と b。"""
    x = digits()[0]
    W = np.random.default_rng(0).integers(-5, 6, (10, ROWS * COLUMNS)) / 10
    return Weights(W, np.round(np.array(OUTPUTS) - W @ x, 1)), x


def amounts_to_change(weights: Weights, x: np.ndarray, t: np.ndarray) -> Changes:
    """損失 L = ½ Σ (t − p)² を下げるために、p、b、W、x をどれだけ変えたいか。"""
    W, b, pixels = (mg.tensor(a, requires_grad=True) for a in (*weights, x))
    p = W @ pixels + b
    p.retain_grad()
    loss = 0.5 * ((mg.tensor(t) - p) ** 2).sum()
    loss.backward()
    changes = [-node.grad.numpy() for node in (p, b, W, pixels)]
    return Changes(p.detach().numpy(), *changes)


def through_relu(below: np.ndarray, change: np.ndarray) -> np.ndarray:
    """x = ReLU(p′) の x を `change` だけ変えたいとき、p′ を変えたい量。"""
    p = mg.tensor(below, requires_grad=True)
    mg.relu(p).backward(-change)
    return -p.grad.numpy()


def with_noise(copies: int, noise: float, seed: int) -> Data:
    """10 個の数字を `copies` 枚ずつ、画素に標準偏差 `noise` の正規乱数を加えて作る。"""
    labels = np.tile(np.arange(10), copies)
    images = digits()[labels]
    rng = np.random.default_rng(seed)
    return Data(images + noise * rng.standard_normal(images.shape), labels)


def initial(seed: int = 0) -> Weights:
    """小さな乱数の重みと、0 のバイアス。"""
    rng = np.random.default_rng(seed)
    return Weights(0.1 * rng.standard_normal((10, ROWS * COLUMNS)), np.zeros(10))


def learn(data: Data, steps: int) -> tuple[Weights, list[float]]:
    """全部の絵についての ΔW と Δb の平均の向きに、`steps` 回動かす（バッチ法）。

    Returns:
        学習した重みと、更新ごとの損失（1 枚あたり）。
    """
    W, b = (mg.tensor(a, requires_grad=True) for a in initial())
    x, t = mg.tensor(data.images), mg.tensor(ideals(data.labels))
    losses = []
    for _ in range(steps):
        p = x @ W.T + b
        loss = 0.5 * ((t - p) ** 2).sum() / len(x)
        W.grad = b.grad = None
        loss.backward()
        W.data -= LEARNING_RATE * W.grad.data
        b.data -= LEARNING_RATE * b.grad.data
        losses.append(loss.item())
    return Weights(W.detach().numpy(), b.detach().numpy()), losses


def accuracy(weights: Weights, data: Data) -> float:
    """最も大きな出力の数字を答えたときの正解率。"""
    p = data.images @ weights.W.T + weights.b
    return float((p.argmax(axis=1) == data.labels).mean())


def as_image(pixels: np.ndarray) -> np.ndarray:
    """12 個の画素を 4×3 に並べる。"""
    return pixels.reshape(ROWS, COLUMNS)


def draw_amounts() -> Any:
    """0 の絵、出力と理想、変えたい量 Δp・ΔW・Δx の図。"""
    weights, x = example()
    changes = amounts_to_change(weights, x, ideals(0))
    figure, (image, outputs, matrix, back) = figures.subplots(
        1, 4, size=(13, 3.6), width_ratios=(0.7, 1.4, 1.4, 0.7)
    )
    figures.show_images([image], [as_image(x)], vmin=0, vmax=1)
    image.set_title("入力 x（黒が 1、白が 0）")
    digit = np.arange(10)
    outputs.bar(digit, changes.p, color=figures.COLORS[0], label="出力 p")
    outputs.plot(digit, ideals(0), "_", color="black", markersize=14, label="理想 t")
    outputs.quiver(
        digit, changes.p, 0 * digit, changes.dp, color=figures.COLORS[1], angles="xy",
        scale_units="xy", scale=1, width=0.008, label="変えたい量 Δp",
    )  # fmt: skip
    outputs.set(xticks=digit, xlabel="数字", ylim=(-9, 6.5), title="Δp = t − p = −∂L/∂p")
    outputs.legend(fontsize=8, ncols=3, loc="lower center")
    figures.show_images([matrix], [changes.dW], signed=True, bar="", aspect="auto")
    matrix.set(
        xticks=range(12), yticks=digit, xlabel="画素", ylabel="数字",
        title="ΔW = Δp xᵀ",
    )  # fmt: skip
    figures.show_images([back], [as_image(changes.dx)], signed=True)
    back.set_title("Δx = Wᵀ Δp")
    shown = back.images[0]
    for k, change in enumerate(changes.dx):
        number = f"{change:.1f}".replace("-", "−")
        color = "white" if np.dot(shown.to_rgba(change)[:3], (0.3, 0.6, 0.1)) < 0.5 else "black"
        back.text(k % COLUMNS, k // COLUMNS, number, ha="center", va="center", color=color)
    return figure


def draw_learning(before: Weights, after: Weights, curves: dict[str, list[float]]) -> Any:
    """数字の絵、学習の前と後の重み、雑音の大きさと正解率の図。"""
    figure = figures.new_figure((13, 4.4))
    widths = [1] * 10 + [0.25, 0.4] + [1] * 5
    grid = figure.add_gridspec(4, 17, width_ratios=widths)
    rows = [[figure.add_subplot(grid[r, k]) for k in range(10)] for r in range(4)]
    pictures = {"絵": digits(), f"雑音 {TRAINING_NOISE}": with_noise(1, TRAINING_NOISE, 2).images}
    shades = {"vmin": 0, "vmax": 1}
    for axes, (name, images) in zip(rows, pictures.items(), strict=False):
        figures.show_images(axes, [as_image(x) for x in images], **shades)
        axes[0].set_ylabel(name)
    _bar(figure, grid[:2, 10], rows[0][0].images[0], "画素（黒が 1）")
    scale = float(np.abs(after.W).max())
    weights = {"はじめの W": before.W, "学習した W": after.W}
    for axes, (name, W) in zip(rows[2:], weights.items(), strict=True):
        images = [as_image(w) for w in W]
        figures.show_images(axes, images, signed=True, vmin=-scale, vmax=scale)
        axes[0].set_ylabel(name)
    _bar(figure, grid[2:, 10], rows[3][0].images[0], "重み")
    chart = figure.add_subplot(grid[:, 12:])
    figures.plot_curves(
        chart, curves, x=NOISES, marker="o", ylim=(0, 1.03),
        xlabel="評価する絵の雑音（標準偏差）", ylabel="正解率", title="雑音と正解率",
    )  # fmt: skip
    return figure


def _bar(figure: Any, place: Any, image: Any, name: str) -> None:
    axes = figure.add_subplot(place)
    figure.colorbar(image, cax=axes, label=name)
    axes.tick_params(labelsize=8)


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    weights, x = example()
    changes = amounts_to_change(weights, x, ideals(0))
    print("Δp =", "  ".join(f"{change:.1f}" for change in changes.dp))
    steps, copies = (300, 50) if given.quick else (1000, 300)
    noisy = with_noise(30, TRAINING_NOISE, seed=1)
    learned = {
        "雑音のない絵で学習": learn(with_noise(1, 0.0, seed=1), steps)[0],
        f"雑音 {TRAINING_NOISE} の絵で学習": learn(noisy, steps)[0],
    }
    curves = {
        name: [accuracy(found, with_noise(copies, noise, seed=2)) for noise in NOISES]
        for name, found in learned.items()
    }
    for name, reached in curves.items():
        some = [f"雑音 {NOISES[k]} で {reached[k]:.1%}" for k in (0, 3, 5)]
        print(f"{name}: {'、'.join(some)}")
    save(draw_amounts(), given.out / "pixel_digits_amounts.png")
    save(
        draw_learning(initial(), list(learned.values())[-1], curves),
        given.out / "pixel_digits.png",
    )


if __name__ == "__main__":
    main()
