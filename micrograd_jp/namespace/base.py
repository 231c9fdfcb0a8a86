"""名前空間 (namespace) が規則に約束すること: 規則が `m.` に続けて書いてよい名前の表。

要素ごとの規則と、リストをまとめる規則は、`ELEMENTWISE` と `LISTS` だけで書く。配列の規則は
`ARRAYS` も使い、そのうち勾配の規則は計算グラフの上でも動く。`VALUES` は、配列の値を計算する
ときだけに使う。名前の綴りと引数は NumPy のもので、NumPy にないものだけがここで決まる。
"""

from __future__ import annotations

from math import inf
from typing import Any

from micrograd_jp.namespace.minors import cofactors
from micrograd_jp.ops import arrays, norm
from micrograd_jp.ops.gates import NUMBERS, Gate, gate, literally

ELEMENTWISE = {
    "exp": "eˣ", "expm1": "eˣ − 1", "log": "log x", "log1p": "log(1 + x)",
    "log2": "log₂ x", "log10": "log₁₀ x", "sqrt": "√x",
    "sin": "正弦", "cos": "余弦", "tan": "正接",
    "asin": "逆正弦", "acos": "逆余弦", "atan": "逆正接",
    "sinh": "双曲線正弦", "cosh": "双曲線余弦", "tanh": "双曲線正接",
    "asinh": "逆双曲線正弦", "acosh": "逆双曲線余弦", "atanh": "逆双曲線正接",
    "erf": "誤差関数", "abs": "|x|", "sign": "符号 −1, 0, 1。nan は nan", "floor": "切り捨て",
    "maximum": "大きい方。どちらかが nan なら nan", "minimum": "小さい方。同じく",
    "where": "条件 (condition, x, y) で選ぶ",
    "gate": "条件で選ぶ局所微分。文字どおりの 0 は「つながっていない」",
}  # fmt: skip
"""数 1 つずつの関数。どの名前空間にもある。"""

LISTS = {
    "sum": "Σ x", "prod": "Π x", "dot": "Σ w·x (ws, xs)", "logsumexp": "log Σ eˣ",
}  # fmt: skip
"""数のリストを 1 つの数にする関数。"""

ARRAYS = {
    "sum": "軸の和 (axis, keepdims)", "amax": "軸の最大値", "amin": "軸の最小値",
    "cumsum": "累積和", "floor_divide": "切り捨ての割り算",
    "reshape": "形", "transpose": "軸の順", "broadcast_to": "広げる", "flip": "逆順",
    "roll": "巡回", "concatenate": "連結", "blockwise": "幅 n の列の区切りどうしの公式",
    "recurrent_back": "recurrent の勾配の公式を、時刻をさかのぼって",
    "stack": "新しい軸に積む", "pad": "まわりを埋める",
    "tril": "下三角", "triu": "上三角", "astype": "型",
    "getitem": "x[key]", "zeroed": "key の場所を 0 にした x の写し",
    "scattered": "形 shape の 0 の、key の場所に g を足したもの",
    "times": "上流の勾配と局所微分の積。門の閉じた所では、上流が何でも 0",
    "surely_finite": "どの数も有限だと、調べて分かるか",
    "matmul": "行列の積", "einsum": "縮約", "solve": "A⁻¹B", "inv": "A⁻¹", "det": "行列式",
    "logabsdet": "log |det|", "cofactors": "余因子行列", "cholesky": "A = LLᵀ の L",
    "weight_gradient": "linear の w の勾配 gᵀx", "bias_gradient": "linear の b の勾配、行の和",
    "convolved": "畳み込み", "convolved_back": "その画像の勾配", "correlated": "その重みの勾配",
    "window_max": "窓の最大値", "window_places": "その画素の番号",
    "window_pick": "窓ごとに番号の画素を読む", "window_drop": "その逆: 番号の画素へ足す",
    "window_sum": "窓の和", "window_spread": "その逆: 窓の画素すべてへ足す",
    "batch_normalized_back": "batch_normalized の x, w, b の勾配",
    "softmax_back": "softmax の勾配", "log_softmax_back": "log softmax の勾配",
    "standardized_back": "標準化の勾配",
    "layer_normalized_back": "layer_normalized の x, w, b の勾配",
    "curved_at_zero": "norm の勾配（配列では、そのまま）",
    "real": "実部", "imag": "虚部", "complex": "実部と虚部から複素数", "conj": "共役複素数",
    "fourier": "フーリエ変換", "rfft": "実数のフーリエ変換", "irfft": "その逆変換",
}  # fmt: skip
"""配列の関数。勾配の規則が使うので、計算グラフの上にもある。"""

VALUES = {
    "recurrent": "再帰層の公式を、すべての時刻について",
    "remainder": "割った余り", "linear": "xWᵀ + b", "logsumexp_along": "軸の log Σ eˣ",
    "softmax_along": "軸の softmax", "log_softmax_along": "軸の log softmax",
    "standardized_along": "軸の標準化", "layer_normalized": "標準化·w + b",
    "below_the_top": "軸の最大値からの差",
    "signdet": "det の符号",
    "arctan2": "点 (y, x) の偏角", "eigh": "対称行列の固有値と固有ベクトル", "svd": "特異値分解",
    "qr": "QR 分解",
    "batch_statistics": "チャネルごとの平均と分散", "batch_normalized": "チャネルごとの正規化",
    "spread": "広げたビュー", "array": "だれとも共有しない配列", "asarray": "配列",
    "assigned": "x[key] = value とした x",
    "dtype": "利用者が求めた型。使えなければ警告", "available": "その型を求めると得られる型",
}  # fmt: skip
"""値だけを計算する、配列の関数。"""


_LINALG = {"solve", "inv", "det", "cholesky", "svd", "eigh", "qr"}


class ArrayNamespace:
    """配列のライブラリの関数を、規則が使う名前で。ライブラリにないものを補う。

    NumPy と JAX で計算のしかたが違うもの（カーネル）だけを、派生クラスが 1 つずつ書く。
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library.linalg if name in _LINALG else self._library, name)
        setattr(self, name, found)  # the next look-up is a plain attribute
        return found

    def logsumexp_along(self, x: Any, axis: tuple[int, ...]) -> Any:
        """Log Σ eˣ along axes, with the maximum taken out."""
        top = self.max(x, axis=axis, keepdims=True, initial=-inf)
        top = self.where(self.isfinite(top), top, 0)  # inf − inf would make nan of a defined answer
        return self.log(self.sum(self.exp(x - top), axis=axis)) + self.reshape(
            top, tuple(n for i, n in enumerate(x.shape) if i not in axis)
        )

    def below_the_top(self, x: Any, axis: tuple[int, ...]) -> Any:
        """X less its largest: no digit is lost, however large x is (unlike x − log Σ eˣ)."""
        return x - self.max(x, axis=axis, keepdims=True, initial=-inf)

    def spread(self, x: Any, shape: tuple[int, ...]) -> Any:
        """X spread to a shape, by a view where there are views."""
        return self._library.broadcast_to(x, shape)

    def zeroed(self, x: Any, key: Any) -> Any:
        """A copy of x with zeros at the places that the key names."""
        return self.assigned(self.array(x), key, 0)

    def einsum(self, spec: str, *xs: Any) -> Any:
        """Einstein summation, in the order that costs least."""
        return self._library.einsum(spec, *xs, optimize=len(xs) > 1)

    def linear(self, x: Any, w: Any, *b: Any) -> Any:
        """`x wᵀ + b` for matrices; b may be left out."""
        z = self.matmul(x, w.T)
        return z + b[0] if b else z

    def weight_gradient(self, g: Any, x: Any, w: Any) -> Any:
        """`gᵀx`, the gradient of the w in `x wᵀ`."""
        return self.matmul(g.T, x)

    def bias_gradient(self, g: Any) -> Any:
        """The sum of the rows."""
        return self.sum(g, axis=0)

    def times(self, g: Any, d: Any) -> Any:
        """The upstream gradient times a partial derivative; 0 where its gate is shut."""
        if isinstance(d, Gate):
            return self.where(d.shut, 0, g if literally(d.slope, 1) else g * d.slope)
        return self.zeros_like(g) if literally(d, 0) else g * d

    gate = gate

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """Of two numbers one, as it is: an array of it would widen the dtype of what it meets."""
        if condition.__class__ is bool and x.__class__ in NUMBERS and y.__class__ in NUMBERS:
            return x if condition else y
        return self._library.where(condition, x, y)

    def surely_finite(self, x: Any) -> bool:
        """Whether all numbers are known to be finite: traced arrays have none to look at."""
        return False

    batch_statistics = norm.statistics
    batch_normalized = norm.normalized
    batch_normalized_back = norm.gradients
    standardized_along, standardized_back = norm.standardized_along, norm.standardized_back
    layer_normalized, layer_normalized_back = norm.layer_normalized, norm.layer_normalized_back
    blockwise = arrays.blockwise
    recurrent = recurrent_back = arrays.computed
    softmax_along, softmax_back = arrays.softmax_along, arrays.softmax_back
    log_softmax_along, log_softmax_back = arrays.log_softmax_along, arrays.log_softmax_back

    def curved_at_zero(self, share: Any, g: Any, z: Any, x: Any, axis: Any) -> Any:
        """The gradient of a norm; on the graph it may have a slope of its own."""
        return share

    def fourier(self, x: Any, axis: Any, norm: str, inverse: bool) -> Any:
        """The discrete Fourier transform along axes, or its inverse."""
        return (self.fft.ifftn if inverse else self.fft.fftn)(x, axes=axis, norm=norm)

    def rfft(self, x: Any, axis: int, norm: str) -> Any:
        """The frequencies ≥ 0 of real numbers."""
        return self.fft.rfft(x, axis=axis, norm=norm)

    def irfft(self, x: Any, n: int, axis: int, norm: str) -> Any:
        """The n real numbers of frequencies ≥ 0."""
        return self.fft.irfft(x, n=n, axis=axis, norm=norm)

    def sign(self, x: Any) -> Any:
        """−1, 0 or 1; of a boolean itself."""
        return x if x.dtype.kind == "b" else self._library.sign(x)

    def signdet(self, x: Any) -> Any:
        """The sign of det."""
        return self.linalg.slogdet(x)[0]

    def logabsdet(self, x: Any) -> Any:
        """Log |det|."""
        return self.linalg.slogdet(x)[1]

    cofactors = cofactors
