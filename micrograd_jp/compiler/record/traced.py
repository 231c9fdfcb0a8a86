"""記録中の数 (`Traced`): 値はまだなく、表の中の番号だけをもつ `Value`。

演算はどれも、表 (`Recorder`) に 1 行書き足して新しい `Traced` を返す。値を見ようとする操作
（if、float、並べ替え、…）は、何が起きたかと何を書けばよいかを示して断る。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from micrograd_jp.compiler.record.parameters import Captured
from micrograd_jp.compiler.record.recorder import Recorder, TraceError
from micrograd_jp.compiler.table.codes import COMPARISONS, DETACH, TAKE, code_of
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.engine.operations import apply, as_operand
from micrograd_jp.engine.value import Value
from micrograd_jp.ops.elementwise import maximum, minimum
from micrograd_jp.ops.primitive import (
    OPERATOR_METHODS,
    UNARY_METHODS,
    Elementwise,
    elementwise_primitives,
)


def _refused(what: str, advice: str) -> Callable[..., NoReturn]:
    def method(self: Any, *_: Any) -> NoReturn:
        raise TraceError(
            f"コンパイル中の値では {what} は使えません ({what} on a traced value): 関数は 1 度だけ"
            f"記録され、どの入力にも同じ計算が使われるので、値はまだありません。{advice}"
        )

    return method


_ONE_CALCULATION = (
    "条件で分けるときは mg.where(条件, a, b)、大きい方・小さい方は mg.maximum(a, b)・"
    "mg.minimum(a, b) と書いてください。"
)
_ONLY_NUMBERS = (
    "関数の中では Tensor に混ぜたり書き込んだりせず、Python のリストと mg.sum・mg.dot で書いて"
    "ください。"
)
_NO_NUMBER = "数に直さず、v.exp() や mg.exp(v) のような演算で書いてください。"


# Python asks the right operand first when its class derives from the left one's: that is how
# `w * x` is recorded although w is a plain Value, or one captured by an earlier compilation.
class Traced(Captured):
    """記録中の数。`Recorder` の表の `number` 番目。"""

    __slots__ = ("number", "recorder")

    number: int
    recorder: Recorder

    def __init__(self) -> None:
        raise TypeError("Traced は mg.compile が作ります。")

    @staticmethod
    def at(recorder: Recorder, number: int) -> Traced:
        """表の中のノードを表すもの。"""
        out: Traced = object.__new__(Traced)
        out.recorder, out.number = recorder, number
        return out

    def record(self, op: Any, operands: tuple[Any, ...]) -> Traced:
        """Write down any operation with this value among its operands."""
        recorder = self.recorder
        return Traced.at(recorder, recorder.write(op, [recorder.operand(x) for x in operands]))

    def detach(self) -> Any:
        """同じ値の、勾配が流れないもの。"""
        return self.record(DETACH, (self,))

    data = property(detach, _refused("v.data への代入", "新しい名前に代入して書いてください。"))

    def detached_from(self) -> Any:
        """`detach` された数なら、そのもと。ほかは `None`。"""
        source = self.recorder.detached.get(self.number)
        return None if source is None else Traced.at(self.recorder, source)

    def chosen(self, xs: Any) -> Any:
        """`xs` の、この入力の番号のもの。行の並びなら、行。

        Raises:
            TraceError: 入力そのものでない。
        """
        if self.number not in self.recorder.inputs_at:
            raise TraceError(
                "コンパイルする関数の中で選ぶ番号は、入力そのものです (index is not an input): "
                "計算した番号でなく、番号の配列を引数として渡してください。"
            )
        if isinstance(xs[0], list | tuple):
            return [self.chosen(column) for column in zip(*xs, strict=True)]
        return self.record(TAKE, (self, *xs))

    @property
    def label(self) -> str:
        """図と表に書く名前。"""
        return self.recorder.labels.get(self.number, "")

    @label.setter
    def label(self, label: str) -> None:
        self.recorder.labels[self.number] = str(label)

    # ---- 値はまだない ----

    _data = property(
        _refused(
            "v.data",
            f"{_NO_NUMBER}{_ONLY_NUMBERS}",
        ),
        _refused("v.data への代入", "新しい名前に代入して書いてください。"),
    )
    grad = property(
        _refused("v.grad", "勾配は、コンパイルした関数の backward() のあとで見ます。"),
        _refused("v.grad への代入", "コンパイルした関数の zero_grad() を、関数の外で呼びます。"),
    )
    op = property(
        _refused(
            "v.op やモジュールの属性への代入",
            "モジュールの部品は関数の外で作り、値は引数や返り値でやりとりしてください。",
        )
    )
    item = _refused("v.item()", _NO_NUMBER)
    backward = _refused(
        "v.backward()", "微分は loss.backward() か loss.value_and_grad で求めます。"
    )
    __bool__ = _refused("if・and・or・max・sorted などの真偽の判定", _ONE_CALCULATION)
    __iter__ = _refused(
        "反復 (iteration)",
        "1 つの標本で 1 つの数です。並びにするには、形 (標本の数, 長さ) の配列を渡してください。",
    )
    __float__ = _refused("float(v) や math の関数", _NO_NUMBER)
    __int__ = _refused("int(v)", "mg.floor(v) のような演算で書いてください。")
    __complex__ = _refused("complex(v)", _NO_NUMBER)
    __round__ = _refused("round(v)", "mg.floor(v + 0.5) のように書いてください。")
    __trunc__ = _refused("math.trunc(v)", "mg.floor(v) のように書いてください。")
    __index__ = _refused("添字や range(v)", "番号で選ぶのは mg.take(xs, v) です。")
    __reduce__ = _refused("copy や pickle", "そのまま使ってください。")
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        name = f" {self.label}" if self.label else ""
        return f"<traced value #{self.number}{name}>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __ne__(self, other: Any) -> Any:
        same = self == other
        return not same if same.__class__ is bool else 1 - same

    def __and__(self, other: Any) -> Any:
        return apply(minimum, self, other)

    def __or__(self, other: Any) -> Any:
        return apply(maximum, self, other)

    def __invert__(self) -> Any:
        return 1 - self

    __rand__, __ror__ = __and__, __or__


# ---- 演算のメソッド ----------------------------------------------------------------------------

# These run once per scalar of the user's program: 240,000 times for a small network. They append
# to plain lists and go through nothing else.


def _unary(op: Elementwise) -> Callable[..., Any]:
    code, new = code_of(op), object.__new__

    def method(self: Traced) -> Traced:
        recorder = self.recorder
        recorder.args.append(self.number)
        out: Traced = new(Traced)
        out.recorder, codes = recorder, recorder.codes
        out.number = len(codes)
        codes.append(code)
        return out

    return method


def _binary(op: Elementwise, reflected: bool = False) -> Callable[..., Any]:
    code, new = code_of(op), object.__new__

    def method(self: Traced, other: Any = None) -> Any:
        recorder = self.recorder
        if other.__class__ is Traced and other.recorder is recorder:
            number = other.number
        else:
            number = recorder.known.get(id(other), -1)
            if number < 0:
                if other is None and op.defaults:
                    other = op.defaults[0]
                if not isinstance(other, Value):
                    other = as_operand(other, op.name)
                    if other is NotImplemented:
                        return NotImplemented
                number = recorder.operand(other)
        args = recorder.args
        if reflected:
            args.append(number)
            args.append(self.number)
        else:
            args.append(self.number)
            args.append(number)
        out: Traced = new(Traced)
        out.recorder, codes = recorder, recorder.codes
        out.number = len(codes)
        codes.append(code)
        return out

    return method


def _equal(op: Elementwise) -> Callable[..., Any]:
    method = _binary(op)

    def equal(self: Traced, other: Any) -> Any:
        if not isinstance(other, Value) and not is_number(other):
            return NotImplemented  # what is no number is not equal
        return method(self, other)

    return equal


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    function.__name__, function.__qualname__ = name, f"Traced.{name}"
    return function


def _attach() -> None:
    for op in elementwise_primitives():
        if op.arity > 2:
            continue  # through the package's functions, which bind the defaults
        function = _unary(op) if op.arity == 1 else _binary(op)
        for name in filter(None, (op.name, op.numpy_name)):
            setattr(Traced, name, _named(function, name))
        if op.operator:
            dunder = OPERATOR_METHODS[op.operator]
            setattr(Traced, f"__{dunder}__", _named(_binary(op), f"__{dunder}__"))
            setattr(Traced, f"__r{dunder}__", _named(_binary(op, True), f"__r{dunder}__"))
    for dunder, name in UNARY_METHODS.items():
        setattr(Traced, dunder, getattr(Traced, name))
    for name, op in COMPARISONS.items():
        method = _equal(op) if name == "eq" else _binary(op)
        setattr(Traced, f"__{name}__", _named(method, f"__{name}__"))


_attach()
