"""第 10 章 自分の演算と性質ベーステスト: 規則、差分の誤差、見つからない誤り、法則、折れ点。"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.exercises.exercise import declare

Array = np.ndarray[Any, Any]


def _squash(x: Any) -> Any:
    return x / (1 + x * x) ** 0.5


@declare(
    "10-1",
    "squash の逆伝播",
    [
        "z = x·(1 + x²)^(−1/2) と見て、積の微分を使います。",
        "(1 + x²)^(−1/2) の微分は −x·(1 + x²)^(−3/2) です（連鎖律）。",
        "(1 + x²)^(−1/2) − x²·(1 + x²)^(−3/2) を通分すると、(1 + x²)^(−3/2) になります。",
    ],
    inputs=lambda rng: (rng.normal(size=6), rng.normal(size=6)),
    derivative_of=lambda x, g: (g * _squash(x)).sum(),
    mistakes={
        "上流の勾配 g をかけ忘れています（連鎖律）。": lambda x, g: (1 + x * x) ** -1.5,
        "分子の x だけを微分しています。分母の中にも x があります。": (
            lambda x, g: g * (1 + x * x) ** -0.5
        ),
        "指数が違います。1/(1 + x²) は、逆正接 (arctan) の傾きです。": lambda x, g: g / (1 + x * x),
        "順伝播の値になっています。求めるのは勾配です。": lambda x, g: g * _squash(x),
    },
)
def squash_backward(x: Array, g: Array) -> Any:
    """z = x / √(1 + x²) の入力 x と上流の勾配 g（同じ形の配列）から、∂L/∂x を返す関数
    `squash_backward(x, g)` を書いてください。
    """
    return g * (1 + x * x) ** -1.5


def _function_at(rng: np.random.Generator) -> tuple[Any, float, float]:
    f = (np.sin, np.exp, np.tanh, np.cosh)[int(rng.integers(4))]
    return f, float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.1, 0.4))


@declare(
    "10-2",
    "中心差分",
    [
        "x から左右に h ずつ離れた 2 点を結ぶ直線の傾きです。",
        "2 点の間は h ではなく 2h 離れています。",
        "(f(x + h) - f(x - h)) / (2 * h) です。",
    ],
    inputs=_function_at,
    mistakes={
        "前進差分になっています。左右の 2 点を使うのが中心差分です。": (
            lambda f, x, h: (f(x + h) - f(x)) / h
        ),
        "後退差分になっています。左右の 2 点を使うのが中心差分です。": (
            lambda f, x, h: (f(x) - f(x - h)) / h
        ),
        "h で割っています。2 点は 2h 離れています。": lambda f, x, h: (f(x + h) - f(x - h)) / h,
        "かっこが抜けています。/ 2 * h は「2 で割って h をかける」です。": (
            lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h
        ),
        "2h で割り忘れています。": lambda f, x, h: f(x + h) - f(x - h),
    },
)
def central(f: Any, x: float, h: float) -> Any:
    """関数 f の、x での、刻み h の中心差分 (central difference) を返す関数 `central(f, x, h)` を
    書いてください。
    """
    return (f(x + h) - f(x - h)) / (2 * h)


@declare(
    "10-3",
    "刻みを 1/10 にすると",
    [
        "テイラー展開で、f(x + h) = f + h·f′ + h²/2·f″ + h³/6·f‴ + … です。",
        "中心差分では、f″ の項が打ち消し合い、h²/6·f‴ が残ります。",
        "誤差は h² に比例します。(1/10)² です。",
    ],
    mistakes={
        "それは前進差分です。中心差分では、h に比例する項が打ち消し合います。": 0.1,
        "h³ ではありません。2h で割るので、次数が 1 つ下がります。": 0.001,
        "誤差は小さくなります。1 より小さい数を答えてください。": 100,
    },
    why="図では、傾き 2 の直線になります。",
)
def order_of_error() -> float:
    """丸め誤差がないとすると、中心差分の刻み h を 1/10 にしたとき、誤差はおよそ何倍ですか。"""
    return (1 / 10) ** 2


@declare(
    "10-4",
    "いちばんよい刻み",
    [
        "h で微分して 0 とおくか、2 つの項が等しくなる h を求めます。",
        "h/2 = 2ε/h から h² = 4ε です。",
        "h = 2√ε です。",
    ],
    mistakes={
        "h² = 4ε です。平方根を取るとき、4 も忘れないでください。": 1,
        "h² の係数です。h を答えるには、平方根を取ってください。": 4,
        "h/2 か 2ε/h の、2 を落としています。": 2**0.5,
    },
    why="h も誤差も 3 × 10⁻⁸ ほどです。倍精度は 16 桁ですが、前進差分で合うのは 8 桁ほどです。",
)
def best_step() -> float:
    """前進差分の誤差を、打ち切り誤差 h/2 と丸め誤差 2ε/h の和と見積もります（ε は 1 つの数の丸めの
    大きさで、倍精度なら 2.2 × 10⁻¹⁶）。

    和が最も小さくなる刻み h は、√ε の何倍ですか。
    """
    return 4**0.5


@declare(
    "10-5",
    "間違いが見えない点",
    [
        "2 つの式が等しくなる x を探します。",
        "1 + x² = 1 + x を解きます。",
        "x² = x なので、x(x − 1) = 0 です。",
    ],
    parts=("小さいほう", "大きいほう"),
    mistakes={
        "大きさの順が逆です。": (1, 0),
        "x² = x の解です。x² = −x ではありません。": (-1, 0),
        "x = −1 では、1 + x² は 2、1 + x は 0 です。": (-1, 1),
    },
    why="0 と 1 は、まっ先に試したくなる入力です。乱数で選んだ点なら、まず当たりません。",
)
def unseen() -> tuple[float, float]:
    """y = x + x³/3 の正しい微分は 1 + x² ですが、間違えて 1 + x と書きました。

    この間違いが見つからない（2 つの式の値が等しい）入力 x が 2 つあります。小さいほうから順に
    答えてください。
    """
    return 0.0, 1.0


def _chained(rng: np.random.Generator) -> tuple[Any, Any, Any, float]:
    table = [(np.sin, np.cos), (np.exp, np.exp), (np.sinh, np.cosh), (np.square, lambda x: 2 * x)]
    (_, df), (g, dg) = (table[int(k)] for k in rng.choice(4, 2, replace=False))
    return df, g, dg, float(rng.uniform(0.5, 1.5))


@declare(
    "10-6",
    "連鎖律を関数で書く",
    [
        "h(x) = f(g(x)) の傾きは、外側の傾きと内側の傾きの積です。",
        "外側の傾き f′ は、x ではなく、g(x) での傾きです。",
        "df(g(x)) * dg(x) です。",
    ],
    inputs=_chained,
    mistakes={
        "外側の傾きを x で計算しています。f に入るのは x ではなく g(x) です。": (
            lambda df, g, dg, x: df(x) * dg(x)
        ),
        "内側の傾き g′(x) をかけ忘れています。": lambda df, g, dg, x: df(g(x)),
        "f′ に g′(x) を入れています。入れるのは g(x) です。": lambda df, g, dg, x: df(dg(x)),
        "足すのではなく、かけます。": lambda df, g, dg, x: df(g(x)) + dg(x),
    },
)
def chain(df: Any, g: Any, dg: Any, x: float) -> Any:
    """外側の関数の微分 df、内側の関数 g とその微分 dg（どれも関数）から、合成関数 f(g(x)) の x での
    傾きを返す関数 `chain(df, g, dg, x)` を書いてください。
    """
    return df(g(x)) * dg(x)


@declare(
    "10-7",
    "折れ点での中心差分",
    [
        "ReLU(h) = h、ReLU(−h) = 0 です。",
        "中心差分は (ReLU(h) − ReLU(−h)) / 2h です。",
        "h / 2h です。",
    ],
    mistakes={
        "それは約束の値です。中心差分を計算してください。": 0,
        "それは右からの傾きです。": 1,
    },
    why="左の傾き 0 と右の傾き 1 の平均です。h をいくら小さくしても、約束の 0 には近づきません。",
)
def central_at_kink() -> float:
    """ReLU の、x = 0 での中心差分 (f(0 + h) − f(0 − h)) / 2h はいくつですか。"""
    return 1 / 2


@declare(
    "10-8",
    "引数が 2 つの演算",
    [
        "r² = x² + y² の両辺を x で微分すると、2r·∂r/∂x = 2x です。",
        "∂r/∂x = x/r、∂r/∂y = y/r です。",
        "上流の勾配をかけて、(g * x / r, g * y / r)。r = np.sqrt(x * x + y * y) です。",
    ],
    inputs=lambda rng: (*rng.uniform(0.5, 2, size=(2, 5)), rng.normal(size=5)),
    parts=("∂L/∂x", "∂L/∂y"),
    derivative_of=lambda x, y, g: (g * (x * x + y * y) ** 0.5).sum(),
    mistakes={
        "2 つが入れ替わっています。": lambda x, y, g: (
            g * y / np.hypot(x, y),
            g * x / np.hypot(x, y),
        ),
        "上流の勾配 g をかけ忘れています。": lambda x, y, g: (
            x / np.hypot(x, y),
            y / np.hypot(x, y),
        ),
        "r ではなく r² で割っています。": lambda x, y, g: (
            g * x / np.hypot(x, y) ** 2,
            g * y / np.hypot(x, y) ** 2,
        ),
        "r で割っていません。√ の微分を忘れています。": lambda x, y, g: (g * x, g * y),
    },
    why="どちらの局所微分も 1 以下です。長さは、x が動いた分より大きくは変わりません。",
)
def length_backward(x: Array, y: Array, g: Array) -> Any:
    """長さ r = √(x² + y²) の入力 x、y と上流の勾配 g（どれも同じ形の配列）から、(∂L/∂x, ∂L/∂y) を
    返す関数 `length_backward(x, y, g)` を書いてください。
    """
    r = np.sqrt(x * x + y * y)
    return g * x / r, g * y / r
