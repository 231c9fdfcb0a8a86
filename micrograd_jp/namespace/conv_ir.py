"""畳み込みの機械語の、LLVM の中間表現 (IR)。

どの計算も、1 つの小さな核 (micro-kernel) `tile` のくり返しである。

    acc[p][v] += x[場所 p] · w[v]      p: 画素 (P 個)、v: 出力のチャネルのベクトル (V 個)

`acc` の P·V 本のベクトルはレジスタに居続け、くり返すごとに、数 P 個を広げ (broadcast)、ベクトル
V 本を読む。畳み込みでは p は出力の画素で、窓の画素とチャネルにわたって足す。重みの勾配では p は窓の画素と
チャネルで、画像の画素にわたって足す。行列の形に並べ直すこと (im2col) はしない。

場所は表で渡すので、ストライドも dilation も、画像の並びも、同じ核で済む。
"""

from __future__ import annotations

import functools

FUNCTIONS = ("convolve", "correlate")

_NUMBERS = {"float32": ("float", 4), "float64": ("double", 8)}

_ARGUMENTS = (
    "ptr %x, ptr %places, i64 %steps, ptr %jumps, i64 %n, i64 %sx, ptr %w, i64 %sw, "
    "ptr %init, i64 %si, ptr %out, i64 %so, i64 %rows, i64 %lanes"
)
"""Strides and places count elements.

x, places: P places; jumps: `steps` further ones, from each of which n numbers are read, sx apart;
w: vectors, sw apart, one after the other; init: what the sums start with, si apart; out: where the
first `rows` of them go, so apart, `lanes` numbers of the last vector.
"""


def tile_size(vector_bytes: int) -> tuple[int, int]:
    """(P, V)。512 ビットのレジスタは 32 本、それより短いものは 16 本ある。"""
    return (8, 2) if vector_bytes == 64 else (6, 2)


def lanes(dtype: str, vector_bytes: int) -> int:
    """1 つのベクトルの数の個数。"""
    return vector_bytes // _NUMBERS[dtype][1]


@functools.cache
def module(dtype: str, vector_bytes: int) -> str:
    """IR の全体。

    Args:
        dtype: `"float32"` か `"float64"`。
        vector_bytes: SIMD のレジスタの大きさ。
    """
    pixels, vectors = tile_size(vector_bytes)
    width = lanes(dtype, vector_bytes)
    kind = _NUMBERS[dtype][0]
    vector = f"<{width} x {kind}>"
    store = f"declare void @llvm.masked.store({vector}, ptr, i32, <{width} x i1>)"
    bits = vector_bytes * 8
    return "\n".join(
        [
            *(_tile(kind, width, pixels, v) for v in range(1, vectors + 1)),
            _some(width, vectors),
            _convolve(kind, width, pixels, vectors),
            _correlate(kind, width, pixels, vectors),
            store.replace("@llvm.masked.store", f"@llvm.masked.store.v{width}{_short(kind)}.p0"),
            f'attributes #0 = {{ nounwind "prefer-vector-width"="{bits}" '
            f'"min-legal-vector-width"="{bits}" }}',
            "!0 = distinct !{!0, !1}",
            '!1 = !{!"llvm.loop.unroll.disable"}',
        ]
    )


def _short(kind: str) -> str:
    return "f32" if kind == "float" else "f64"


def _tile(kind: str, width: int, pixels: int, vectors: int) -> str:
    vector, size = f"<{width} x {kind}>", 4 if kind == "float" else 8
    ps, vs = range(pixels), range(vectors)
    cells = [(p, v) for p in ps for v in vs]
    text = [f"define internal void @tile{vectors}({_ARGUMENTS}) noinline #0 {{", "entry:"]
    for p in ps:
        text += [
            f"  %place{p}.at = getelementptr i64, ptr %places, i64 {p}",
            f"  %place{p} = load i64, ptr %place{p}.at",
            f"  %x{p} = getelementptr {kind}, ptr %x, i64 %place{p}",
            f"  %skip{p} = mul i64 %si, {p}",
        ]
    for p, v in cells:
        text += [
            f"  %from{p}.{v}.row = getelementptr {kind}, ptr %init, i64 %skip{p}",
            f"  %from{p}.{v} = getelementptr {vector}, ptr %from{p}.{v}.row, i64 {v}",
            f"  %first{p}.{v} = load {vector}, ptr %from{p}.{v}, align {size}",
        ]
    text += [
        "  br label %jump",
        "jump:",
        "  %t = phi i64 [ 0, %entry ], [ %t.next, %jumped ]",
        "  %w.before = phi ptr [ %w, %entry ], [ %w.next, %jumped ]",
        *(
            f"  %before{p}.{v} = phi {vector} [ %first{p}.{v}, %entry ], [ %sum{p}.{v}, %jumped ]"
            for p, v in cells
        ),
        "  %jump.at = getelementptr i64, ptr %jumps, i64 %t",
        "  %by = load i64, ptr %jump.at",
        *(f"  %base{p} = getelementptr {kind}, ptr %x{p}, i64 %by" for p in ps),
        "  br label %add",
        "add:",
        "  %k = phi i64 [ 0, %jump ], [ %k.next, %add ]",
        "  %i = phi i64 [ 0, %jump ], [ %i.next, %add ]",
        "  %w.now = phi ptr [ %w.before, %jump ], [ %w.next, %add ]",
        *(
            f"  %acc{p}.{v} = phi {vector} [ %before{p}.{v}, %jump ], [ %sum{p}.{v}, %add ]"
            for p, v in cells
        ),
    ]
    for v in vs:
        text += [
            f"  %w{v}.at = getelementptr {vector}, ptr %w.now, i64 {v}",
            f"  %w{v} = load {vector}, ptr %w{v}.at, align {size}",
        ]
    for p in ps:
        text += [
            f"  %number{p}.at = getelementptr {kind}, ptr %base{p}, i64 %i",
            f"  %number{p} = load {kind}, ptr %number{p}.at",
            f"  %one{p} = insertelement {vector} poison, {kind} %number{p}, i32 0",
            f"  %all{p} = shufflevector {vector} %one{p}, {vector} poison, "
            f"<{width} x i32> zeroinitializer",
        ]
        for v in vs:
            text += [
                f"  %times{p}.{v} = fmul contract {vector} %all{p}, %w{v}",
                f"  %sum{p}.{v} = fadd contract {vector} %acc{p}.{v}, %times{p}.{v}",
            ]
    text += [
        "  %k.next = add i64 %k, 1",
        "  %i.next = add i64 %i, %sx",
        f"  %w.next = getelementptr {kind}, ptr %w.now, i64 %sw",
        "  %again = icmp ult i64 %k.next, %n",
        "  br i1 %again, label %add, label %jumped, !llvm.loop !0",
        "jumped:",
        "  %t.next = add i64 %t, 1",
        "  %further = icmp ult i64 %t.next, %steps",
        "  br i1 %further, label %jump, label %store0",
    ]
    last = vectors - 1
    mask = f"<{width} x i1>"
    numbers = ", ".join(f"i64 {i}" for i in range(width))
    for p in ps:
        text += [f"store{p}:", f"  %put{p}.by = mul i64 %so, {p}"]
        if not p:
            text += [
                f"  %limit.one = insertelement <{width} x i64> poison, i64 %lanes, i32 0",
                f"  %limit = shufflevector <{width} x i64> %limit.one, <{width} x i64> poison, "
                f"<{width} x i32> zeroinitializer",
                f"  %mask = icmp ult <{width} x i64> <{numbers}>, %limit",
            ]
        text += [f"  %put{p} = getelementptr {kind}, ptr %out, i64 %put{p}.by"]
        for v in vs:
            text += [f"  %put{p}.{v} = getelementptr {vector}, ptr %put{p}, i64 {v}"]
            if v == last:
                name = f"@llvm.masked.store.v{width}{_short(kind)}.p0"
                text += [
                    f"  call void {name}({vector} %sum{p}.{v}, ptr %put{p}.{v}, "
                    f"i32 {size}, {mask} %mask)"
                ]
            else:
                text += [f"  store {vector} %sum{p}.{v}, ptr %put{p}.{v}, align {size}"]
        following = f"store{p + 1}" if p + 1 < pixels else "done"
        text += [
            f"  %more{p} = icmp ugt i64 %rows, {p + 1}",
            f"  br i1 %more{p}, label %{following}, label %done",
        ]
    return "\n".join([*text, "done:", "  ret void", "}"])


def _some(width: int, vectors: int) -> str:
    """The tile that is as wide as what is left: %lanes may be more than it takes."""
    values = ", ".join(_ARGUMENTS.split(", ")[:-1])
    text = [f"define internal void @some({_ARGUMENTS}) #0 {{"]
    for v in range(vectors, 0, -1):
        text += [
            f"  %rest{v} = sub i64 %lanes, {(v - 1) * width}",
            f"  %few{v} = icmp ult i64 %rest{v}, {width}",
            f"  %of{v} = select i1 %few{v}, i64 %rest{v}, i64 {width}",
            f"  %fits{v} = icmp ugt i64 %lanes, {(v - 1) * width}",
            f"  br i1 %fits{v}, label %use{v}, label %smaller{v}",
            f"use{v}:",
            f"  call void @tile{v}({values}, i64 %of{v})",
            "  ret void",
            f"smaller{v}:",
        ]
    return "\n".join([*text, "  ret void", "}"])


def _convolve(kind: str, width: int, pixels: int, vectors: int) -> str:
    """All places × all outputs; the weights as panels of V vectors."""
    return f"""
define void @convolve(ptr %x, ptr %places, i64 %count, i64 %steps, ptr %jumps, i64 %n,
                      ptr %w, ptr %bias, ptr %out, i64 %outputs) #0 {{
entry:
  %taps = mul i64 %steps, %n
  br label %places.from
places.from:
  %p = phi i64 [ 0, %entry ], [ %p.next, %places.done ]
  %places.p = getelementptr i64, ptr %places, i64 %p
  %rows = sub i64 %count, %p
  %out.by = mul i64 %p, %outputs
  %out.p = getelementptr {kind}, ptr %out, i64 %out.by
  br label %outputs.from
outputs.from:
  %o = phi i64 [ 0, %places.from ], [ %o.next, %outputs.from ]
  %left = sub i64 %outputs, %o
  %fits = icmp ugt i64 %left, {width}
  %sw = select i1 %fits, i64 {vectors * width}, i64 {width}
  %w.by = mul i64 %taps, %o
  %w.o = getelementptr {kind}, ptr %w, i64 %w.by
  %bias.o = getelementptr {kind}, ptr %bias, i64 %o
  %out.o = getelementptr {kind}, ptr %out.p, i64 %o
  call void @some(ptr %x, ptr %places.p, i64 %steps, ptr %jumps, i64 %n, i64 1, ptr %w.o, i64 %sw,
                  ptr %bias.o, i64 0, ptr %out.o, i64 %outputs, i64 %rows, i64 %left)
  %o.next = add i64 %o, {vectors * width}
  %o.again = icmp ult i64 %o.next, %outputs
  br i1 %o.again, label %outputs.from, label %places.done
places.done:
  %p.next = add i64 %p, {pixels}
  %p.again = icmp ult i64 %p.next, %count
  br i1 %p.again, label %places.from, label %done
done:
  ret void
}}"""


def _correlate(kind: str, width: int, pixels: int, vectors: int) -> str:
    """The sums go on in memory: %block steps at a time, so that what they read stays in cache."""
    return f"""
define void @correlate(ptr %x, ptr %places, i64 %count, i64 %steps, i64 %block, ptr %jumps, i64 %n,
                       i64 %sx, ptr %g, ptr %out, i64 %outputs) #0 {{
entry:
  %row = mul i64 %n, %outputs
  br label %blocks.from
blocks.from:
  %t = phi i64 [ 0, %entry ], [ %t.next, %blocks.done ]
  %t.left = sub i64 %steps, %t
  %t.few = icmp ult i64 %t.left, %block
  %now = select i1 %t.few, i64 %t.left, i64 %block
  %jumps.t = getelementptr i64, ptr %jumps, i64 %t
  %g.by = mul i64 %t, %row
  %g.t = getelementptr {kind}, ptr %g, i64 %g.by
  br label %places.from
places.from:
  %p = phi i64 [ 0, %blocks.from ], [ %p.next, %places.done ]
  %places.p = getelementptr i64, ptr %places, i64 %p
  %out.by = mul i64 %p, %outputs
  %out.p = getelementptr {kind}, ptr %out, i64 %out.by
  br label %outputs.from
outputs.from:
  %o = phi i64 [ 0, %places.from ], [ %o.next, %outputs.from ]
  %left = sub i64 %outputs, %o
  %g.o = getelementptr {kind}, ptr %g.t, i64 %o
  %out.o = getelementptr {kind}, ptr %out.p, i64 %o
  call void @some(ptr %x, ptr %places.p, i64 %now, ptr %jumps.t, i64 %n, i64 %sx,
                  ptr %g.o, i64 %outputs, ptr %out.o, i64 %outputs, ptr %out.o, i64 %outputs,
                  i64 {pixels}, i64 %left)
  %o.next = add i64 %o, {vectors * width}
  %o.again = icmp ult i64 %o.next, %outputs
  br i1 %o.again, label %outputs.from, label %places.done
places.done:
  %p.next = add i64 %p, {pixels}
  %p.again = icmp ult i64 %p.next, %count
  br i1 %p.again, label %places.from, label %blocks.done
blocks.done:
  %t.next = add i64 %t, %block
  %t.again = icmp ult i64 %t.next, %steps
  br i1 %t.again, label %blocks.from, label %done
done:
  ret void
}}"""
