"""基本演算 (primitive) の宣言。1 つの演算が 1 つの記録。

`Value` のメソッド、パッケージの関数、描画の記号、Hypothesis の戦略、検査、文書の表は、
すべてこの記録（名前・記号・値・微分・定義域）から作られる。式を 2 度書く場所はない。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

OPERATOR_METHODS = {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "**": "pow"}
"""Python の 2 項演算子から、そのメソッドの名前（下線を除く）へ。"""

UNARY_METHODS = {"__neg__": "neg", "__pos__": "clone", "__abs__": "abs", "__floor__": "floor"}
"""Python の単項のメソッドから、演算の名前へ。"""

Rule = Callable[..., Any]
"""`(m, z, *xs)` から局所微分 ∂z/∂xᵢ を返す式。`m` は名前空間 (namespace)。"""

REAL = (-3.0, 3.0)
"""定義域に制限のない演算を試すときの区間。"""


@dataclass(frozen=True, eq=False, repr=False)
class Primitive:
    """すべての基本演算に共通の部分。"""

    name: str  # as called in Python: "tanh"
    symbol: str  # as drawn: "×"
    summary: str  # one line in Japanese, with the English term
    value: Callable[..., Any]  # the forward formula
    views = False  # whether the result shows the memory of its argument
    __copy__ = __deepcopy__ = lambda self, *_: self  # nor a copied one, named or not

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return lookup, (self.name,)  # a pickled graph must not have copies of the rules


@dataclass(frozen=True, eq=False, repr=False)
class Elementwise(Primitive):
    """要素ごと (elementwise) の演算。`Value` と `Tensor` が同じ宣言を使う。

    Attributes:
        value: `(m, *xs) -> z`。
        partials: 引数ごとの `(m, z, *xs) -> ∂z/∂xᵢ`。微分の対象でない引数は `None`。
        operator: Python の演算子。micrograd の `_op` と同じ綴り (`"*"`)。
        arguments: 引数の名前。
        defaults: 末尾の引数の既定値。
        domain: 引数ごとに、滑らかに試せる区間 `(low, high)`。
        kink: `(*xs) -> float`。0 になる点で微分できない（折れ点か不連続点）。
        numpy_name: NumPy の object 配列が呼ぶメソッド名が `name` と違うとき、その名前。
        in_place: その場で書き換えるメソッド `t.exp_()` もあるか（PyTorch にあるもの）。
        needs_one: 既定値のある引数のうち、少なくとも 1 つは渡さなければならないか。
    """

    partials: tuple[Rule | None, ...]
    operator: str = ""
    arguments: tuple[str, ...] = ("x",)
    defaults: tuple[float, ...] = ()
    domain: tuple[tuple[float, float], ...] = (REAL,)
    kink: Callable[..., float] | None = None
    numpy_name: str = ""
    in_place: bool = True
    needs_one: bool = False

    @property
    def arity(self) -> int:
        """引数の個数。"""
        return len(self.partials)


@dataclass(frozen=True, eq=False, repr=False)
class Reduction(Primitive):
    """数の並びを 1 つの数にまとめる演算。入力が何個でもノードは 1 つ。

    Attributes:
        value: `(m, xs) -> z`。
        partials: `(m, z, xs) -> [∂z/∂x₀, ∂z/∂x₁, …]`。
        domain: 各要素を滑らかに試せる区間。
        lists: 利用者が渡す並びの数。2 なら同じ長さの 2 つをつないで `xs` とする (`dot`)。
    """

    partials: Callable[[Any, Any, Sequence[Any]], list[Any]]
    domain: tuple[float, float] = REAL
    lists: int = 1


@dataclass(frozen=True, eq=False, repr=False)
class ArrayOp(Primitive):
    """配列の形や並びに関わる演算 (reshape, matmul, 添字 …)。`Tensor` だけが使う。

    Attributes:
        value: `(m, *arrays, **params) -> z`。
        vjp: `(m, g, z, *arrays, **params) -> (ḡ₀, ḡ₁, …)`。上流の勾配 g から、各配列の勾配
            （ベクトル・ヤコビアン積）を返す。引数ごとの計算が重いものは、引数ごとの規則の組にして、
            勾配の要らない引数では計算しない（末尾の引数は省かれることがある）。
        views: 結果が引数のビュー (view) か。
    """

    vjp: Callable[..., tuple[Any, ...]] | tuple[Callable[..., Any], ...]
    views: bool = False


P = TypeVar("P", bound=Primitive)
_registry: dict[str, Primitive] = {}


def register(primitive: P) -> P:
    """演算を名前で引けるように登録する。同じ名前は 1 度だけ。"""
    if primitive.name in _registry:
        raise ValueError(f"演算 {primitive.name!r} は既に登録されています (already registered)。")
    _registry[primitive.name] = primitive
    return primitive


def lookup(name: str) -> Primitive:
    """登録された演算を名前で返す。なければ `KeyError`。"""
    return _registry[name]


def elementwise_primitives() -> tuple[Elementwise, ...]:
    """登録されている要素ごとの演算を、宣言の順に返す。"""
    return tuple(p for p in _registry.values() if isinstance(p, Elementwise))


def reductions() -> tuple[Reduction, ...]:
    """登録されている、並びをまとめる演算を、宣言の順に返す。"""
    return tuple(p for p in _registry.values() if isinstance(p, Reduction))


def array_ops() -> tuple[ArrayOp, ...]:
    """登録されている、配列だけの演算を、宣言の順に返す。"""
    return tuple(p for p in _registry.values() if isinstance(p, ArrayOp))
