# Written by python -m micrograd_jp.ops.surface; do not edit.
from typing import Any

from micrograd_jp.engine import Value

Operand = Any

class Methods:
    def add(self, other: Operand) -> Value: """足し算 (addition)"""
    def __add__(self, other: Operand) -> Value: ...
    def __radd__(self, other: Operand) -> Value: ...
    def sub(self, other: Operand) -> Value: """引き算 (subtraction)"""
    def __sub__(self, other: Operand) -> Value: ...
    def __rsub__(self, other: Operand) -> Value: ...
    def mul(self, other: Operand) -> Value: """掛け算 (multiplication)"""
    def __mul__(self, other: Operand) -> Value: ...
    def __rmul__(self, other: Operand) -> Value: ...
    def div(self, other: Operand) -> Value: """割り算 (division)"""
    def __truediv__(self, other: Operand) -> Value: ...
    def __rtruediv__(self, other: Operand) -> Value: ...
    def pow(self, other: Operand) -> Value: """べき乗 xʸ (power)"""
    def __pow__(self, other: Operand) -> Value: ...
    def __rpow__(self, other: Operand) -> Value: ...
    def neg(self) -> Value: """符号反転 −x (negation)"""
    def clone(self) -> Value: """同じ値の新しいノード (identity)"""
    def exp(self) -> Value: """指数関数 eˣ (exponential)"""
    def log(self) -> Value: """自然対数 (natural logarithm)"""
    def log1p(self) -> Value: """log(1 + x)"""
    def expm1(self) -> Value: """eˣ − 1"""
    def sqrt(self) -> Value: """平方根 (square root)"""
    def sin(self) -> Value: """正弦 (sine)"""
    def cos(self) -> Value: """余弦 (cosine)"""
    def tan(self) -> Value: """正接 (tangent)"""
    def asin(self) -> Value: """逆正弦 (arcsine)"""
    def arcsin(self) -> Value: """逆正弦 (arcsine)"""
    def acos(self) -> Value: """逆余弦 (arccosine)"""
    def arccos(self) -> Value: """逆余弦 (arccosine)"""
    def atan(self) -> Value: """逆正接 (arctangent)"""
    def arctan(self) -> Value: """逆正接 (arctangent)"""
    def sinh(self) -> Value: """双曲線正弦 (sinh)"""
    def cosh(self) -> Value: """双曲線余弦 (cosh)"""
    def tanh(self) -> Value: """双曲線正接 (tanh)"""
    def asinh(self) -> Value: """逆双曲線正弦 (arsinh)"""
    def arcsinh(self) -> Value: """逆双曲線正弦 (arsinh)"""
    def acosh(self) -> Value: """逆双曲線余弦 (arcosh)"""
    def arccosh(self) -> Value: """逆双曲線余弦 (arcosh)"""
    def atanh(self) -> Value: """逆双曲線正接 (artanh)"""
    def arctanh(self) -> Value: """逆双曲線正接 (artanh)"""
    def relu(self) -> Value: """正規化線形関数 max(x, 0) (ReLU)"""
    def leaky_relu(self, negative_slope: Operand | None = ...) -> Value: """負の側に傾きを残す ReLU (leaky ReLU)"""
    def sigmoid(self) -> Value: """シグモイド関数 1/(1+e⁻ˣ) (logistic sigmoid)"""
    def hard_sigmoid(self) -> Value: """シグモイドの折れ線近似 clip(x/6 + 1/2, 0, 1) (hard sigmoid)"""
    def softplus(self) -> Value: """滑らかな ReLU log(1 + eˣ) (softplus)"""
    def elu(self, alpha: Operand | None = ...) -> Value: """指数線形関数 (ELU)"""
    def erf(self) -> Value: """誤差関数 (error function)"""
    def gelu(self) -> Value: """ガウス誤差線形関数 x·Φ(x) (GELU)"""
    def silu(self) -> Value: """x·σ(x) (SiLU, swish)"""
    def abs(self) -> Value: """絶対値 (absolute value)"""
    def sign(self) -> Value: """符号 −1, 0, 1 (sign)"""
    def floor(self) -> Value: """切り捨て (floor)"""
    def maximum(self, other: Operand) -> Value: """大きい方 (maximum)"""
    def minimum(self, other: Operand) -> Value: """小さい方 (minimum)"""
    def clip(self, min: Operand | None = ..., max: Operand | None = ...) -> Value: """区間 [min, max] に収める (clip, clamp)"""
    def __neg__(self) -> Value: ...
    def __pos__(self) -> Value: ...
    def __abs__(self) -> Value: ...
    def __floor__(self) -> Value: ...

def add(x: Operand, y: Operand) -> Value: """足し算 (addition)"""
def sub(x: Operand, y: Operand) -> Value: """引き算 (subtraction)"""
def mul(x: Operand, y: Operand) -> Value: """掛け算 (multiplication)"""
def div(x: Operand, y: Operand) -> Value: """割り算 (division)"""
def pow(x: Operand, y: Operand) -> Value: """べき乗 xʸ (power)"""
def neg(x: Operand) -> Value: """符号反転 −x (negation)"""
def clone(x: Operand) -> Value: """同じ値の新しいノード (identity)"""
def exp(x: Operand) -> Value: """指数関数 eˣ (exponential)"""
def log(x: Operand) -> Value: """自然対数 (natural logarithm)"""
def log1p(x: Operand) -> Value: """log(1 + x)"""
def expm1(x: Operand) -> Value: """eˣ − 1"""
def sqrt(x: Operand) -> Value: """平方根 (square root)"""
def sin(x: Operand) -> Value: """正弦 (sine)"""
def cos(x: Operand) -> Value: """余弦 (cosine)"""
def tan(x: Operand) -> Value: """正接 (tangent)"""
def asin(x: Operand) -> Value: """逆正弦 (arcsine)"""
def acos(x: Operand) -> Value: """逆余弦 (arccosine)"""
def atan(x: Operand) -> Value: """逆正接 (arctangent)"""
def sinh(x: Operand) -> Value: """双曲線正弦 (sinh)"""
def cosh(x: Operand) -> Value: """双曲線余弦 (cosh)"""
def tanh(x: Operand) -> Value: """双曲線正接 (tanh)"""
def asinh(x: Operand) -> Value: """逆双曲線正弦 (arsinh)"""
def acosh(x: Operand) -> Value: """逆双曲線余弦 (arcosh)"""
def atanh(x: Operand) -> Value: """逆双曲線正接 (artanh)"""
def relu(x: Operand) -> Value: """正規化線形関数 max(x, 0) (ReLU)"""
def leaky_relu(x: Operand, negative_slope: Operand | None = ...) -> Value: """負の側に傾きを残す ReLU (leaky ReLU)"""
def sigmoid(x: Operand) -> Value: """シグモイド関数 1/(1+e⁻ˣ) (logistic sigmoid)"""
def hard_sigmoid(x: Operand) -> Value: """シグモイドの折れ線近似 clip(x/6 + 1/2, 0, 1) (hard sigmoid)"""
def softplus(x: Operand) -> Value: """滑らかな ReLU log(1 + eˣ) (softplus)"""
def elu(x: Operand, alpha: Operand | None = ...) -> Value: """指数線形関数 (ELU)"""
def erf(x: Operand) -> Value: """誤差関数 (error function)"""
def gelu(x: Operand) -> Value: """ガウス誤差線形関数 x·Φ(x) (GELU)"""
def silu(x: Operand) -> Value: """x·σ(x) (SiLU, swish)"""
def abs(x: Operand) -> Value: """絶対値 (absolute value)"""
def sign(x: Operand) -> Value: """符号 −1, 0, 1 (sign)"""
def floor(x: Operand) -> Value: """切り捨て (floor)"""
def maximum(x: Operand, y: Operand) -> Value: """大きい方 (maximum)"""
def minimum(x: Operand, y: Operand) -> Value: """小さい方 (minimum)"""
def clip(x: Operand, min: Operand | None = ..., max: Operand | None = ...) -> Value: """区間 [min, max] に収める (clip, clamp)"""
def where(condition: Operand, x: Operand, y: Operand) -> Value: """条件で選ぶ (where)"""
