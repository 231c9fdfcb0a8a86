"""第 7 章 畳み込み: フィルタ、出力の大きさ、重みの数、プーリング、受容野、アンサンブル。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare
from micrograd_jp.functions import softmax as softmax_of
from micrograd_jp.nn.functional import conv2d, max_pool2d
from micrograd_jp.tensor.array import as_tensor

Array = np.ndarray[Any, Any]


def _picture(rng: np.random.Generator) -> tuple[Array, Array]:
    k = int(rng.integers(2, 4))
    height, width = (int(n) for n in rng.integers(4, 7, size=2))
    return rng.normal(size=(height, width)), rng.normal(size=(k, k))


def _convolved(x: Any, w: Any, padding: int = 0) -> Any:
    """Of one picture and one filter."""
    x, w = as_tensor(x), as_tensor(w)
    return conv2d(x[None, None], w[None, None], padding=padding)[0, 0]


@declare(
    "7-1",
    "畳み込み",
    [
        "フィルタを左上から置いていきます。置ける場所は、縦に H − k + 1、横に W − k + 1 か所です。",
        "場所 (i, j) の出力は、x[i : i + k, j : j + k] と w を要素ごとにかけて足したものです。",
        "2 重の for 文で out[i, j] = (x[i : i + k, j : j + k] * w).sum() とします。",
    ],
    inputs=_picture,
    mistakes={
        "フィルタは裏返さずに重ねます（深層学習の畳み込みは、数学では相互相関といいます）。": (
            lambda x, w: _convolved(x, w[::-1, ::-1].copy()).numpy()
        ),
        "端に 0 を補ってはいません。フィルタが画像からはみ出さない場所だけを計算します。": (
            lambda x, w: _convolved(x, w, padding=len(w) - 1).numpy()
        ),
        "和ではなく平均になっています。": lambda x, w: _convolved(x, w).numpy() / w.size,
    },
)
def convolution(x: Array, w: Array) -> Any:
    """画像 x（H×W）に、フィルタ w（k×k）を 1 画素ずつずらしながら重ね、要素ごとの積の和を並べた配列
    （(H − k + 1)×(W − k + 1)）を返す関数 `convolution(x, w)` を書いてください。
    """
    k = len(w)
    out = np.empty((x.shape[0] - k + 1, x.shape[1] - k + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = (x[i : i + k, j : j + k] * w).sum()
    return out


def _layer(rng: np.random.Generator) -> tuple[int, int, int, int]:
    k = int(rng.integers(1, 8))
    return int(rng.integers(k, 64)), k, int(rng.integers(1, 4)), int(rng.integers(0, 4))


@declare(
    "7-2",
    "出力の大きさ",
    [
        "両端に padding ずつ補うので、長さは n + 2·padding になります。",
        "フィルタの左端を置ける場所は、stride ごとに、n + 2·padding − k 以下です。",
        "(n + 2 * padding - k) // stride + 1 です。",
    ],
    inputs=_layer,
    mistakes={
        "はじめの 1 か所を数え忘れています（+ 1）。": lambda n, k, s, p: (n + 2 * p - k) // s,
        "パディングは両端に付くので、2 倍です。": lambda n, k, s, p: (n + p - k) // s + 1,
        "ストライドで割ってから引くのではなく、引いてから割ります。": (
            lambda n, k, s, p: (n + 2 * p) // s - k + 1
        ),
    },
)
def output_size(n: int, k: int, stride: int, padding: int) -> int:
    """1 辺 n 画素の画像の両端に padding 画素ずつ 0 を補い、k×k のフィルタを stride 画素ずつずらして
    重ねます。出力の 1 辺の画素数を返す関数 `output_size(n, k, stride, padding)` を書いてください。
    """
    return (n + 2 * padding - k) // stride + 1


@declare(
    "7-3",
    "重みの数を比べる",
    [
        "全結合の出力は 16 × 28 × 28 個で、その 1 つ 1 つに 28 × 28 個の重みがあります。",
        "畳み込みのフィルタは、出力のチャネルごとに 1 つで、画像のどこでも同じものを使います。",
        "全結合は (28·28)·(16·28·28)、畳み込みは 16·3·3 です。",
    ],
    parts=("全結合", "畳み込み"),
    mistakes={
        "バイアスは数えません。": (784 * 16 * 784 + 16 * 784, 16 * 9 + 16),
        "フィルタは、場所ごとに別のものではありません。": (784 * 16 * 784, 16 * 9 * 784),
        "全結合の出力は 16 個ではなく、16×28×28 個です。": (784 * 16, 16 * 9),
    },
    rtol=1e-9,
    why="約 7 万分の 1 です。どの場所にも同じフィルタを使います（重みの共有, weight sharing）。",
)
def weights() -> tuple[int, int]:
    """28×28 画素の画像から、16 チャネルの 28×28 の出力を作ります。畳み込みのフィルタは 3×3 です。

    重みの数を (全結合, 畳み込み) の順に答えてください。バイアスは数えません。
    """
    return (28 * 28) * (16 * 28 * 28), 16 * 3 * 3


def _upstream(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    x, w = _picture(rng)
    k = len(w)
    return w, x, rng.normal(size=(x.shape[0] - k + 1, x.shape[1] - k + 1))


@declare(
    "7-4",
    "フィルタの勾配",
    [
        "重み w[a, b] は、すべての場所で使われます。第 4 章の「分かれたら足す」です。",
        "出力 y[i, j] の中で、w[a, b] には x[i + a, j + b] がかかっています。",
        "∂L/∂w[a, b] は、すべての (i, j) についての g[i, j]·x[i + a, j + b] の和です。",
    ],
    inputs=_upstream,
    derivative_of=lambda w, x, g: (_convolved(x, w) * g).sum(),
    mistakes={
        "場所の数で割っています。平均ではなく和です。": (
            lambda w, x, g: _convolved(x, g).numpy() / g.size
        ),
        "場所の番号に、フィルタの中の番号を足します（i + a, j + b）。": (
            lambda w, x, g: np.full(w.shape, (g * x[: g.shape[0], : g.shape[1]]).sum())
        ),
        "上流の勾配 g をかけ忘れています。": (
            lambda w, x, g: _convolved(x, np.ones_like(g)).numpy()
        ),
    },
    why="x と g の畳み込みです。畳み込みの逆伝播は、また畳み込みになります。",
)
def filter_gradient(w: Array, x: Array, g: Array) -> Any:
    """y = `convolution(x, w)`（演習 7-1）とします。上流の勾配 g（y と同じ形）から、∂L/∂w（k×k）を
    返す関数 `filter_gradient(w, x, g)` を書いてください。
    """
    gradient = np.empty_like(w)
    for a in range(w.shape[0]):
        for b in range(w.shape[1]):
            gradient[a, b] = (g * x[a : a + g.shape[0], b : b + g.shape[1]]).sum()
    return gradient


def _even(rng: np.random.Generator) -> tuple[Array]:
    height, width = (2 * int(n) for n in rng.integers(1, 4, size=2))
    return (rng.normal(size=(height, width)),)


def _pooled(x: Array) -> Any:
    return max_pool2d(as_tensor(x)[None, None], 2)[0, 0].numpy()


@declare(
    "7-5",
    "最大値プーリング",
    [
        "縦も横も、2 画素ずつの組に分けます。",
        "x.reshape(H // 2, 2, W // 2, 2) とすると、軸 1 と軸 3 が組の中の番号になります。",
        "x.reshape(H // 2, 2, W // 2, 2).max(axis=(1, 3)) です。",
    ],
    inputs=_even,
    mistakes={
        "平均値プーリング (average pooling) になっています。最大値を取ってください。": (
            lambda x: (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
        ),
        "組の左上の画素を取っています。4 つの中の最大値を取ってください。": lambda x: x[::2, ::2],
        "絶対値の最大ではありません。負の数どうしなら、0 に近い方が大きい数です。": (
            lambda x: _pooled(abs(x))
        ),
    },
)
def max_pool(x: Array) -> Any:
    """画像 x（縦横とも偶数）を 2×2 の組に分け、それぞれの最大値を並べた、縦横が半分の配列を返す関数
    `max_pool(x)` を書いてください。
    """
    height, width = x.shape
    return x.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3))


@declare(
    "7-6",
    "3×3 を重ねると",
    [
        "1 層では 3 画素が見えます。2 層めの 1 画素は、1 層めの 3 画素を見ます。",
        "1 層重ねるごとに、両端に 1 画素ずつ、見える範囲が広がります。",
        "見える範囲は 2n + 1 画素です。",
    ],
    parts=("受容野", "重みの比"),
    mistakes={
        "3 倍ずつではありません。隣の画素どうしの見る範囲は重なっています。": (27, 27 / 27**2),
        "比は (3×3 を 3 つ) ÷ (大きなフィルタ 1 つ) です。": (7, 49 / 27),
        "3×3 のフィルタは 3 つあります。": (7, 9 / 49),
    },
    why="同じ範囲が見えて、重みは半分ほど、間に活性化関数も 2 回多く入ります。VGG の考え方です。",
)
def stacked() -> tuple[int, float]:
    """3×3 の畳み込み（ストライド 1）を 3 つ重ねます。出力の 1 画素に見える入力の範囲（受容野）は、
    1 辺何画素ですか。また、同じ範囲が見える 1 つの大きなフィルタに比べて、重みの数は何倍ですか。
    チャネルの数は、どの層も同じとします。(受容野, 重みの比) の順に答えてください。
    """
    return 7, 3 * 3 * 3 / (7 * 7)


def _votes(rng: np.random.Generator) -> tuple[Array]:
    return (rng.normal(size=(3, 5, 4)) * np.array([1, 5, 20])[:, None, None],)


def _probabilities(z: Array) -> Any:
    return softmax_of(z, -1).numpy()


@declare(
    "7-7",
    "アンサンブル",
    [
        "ロジットの大きさは、ネットワークごとに違います。平均するのは確率です。",
        "最後の軸でソフトマックスを取り、はじめの軸で平均します。",
        "平均した確率 (N, クラス) の、最後の軸の argmax です。",
    ],
    inputs=_votes,
    mistakes={
        "ロジットのまま平均しています。自信の強い 1 つに引きずられます。": (
            lambda z: z.mean(axis=0).argmax(axis=-1)
        ),
        "平均した確率を返しています。いちばん確率の高い番号を返してください。": (
            lambda z: _probabilities(z).mean(axis=0)
        ),
        "はじめのネットワークだけを見ています。": lambda z: z[0].argmax(axis=-1),
    },
)
def ensemble(logits: Array) -> Any:
    """いくつかのネットワークのロジット（形は (ネットワーク, N, クラス)）から、確率を平均して、
    いちばん高いクラスの番号（N 個）を返す関数 `ensemble(logits)` を書いてください。
    """
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = e / e.sum(axis=-1, keepdims=True)
    return probabilities.mean(axis=0).argmax(axis=-1)
