"""要素ごとの演算の表。1 つの演算が 2、3 行で、名前、値、局所微分、説明の順に並ぶ。

規則は名前空間 `m`（スカラーの math、NumPy、計算グラフ自身の関数、コンパイラの記号）だけを
使って書く。`z` は出力、`x, y, w` は入力。だから同じ 1 行が `Value` の順伝播にも、
高階微分にも、配列にも、生成されるコードにもなる。

折れ点 (kink) と端の値の約束は PyTorch に合わせる。ここを変えるときは README の表も変わる。
"""

from __future__ import annotations

from math import inf, pi, sqrt
from typing import Any

from micrograd_jp.ops.arguments import over
from micrograd_jp.ops.gates import slope_of_base, slope_of_exponent
from micrograd_jp.ops.primitive import REAL, Elementwise, Rule, register

LN2, LN10 = 0.6931471805599453, 2.302585092994046
POSITIVE, UNIT, MODERATE = (0.2, 4.0), (-0.9, 0.9), (-2.0, 2.0)


def define(name: str, value: Rule, *partials_and_summary: Any, **extra: Any) -> Elementwise:
    """要素ごとの演算を宣言する: 名前、値、引数ごとの局所微分、説明。残りは `Elementwise` の欄。"""
    *partials, summary = partials_and_summary
    n = len(partials)
    extra = {"symbol": name, "arguments": ("x", "y", "w")[:n], "domain": (REAL,) * n, **extra}
    return register(Elementwise(name, extra.pop("symbol"), summary, value, (*partials,), **extra))


# A row is one formula: name, value, partials, summary.
# fmt: off

# ---- 四則演算 -------------------------------------------------------------------------------

add = define("add", lambda m, x, y: x + y, lambda m, z, x, y: 1, lambda m, z, x, y: 1,
    "足し算 (addition)", symbol="+", operator="+")
sub = define("sub", lambda m, x, y: x - y, lambda m, z, x, y: 1, lambda m, z, x, y: -1,
    "引き算 (subtraction)", symbol="−", operator="-")
mul = define("mul", lambda m, x, y: x * y, lambda m, z, x, y: y, lambda m, z, x, y: x,
    "掛け算 (multiplication)", symbol="×", operator="*")
div = define("div", lambda m, x, y: x / y, lambda m, z, x, y: over(y), lambda m, z, x, y: -z / y,
    "割り算 (division)", symbol="÷", operator="/", domain=(REAL, POSITIVE))
pow = define("pow", lambda m, x, y: x**y, slope_of_base, slope_of_exponent,
    "べき乗 xʸ (power)", symbol="xʸ", operator="**", domain=(POSITIVE, MODERATE))
neg = define("neg", lambda m, x: -x, lambda m, z, x: -1, "符号反転 −x (negation)", symbol="−x")
clone = define("clone", lambda m, x: x, lambda m, z, x: 1,
    "同じ値の新しいノード (identity)", symbol="同じ値", in_place=False)

# ---- 指数・対数・根 ---------------------------------------------------------------------------

exp = define("exp", lambda m, x: m.exp(x), lambda m, z, x: z, "指数関数 eˣ (exponential)")
log = define("log", lambda m, x: m.log(x), lambda m, z, x: 1 / x,
    "自然対数 (natural logarithm)", domain=(POSITIVE,))
log2 = define("log2", lambda m, x: m.log2(x), lambda m, z, x: 1 / (x * LN2),
    "2 を底とする対数 (base-2 logarithm)", symbol="log₂", domain=(POSITIVE,))
log10 = define("log10", lambda m, x: m.log10(x), lambda m, z, x: 1 / (x * LN10),
    "常用対数 (base-10 logarithm)", symbol="log₁₀", domain=(POSITIVE,))
log1p = define("log1p", lambda m, x: m.log1p(x), lambda m, z, x: 1 / (1 + x),
    "log(1 + x)", domain=((-0.8, 3.0),))
expm1 = define("expm1", lambda m, x: m.expm1(x), lambda m, z, x: m.exp(x), "eˣ − 1")
sqrt_ = define("sqrt", lambda m, x: m.sqrt(x), lambda m, z, x: 0.5 / z,
    "平方根 (square root)", symbol="√", domain=(POSITIVE,))

# ---- 三角関数・双曲線関数 -----------------------------------------------------------------------

sin = define("sin", lambda m, x: m.sin(x), lambda m, z, x: m.cos(x), "正弦 (sine)")
cos = define("cos", lambda m, x: m.cos(x), lambda m, z, x: -m.sin(x), "余弦 (cosine)")
tan = define("tan", lambda m, x: m.tan(x), lambda m, z, x: 1 + z * z,
    "正接 (tangent)", domain=((-1.2, 1.2),))
asin = define("asin", lambda m, x: m.asin(x), lambda m, z, x: 1 / m.sqrt(1 - x * x),
    "逆正弦 (arcsine)", domain=(UNIT,), numpy_name="arcsin")
acos = define("acos", lambda m, x: m.acos(x), lambda m, z, x: -1 / m.sqrt(1 - x * x),
    "逆余弦 (arccosine)", domain=(UNIT,), numpy_name="arccos")
atan = define("atan", lambda m, x: m.atan(x), lambda m, z, x: 1 / (1 + x * x),
    "逆正接 (arctangent)", numpy_name="arctan")
sinh = define("sinh", lambda m, x: m.sinh(x), lambda m, z, x: m.cosh(x), "双曲線正弦 (sinh)")
cosh = define("cosh", lambda m, x: m.cosh(x), lambda m, z, x: m.sinh(x), "双曲線余弦 (cosh)")
tanh = define("tanh", lambda m, x: m.tanh(x), lambda m, z, x: 1 - z * z, "双曲線正接 (tanh)")
asinh = define("asinh", lambda m, x: m.asinh(x), lambda m, z, x: 1 / m.sqrt(x * x + 1),
    "逆双曲線正弦 (arsinh)", numpy_name="arcsinh")
acosh = define("acosh", lambda m, x: m.acosh(x), lambda m, z, x: 1 / m.sqrt(x * x - 1),
    "逆双曲線余弦 (arcosh)", domain=((1.2, 4.0),), numpy_name="arccosh")
atanh = define("atanh", lambda m, x: m.atanh(x), lambda m, z, x: 1 / (1 - x * x),
    "逆双曲線正接 (artanh)", domain=(UNIT,), numpy_name="arctanh")

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
    """min(x, 0): keeps exp finite in the branch that `where` does not take. At 0 it is flat."""
    return m.where(x < 0, x, 0)

def _bounded(function: Any, x: Any, bound: Any, none: float) -> Any:
    """x, kept on one side of a bound; x itself where there is none, so that integers stay such."""
    return x if bound.__class__ is float and bound == none else function(x, bound)

def _normal_cdf(m: Any, x: Any) -> Any:
    return 0.5 * (1 + m.erf(x * (1 / sqrt(2))))

relu = define("relu", lambda m, x: m.maximum(x, 0), lambda m, z, x: m.gate(x <= 0, 0, 1),
    "正規化線形関数 max(x, 0) (ReLU)", symbol="ReLU", kink=lambda x: x)
leaky_relu = define("leaky_relu", lambda m, x, y: m.where(x <= 0, y * x, x),
    lambda m, z, x, y: m.where(x > 0, 1, y), lambda m, z, x, y: m.gate(x <= 0, x, 0),
    "負の側に傾きを残す ReLU (leaky ReLU)", symbol="LeakyReLU",
    arguments=("x", "negative_slope"), defaults=(0.01,), kink=lambda x, y: x, in_place=False)
sigmoid = define("sigmoid", _sigmoid, lambda m, z, x: z * (1 - z),
    "シグモイド関数 1/(1+e⁻ˣ) (logistic sigmoid)", symbol="σ")
hard_sigmoid = define("hard_sigmoid",
    lambda m, x: m.where(x <= -3, 0, m.where(x >= 3, 1, x / 6 + 0.5)),
    lambda m, z, x: m.gate(x > -3, m.gate(x < 3, 1 / 6, 0), 0),
    "シグモイドの折れ線近似 clip(x/6 + 1/2, 0, 1) (hard sigmoid)",
    domain=((-5.0, 5.0),), kink=lambda x: (x + 3) * (x - 3), in_place=False)
softplus = define("softplus",
    lambda m, x: m.where(x <= 0, 0, x) + m.log1p(m.exp(_minus_abs(m, x))),
    lambda m, z, x: _sigmoid(m, x),
    "滑らかな ReLU log(1 + eˣ) (softplus)", in_place=False)
elu = define("elu", lambda m, x, y: m.where(x <= 0, y * m.expm1(_negative_part(m, x)), x),
    lambda m, z, x, y: m.where(x <= 0, y * m.exp(_negative_part(m, x)), 1),
    lambda m, z, x, y: m.gate(x <= 0, m.expm1(_negative_part(m, x)), 0),
    "指数線形関数 (ELU)", symbol="ELU",
    arguments=("x", "alpha"), defaults=(1.0,), kink=lambda x, y: x, in_place=False)
erf = define("erf", lambda m, x: m.erf(x), lambda m, z, x: (2 / sqrt(pi)) * m.exp(-(x * x)),
    "誤差関数 (error function)", domain=(MODERATE,))
gelu = define("gelu", lambda m, x: x * _normal_cdf(m, x),
    lambda m, z, x: _normal_cdf(m, x) + x * (m.exp(-0.5 * (x * x)) * (1 / sqrt(2 * pi))),
    "ガウス誤差線形関数 x·Φ(x)、Hendrycks & Gimpel (2016) (GELU)", symbol="GELU", in_place=False)
silu = define("silu", lambda m, x: x * _sigmoid(m, x),
    lambda m, z, x: _sigmoid(m, x) * (1 + x * (1 - _sigmoid(m, x))),
    "x·σ(x) (SiLU, swish)", symbol="SiLU", in_place=False)
mish = define("mish", lambda m, x: x * m.tanh(softplus.value(m, x)),
    lambda m, z, x: (t := m.tanh(softplus.value(m, x))) + x * (_sigmoid(m, x) * (1 - t * t)),
    "x·tanh(softplus(x))、Misra (2019) arXiv:1908.08681 (Mish)", symbol="Mish", in_place=False)
hardswish = define("hardswish", lambda m, x: x * hard_sigmoid.value(m, x),
    lambda m, z, x: m.gate(x <= -3, 0, m.where(x < 3, x / 3 + 0.5, 1)),
    "x·hard_sigmoid(x)、Howard et al. (2019) \"Searching for MobileNetV3\" (hard swish)",
    domain=((-5.0, 5.0),), kink=lambda x: (x + 3) * (x - 3), in_place=False)

# ---- 折れ点のある演算 --------------------------------------------------------------------------

abs = define("abs", lambda m, x: m.abs(x), lambda m, z, x: m.sign(x),
    "絶対値 (absolute value)", symbol="|x|", kink=lambda x: x)
sign = define("sign", lambda m, x: m.sign(x), lambda m, z, x: 0,
    "符号 −1, 0, 1 (sign)", kink=lambda x: x)
floor = define("floor", lambda m, x: m.floor(x), lambda m, z, x: 0,
    "切り捨て (floor)", symbol="⌊x⌋", kink=lambda x: x - round(x))
maximum = define("maximum", lambda m, x, y: m.maximum(x, y),
    lambda m, z, x, y: m.gate(x < y, 0, m.where(x == y, 0.5, 1)),
    lambda m, z, x, y: m.gate(y < x, 0, m.where(x == y, 0.5, 1)),
    "大きい方 (maximum)", symbol="max", kink=lambda x, y: x - y, in_place=False)
minimum = define("minimum", lambda m, x, y: m.minimum(x, y),
    lambda m, z, x, y: m.gate(x > y, 0, m.where(x == y, 0.5, 1)),
    lambda m, z, x, y: m.gate(y > x, 0, m.where(x == y, 0.5, 1)),
    "小さい方 (minimum)", symbol="min", kink=lambda x, y: x - y, in_place=False)
clip = define("clip",
    lambda m, x, y, w: _bounded(m.minimum, _bounded(m.maximum, x, y, -inf), w, inf),
    lambda m, z, x, y, w: m.gate(x >= y, m.gate(x <= w, 1, 0), 0),
    lambda m, z, x, y, w: m.gate(x < y, m.gate(y < w, 1, 0), 0),
    lambda m, z, x, y, w: m.gate(x > w, 1, m.gate(w < y, 1, 0)),
    "区間 [min, max] に収める (clip, clamp)", arguments=("x", "min", "max"), defaults=(-inf, inf),
    needs_one=True, domain=(REAL, (-1.5, -0.5), (0.5, 1.5)), kink=lambda x, y, w: (x - y) * (x - w))
where = define("where", lambda m, x, y, w: m.where(x, y, w),
    None, lambda m, z, x, y, w: m.gate(x, 1, 0), lambda m, z, x, y, w: m.gate(x, 0, 1),
    "条件で選ぶ (where)", arguments=("condition", "x", "y"), domain=((0.0, 1.0), REAL, REAL),
    kink=lambda x, y, w: x - 0.5, in_place=False)
