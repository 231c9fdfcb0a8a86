"""LLVM の中間表現 (IR) を、Python の式で書く。

`Number` は「これから機械語の 1 つのレジスタに入る値」で、+ や < や関数を使うと、計算する代わりに
IR の 1 行を書き足す。だから演算の宣言 (`ops/elementwise.py`) にこの値と、名前空間
`math.Native` を渡せば、同じ公式がそのまま機械語になる。

    >>> code = Code()
    >>> x = code.number("float", 4, "%x")
    >>> _ = 1 / (1 + x * x)
    >>> print(code.lines[0])
      %1 = fmul contract <4 x float> %x, %x

幅 (width) が 2 以上の値は SIMD のベクトルで、幅だけの数を 1 つの命令で計算する。
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

KINDS = {"float32": "float", "float64": "double"}
"""NumPy の型から、IR の浮動小数点の型へ。"""

SIZES = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i8": 1}
"""IR の型のバイト数。"""

BITS = {"float": "i32", "double": "i64"}
"""浮動小数点の型から、同じ幅の整数の型へ。"""


class Code:
    """書きかけの関数の本体。

    Attributes:
        lines: IR の行。
        label: いま書いている基本ブロック (basic block) の名前。
        declared: 使った LLVM の組み込み関数の宣言。
        power: xʸ を書く関数（名前空間が決める）。
        hint: くり返しの分岐に付ける、LLVM への注意。
        contracts: 積と和を、1 度に丸めてよいか (fused multiply-add)。
    """

    power: Callable[[Number, Any], Number]
    hint = ""
    contracts = True

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.label = "entry"
        self.declared: set[str] = set()
        self._known: dict[str, str] = {}
        self._count = 0

    def fresh(self, prefix: str = "") -> str:
        """まだ使われていない名前。"""
        self._count += 1
        return f"{prefix}{self._count}"

    def write(self, line: str) -> None:
        """値のない命令を 1 行書く。"""
        self.lines.append(f"  {line}")

    def result(self, instruction: str, pure: bool = True) -> str:
        """値のある命令を 1 行書き、その値の名前を返す。同じ計算は 2 度書かない。"""
        if not self.contracts:
            instruction = instruction.replace(" contract ", " ", 1)
        if pure and instruction in self._known:
            return self._known[instruction]
        name = "%" + self.fresh()
        self.lines.append(f"  {name} = {instruction}")
        if pure:
            self._known[instruction] = name
        return name

    def start(self, label: str) -> None:
        """新しい基本ブロックを始める。"""
        self.lines.append(f"{label}:")
        self.label = label
        self._known = {}  # what another block computed need not be computed here

    def number(self, kind: str, width: int, text: str) -> Number:
        """名前 `text` をもつ値。"""
        return Number(self, kind, width, text)

    def integer(self, instruction: str) -> Number:
        """番地の計算に使う 64 ビットの整数。"""
        return Number(self, "i64", 1, self.result(instruction))

    def fold(
        self,
        bounds: tuple[Any, Any, int],
        carried: Sequence[Number],
        body: Callable[..., Sequence[Number]],
    ) -> list[Number]:
        """くり返し (loop)。`body(i, *carried)` の返す値が、次の回の `carried` になる。

        Args:
            bounds: 初め、終わり（含まない）、間隔。1 回は必ず実行される。
            carried: はじめの値。
            body: 1 回分を書く関数。
        """
        start, stop, step = bounds
        before, head, done = self.label, self.fresh("loop"), self.fresh("done")
        self.write(f"br label %{head}")
        names = [f"%{self.fresh('phi')}" for _ in range(len(carried) + 1)]
        place = len(self.lines) + 1
        self.start(head)
        values = [Number(self, c.kind, c.width, n) for c, n in zip(carried, names[1:])]
        index = Number(self, "i64", 1, names[0])
        after = body(index, *values)
        following = index + step
        types = ["i64", *[c.type for c in carried]]
        first = [index.same(start).text, *[c.text for c in carried]]
        latest = [following.text, *[c.text for c in after]]
        self.lines[place:place] = [
            f"  {name} = phi {kind} [ {a}, %{before} ], [ {b}, %{self.label} ]"
            for name, kind, a, b in zip(names, types, first, latest)
        ]
        again = self.result(f"icmp ult i64 {following.text}, {index.same(stop).text}")
        self.write(f"br i1 {again}, label %{head}, label %{done}{self.hint}")
        self.start(done)
        return list(after)


Operator = Callable[[Any, Any], "Number"]


def _operation(of_floats: str, of_integers: str, kind: str = "") -> Operator:
    def write(x: Number, other: Any) -> Number:
        name = of_floats if x.is_float else of_integers
        return x.made(f"{name} {x.type} {x.text}, {x.same(other).text}", kind)

    return write


def _reflected(of_floats: str, of_integers: str) -> Operator:
    write = _operation(of_floats, of_integers)
    return lambda y, other: write(y.same(other), y)


def _comparison(of_floats: str, of_integers: str) -> Operator:
    return _operation(f"fcmp {of_floats}", f"icmp {of_integers}", "i1")


class Number:
    """機械語のレジスタに入る値（の名前）。

    Attributes:
        kind: `"float"`, `"double"`, `"i32"`, `"i64"`, `"i1"`。
        width: ベクトルの幅。1 ならただの数。
        text: IR の中での名前か定数。
    """

    __slots__ = ("code", "kind", "text", "width")
    dtype = None

    def __init__(self, code: Code, kind: str, width: int, text: str) -> None:
        self.code, self.kind, self.width, self.text = code, kind, width, text

    @property
    def type(self) -> str:
        """IR での型の綴り。"""
        return self.kind if self.width == 1 else f"<{self.width} x {self.kind}>"

    @property
    def is_float(self) -> bool:
        """浮動小数点数か。"""
        return self.kind in BITS

    def made(self, instruction: str, kind: str = "") -> Number:
        """命令の結果を、同じ幅の値とする。"""
        return Number(self.code, kind or self.kind, self.width, self.code.result(instruction))

    def same(self, x: Any) -> Number:
        """Python の数 `x` を、この値と同じ型の定数にする。"""
        if isinstance(x, Number):
            return x
        text = self._literal(x)
        if self.width > 1:
            text = "<" + ", ".join([f"{self.kind} {text}"] * self.width) + ">"
        return Number(self.code, self.kind, self.width, text)

    def _literal(self, x: float) -> str:
        if not self.is_float:
            return str(int(x))
        if self.kind == "float":  # IR writes a float32 with the bits of the equal float64
            with np.errstate(over="ignore"):
                x = float(np.float32(x))
        return "0x" + struct.pack(">d", x).hex().upper()

    __add__, __radd__ = _operation("fadd contract", "add"), _reflected("fadd contract", "add")
    __sub__, __rsub__ = _operation("fsub contract", "sub"), _reflected("fsub contract", "sub")
    __mul__, __rmul__ = _operation("fmul contract", "mul"), _reflected("fmul contract", "mul")
    __truediv__, __rtruediv__ = (
        _operation("fdiv contract", "udiv"),
        _reflected("fdiv contract", "udiv"),
    )
    __lshift__, __rshift__, __and__, __or__, __xor__ = (
        _operation("", name) for name in ("shl", "ashr", "and", "or", "xor")
    )
    __lt__, __le__ = _comparison("olt", "slt"), _comparison("ole", "sle")
    __gt__, __ge__ = _comparison("ogt", "sgt"), _comparison("oge", "sge")
    __eq__ = _comparison("oeq", "eq")  # type: ignore[assignment]
    __ne__ = _comparison("une", "ne")  # type: ignore[assignment]

    def __neg__(self) -> Number:
        return self.made(f"fneg {self.type} {self.text}")

    def __pow__(self, other: Any) -> Number:
        return self.code.power(self, other)

    def __rpow__(self, other: Any) -> Number:
        return self.same(other) ** self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("規則の中で if は使えません。m.where を使ってください。")

    # ---- 型の変換 ----

    def astype(self, dtype: Any) -> Number:
        """配列の公式のためのもの。値の型は、1 つの関数の中では同じ。"""
        return self

    def cast(self, how: str, kind: str) -> Number:
        """IR の命令 `how` で、ほかの型に。"""
        to = Number(self.code, kind, self.width, "").type
        return self.made(f"{how} {self.type} {self.text} to {to}", kind)

    def bits(self) -> Number:
        """浮動小数点数のビットを、整数として読む。"""
        return self.cast("bitcast", BITS[self.kind])

    def as_float(self, kind: str) -> Number:
        """整数のビットを、浮動小数点数として読む。"""
        return self.cast("bitcast", kind)

    def converted(self, kind: str) -> Number:
        """整数を浮動小数点数に、または float と double の間で変換する。"""
        if kind == self.kind:
            return self
        between_floats = "fpext" if kind == "double" else "fptrunc"
        return self.cast(between_floats if self.is_float else "sitofp", kind)

    # ---- ベクトルの要素 ----

    def split(self) -> list[Number]:
        """要素ごとの値。"""
        if self.width == 1:
            return [self]
        texts = [
            self.code.result(f"extractelement {self.type} {self.text}, i32 {i}")
            for i in range(self.width)
        ]
        return [Number(self.code, self.kind, 1, text) for text in texts]


def joined(parts: Sequence[Number]) -> Number:
    """ただの数を並べて 1 つのベクトルにする。"""
    first = parts[0]
    if len(parts) == 1:
        return first
    whole = Number(first.code, first.kind, len(parts), "poison")
    for i, part in enumerate(parts):
        element = f"{part.kind} {part.text}, i32 {i}"
        whole = whole.made(f"insertelement {whole.type} {whole.text}, {element}")
    return whole
