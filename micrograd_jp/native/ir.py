"""LLVM の中間表現 (IR) の、決まり文句: くり返しと、SIMD のベクトルの型。"""

from __future__ import annotations

from typing import NamedTuple

_NUMBERS = {"float32": ("float", "f32", 4), "float64": ("double", "f64", 8)}


class Vector(NamedTuple):
    """SIMD のレジスタ 1 本に入るベクトル。

    Attributes:
        width: 数の個数。
        kind: 数の型の IR での綴り。
        short: 組み込み関数の名前の中での綴り。
        size: 数 1 つのバイト数。
    """

    width: int
    kind: str
    short: str
    size: int

    @classmethod
    def of(cls, dtype: str, vector_bytes: int) -> Vector:
        """`dtype` の数の、`vector_bytes` のレジスタのベクトル。"""
        kind, short, size = _NUMBERS[dtype]
        return cls(vector_bytes // size, kind, short, size)

    def __str__(self) -> str:
        return self.like(self.kind)

    def like(self, kind: str) -> str:
        """同じ個数の、ほかの型のベクトル。"""
        return f"<{self.width} x {kind}>"

    def all(self, name: str, value: str, kind: str = "") -> str:
        """1 つの数を広げた (broadcast) ベクトル `name`。"""
        many = self.like(kind or self.kind)
        return f"""
  {name}.one = insertelement {many} poison, {kind or self.kind} {value}, i32 0
  {name} = shufflevector {many} {name}.one, {many} poison, {self.like("i32")} zeroinitializer"""

    def mask(self, name: str, count: str) -> str:
        """はじめの `count` 個。"""
        numbers = ", ".join(f"i64 {i}" for i in range(self.width))
        return f"""{self.all(f"{name}.limit", count, "i64")}
  {name} = icmp ult {self.like("i64")} <{numbers}>, {name}.limit"""

    def load(self, name: str, pointer: str, mask: str, kind: str = "") -> str:
        """`mask` の数を読む。ほかは 0。"""
        many, short, size = self._spelled(kind)
        return (
            f"  {name} = call {many} @llvm.masked.load.{short}.p0(ptr {pointer}, i32 {size}, "
            f"{self.like('i1')} {mask}, {many} zeroinitializer)"
        )

    def store(self, value: str, pointer: str, mask: str, kind: str = "") -> str:
        """`mask` の数を書く。"""
        many, short, size = self._spelled(kind)
        return (
            f"  call void @llvm.masked.store.{short}.p0({many} {value}, ptr {pointer}, i32 {size}, "
            f"{self.like('i1')} {mask})"
        )

    def declarations(self, kind: str = "") -> str:
        """上の 2 つの宣言。"""
        many, short, _ = self._spelled(kind)
        mask = self.like("i1")
        return f"""
declare {many} @llvm.masked.load.{short}.p0(ptr, i32, {mask}, {many})
declare void @llvm.masked.store.{short}.p0({many}, ptr, i32, {mask})"""

    def _spelled(self, kind: str) -> tuple[str, str, int]:
        short, size = (kind, int(kind[1:]) // 8) if kind else (self.short, self.size)
        return self.like(kind or self.kind), f"v{self.width}{short}", size

    @property
    def attributes(self) -> str:
        """関数の属性 #0: 短いベクトルに分けさせず、くり返しを C の関数の呼び出しに変えさせない。"""
        bits = self.width * self.size * 8
        widths = f'"prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'
        return f"""
attributes #0 = {{ nounwind "no-builtins" {widths} }}
!0 = distinct !{{!0, !1}}
!1 = !{{!"llvm.loop.unroll.disable"}}"""


def loop(name: str, start: str, stop: str, step: str, body: str) -> str:
    """`for name in range(start, stop, step): body`。1 度も回らないこともある。

    `body` の中で変わる値は、`alloca` した場所に置けばよい（LLVM がレジスタに移す）。
    """
    return f"""
  br label %{name}.before
{name}.before:
  %{name}.any = icmp slt i64 {start}, {stop}
  br i1 %{name}.any, label %{name}.on, label %{name}.done
{name}.on:
  %{name} = phi i64 [ {start}, %{name}.before ], [ %{name}.next, %{name}.end ]{body}
  br label %{name}.end
{name}.end:
  %{name}.next = add i64 %{name}, {step}
  %{name}.again = icmp slt i64 %{name}.next, {stop}
  br i1 %{name}.again, label %{name}.on, label %{name}.done, !llvm.loop !0
{name}.done:"""
