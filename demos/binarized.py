"""2 値化ネットワーク (binarized neural network): 重みも活性も ±1 だけにして、手書き数字を読む。

行列の積は、±1 だけなら、ビットが同じ (XNOR) ところを数える (popcount) ことになる。重みは 1 つ
1 ビット、float32 の 1/32 で済む。

1. **学習**: 順伝播では符号 sign(w)、sign(a) を使い、逆伝播では符号がなかったことにして、|x| ≤ 1 の
   ところだけ勾配をそのまま通す （ストレートスルー推定, straight-through
   estimator）。更新されるのは、隠れている小数の重み
   (latent weights) で、更新のたびに [−1, 1] に収める。
2. **決定論的か確率的か**: 活性を x ≥ 0 で +1 にするか (deterministic)、確率
   σ(x) = max(0, min(1, (x + 1)/2)) で +1 にするか (stochastic)。推論のときは、どちらも x ≥ 0。
   畳み込みも同じで、画像を 1 つおきに見て縮める 4 層なら、全結合より高い正解率になる。
3. **推論**: `nn.PackedNetwork` は重みをビットに詰め、バッチ正規化と符号を整数のしきい値にまとめる。
   出力は、もとのネットワークを NumPy で計算したものと 1 ビットも違わない（機械語は積と和を 1 度に
   丸めるので、0 の隣で符号が違うことがある）。

学習のしかたは Courbariaux, Hubara, Soudry, El-Yaniv & Bengio (2016) "Binarized Neural Networks" の
もの。符号が変わるには重みが大きく動かなければならないので、学習率は大きく始め、余弦の形で 0 まで
下げる。終わりに符号の揺れが止まる。

    python demos/binarized.py --out out
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command import options, save
from digit_data import Digits, load, log_scale
from image_training import Recipe, Trained, cosine, folder_for, table, train

import micrograd_jp as mg
from micrograd_jp import native, nn, optim
from micrograd_jp.data import TensorDataset
from micrograd_jp.data import transforms as T
from micrograd_jp.viz import figures

SEED = 0
CLASSES = 10
SHIFT = T.RandomTranslate(1, whole=True, fill=-1.0)
"""±1 画素の平行移動。値は ±1 の間のままで、補間はない。"""


def rows(width: int = 1024, stochastic: bool = False) -> nn.Module:
    """784-width-width-10 の 2 値の MLP。"""
    layers, n = [nn.Flatten()], 784
    for _ in range(2):
        layers += [nn.BinaryLinear(n, width), nn.BatchNorm1d(width), nn.Binarize(stochastic)]
        n = width
    return nn.Sequential(*layers, nn.BinaryLinear(n, CLASSES), nn.BatchNorm1d(CLASSES))


def images(width: int = 32) -> nn.Module:
    """2 値の畳み込み 4 層。画像は、3 層が 1 つおきに見て 28×28 から 4×4 まで縮む。"""
    layers, n = [], 1
    sizes = ((width, 5, 2), (2 * width, 3, 2), (2 * width, 3, 1), (4 * width, 3, 2))
    for channels, size, stride in sizes:
        convolution = nn.BinaryConv2d(n, channels, size, stride, size // 2)
        layers += [convolution, nn.BatchNorm2d(channels), nn.Binarize()]
        n = channels
    last = [nn.Flatten(), nn.BinaryLinear(16 * n, CLASSES), nn.BatchNorm1d(CLASSES)]
    return nn.Sequential(*layers, *last)


def floats(width: int = 1024) -> nn.Module:
    """同じ形の、小数のネットワーク。"""
    layers, n = [nn.Flatten()], 784
    for _ in range(2):
        layers += [nn.Linear(n, width), nn.BatchNorm1d(width), nn.ReLU()]
        n = width
    return nn.Sequential(*layers, nn.Linear(n, CLASSES))


DETERMINISTIC = Recipe(
    "binarized_deterministic",
    rows,
    partial(optim.Adam, lr=1e-2),
    epochs=25,
    batch_size=200,
    schedule=cosine,
    augmentation=SHIFT,
    seed=SEED,
    after_step=nn.utils.clip_weights_,
    jit=True,
)
FIRST, FLOATS = "決定論的 (deterministic)", "小数 (float32)"
IMAGES = "畳み込み (convolutional)"
RECIPES = {
    FIRST: DETERMINISTIC,
    "確率的 (stochastic)": DETERMINISTIC._replace(
        name="binarized_stochastic", model=partial(rows, stochastic=True)
    ),
    FLOATS: DETERMINISTIC._replace(
        name="binarized_floats", model=floats, optimizer=partial(optim.Adam, lr=1e-3),
        epochs=5, after_step=None,
    ),
    IMAGES: DETERMINISTIC._replace(
        name="binarized_convolutional", model=images, epochs=40, batch_size=100, jit=False
    ),
}  # fmt: skip
SMALL: dict[str, Callable[[], nn.Module]] = {
    "binarized_deterministic": partial(rows, 64),
    "binarized_stochastic": partial(rows, 64, True),
    "binarized_floats": partial(floats, 64),
    "binarized_convolutional": partial(images, 8),
}


class Packed(NamedTuple):
    """詰めたネットワークと、もとのネットワークを並べたもの。

    Attributes:
        name: 設定の名前。
        bytes: もとの重みと、詰めたもののバイト数。
        milliseconds: 枚数から、(同じ形の小数のネットワーク, 詰めたもの) の推論のミリ秒へ。
        equal: 評価データのすべてで、出力が 1 ビットも違わなかったか。
    """

    name: str
    bytes: tuple[int, int]
    milliseconds: dict[int, tuple[float, ...]]
    equal: bool


def signed(data: Digits) -> Digits:
    """画素の値を 0–1 から −1–1 に。"""
    parts = (part[:] for part in (data.training, data.development, data.test))
    return Digits(data.name, *(TensorDataset(x * 2 - 1, t) for x, t in parts))


def pack(name: str, run: Trained, usual: nn.Module, data: Digits) -> Packed:
    """詰めて、評価データで確かめ、小数のネットワーク `usual` と時間を比べる。"""
    model, packed = run.model.to("cpu").eval(), nn.PackedNetwork(run.model)
    x = data.test[:][0]
    with mg.no_grad():
        with native.disabled():  # machine code rounds a product and a sum together
            equal = all(
                np.array_equal(model(part).numpy(), packed(part).numpy()) for part in x.split(500)
            )
        milliseconds = {n: fastest(partial(usual, x[:n]), partial(packed, x[:n])) for n in (1, 128)}
    sizes = sum(p.numel() * p.dtype.itemsize for p in run.model.parameters()), packed.nbytes
    return Packed(name, sizes, milliseconds, equal)


def fastest(*works: Callable[[], Any], rounds: int = 50) -> tuple[float, ...]:
    """それぞれの、いちばん速かったときのミリ秒。ほかの仕事の影響が偏らないように、交互に動かす。"""
    times = [[_seconds(work) for work in works] for _ in range(rounds)]
    return tuple(1e3 * min(column) for column in zip(*times, strict=True))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# ---- 図 -------------------------------------------------------------------------------------


def draw(runs: dict[str, Trained], packed: Packed) -> Any:
    """誤り率、隠れている重みの分布、詰めたものの大きさと時間、1 層目の重み。"""
    figure, ((curves, weights), (bars, filters)) = figures.subplots(2, 2, size=(11, 7.6))
    for (name, run), color, style in zip(
        runs.items(), figures.COLORS, figures.LINE_STYLES, strict=False
    ):
        errors = [100 * (1 - a) for a in run.history.column("metric")]
        curves.plot(run.history.column("epoch"), errors, style, color=color, label=name)
    log_scale(curves, (0.5, 1, 2, 5, 10, 20, 50, 100))
    curves.xaxis.get_major_locator().set_params(integer=True)
    curves.set(xlabel="エポック", ylabel="誤り率 [%]", title="開発データの誤り率")
    curves.grid(alpha=0.3)
    curves.legend(fontsize=8)

    learned = [m for m in runs[FIRST].model.modules() if isinstance(m, nn.BinaryLinear)]
    for layer, color, style in zip(learned, figures.COLORS, figures.LINE_STYLES, strict=False):
        weights.hist(
            layer.weight.detach().numpy().ravel(), bins=41, range=(-1, 1), density=True,
            histtype="step", color=color, linestyle=style,
            label=f"{layer.in_features} → {layer.out_features}",
        )  # fmt: skip
    weights.axhline(0.5, color="gray", linewidth=0.8, label="初期値（一様乱数）")
    log_scale(weights, (0.1, 0.2, 0.5, 1, 2, 5, 10))
    weights.set(
        xlabel="隠れている小数の重み",
        ylabel="確率密度",
        title="学習した重みは ±1 と、符号の変わる 0 に集まる",
    )
    weights.legend(fontsize=8)

    rows = {"大きさ": (*(f"{n / 1000:,.0f} kB" for n in packed.bytes), *packed.bytes)}
    for n, times in packed.milliseconds.items():
        rows[f"推論の時間\n({n} 枚)"] = (*(f"{t:.3g} ms" for t in times), *times)
    places = np.arange(len(rows))
    for i, name in enumerate(("float32", "ビット (packed)")):
        shares = [row[2 + i] / row[2] for row in rows.values()]
        drawn = bars.barh(places + 0.4 * i - 0.2, shares, 0.38, color=figures.COLORS[i], label=name)
        bars.bar_label(drawn, [row[i] for row in rows.values()], padding=3, fontsize=8)
    bars.set_yticks(places, labels=list(rows))
    bars.invert_yaxis()
    bars.margins(x=0.2)
    bars.set(
        xlabel="float32 を 1 として",
        title="詰めたネットワーク" + ("（答えはどれも同じ）" if packed.equal else ""),
    )
    bars.legend(fontsize=8, loc="lower right")

    signs = learned[0].signs().detach().numpy()[:32].reshape(4, 8, 28, 28)
    framed = np.pad(signs, [(0, 0), (0, 0), (2, 2), (2, 2)])
    filters.imshow(
        framed.transpose(0, 2, 1, 3).reshape(4 * 32, 8 * 32), cmap="gray_r", vmin=-1, vmax=1
    )
    filters.set_axis_off()
    filters.set_title("1 層目の重みの符号: 黒が +1、白が −1")
    return figure


def learn(data: Digits, folder: Path, quick: bool) -> dict[str, Trained]:
    """それぞれのネットワークを学習する。"""
    runs = {}
    for name, recipe in RECIPES.items():
        if quick:
            recipe = recipe._replace(model=SMALL[recipe.name], epochs=2, jit=False)
        runs[name] = train(recipe, data, folder)
    return runs


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    data = load(given.quick, SEED).as_images()
    data = signed(data.first(1000, 200, 200) if given.quick else data)
    with folder_for(given.out, given.quick) as folder:
        runs = learn(data, folder, given.quick)
    print(table([*runs.values()]))
    usual = runs[FLOATS].model.to("cpu").eval()
    packed = [
        pack(name, runs[name], usual, data) for name in RECIPES if name not in (FLOATS, IMAGES)
    ]
    for one in packed:
        print(f"{one.name}: 出力は" + ("1 ビットも違わない" if one.equal else "違う"))
        print(f"    {one.bytes[0]:,} → {one.bytes[1]:,} バイト"
              f"（1/{one.bytes[0] / one.bytes[1]:.1f}）")  # fmt: skip
        for n, (before, after) in one.milliseconds.items():
            print(f"    {n} 枚: {before:.3g} → {after:.3g} ms（{before / after:.1f} 倍の速さ）")
    save(draw(runs, packed[0]), given.out / "binarized.png")


if __name__ == "__main__":
    main()
