"""更新式の部品: 最適化手法の式は、`Kernels` の操作だけで書かれている。

同じ式が、JAX では新しい配列を返し (`Kernels`)、NumPy では配列をその場で書き換え (`InPlace`)、機械語
にするときは、計算せずに操作を並べる (`Listed`)。どれも結果を返すので、式は
`m = k.mix(m, β, g, 1 − β)` のように 1 度だけ書けばよい。`Kernels` の 1 行 1 行が、それぞれの操作の
定義である。
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from micrograd_jp import namespace


class Kernels:
    """更新式が使う操作。`x` は書き換えてよい配列、`y` は読むだけの配列、a, b は数。

    このクラスは、書き換えられない配列 (JAX) のために新しい配列を返す。`jax.jit` の中でも動く。
    """

    def __init__(self, m: Any) -> None:
        self._m = m

    def mix(self, x: Any, a: Any, y: Any, b: Any, over: Any = None) -> Any:
        """x ← a·x + b·y、または a·x + b·y/over。"""
        # A learning rate that jax.jit traces is an array of its own dtype: cast back to x's.
        return (a * x + b * (y if over is None else y / over)).astype(x.dtype)

    def mix_square(self, x: Any, a: Any, y: Any, b: Any) -> Any:
        """x ← a·x + b·y²。"""
        return (a * x + b * (y * y)).astype(x.dtype)

    def negative(self, y: Any) -> Any:
        """−y。"""
        return -y

    def combined(self, y: Any, a: Any, z: Any, b: Any) -> Any:
        """a·y + b·z。"""
        return (a * y + b * z).astype(y.dtype)

    def maximum(self, x: Any, y: Any) -> Any:
        """x ← max(x, y)。"""
        return self._m.maximum(x, y)

    def deviation(self, square: Any, mean: Any) -> Any:
        """max(square − mean², 0)。丸めで負になった分散から nan を作らない。"""
        return self._m.maximum(square - mean * mean, 0)

    def root(self, y: Any, scale: Any, eps: Any) -> Any:
        """√y / scale + eps。"""
        return (self._m.sqrt(y) / scale + eps).astype(y.dtype)

    def quotient(self, y: Any, b: Any, over: Any) -> Any:
        """b·y/over。"""
        return (b * (y / over)).astype(y.dtype)

    def norm(self, y: Any) -> Any:
        """‖y‖。2 乗してオーバーフローする数やアンダーフローする数でも正しい。"""
        m, most = self._m, self._m.max(self._m.abs(y), initial=0)
        scale = m.where((most > 0) & m.isfinite(most), most, 1)
        return scale * m.sqrt(m.sum(m.square(y / scale)))

    def ratio(self, a: Any, b: Any) -> Any:
        """a/b。どちらかが 0 なら（nan でも）、また比がオーバーフローするなら、1。"""
        m, good = self._m, (a > 0) & (b > 0)
        found = a / m.where(good, b, 1)
        return m.where(good & (found < math.inf), found, 1)

    def balanced(self, y: Any, a: Any, b: Any, eps: Any) -> Any:
        """y·√(a + eps)/√(b + eps)。a と b は配列。"""
        m = self._m
        return (y / m.sqrt(b + eps) * m.sqrt(a + eps)).astype(y.dtype)

    def peak(self, x: Any, a: Any, y: Any, eps: Any) -> Any:
        """x ← max(a·x, |y| + eps)。"""
        return self._m.maximum(a * x, self._m.abs(y) + eps).astype(x.dtype)

    def times(self, y: Any, z: Any) -> Any:
        """y·z。"""
        return y * z

    def by_sign(self, y: Any, minus: Any, zero: Any, plus: Any) -> Any:
        """y の符号で選んだ数（nan は nan）。"""
        m = self._m
        return m.where(y > 0, plus, m.where(y < 0, minus, y + zero)).astype(y.dtype)

    def scaled_within(self, x: Any, y: Any, low: Any, high: Any) -> Any:
        """x ← x·y を区間 [low, high] に収めたもの。"""
        return self._m.minimum(self._m.maximum(x * y, low), high).astype(x.dtype)

    def unless_opposed(self, y: Any, z: Any) -> Any:
        """y。ただし、符号が z と反対のところは 0。"""
        return self._m.where(y * z < 0, 0, y).astype(y.dtype)

    # ---- 数 ------------------------------------------------------------------------------------

    def number(self, x: Any) -> Any:
        """数である状態の値。"""
        return x if namespace.is_traced(x) else float(x)

    def renewed(self, x: Any, number: Any) -> Any:
        """数である状態 x の、新しい値（x の型）。"""
        return self._m.asarray(number, dtype=x.dtype)

    def chosen(self, condition: Any, f: Callable[[], Any], g: Callable[[], Any]) -> Any:
        """条件（数）が真なら f()、偽なら g()。値のない条件なら、両方を計算して選ぶ。"""
        if namespace.is_traced(condition):
            return self._m.where(condition, f(), g())
        return f() if condition else g()


class InPlace(Kernels):
    """NumPy: その場で書き換える。中間結果は、前もって取った 2 つの作業用の配列に入る。"""

    _m: Any = np

    def __init__(self, shape: Any, dtype: Any) -> None:
        self._gradient, self._work = np.empty(shape, dtype), np.empty(shape, dtype)

    def mix(self, x: Any, a: Any, y: Any, b: Any, over: Any = None) -> Any:
        """x ← a·x + b·y、または a·x + b·y/over。"""
        t = self._work
        if over is None:
            np.multiply(y, b, out=t, casting="same_kind")
        else:
            np.divide(y, over, out=t)
            np.multiply(t, b, out=t)
        if a == 0:
            np.copyto(x, t)
            return x
        if a != 1:
            np.multiply(x, a, out=x)
        return np.add(x, t, out=x)

    def mix_square(self, x: Any, a: Any, y: Any, b: Any) -> Any:
        """x ← a·x + b·y²。"""
        t = np.multiply(y, y, out=self._work)
        if b != 1:
            np.multiply(t, b, out=t)
        if a != 1:
            np.multiply(x, a, out=x)
        return np.add(x, t, out=x)

    def negative(self, y: Any) -> Any:
        """−y。"""
        return np.negative(y, out=self._gradient)

    def combined(self, y: Any, a: Any, z: Any, b: Any) -> Any:
        """a·y + b·z。"""
        t = np.multiply(z, b, out=self._work)
        if a != 1:
            y = np.multiply(y, a, out=self._gradient)
        return np.add(y, t, out=self._gradient)

    def maximum(self, x: Any, y: Any) -> Any:
        """x ← max(x, y)。"""
        return np.maximum(x, y, out=x)

    def deviation(self, square: Any, mean: Any) -> Any:
        """max(square − mean², 0)。"""
        t = np.multiply(mean, mean, out=self._work)
        np.subtract(square, t, out=t)
        return np.maximum(t, 0, out=t)

    def root(self, y: Any, scale: Any, eps: Any) -> Any:
        """√y / scale + eps。"""
        t = np.sqrt(y, out=self._work)
        if scale != 1:
            np.divide(t, scale, out=t)
        return np.add(t, eps, out=t)

    def quotient(self, y: Any, b: Any, over: Any) -> Any:
        """b·y/over。"""
        t = np.divide(y, over, out=self._gradient)
        return np.multiply(t, b, out=t)

    def norm(self, y: Any) -> Any:
        """‖y‖。"""
        found = float(np.linalg.norm(y))
        # Squares of less have few digits left in float32.
        return found if 1e-10 < found < np.inf else float(super().norm(y))

    def ratio(self, a: Any, b: Any) -> Any:
        """a/b。どちらかが 0 なら（nan でも）、また比がオーバーフローするなら、1。"""
        found = a / b if a > 0 and b > 0 else 1.0
        return found if found < math.inf else 1.0

    def balanced(self, y: Any, a: Any, b: Any, eps: Any) -> Any:
        """y·√(a + eps)/√(b + eps)。a と b は配列。"""
        t = np.add(b, eps, out=self._work)
        y = np.divide(y, np.sqrt(t, out=t), out=self._gradient)
        t = np.add(a, eps, out=self._work)
        return np.multiply(y, np.sqrt(t, out=t), out=y)

    def peak(self, x: Any, a: Any, y: Any, eps: Any) -> Any:
        """x ← max(a·x, |y| + eps)。"""
        t = np.abs(y, out=self._work)
        np.add(t, eps, out=t)
        return np.maximum(np.multiply(x, a, out=x), t, out=x)

    def times(self, y: Any, z: Any) -> Any:
        """y·z。"""
        return np.multiply(y, z, out=self._work)

    def by_sign(self, y: Any, minus: Any, zero: Any, plus: Any) -> Any:
        """y の符号で選んだ数（nan は nan）。"""
        up, down = y > 0, y < 0
        t = np.add(y, zero, out=self._work)
        np.copyto(t, plus, where=up)
        np.copyto(t, minus, where=down)
        return t

    def scaled_within(self, x: Any, y: Any, low: Any, high: Any) -> Any:
        """x ← x·y を区間 [low, high] に収めたもの。"""
        return np.clip(np.multiply(x, y, out=x), low, high, out=x)

    def unless_opposed(self, y: Any, z: Any) -> Any:
        """y。ただし、符号が z と反対のところは 0。"""
        opposed = np.multiply(y, z, out=self._work) < 0
        if y is not self._gradient:
            np.copyto(self._gradient, y)
        self._gradient[opposed] = 0
        return self._gradient


class Place:
    """計算されない配列の代わり。はじめに渡す配列、次に操作の結果が、順に 1 つずつ持つ。"""

    __slots__ = ()


PLACES = [Place() for _ in range(64)]

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}


class Symbol:
    """値のまだない数。四則とべきは、その Python の式になる。

    値を見るもの（比較、真偽、float）は断るので、値で変わる式が黙って決まることはない。

    Attributes:
        text: 式。
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __neg__(self) -> Symbol:
        return Symbol(f"(-{self.text})")

    def refuse(self, *_: Any) -> NoReturn:
        """値が要る。"""
        raise TypeError(f"{self.text} has no value yet")

    __bool__ = __float__ = __int__ = __index__ = __abs__ = __round__ = refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = refuse
    __hash__ = None  # type: ignore[assignment]


def _operation(sign: str, swapped: bool) -> Callable[[Any, Any], Symbol]:
    def operation(self: Any, other: Any) -> Symbol:
        left, right = (other, self) if swapped else (self, other)
        return Symbol(f"({_text(left)} {sign} {_text(right)})")

    return operation


for _name, _sign in _SIGNS.items():
    setattr(Symbol, f"__{_name}__", _operation(_sign, False))
    setattr(Symbol, f"__r{_name}__", _operation(_sign, True))


def _text(x: Any) -> str:
    """As Python reads it: the same number, to the last bit."""
    if x.__class__ is Symbol:
        return str(x.text)
    if x.__class__ in (float, int) and math.isfinite(x):
        return f"({x!r})"
    raise TypeError(f"{x!r} is not a number that can be written down")


def function_of(
    names: str, numbers: Sequence[Any], nonzero: Sequence[Symbol] = ()
) -> Callable[..., tuple[float, ...]]:
    """記号 `names` の値から、数を計算する関数。`nonzero` のどれかが 0 になるなら、何も返さない。

    Raises:
        TypeError: 式に書けない数がある。
    """
    body = "".join(f"{_text(x)}, " for x in numbers)
    condition = " and ".join(["True", *map(_text, nonzero)])
    found: Callable[..., tuple[float, ...]] = eval(
        f"lambda {names}: ({body}) if {condition} else ()"
    )
    return found


class Scaled(Kernels):
    """`Kernels` と、そのうち `mix` の特別な場合。"""

    def scaled(self, y: Any, b: Any) -> Any:
        """b·y。"""
        return b * y


class Listed(Scaled):
    """操作を、計算せずに並べる。

    Attributes:
        steps: 操作の名前と配列 (`PLACES`) を、順に。
        numbers: 操作の数を、順に。
        last: いちばん新しい `PLACES` の番号。
        nonzero: 0 なら別の操作になる、値のまだない数。
        arrays: 状態の配列の名前から、`PLACES` へ。
    """

    def __init__(self, slots: Sequence[str]) -> None:
        super().__init__(np)
        self.arrays: dict[str, Any] = dict(zip(slots, PLACES[2 : 2 + len(slots)]))
        self.again()

    def again(self) -> None:
        """はじめから並べ直す。"""
        self.steps: list[Any] = []
        self.numbers: list[float] = []
        self.nonzero: list[Symbol] = []
        self.last = 1 + len(self.arrays)

    def norm(self, y: Any) -> Any:
        """要素ごとの計算ではない。"""
        raise TypeError


OPERATIONS = {
    "mix": "x y over", "mix_square": "x y", "scaled": "y", "negative": "y", "combined": "y z",
    "maximum": "x y", "deviation": "square mean", "root": "y", "quotient": "y over",
    "balanced": "y a b", "peak": "x y", "times": "y z", "by_sign": "y", "scaled_within": "x y",
    "unless_opposed": "y z",
}  # fmt: skip
"""要素ごとの操作と、その引数のうちの配列。ほかの引数は数である。"""


def parameters_of(name: str) -> list[str]:
    """操作の引数の名前。"""
    return list(inspect.signature(getattr(Scaled, name)).parameters)[1:]


def _listing(name: str, arrays: Sequence[str]) -> Callable[..., Place]:
    """The method of `Listed`: written out, because it runs at every step."""
    numbers = [f"{x}," for x in parameters_of(name) if x not in arrays]
    optional, special = "", ""
    if name == "mix":  # where a is 0, x is not read: 0 · nan is not 0
        optional = "=None"
        special = """if a.__class__ is Symbol:
            self.nonzero += (a,)
        elif a == 0:
            return self.scaled(y, b) if over is None else self.quotient(y, b, over)"""
    source = f"""def {name}(self, {", ".join(parameters_of(name))}{optional}):
        {special}
        self.steps += ({name!r}, {", ".join(arrays)})
        self.numbers += ({" ".join(numbers)})
        self.last = last = self.last + 1
        return PLACES[last]"""
    defined: dict[str, Any] = {"PLACES": PLACES, "Symbol": Symbol}
    exec(source, defined)
    method: Callable[..., Place] = defined[name]
    return method


for _name, _arrays in OPERATIONS.items():
    setattr(Listed, _name, _listing(_name, _arrays.split()))
