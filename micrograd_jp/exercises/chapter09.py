"""第 9 章 GPT を 1 つ 1 つの数で: 次の文字、アテンションの重み、値の平均、RMSNorm、損失、温度。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare
from micrograd_jp.functions import softmax as softmax_of
from micrograd_jp.nn.functional.attention import scaled_dot_product_attention
from micrograd_jp.nn.functional.norms import layer_norm
from micrograd_jp.nn.functional.norms import rms_norm as rms_norm_of

Array = np.ndarray[Any, Any]


@declare(
    "9-1",
    "今の文字と、次の文字",
    [
        "「あおば」なら、今の文字は ・ あ お ば、次の文字は あ お ば ・ です。",
        "今の文字の列は、はじめに 0 を足したもの。次の文字の列は、終わりに 0 を足したものです。",
        "[0, *numbers] と [*numbers, 0] です。",
    ],
    inputs=lambda rng: (rng.integers(1, 45, int(rng.integers(3, 8))).tolist(),),
    parts=("今の文字", "次の文字"),
    mistakes={
        "2 つが入れ替わっています。": lambda x: (np.append(x, 0), np.append(0, x)),
        "はじめの境目 0 と終わりの境目 0 がありません。はじめの文字を選ぶことと、終わりを決めること"
        "も学習します。": lambda x: (x[:-1], x[1:]),
        "はじめの境目 0 がありません。1 文字目は、境目の「次の文字」です。": (
            lambda x: (x, np.append(x[1:], 0))
        ),
        "終わりの境目 0 がありません。町名の終わりも、当てる文字の 1 つです。": (
            lambda x: (np.append(0, x[:-1]), x)
        ),
    },
    why="3 文字の町名からは、「今 → 次」の問題が 4 つできます。",
)
def pairs(numbers: list[int]) -> Any:
    """町名の文字の番号のリスト numbers から、今の文字の番号のリストと、次の文字の番号のリストを、
    この順に返す関数 `pairs(numbers)` を書いてください。町名の前と後ろには、境目「・」（番号 0）が
    あるものとします。
    """
    return [0, *numbers], [*numbers, 0]


def _attention(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    n, d = (int(k) for k in rng.choice([3, 4, 5, 6], 2, replace=False))
    return rng.normal(size=d), rng.normal(size=(n, d)), rng.normal(size=(n, d))


def _weights(q: Array, K: Array) -> Any:
    return softmax_of(K @ q / np.sqrt(q.size)).numpy()


@declare(
    "9-2",
    "アテンションの重み",
    [
        "クエリ q と、それぞれのキーの内積が、見たい度合いです。n 個あります。",
        "内積を √d で割ってから、ソフトマックス関数で、和が 1 の重みにします。",
        "s = K @ q / np.sqrt(len(q)) を、softmax にかけます。",
    ],
    inputs=lambda rng: _attention(rng)[:2],
    mistakes={
        "√d で割っていません。d が大きいと内積も大きくなり、1 つの文字しか見なくなります。": (
            lambda q, K: softmax_of(K @ q).numpy()
        ),
        "d ではなく √d で割ります。": lambda q, K: softmax_of(K @ q / q.size).numpy(),
        "√n（文字の数）ではなく √d（クエリの数の個数）で割ります。": (
            lambda q, K: softmax_of(K @ q / np.sqrt(len(K))).numpy()
        ),
        "内積のままです。ソフトマックス関数で、正で和が 1 の重みにしてください。": (
            lambda q, K: K @ q / np.sqrt(q.size)
        ),
    },
)
def attention_weights(q: Array, K: Array) -> Any:
    """クエリ q（d 個の数）と、n 個の文字のキー K（n 行 d 列）から、n 個のアテンションの重み
    softmax(q·k / √d) を返す関数 `attention_weights(q, K)` を書いてください。
    """
    s = K @ q / np.sqrt(len(q))
    e = np.exp(s - s.max())
    return e / e.sum()


@declare(
    "9-3",
    "重みつきの平均",
    [
        "どのバリューも、その文字のアテンションの重みをかけてから足します。",
        "出力は、バリュー 1 つと同じ d 個の数です。文字について足します。",
        "演習 9-2 の重みを a として、a @ V です。",
    ],
    inputs=_attention,
    mistakes={
        "バリュー V ではなくキー K を平均しています。キーは重みを決めるだけです。": (
            lambda q, K, V: _weights(q, K) @ K
        ),
        "どの文字も同じ重みになっています。演習 9-2 の重みを使ってください。": (
            lambda q, K, V: V.mean(axis=0)
        ),
        "重みをかけたあと、文字について足していません。": (
            lambda q, K, V: _weights(q, K)[:, None] * V
        ),
        "重みの最も大きな文字だけを見ています。足すのは全部です。": (
            lambda q, K, V: V[_weights(q, K).argmax()]
        ),
        "重みの和は、もう 1 です。文字の数で割らないでください。": (
            lambda q, K, V: _weights(q, K) @ V / len(V)
        ),
    },
    why="辞書を引くことに似ています。ただ、1 つを選ばずに、少しずつ混ぜるので、微分できます。",
)
def attend(q: Array, K: Array, V: Array) -> Any:
    """演習 9-2 の重みで、n 個の文字のバリュー V（n 行 d 列）を平均した d 個の数を返す関数
    `attend(q, K, V)` を書いてください。
    """
    return attention_weights(q, K) @ V


@declare(
    "9-4",
    "未来を見ない",
    [
        "1 文字目が見るのは 1 文字目だけ、2 文字目が見るのは 1 文字目と 2 文字目です。",
        "n 文字目は、自分までの n 文字を見ます。",
        "1 + 2 + 3 + 4 + 5 です。",
    ],
    mistakes={
        "未来の文字も数えています。見るのは、自分と、それより前だけです。": 25,
        "自分自身も見ます。": 10,
    },
    why="表にすると、対角線から左下だけが埋まります。",
)
def causal_count() -> int:
    """5 つの文字を順に読みます。どの文字も、自分と、自分より前の文字だけを見ます。

    アテンションの重みは、全部でいくつ計算しますか。
    """
    return 1 + 2 + 3 + 4 + 5


def _for_values(rng: np.random.Generator) -> tuple[Array, ...]:
    q, K, V = _attention(rng)
    return V, q, K, rng.normal(size=q.size)


@declare(
    "9-5",
    "バリューの勾配",
    [
        "出力は y = a₁v₁ + a₂v₂ + … です。v₁ が動くと、y はその a₁ 倍だけ動きます。",
        "連鎖律で、v₁ の勾配は a₁·g。どのバリューの勾配も、同じ g に自分の重みをかけたものです。",
        "np.outer(a, g) は、i 行目が a[i] * g の表です。",
    ],
    inputs=_for_values,
    derivative_of=lambda V, q, K, g: (g * scaled_dot_product_attention(q[None], K, V)[0]).sum(),
    mistakes={
        "アテンションの重みをかけていません。あまり見ていない文字の勾配は小さいはずです。": (
            lambda V, q, K, g: np.tile(g, (len(V), 1))
        ),
        "行と列が逆です。i 行目が、i 番目の文字のバリューの勾配です。": (
            lambda V, q, K, g: np.outer(g, _weights(q, K))
        ),
        "上流の勾配 g をかけ忘れています。": (
            lambda V, q, K, g: np.tile(_weights(q, K)[:, None], (1, g.size))
        ),
    },
    why="見た文字ほど、大きな勾配が戻ります。役に立った文字だけが、強く直されるのです。",
)
def value_gradient(V: Array, q: Array, K: Array, g: Array) -> Any:
    """演習 9-3 の出力 y = attend(q, K, V) の上流の勾配は g = ∂L/∂y（d 個）でした。

    ∂L/∂V（V と同じ n 行 d 列）を返す関数 `value_gradient(V, q, K, g)` を書いてください。
    """
    return np.outer(attention_weights(q, K), g)


@declare(
    "9-6",
    "大きさを揃える RMSNorm",
    [
        "2 乗し、平均し、平方根を取ったものが、二乗平均平方根 (root mean square) です。",
        "x を、その二乗平均平方根で割ります。",
        "x / np.sqrt((x**2).mean()) です。",
    ],
    inputs=lambda rng: (rng.normal(1, 3, int(rng.integers(4, 9))),),
    rtol=1e-4,  # with the small number of the program, or without
    mistakes={
        "平均でなく、和の平方根（長さ）で割っています。": lambda x: x / np.sqrt((x**2).sum()),
        "平方根を取っていません。": lambda x: x / (x**2).mean(),
        "平均を引いています。それは LayerNorm です。RMSNorm は割るだけです。": (
            lambda x: layer_norm(x, x.shape).numpy()
        ),
        "割るのではなく、かけています。": lambda x: x * (x / rms_norm_of(x, x.shape).numpy()),
    },
    why="出力の二乗平均は、いつも 1 です。何層重ねても、数が大きくも小さくもなりません。",
)
def rms_norm(x: Array) -> Any:
    """数の列 x を、その二乗平均平方根で割ったものを返す関数 `rms_norm(x)` を書いてください。"""
    return x / np.sqrt((x**2).mean())


@declare(
    "9-7",
    "学習の前の損失",
    [
        "どの文字の確率も 1/45 です。",
        "交差エントロピー誤差は −log(正解の確率) です。",
        "−log(1/45) = log 45 です。対数は自然対数です。",
    ],
    mistakes={
        "対数の底は 10 でなく e です。": float(np.log10(45)),
        "対数の底は 2 でなく e です（底が 2 なら、単位はビットです）。": float(np.log2(45)),
        "符号が逆です。損失は正の数です。": float(-np.log(45)),
        "確率のままです。−log を取ってください。": 1 / 45,
    },
    why="学習をはじめたときの損失がこれとかけ離れていたら、どこかが間違っています。",
)
def first_loss() -> float:
    """文字は、境目も入れて 45 種類あります。どの文字にも同じ確率を出すモデルの、1 文字あたりの損失
    −log(正解の確率) はいくつですか。
    """
    return float(np.log(45))


@declare(
    "9-8",
    "温度",
    [
        "ソフトマックス関数の前に、ロジットを温度で割ります。",
        "温度が低いほど、ロジットの差が大きくなり、いちばんありそうな文字に集まります。",
        "softmax(z / T) です。",
    ],
    inputs=lambda rng: (3 * rng.normal(size=5), float(rng.uniform(0.3, 0.8))),
    mistakes={
        "割るのではなく、かけています。温度が低いほど、差は大きくなります。": (
            lambda z, T: softmax_of(z * T).numpy()
        ),
        "確率を温度で割っています。和が 1 になりません。割るのは、ロジットです。": (
            lambda z, T: softmax_of(z).numpy() / T
        ),
        "温度を使っていません。": lambda z, T: softmax_of(z).numpy(),
    },
    why="T が 0 に近づくと、いつも、いちばんありそうな文字になります。",
)
def with_temperature(z: Array, T: float) -> Any:
    """ロジット z（5 個）から、温度 (temperature) T での次の文字の確率 softmax(z / T) を返す関数
    `with_temperature(z, T)` を書いてください。
    """
    e = np.exp((z - z.max()) / T)
    return e / e.sum()
