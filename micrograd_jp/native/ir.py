"""機械語の関数を Python で書く: ポインタ、SIMD のベクトル、くり返し、ほかの関数の呼び出し。

    >>> @function("ppi")
    ... def doubled(f, x, out, n):
    ...     f.vectors(n, lambda i, mask: (out + i).store((x + i).load(mask) * 2, mask))

書き手 `f` に書いたものが LLVM の中間表現 (IR) になる。
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from micrograd_jp.native.expressions import KINDS, SIZES, Code, Number
from micrograd_jp.native.math import Native

_SHORT = {"float": "f32", "double": "f64"}


class Vector(NamedTuple):
    """SIMD のレジスタ 1 本に入るベクトル: 数の型の IR での綴りと、個数。"""

    kind: str
    width: int

    @property
    def bits(self) -> int:
        """レジスタの大きさ。"""
        return self.width * 8 * SIZES[self.kind]

    @classmethod
    def of(cls, dtype: str, vector_bytes: int) -> Vector:
        """`dtype` の数の、`vector_bytes` のレジスタのベクトル。"""
        kind = KINDS[dtype]
        return cls(kind, vector_bytes // SIZES[kind])


class Function(NamedTuple):
    """機械語の関数。

    Attributes:
        name: 名前。
        arguments: 引数の型: p はポインタ、i は 64 ビットの整数。
        body: `body(f, *引数)` が中身を書く。
        inline: 呼び出すところに展開してよいか。
        apart: ポインタの指すメモリが、どれも重ならないか。
    """

    name: str
    arguments: str
    body: Callable[..., None]
    inline: bool = True
    apart: bool = False

    def module(self, vector: Vector) -> str:
        """この関数と、そこから呼ばれる関数の、IR の全体。"""
        return module([self], vector)


def module(functions: Sequence[Function], vector: Vector) -> str:
    """いくつかの関数と、そこから呼ばれる関数の、IR の全体。書く順は `functions` の順。"""
    texts, declared = {}, set()
    waiting = [*reversed(functions)]
    while waiting:
        one = waiting.pop()
        if one not in texts:
            f = Writer(vector)
            # What is not for inlining is not for specializing to one caller either.
            texts[one] = f.text(one, "internal " if one.inline and one not in functions else "")
            declared |= f.declared
            waiting += f.called
    widths = f'"prefer-vector-width"="{vector.bits}" "min-legal-vector-width"="{vector.bits}"'
    return "\n".join(
        [
            *texts.values(),
            *sorted(declared),
            # No calls of C functions instead of loops; vectors stay whole.
            f'attributes #0 = {{ nounwind "no-builtins" {widths} }}',
            '!0 = distinct !{!0, !1}\n!1 = !{!"llvm.loop.unroll.disable"}',
        ]
    )


def function(arguments: str) -> Callable[[Callable[..., None]], Function]:
    """`body(f, *引数)` を、その名前の機械語の関数にする。"""
    return lambda body: Function(body.__name__.strip("_"), arguments, body)


def from_list(called: Function, name: str, places: Sequence[int]) -> Function:
    """`called` を、引数の並んだメモリの番地 1 つから呼ぶ関数: Python から渡すものが 1 つで済む。

    Args:
        called: 呼ぶ関数。
        name: 名前。
        places: 引数ごとの、並びの中の番号。引数は、どれも 64 ビット。
    """

    def body(f: Writer, at: Pointer) -> None:
        given: list[Any] = []
        for letter, k in zip(called.arguments, places, strict=True):
            place = at.of("i64") + k
            number = place.item()
            if letter == "p":
                given.append(Pointer(f, f.kind, f.result(f"inttoptr i64 {number.text} to ptr")))
            else:
                given.append(number)
        f.call(called, *given)

    return Function(name, "p", body, inline=False)


class Writer(Code):
    """書きかけの関数。

    Attributes:
        kind: 数の型の綴り。
        width: ベクトルの幅。
        m: 数学関数。
        called: 呼んだ関数。
    """

    hint = ", !llvm.loop !0"

    def __init__(self, vector: Vector) -> None:
        super().__init__()
        self.vector = vector
        self.kind, self.width = vector
        self.m = Native(self, *vector)
        self.called: list[Function] = []
        self._variables: list[str] = []

    def text(self, written: Function, linkage: str) -> str:
        """IR での定義。"""
        names = [f"%a{i}" for i in range(len(written.arguments))]
        pairs = list(zip(written.arguments, names))
        written.body(
            self,
            *(Pointer(self, self.kind, x) if a == "p" else self.whole(x) for a, x in pairs),
        )
        pointer = "ptr noalias" if written.apart else "ptr"
        given = ", ".join(f"{pointer if a == 'p' else 'i64'} {x}" for a, x in pairs)
        return "\n".join(
            [
                f"define {linkage}void @{written.name}({given}) "
                f"{'' if written.inline else 'noinline '}#0 {{\nentry:",
                *self._variables, *self.lines, "  br label %return\nreturn:\n  ret void\n}",
            ]
        )  # fmt: skip

    def whole(self, x: Any) -> Number:
        """64 ビットの整数。"""
        return x if isinstance(x, Number) else self.number("i64", 1, str(x))

    def least(self, x: Any, y: Any) -> Any:
        """整数の小さい方。"""
        x = self.whole(x)
        return self.m.where(x < y, x, y)

    def all(self, x: Number) -> Number:
        """1 つの数を広げた (broadcast) ベクトル。"""
        none = Number(self, x.kind, self.width, "poison")
        one = none.made(f"insertelement {none.type} poison, {x.type} {x.text}, i32 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return one.made(f"shufflevector {one.type} {one.text}, {one.type} poison, {zeros}")

    def first(self, count: Number) -> Number:
        """はじめの `count` 個の要素を選ぶマスク。"""
        numbers = ", ".join(f"i64 {i}" for i in range(self.width))
        return self.number("i64", self.width, f"<{numbers}>") < self.all(count)

    def variable(self, value: Number) -> Variable:
        """くり返しの中で変わる値の置き場（LLVM がレジスタに移す）。"""
        place = f"%{self.fresh('variable')}"
        self._variables.append(f"  {place} = alloca {value.type}")
        return Variable(value, place)

    def gathered(self, numbers: Sequence[Number]) -> Number:
        """いくつかの数を並べたベクトル。足りない要素は 0。"""
        whole = self.zero(numbers[0].kind)
        for i, x in enumerate(numbers):
            whole = whole.made(
                f"insertelement {whole.type} {whole.text}, {x.type} {x.text}, i32 {i}"
            )
        return whole

    def zero(self, kind: str = "") -> Number:
        """0 のベクトル。"""
        return self.number(kind or self.kind, self.width, "zeroinitializer")

    def loop(self, stop: Any, body: Callable[[Number], Any], start: Any = 0, step: Any = 1) -> None:
        """`for i in range(start, stop, step): body(i)`。"""

        def once(i: Number) -> list[Number]:
            body(i)
            return []

        begin, end = self.whole(start), self.whole(stop)
        any_ = begin.made(f"icmp ult i64 {begin.text}, {end.text}", "i1")  # compared as in `fold`
        self.when(any_, lambda: self.fold((start, stop, step), [], once))

    def vectors(self, n: Number, body: Callable[[Number, Number], Any]) -> None:
        """n 個の数について、ベクトル 1 本ずつ `body(始まり, マスク)`。"""
        self.loop(n, lambda i: body(i, self.first(n - i)), step=self.width)

    def full_vectors(self, n: Number, body: Callable[[Number, Number | None], Any]) -> None:
        """`vectors` と同じ。はしたのないベクトルにはマスクを付けない: 付けると遅い CPU がある。"""
        full = n & -self.width
        self.loop(full, lambda i: body(i, None), step=self.width)
        self.when(full < n, lambda: body(full, self.first(n - full)))

    def when(self, condition: Number, body: Callable[[], Any], leave: bool = False) -> None:
        """条件が成り立てば `body()`。`leave` なら、その後で関数を終える。"""
        yes, no = self.fresh("yes"), self.fresh("no")
        self.write(f"br i1 {condition.text}, label %{yes}, label %{no}")
        self.start(yes)
        body()
        self.write(f"br label %{'return' if leave else no}")
        self.start(no)

    def call(self, called: Function, *arguments: Any) -> None:
        """ほかの関数を呼ぶ。"""
        self.called.append(called)
        given = (
            f"ptr {x.text}" if a == "p" else f"i64 {self.whole(x).text}"
            for a, x in zip(called.arguments, arguments, strict=True)
        )
        self.write(f"call void @{called.name}({', '.join(given)})")

    def call_at(self, at: Pointer, *arguments: Pointer) -> None:
        """ポインタだけを受け取る関数を、その番地から呼ぶ。"""
        self.write(f"call void {at.text}({', '.join(f'ptr {x.text}' for x in arguments)})")


class Variable:
    """くり返しの中で変わる値。`value` を読み書きする。"""

    def __init__(self, value: Number, place: str) -> None:
        self._like, self._place = value, place
        self.value = value

    @property
    def value(self) -> Any:
        """いまの値。"""
        like = self._like
        text = like.code.result(f"load {like.type}, ptr {self._place}", pure=False)
        return like.code.number(like.kind, like.width, text)

    @value.setter
    def value(self, x: Number) -> None:
        x.code.write(f"store {x.type} {x.text}, ptr {self._place}")


class Pointer:
    """数の並びの中の場所。`p + i` は i 個先。"""

    def __init__(self, f: Writer, kind: str, text: str) -> None:
        self.f, self.kind, self.text = f, kind, text

    def of(self, kind: str) -> Pointer:
        """同じ場所に、ほかの型の数があるとする。"""
        return Pointer(self.f, kind, self.text)

    def __add__(self, n: Any) -> Pointer:
        at = f"getelementptr {self.kind}, ptr {self.text}, i64 {self.f.whole(n).text}"
        return Pointer(self.f, self.kind, self.f.result(at))

    def exists(self) -> Number:
        """番地があるか。"""
        return self.f.whole(0).made(f"icmp ne ptr {self.text}, null", "i1")

    def otherwise(self, other: Pointer) -> Pointer:
        """番地がなければ `other`。"""
        there = f"select i1 {self.exists().text}, ptr {self.text}, ptr {other.text}"
        return Pointer(self.f, self.kind, self.f.result(there))

    def item(self) -> Number:
        """1 つの数。"""
        text = self.f.result(f"load {self.kind}, ptr {self.text}", pure=False)
        return self.f.number(self.kind, 1, text)

    def load(self, mask: Number | None = None) -> Number:
        """ベクトル。`mask` があれば、ほかは 0。"""
        like = self.f.zero(self.kind)
        load = f"load {like.type}, ptr {self.text}, align {SIZES[self.kind]}"
        if mask is not None:
            load = self._masked("load", like, "", f", {like.type} zeroinitializer", mask)
        return self.f.number(self.kind, like.width, self.f.result(load, pure=False))

    def store(self, x: Number, mask: Number | None = None) -> None:
        """ベクトルを書く。`mask` があれば、その要素だけ。"""
        store = f"store {x.type} {x.text}, ptr {self.text}, align {SIZES[self.kind]}"
        if mask is not None:
            store = self._masked("store", x, f"{x.type} {x.text}, ", "", mask)
        self.f.write(store)

    def store_some(self, x: Number, count: int) -> None:
        """ベクトルのはじめの `count` 個を書く。マスクを付けずに、半分ずつ。"""
        if count == x.width:
            self.store(x)
            return
        done = 0
        while done < count:
            size = 1 << ((count - done).bit_length() - 1)
            if size == 1:
                (self + done).store(x.split()[done])
            else:
                order = ", ".join(f"i32 {done + i}" for i in range(size))
                both = f"{x.type} {x.text}, {x.type} poison"
                text = self.f.result(f"shufflevector {both}, <{size} x i32> <{order}>")
                (self + done).store(self.f.number(x.kind, size, text))
            done += size

    def _masked(self, what: str, x: Number, before: str, after: str, mask: Number) -> str:
        name = f"@llvm.masked.{what}.v{x.width}{_SHORT.get(x.kind, x.kind)}.p0"
        result = x.type if what == "load" else "void"
        kinds = f"ptr, i32, {mask.type}"
        kinds = f"{kinds}, {x.type}" if what == "load" else f"{x.type}, {kinds}"
        self.f.declared.add(f"declare {result} {name}({kinds})")
        where = f"ptr {self.text}, i32 {SIZES[self.kind]}, {mask.type} {mask.text}"
        return f"call {result} {name}({before}{where}{after})"
