"""要素ごとの演算の表。1 行が 1 つの公式で、左が値、右が局所微分。

規則は名前空間 `m`（スカラーの math、NumPy、計算グラフ自身の関数、コンパイラの記号）だけを
使って書く。`z` は出力、`x, y, w` は入力。だから同じ 1 行が `Value` の順伝播にも、
高階微分にも、配列にも、生成されるコードにもなる。

折れ点 (kink) と端の値の約束は PyTorch に合わせる。ここを変えるときは README の表も変わる。
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

from micrograd_jp.ops.primitive import REAL, Elementwise, Rule, register

POSITIVE = (0.2, 4.0)
UNIT = (-0.9, 0.9)
MODERATE = (-2.0, 2.0)

Formula = Callable[..., Any]


def unary(name: str, summary: str, value: Formula, dx: Rule, **extra: Any) -> Elementwise:
    """1 引数の演算を宣言する。"""
    return register(Elementwise(name, extra.pop("symbol", name), summary, value, (dx,), **extra))


def binary(
    name: str, summary: str, value: Formula, dx: Rule, dy: Rule, **extra: Any
) -> Elementwise:
    """2 引数の演算を宣言する。"""
    extra = {"arguments": ("x", "y"), "domain": (REAL, REAL), **extra}
    return register(Elementwise(name, extra.pop("symbol", name), summary, value, (dx, dy), **extra))


# ---- 四則演算 -------------------------------------------------------------------------------

add = binary(
    "add",
    "足し算 (addition)",
    lambda m, x, y: x + y,
    lambda m, z, x, y: 1,
    lambda m, z, x, y: 1,
    symbol="+",
    operator="+",
)
sub = binary(
    "sub",
    "引き算 (subtraction)",
    lambda m, x, y: x - y,
    lambda m, z, x, y: 1,
    lambda m, z, x, y: -1,
    symbol="−",
    operator="-",
)
mul = binary(
    "mul",
    "掛け算 (multiplication)",
    lambda m, x, y: x * y,
    lambda m, z, x, y: y,
    lambda m, z, x, y: x,
    symbol="×",
    operator="*",
)
div = binary(
    "div",
    "割り算 (division)",
    lambda m, x, y: x / y,
    lambda m, z, x, y: 1 / y,
    lambda m, z, x, y: -z / y,
    symbol="÷",
    operator="/",
    domain=(REAL, POSITIVE),
)
# x**0 is 1 everywhere, so its slope is 0 also where y·x^(y−1) would be 0·∞ (near 0 that is
# true of its further derivatives already). For the exponent, 0**y is 0 for every y > 0: slope 0
# instead of 0·log 0. Both as in PyTorch.
pow = binary(
    "pow",
    "べき乗 xʸ (power)",
    lambda m, x, y: x**y,
    lambda m, z, x, y: m.where(
        m.abs(x) >= 1e-30, y * x ** (y - 1), m.where(y == 0, 0, y * x ** (y - 1))
    ),
    lambda m, z, x, y: m.where(x == 0, m.where(y >= 0, 0, z * m.log(x)), z * m.log(x)),
    symbol="xʸ",
    operator="**",
    domain=(POSITIVE, MODERATE),
)
neg = unary("neg", "符号反転 −x (negation)", lambda m, x: -x, lambda m, z, x: -1, symbol="−x")
clone = unary(
    "clone", "同じ値の新しいノード (identity)", lambda m, x: x, lambda m, z, x: 1, symbol="="
)

# ---- 指数・対数・根 ---------------------------------------------------------------------------

exp = unary("exp", "指数関数 eˣ (exponential)", lambda m, x: m.exp(x), lambda m, z, x: z)
log = unary(
    "log",
    "自然対数 (natural logarithm)",
    lambda m, x: m.log(x),
    lambda m, z, x: 1 / x,
    domain=(POSITIVE,),
)
log1p = unary(
    "log1p",
    "log(1 + x)",
    lambda m, x: m.log1p(x),
    lambda m, z, x: 1 / (1 + x),
    domain=((-0.8, 3.0),),
)
expm1 = unary("expm1", "eˣ − 1", lambda m, x: m.expm1(x), lambda m, z, x: m.exp(x))
sqrt_ = unary(
    "sqrt",
    "平方根 (square root)",
    lambda m, x: m.sqrt(x),
    lambda m, z, x: 0.5 / z,
    domain=(POSITIVE,),
    symbol="√",
)

# ---- 三角関数・双曲線関数 -----------------------------------------------------------------------

sin = unary("sin", "正弦 (sine)", lambda m, x: m.sin(x), lambda m, z, x: m.cos(x))
cos = unary("cos", "余弦 (cosine)", lambda m, x: m.cos(x), lambda m, z, x: -m.sin(x))
tan = unary(
    "tan", "正接 (tangent)", lambda m, x: m.tan(x), lambda m, z, x: 1 + z * z, domain=((-1.2, 1.2),)
)
asin = unary(
    "asin",
    "逆正弦 (arcsine)",
    lambda m, x: m.asin(x),
    lambda m, z, x: 1 / m.sqrt(1 - x * x),
    domain=(UNIT,),
    numpy_name="arcsin",
)
acos = unary(
    "acos",
    "逆余弦 (arccosine)",
    lambda m, x: m.acos(x),
    lambda m, z, x: -1 / m.sqrt(1 - x * x),
    domain=(UNIT,),
    numpy_name="arccos",
)
atan = unary(
    "atan",
    "逆正接 (arctangent)",
    lambda m, x: m.atan(x),
    lambda m, z, x: 1 / (1 + x * x),
    numpy_name="arctan",
)
sinh = unary("sinh", "双曲線正弦 (sinh)", lambda m, x: m.sinh(x), lambda m, z, x: m.cosh(x))
cosh = unary("cosh", "双曲線余弦 (cosh)", lambda m, x: m.cosh(x), lambda m, z, x: m.sinh(x))
tanh = unary("tanh", "双曲線正接 (tanh)", lambda m, x: m.tanh(x), lambda m, z, x: 1 - z * z)
asinh = unary(
    "asinh",
    "逆双曲線正弦 (arsinh)",
    lambda m, x: m.asinh(x),
    lambda m, z, x: 1 / m.sqrt(x * x + 1),
    numpy_name="arcsinh",
)
acosh = unary(
    "acosh",
    "逆双曲線余弦 (arcosh)",
    lambda m, x: m.acosh(x),
    lambda m, z, x: 1 / m.sqrt(x * x - 1),
    domain=((1.2, 4.0),),
    numpy_name="arccosh",
)
atanh = unary(
    "atanh",
    "逆双曲線正接 (artanh)",
    lambda m, x: m.atanh(x),
    lambda m, z, x: 1 / (1 - x * x),
    domain=(UNIT,),
    numpy_name="arctanh",
)

# ---- 活性化関数 ------------------------------------------------------------------------------

# Written as "x <= 0 → the left piece, else the right", so that nan goes right and stays nan.


def _minus_abs(m: Any, x: Any) -> Any:
    """−|x| in two pieces: m.abs has slope 0 at 0, which would spoil second derivatives there."""
    return m.where(x <= 0, x, -x)


def _sigmoid(m: Any, x: Any) -> Any:
    """1 / (1 + e⁻ˣ) without overflow on either side."""
    e = m.exp(_minus_abs(m, x))
    return m.where(x <= 0, e, 1) / (1 + e)


def _negative_part(m: Any, x: Any) -> Any:
    """min(x, 0): keeps exp finite in the branch that `where` does not take."""
    return m.where(x <= 0, x, 0)


def _normal_cdf(m: Any, x: Any) -> Any:
    return 0.5 * (1 + m.erf(x * (1 / sqrt(2))))


relu = unary(
    "relu",
    "正規化線形関数 max(x, 0) (ReLU)",
    lambda m, x: m.maximum(x, 0),
    lambda m, z, x: m.where(x <= 0, 0, 1),
    kink=lambda x: x,
    symbol="ReLU",
)
leaky_relu = binary(
    "leaky_relu",
    "負の側に傾きを残す ReLU (leaky ReLU)",
    lambda m, x, y: m.where(x <= 0, y * x, x),
    lambda m, z, x, y: m.where(x <= 0, y, 1),
    lambda m, z, x, y: m.where(x <= 0, x, 0),
    arguments=("x", "negative_slope"),
    defaults=(0.01,),
    kink=lambda x, y: x,
    symbol="LeakyReLU",
)
sigmoid = unary(
    "sigmoid",
    "シグモイド関数 1/(1+e⁻ˣ) (logistic sigmoid)",
    _sigmoid,
    lambda m, z, x: z * (1 - z),
    symbol="σ",
)
hard_sigmoid = unary(
    "hard_sigmoid",
    "シグモイドの折れ線近似 clip(x/6 + 1/2, 0, 1) (hard sigmoid)",
    lambda m, x: m.where(x <= -3, 0, m.where(x >= 3, 1, x / 6 + 0.5)),
    lambda m, z, x: m.where(x <= -3, 0, m.where(x >= 3, 0, 1 / 6)),
    kink=lambda x: (x + 3) * (x - 3),
    domain=((-5.0, 5.0),),
)
softplus = unary(
    "softplus",
    "滑らかな ReLU log(1 + eˣ) (softplus)",
    lambda m, x: m.where(x <= 0, 0, x) + m.log1p(m.exp(_minus_abs(m, x))),
    lambda m, z, x: _sigmoid(m, x),
)
elu = binary(
    "elu",
    "指数線形関数 (ELU)",
    lambda m, x, y: m.where(x <= 0, y * m.expm1(_negative_part(m, x)), x),
    lambda m, z, x, y: m.where(x <= 0, y * m.exp(_negative_part(m, x)), 1),
    lambda m, z, x, y: m.expm1(_negative_part(m, x)),
    arguments=("x", "alpha"),
    defaults=(1.0,),
    kink=lambda x, y: x,
    symbol="ELU",
)
erf = unary(
    "erf",
    "誤差関数 (error function)",
    lambda m, x: m.erf(x),
    lambda m, z, x: (2 / sqrt(pi)) * m.exp(-(x * x)),
    domain=(MODERATE,),
)
# Hendrycks & Gimpel (2016), x·Φ(x) with the exact Φ.
gelu = unary(
    "gelu",
    "ガウス誤差線形関数 x·Φ(x) (GELU)",
    lambda m, x: x * _normal_cdf(m, x),
    lambda m, z, x: _normal_cdf(m, x) + x * (m.exp(-0.5 * (x * x)) * (1 / sqrt(2 * pi))),
    symbol="GELU",
)
silu = unary(
    "silu",
    "x·σ(x) (SiLU, swish)",
    lambda m, x: x * _sigmoid(m, x),
    lambda m, z, x: _sigmoid(m, x) * (1 + x * (1 - _sigmoid(m, x))),
    symbol="SiLU",
)

# ---- 折れ点のある演算 --------------------------------------------------------------------------

abs = unary(
    "abs",
    "絶対値 (absolute value)",
    lambda m, x: m.abs(x),
    lambda m, z, x: m.sign(x),
    symbol="|x|",
    kink=lambda x: x,
)
sign = unary(
    "sign", "符号 −1, 0, 1 (sign)", lambda m, x: m.sign(x), lambda m, z, x: 0, kink=lambda x: x
)
floor = unary(
    "floor",
    "切り捨て (floor)",
    lambda m, x: m.floor(x),
    lambda m, z, x: 0,
    symbol="⌊x⌋",
    kink=lambda x: x - round(x),
)
maximum = binary(
    "maximum",
    "大きい方 (maximum)",
    lambda m, x, y: m.maximum(x, y),
    lambda m, z, x, y: m.where(x < y, 0, m.where(x == y, 0.5, 1)),
    lambda m, z, x, y: m.where(y < x, 0, m.where(x == y, 0.5, 1)),
    symbol="max",
    kink=lambda x, y: x - y,
)
minimum = binary(
    "minimum",
    "小さい方 (minimum)",
    lambda m, x, y: m.minimum(x, y),
    lambda m, z, x, y: m.where(x > y, 0, m.where(x == y, 0.5, 1)),
    lambda m, z, x, y: m.where(y > x, 0, m.where(x == y, 0.5, 1)),
    symbol="min",
    kink=lambda x, y: x - y,
)
clip = register(Elementwise(
    "clip", "clip", "区間 [min, max] に収める (clip, clamp)",
    lambda m, x, y, w: m.minimum(m.maximum(x, y), w),
    (
        lambda m, z, x, y, w: m.where(x < y, 0, m.where(x > w, 0, 1)),
        lambda m, z, x, y, w: m.where(x < y, m.where(y < w, 1, 0), 0),
        lambda m, z, x, y, w: m.where(x > w, 1, m.where(w < y, 1, 0)),
    ),
    arguments=("x", "min", "max"), defaults=(float("-inf"), float("inf")),
    domain=(REAL, (-1.5, -0.5), (0.5, 1.5)), kink=lambda x, y, w: (x - y) * (x - w),
))  # fmt: skip
where = register(Elementwise(
    "where", "where", "条件で選ぶ (where)", lambda m, x, y, w: m.where(x, y, w),
    (
        None,
        lambda m, z, x, y, w: m.where(x, 1, 0),
        lambda m, z, x, y, w: m.where(x, 0, 1),
    ),
    arguments=("condition", "x", "y"), domain=((0.0, 1.0), REAL, REAL),
    kink=lambda x, y, w: x - 0.5,
))  # fmt: skip
