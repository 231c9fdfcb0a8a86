"""畳み込みネットワークの中を見る: フィルタ、特徴マップ、Grad-CAM、受容野。

畳み込み 3 層の小さなネットワークに MNIST を 1 エポックだけ学習させ、中を 4 枚の図にする。

1. **フィルタ** (filters): 最初の層の 7 × 7 の重み。乱数から始めても、学習すると、ある向きの線や縁に
   反応する模様になる。隣り合う重みが似てくることは、相関の係数で確かめられる。
2. **特徴マップ** (feature maps): 途中の層の出力。1 層めはまだ数字の形をしているが、深くなるほど
   粗く、少ない場所だけが光る。2 層めの端の反応は、画像の外を 0 とみなす余白 (padding) による。
3. **Grad-CAM** (Selvaraju et al. 2017): 画像のどこが、あるクラスのロジットを大きくしたか。
   読み間違えた数字では、答えと正解のそれぞれの根拠を並べる。根拠と言えるかは、そこを消して
   確かめる: 文字の上の根拠の最も強い場所を隠すと、でたらめな場所を隠すより読めなくなり、最も弱い
   場所なら、あまり変わらない。
4. **受容野** (receptive field): 出力の 1 画素が見ている、入力の範囲。3 × 3 を 2 つ重ねれば 5 × 5、
   3 つで 7 × 7 と同じ範囲が見える。重みの数は、チャネルの数を C として

       2 · 9 C² = 18 C² < 25 C²        3 · 9 C² = 27 C² < 49 C²

   で、間に活性化関数も入る (VGG; Simonyan & Zisserman 2015 §2.3)。ただし範囲の中は一様ではなく、
   重ねたものでは中央ほど強い (Luo et al. 2016)。

    python demos/looking_inside.py --out out
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from command import options, save
from digit_data import Digits, accuracy, load, probabilities
from image_training import cosine

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader, TensorDataset
from micrograd_jp.nn.models.parts import he_initialized
from micrograd_jp.viz import (
    ReceptiveField,
    effective_receptive_field,
    feature_maps,
    figures,
    grad_cam,
    receptive_field,
    receptive_fields,
)

SEED = 0
BATCH = 100
LEARNING_RATE = 0.01
SMALL = 0.01
"""最初の層の重みの、はじめの標準偏差。小さいので、学習で加わった模様がはっきり見える。"""

LAYERS = {"features.2": "1 層め", "features.6": "2 層め", "features.10": "3 層め"}
"""見る層（活性化関数の出力）。"""
LAST = "features.10"

SHOWN = 16
"""1 つの層から並べる特徴マップの枚数。"""

HIDDEN_SIDE = 7
"""根拠を隠す正方形の一辺。"""

CHANNELS = 64
STACKS = {
    "5 × 5 を 1 つ": (5, 1),
    "3 × 3 を 2 つ": (3, 2),
    "7 × 7 を 1 つ": (7, 1),
    "3 × 3 を 3 つ": (3, 3),
}
"""比べる重ね方: (窓の大きさ, 層の数)。"""


def network(width: int = 16) -> nn.Sequential:
    """畳み込み 3 層と、画素の平均 (global average pooling) と、全結合層 1 つ。"""
    features: list[nn.Module] = []
    for before, channels, side in ((1, width, 7), (width, 2 * width, 3), (2 * width, 4 * width, 3)):
        features += [nn.MaxPool2d(2)] if features else []
        features.append(nn.Conv2d(before, channels, side, padding=side // 2, bias=False))
        features += [nn.BatchNorm2d(channels), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)]
    model = nn.Sequential({"features": nn.Sequential(*features), "head": nn.Sequential(*head)})
    he_initialized(model)
    nn.init.normal_(model["features"][0].weight, 0.0, SMALL)
    return model


class Trained(NamedTuple):
    """学習したネットワークと、その前後のフィルタ (チャネル, 7, 7)。"""

    model: nn.Sequential
    before: np.ndarray
    after: np.ndarray
    seconds: float


def learn(data: Digits, width: int = 16, batch: int = BATCH) -> Trained:
    """1 エポックだけ学習する。"""
    mg.manual_seed(SEED)
    model = network(width)
    before = filters(model)
    optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(data.training, batch, shuffle=True, seed=SEED)
    started = time.perf_counter()
    mg.fit(
        model, loader, mg.cross_entropy, optimizer, 1,
        scheduler=cosine(optimizer, len(loader)), schedule="update",
    )  # fmt: skip
    return Trained(model, before, filters(model), time.perf_counter() - started)


def filters(model: nn.Sequential) -> np.ndarray:
    """最初の層のフィルタの写し (チャネル, 7, 7)。"""
    return model["features"][0].weight.detach().numpy()[:, 0].copy()


def neighbour_correlation(filters: np.ndarray) -> float:
    """上下左右に隣り合う重みの相関係数。乱数なら 0、なめらかな模様なら 1 に近い。"""
    pairs = [(filters[:, 1:], filters[:, :-1]), (filters[:, :, 1:], filters[:, :, :-1])]
    one, other = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    return float(np.corrcoef(one, other)[0, 1])


class Hidden(NamedTuple):
    """文字の上の 1 箇所を正方形で隠したときの正解率。"""

    nothing: float
    weakest: float
    anywhere: float
    strongest: float


def hide(model: nn.Module, data: TensorDataset) -> Hidden:
    """正解のクラスの根拠 (Grad-CAM) の最も弱い場所、でたらめな場所、最も強い場所を隠す。"""
    x, t = data[:]
    images = x.numpy()
    ink = images[:, 0] > 0.5
    evidence = grad_cam(model, x, LAST, t).numpy()
    chances = np.random.default_rng(SEED).random(ink.shape)
    places = [
        np.where(ink, score, -np.inf).reshape(len(t), -1).argmax(1)
        for score in (-evidence, chances, evidence)
    ]
    hidden = [TensorDataset(without(images, place), t) for place in places]
    return Hidden(*(accuracy(model, part) for part in (data, *hidden)))


def without(images: np.ndarray, places: np.ndarray) -> np.ndarray:
    """番号 `places` の画素を中心とする正方形を 0 にした画像 (N, 1, H, W)。"""
    h, w = images.shape[2:]
    row, column = (centre[:, None, None] for centre in divmod(places, w))
    far = np.maximum(abs(np.arange(h)[:, None] - row), abs(np.arange(w) - column))
    return np.where(far[:, None] > HIDDEN_SIDE // 2, images, 0).astype(images.dtype)


class Stack(NamedTuple):
    """活性化関数をはさんで重ねた畳み込み。"""

    name: str
    model: nn.Sequential
    field: ReceptiveField
    weights: int
    ratio: float
    """同じ受容野の、1 つの畳み込みの重みの数に対する比。"""


def stacks(channels: int = CHANNELS) -> list[Stack]:
    """`STACKS` の重ね方。"""
    alone: dict[int, int] = {}
    found = []
    for name, (side, times) in STACKS.items():
        layers: list[nn.Module] = []
        for _ in range(times):
            layers += [nn.ReLU()] if layers else []
            layers.append(nn.Conv2d(channels, channels, side, padding=side // 2, bias=False))
        model = nn.Sequential(*layers)
        he_initialized(model)
        field, weights = receptive_field(model), sum(p.size for p in model.parameters())
        ratio = weights / alone.setdefault(field.size[0], weights)
        found.append(Stack(name, model, field, weights, ratio))
    return found


def stack_table() -> str:
    """重ね方ごとの受容野と重みの数の表。"""
    lines = [f"受容野    重みの数    比  （チャネル {CHANNELS}）"]
    for one in stacks():
        high, wide = one.field.size
        lines.append(f"{high:3} × {wide} {one.weights:11,} {one.ratio:5.2f}  {one.name}")
    return "\n".join(lines)


# ---- 図 -------------------------------------------------------------------------------------


def draw_filters(run: Trained) -> Any:
    """学習の前と後の、最初の層のフィルタ。"""
    columns = 8
    rows = -(-len(run.before) // columns)
    figure = figures.new_figure((12.5, 0.5 + 0.85 * rows))
    for part, (name, weights) in zip(
        figure.subfigures(1, 2), {"学習前": run.before, "学習後": run.after}.items()
    ):
        axes = part.subplots(rows, columns, squeeze=False)
        figures.show_images(axes.flat, list(weights), signed=True)
        part.suptitle(f"{name}: 隣り合う重みの相関 {neighbour_correlation(weights):z.2f}")
        bar = part.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.9, aspect=12)
        bar.ax.tick_params(labelsize=8)
    return figure


def draw_feature_maps(model: nn.Module, x: mg.Tensor) -> Any:
    """画像 (2, 1, H, W) それぞれの、層ごとの特徴マップ。並べるチャネルは 2 枚に共通。"""
    found = {name: maps.numpy() for name, maps in feature_maps(model, x, LAYERS).items()}
    figure, axes = figures.subplots(
        len(x), 1 + len(found), size=(12.5, 3.3 * len(x)), squeeze=False,
        gridspec_kw={"width_ratios": [0.6, 1, 1, 1]},
    )  # fmt: skip
    figures.show_images(axes[:, 0], list(x.numpy()[:, 0]), ["入力"] * len(x))
    for column, (name, maps) in enumerate(found.items(), 1):
        active = np.sort(maps.max(axis=(2, 3)).min(axis=0).argsort()[::-1][:SHOWN])
        chosen = maps[:, active]
        channels, h, w = maps.shape[1:]
        for axis, rows in zip(axes[:, column], chosen):
            figures.show_images([axis], [tiled(rows)], vmin=0, vmax=chosen.max())
            axis.set_title(f"{LAYERS[name]}: {h} × {w} が {channels} 枚", fontsize=10)
            axis.set_facecolor("lightsteelblue")  # between the maps
            axis.spines[:].set_visible(False)
        bar = figure.colorbar(axes[-1, column].images[0], ax=axes[:, column], shrink=0.6, pad=0.02)
        bar.ax.tick_params(labelsize=8)
    return figure


def tiled(maps: np.ndarray) -> np.ndarray:
    """画像 (枚数, h, w) を、間をあけて正方形に並べた 1 枚の画像。"""
    side = int(np.ceil(len(maps) ** 0.5))
    gap = max(1, maps.shape[1] // 10)
    every = np.concatenate([maps, np.full((-len(maps) % side, *maps.shape[1:]), np.nan)])
    padded = np.pad(every, ((0, 0), (0, gap), (0, gap)), constant_values=np.nan)
    rows = [np.concatenate(list(padded[i : i + side]), axis=1) for i in range(0, len(maps), side)]
    return np.concatenate(rows)[:-gap, :-gap]


def draw_grad_cam(model: nn.Module, data: TensorDataset, answers: np.ndarray) -> Any:
    """正しく読んだ数字 0–9 の根拠と、自信をもって読み間違えた数字の、答えと正解の根拠。

    Args:
        model: 学習したネットワーク。
        data: 画像とラベル。
        answers: その確率 (N, 10)。
    """
    x, t = (part.numpy() for part in data[:])
    predicted = answers.argmax(1)
    right = [next(iter(np.flatnonzero((t == d) & (predicted == d))), None) for d in range(10)]
    correct = np.array([i for i in right if i is not None], dtype=int)
    wrong = np.flatnonzero(predicted != t)
    misread = wrong[answers[wrong].max(1).argsort()[::-1]][:10]

    figure, axes = figures.subplots(3, 10, size=(13, 5))
    rows = [(correct, t, ""), (misread, predicted, "答え "), (misread, t, "正解 ")]
    cams = [
        grad_cam(model, x[i], LAST, classes[i], normalize=False).numpy() for i, classes, _ in rows
    ]
    # The two classes of a misread digit are drawn in one scale: which has more evidence is seen.
    largest = [cams[0].max((1, 2)), *[np.maximum(*(cam.max((1, 2)) for cam in cams[1:]))] * 2]
    for line, (chosen, classes, what), cam, scale in zip(axes, rows, cams, largest):
        for axis in line[len(chosen) :]:
            axis.set_axis_off()
        for axis, i, heat, most in zip(line, chosen, cam, scale):
            figures.show_images([axis], [heat], cmap="Oranges", vmin=0, vmax=most or 1)
            axis.contour(x[i, 0], levels=[0.5], colors="black", linewidths=0.9)
            axis.set_title(f"{what}{classes[i]}（{answers[i, classes[i]]:.1%}）", fontsize=9)
    for line, name in zip(axes, ("正しく読んだもの", "読み間違えた答え", "同じ画像の正解")):
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(
        "Grad-CAM: 濃いほど、そのクラスのロジットを大きくした場所"
        "（線は文字の輪郭。2・3 行めの同じ濃さは同じ大きさ）"
    )
    return figure


def draw_receptive_fields(model: nn.Sequential, images: np.ndarray) -> Any:
    """重ねた小さな窓と大きな窓の比較と、学習したネットワークの受容野。

    Args:
        model: 学習したネットワーク。
        images: 画像 (N, 1, H, W)。影響の大きさは、これらの平均。
    """
    figure = figures.new_figure((13, 6.6))
    grid = figure.add_gridspec(2, 4)  # the two images below stand under images
    top = [figure.add_subplot(grid[0, k]) for k in range(4)]
    bars, own, effective = (
        figure.add_subplot(place) for place in (grid[1, :2], grid[1, 2], grid[1, 3])
    )
    every, side = stacks(), 11
    x = np.random.default_rng(SEED).normal(size=(16, CHANNELS, side, side)).astype(np.float32)
    for axis, one in zip(top, every):
        draw_influence(axis, effective_receptive_field(one.model, x))
        outline(axis, one.field, side // 2, figures.COLORS[1])
        axis.set_title(
            f"{one.name}（受容野 {one.field.size[0]} × {one.field.size[1]}）", fontsize=11
        )
    weights = [one.weights for one in every]
    drawn = bars.barh([one.name for one in every], weights, color=figures.COLORS[:2] * 2)
    bars.bar_label(drawn, [f"{one.weights:,}（{one.ratio:.2f} 倍）" for one in every], padding=3)
    bars.invert_yaxis()
    bars.margins(x=0.35)
    bars.set(title=f"重みの数（チャネル {CHANNELS}）", xticks=[])
    bars.spines[["top", "right", "bottom"]].set_visible(False)

    figures.show_images([own], [images[0, 0]])
    fields = receptive_fields(model["features"])
    maps = feature_maps(model, images[:1], LAYERS)
    for color, (name, title) in zip(figures.COLORS, LAYERS.items()):
        field = fields[name.removeprefix("features.")]
        centre = maps[name].shape[-1] // 2
        outline(own, field, centre, color, f"{title}: {field.size[0]} 画素")
    own.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False)
    own.set_title("学習したネットワークの受容野", fontsize=11)
    draw_influence(effective, effective_receptive_field(model, images, LAST))
    outline(effective, field, centre, color)
    effective.set_title(f"{title}の中央への影響（{len(images)} 枚の平均）", fontsize=11)
    for axis in (top[-1], effective):
        place = axis.inset_axes((1.05, 0.0, 0.05, 1.0))
        figure.colorbar(axis.images[0], cax=place, label="影響の大きさ（最大を 1）")
    return figure


def draw_influence(axes: Any, influence: mg.Tensor) -> None:
    """影響の大きさを、最大を 1 として描く。"""
    shown = influence.numpy() / influence.max().item()
    figures.show_images([axes], [shown], cmap="viridis", vmin=0, vmax=1)


def outline(
    axes: Any, field: ReceptiveField, centre: int, color: str, label: str | None = None
) -> None:
    """出力の画素 (centre, centre) の受容野を四角で囲む。"""
    (top, bottom), (left, right) = np.subtract(field.window(centre, centre), 0.5)
    axes.plot(
        [left, right, right, left, left], [top, top, bottom, bottom, top],
        color=color, linestyle="-", label=label,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    given = options(__doc__, arguments)
    data = load(given.quick, SEED).as_images()
    print(f"{data.name}: 訓練 {len(data.training):,}・評価 {len(data.test):,} 枚、種 (seed) {SEED}")
    run = learn(data, 8, 20) if given.quick else learn(data)
    model = run.model
    answers = probabilities(model, data.test)
    t = data.test[:][1].numpy()
    print(f"{run.seconds:.0f} 秒の学習で、評価データの正解率 {(answers.argmax(1) == t).mean():.2%}")
    before, after = map(neighbour_correlation, (run.before, run.after))
    print(f"フィルタの隣り合う重みの相関: 学習前 {before:z.2f}、学習後 {after:z.2f}")
    hidden = hide(model, TensorDataset(*data.development[:1000]))
    print(
        f"文字の上の {HIDDEN_SIDE} × {HIDDEN_SIDE} を隠したときの正解率（開発データ）:\n"
        f"  隠さない {hidden.nothing:.1%}、根拠の最も弱い場所 {hidden.weakest:.1%}、"
        f"でたらめな場所 {hidden.anywhere:.1%}、根拠の最も強い場所 {hidden.strongest:.1%}"
    )
    print(stack_table())
    x = data.test[:200][0]
    pictures = {
        "filters": draw_filters(run),
        "feature_maps": draw_feature_maps(model, x[:2]),
        "grad_cam": draw_grad_cam(model, data.test, answers),
        "receptive_field": draw_receptive_fields(model, x.numpy()),
    }
    for name, picture in pictures.items():
        save(picture, given.out / f"looking_inside_{name}.png")


if __name__ == "__main__":
    main()
