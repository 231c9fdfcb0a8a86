"""畳み込みの機械語の、LLVM の中間表現 (IR)。

どの計算も、1 つの小さな核 (micro-kernel) `tile` のくり返しである。

    acc[p][v] += x[場所 p] · w[v]      p: 画素 (P 個)、v: 出力のチャネルのベクトル (V 個)

`acc` の P·V 本のベクトルはレジスタに居続け、くり返すごとに、数 P 個を広げ (broadcast)、ベクトル
V 本を読む。畳み込みでは p は出力の画素で、窓の画素とチャネルにわたって足す。重みの勾配では、p は
窓の画素とチャネルで、画像の画素にわたって足す。行列の形に並べ直すこと (im2col) はしない。

場所は表で渡すので、ストライドも dilation も、画像の並びも、同じ核で済む。
"""

from __future__ import annotations

from micrograd_jp.native.ir import Vector, loop

_IMAGES = "pippiiipipi"
FUNCTIONS = {"convolve": f"{_IMAGES}pppi", "correlate": f"{_IMAGES}iiippi"}
"""名前と、引数の型 (`call.kernels`)。"""

_ARGUMENTS = (
    "ptr %x, ptr %places, i64 %steps, ptr %jumps, i64 %n, i64 %sx, ptr %w, i64 %sw, "
    "ptr %init, i64 %si, ptr %out, i64 %so, i64 %rows"
)
"""Strides and places count numbers.

x, places: P places; jumps: `steps` further ones, from each of which n numbers are read, sx apart;
w: vectors, sw apart, one after the other; init: what the sums start with, si apart; out: where the
first `rows` of them go, so apart. A last argument says how many outputs there are.
"""


def tile_size(vector: Vector) -> tuple[int, int]:
    """(P, V)。512 ビットのレジスタは 32 本、それより短いものは 16 本ある。"""
    return (8, 2) if vector.width * vector.size == 64 else (6, 2)


def module(vector: Vector) -> str:
    """IR の全体。"""
    pixels, vectors = tile_size(vector)
    return "\n".join(
        [
            *(_tile(vector, pixels, v) for v in range(1, vectors + 1)),
            _some(vector, vectors),
            _multiply(vector, pixels, vectors),
            _add_products(vector, pixels, vectors),
            _pad(vector),
            _over_images(
                "convolve",
                "",
                "ptr %w, ptr %bias, ptr %out, i64 %outputs",
                "out",
                "call void @multiply(ptr %read, ptr %places, i64 %now.windows, i64 %steps, "
                "ptr %jumps, i64 %n, ptr %w, ptr %bias, ptr %out.i, i64 %outputs)",
                vector,
            ),
            _over_images(
                "correlate",
                "i64 %count, i64 %block, i64 %sx, ",
                "ptr %g, ptr %out, i64 %outputs",
                "g",
                "call void @add_products(ptr %read, ptr %places, i64 %count, i64 %now.rows, "
                "i64 %block, ptr %jumps, i64 %n, i64 %sx, ptr %g.i, ptr %out, i64 %outputs)",
                vector,
            ),
            vector.declarations(),
            vector.attributes,
        ]
    )


def _tile(vector: Vector, pixels: int, vectors: int) -> str:
    kind, aligned = vector.kind, f"align {vector.size}"
    ps, vs = range(pixels), range(vectors)
    cells = [f"{p}.{v}" for p in ps for v in vs]
    text = [f"define internal void @tile{vectors}({_ARGUMENTS}, i64 %lanes) noinline #0 {{"]
    text += [f"  %acc{cell} = alloca {vector}" for cell in cells]
    for p in ps:
        text += [
            f"  %place{p}.at = getelementptr i64, ptr %places, i64 {p}",
            f"  %place{p} = load i64, ptr %place{p}.at",
            f"  %x{p} = getelementptr {kind}, ptr %x, i64 %place{p}",
            f"  %init{p}.by = mul i64 %si, {p}",
            f"  %init{p} = getelementptr {kind}, ptr %init, i64 %init{p}.by",
        ]
        for v in vs:
            text += [
                f"  %init{p}.{v} = getelementptr {vector}, ptr %init{p}, i64 {v}",
                f"  %first{p}.{v} = load {vector}, ptr %init{p}.{v}, {aligned}",
                f"  store {vector} %first{p}.{v}, ptr %acc{p}.{v}",
            ]
    add = ["", "  %i = mul i64 %k, %sx", "  %w.by = mul i64 %k, %sw"]
    add += [f"  %w.k = getelementptr {kind}, ptr %w.t, i64 %w.by"]
    for v in vs:
        add += [
            f"  %w{v}.at = getelementptr {vector}, ptr %w.k, i64 {v}",
            f"  %w{v} = load {vector}, ptr %w{v}.at, {aligned}",
        ]
    for p in ps:
        add += [
            f"  %number{p}.at = getelementptr {kind}, ptr %x{p}.t, i64 %i",
            f"  %number{p} = load {kind}, ptr %number{p}.at",
            vector.all(f"%all{p}", f"%number{p}"),
        ]
        for v in vs:
            add += [
                f"  %before{p}.{v} = load {vector}, ptr %acc{p}.{v}",
                f"  %times{p}.{v} = fmul contract {vector} %all{p}, %w{v}",
                f"  %after{p}.{v} = fadd contract {vector} %before{p}.{v}, %times{p}.{v}",
                f"  store {vector} %after{p}.{v}, ptr %acc{p}.{v}",
            ]
    jump = [
        "",
        "  %jump.at = getelementptr i64, ptr %jumps, i64 %t",
        "  %jump = load i64, ptr %jump.at",
        *(f"  %x{p}.t = getelementptr {kind}, ptr %x{p}, i64 %jump" for p in ps),
        "  %w.before = mul i64 %t, %n",
        "  %w.t.by = mul i64 %w.before, %sw",
        f"  %w.t = getelementptr {kind}, ptr %w, i64 %w.t.by",
        loop("k", "0", "%n", "1", "\n".join(add)),
    ]
    text += [loop("t", "0", "%steps", "1", "\n".join(jump)), vector.mask("%mask", "%lanes")]
    text += ["  br label %store0"]
    for p in ps:
        text += [
            f"store{p}:",
            f"  %out{p}.by = mul i64 %so, {p}",
            f"  %out{p} = getelementptr {kind}, ptr %out, i64 %out{p}.by",
        ]
        for v in vs:
            text += [
                f"  %out{p}.{v} = getelementptr {vector}, ptr %out{p}, i64 {v}",
                f"  %sum{p}.{v} = load {vector}, ptr %acc{p}.{v}",
                vector.store(f"%sum{p}.{v}", f"%out{p}.{v}", "%mask")
                if v == vectors - 1
                else f"  store {vector} %sum{p}.{v}, ptr %out{p}.{v}, {aligned}",
            ]
        text += [
            f"  %more{p} = icmp ugt i64 %rows, {p + 1}",
            f"  br i1 %more{p}, label %store{p + 1}, label %store{pixels}",
        ]
    return "\n".join([*text, f"store{pixels}:", "  ret void", "}"])


def _some(vector: Vector, vectors: int) -> str:
    """The tile that is as wide as what is left."""
    text = [f"define internal void @some({_ARGUMENTS}, i64 %left) #0 {{"]
    for v in range(vectors, 0, -1):
        text += [
            f"  %rest{v} = sub i64 %left, {(v - 1) * vector.width}",
            f"  %few{v} = icmp ult i64 %rest{v}, {vector.width}",
            f"  %lanes{v} = select i1 %few{v}, i64 %rest{v}, i64 {vector.width}",
            f"  %fits{v} = icmp sgt i64 %rest{v}, 0",
            f"  br i1 %fits{v}, label %use{v}, label %smaller{v}",
            f"use{v}:",
            f"  call void @tile{v}({_ARGUMENTS}, i64 %lanes{v})",
            "  ret void",
            f"smaller{v}:",
        ]
    return "\n".join([*text, "  ret void", "}"])


def _multiply(vector: Vector, pixels: int, vectors: int) -> str:
    """All places × all outputs; the weights in panels of V vectors."""
    kind, wide = vector.kind, vectors * vector.width
    outputs = f"""
  %left = sub i64 %outputs, %o
  %fits = icmp ugt i64 %left, {vector.width}
  %apart = select i1 %fits, i64 {wide}, i64 {vector.width}
  %w.by = mul i64 %taps, %o
  %w.o = getelementptr {kind}, ptr %w, i64 %w.by
  %bias.o = getelementptr {kind}, ptr %bias, i64 %o
  %out.o = getelementptr {kind}, ptr %out.p, i64 %o
  call void @some(ptr %x, ptr %places.p, i64 %steps, ptr %jumps, i64 %n, i64 1,
                  ptr %w.o, i64 %apart, ptr %bias.o, i64 0, ptr %out.o, i64 %outputs,
                  i64 %rows, i64 %left)"""
    places = f"""
  %places.p = getelementptr i64, ptr %places, i64 %p
  %rows = sub i64 %count, %p
  %out.by = mul i64 %p, %outputs
  %out.p = getelementptr {kind}, ptr %out, i64 %out.by
  {loop("o", "0", "%outputs", str(wide), outputs)}"""
    return f"""
define internal void @multiply(ptr %x, ptr %places, i64 %count, i64 %steps, ptr %jumps, i64 %n,
                               ptr %w, ptr %bias, ptr %out, i64 %outputs) #0 {{
  %taps = mul i64 %steps, %n
  {loop("p", "0", "%count", str(pixels), places)}
  ret void
}}"""


def _add_products(vector: Vector, pixels: int, vectors: int) -> str:
    """The sums go on in memory: %block steps at a time, so that what they read stays in cache."""
    kind, wide = vector.kind, vectors * vector.width
    outputs = f"""
  %left = sub i64 %outputs, %o
  %g.o = getelementptr {kind}, ptr %g.t, i64 %o
  %out.o = getelementptr {kind}, ptr %out.p, i64 %o
  call void @some(ptr %x, ptr %places.p, i64 %now, ptr %jumps.t, i64 %n, i64 %sx,
                  ptr %g.o, i64 %outputs, ptr %out.o, i64 %outputs, ptr %out.o, i64 %outputs,
                  i64 {pixels}, i64 %left)"""
    places = f"""
  %places.p = getelementptr i64, ptr %places, i64 %p
  %out.by = mul i64 %p, %outputs
  %out.p = getelementptr {kind}, ptr %out, i64 %out.by
  {loop("o", "0", "%outputs", str(wide), outputs)}"""
    blocks = f"""
  %t.left = sub i64 %steps, %t
  %t.few = icmp ult i64 %t.left, %block
  %now = select i1 %t.few, i64 %t.left, i64 %block
  %jumps.t = getelementptr i64, ptr %jumps, i64 %t
  %g.by = mul i64 %t, %row
  %g.t = getelementptr {kind}, ptr %g, i64 %g.by
  {loop("p", "0", "%count", str(pixels), places)}"""
    return f"""
define internal void @add_products(
    ptr %x, ptr %places, i64 %count, i64 %steps, i64 %block, ptr %jumps, i64 %n, i64 %sx,
    ptr %g, ptr %out, i64 %outputs) #0 {{
  %row = mul i64 %n, %outputs
  {loop("t", "0", "%steps", "%block", blocks)}
  ret void
}}"""


def _pad(vector: Vector) -> str:
    """Copies images with their margins.

    %margins: from one image to the next and from one row to the next, there and in the copy; rows
    and numbers in a row; zeros before the first row, between two rows, and after the last.
    """
    names = ("image", "row", "copy.image", "copy.row", "height", "width", "before", "gap", "after")
    text = "\n".join(
        f"""
  %{name}.at = getelementptr i64, ptr %margins, i64 {i}
  %{name} = load i64, ptr %{name}.at"""
        for i, name in enumerate(names)
    )
    rows = f"""
  %x.by = mul i64 %y, %row
  %x.y = getelementptr {vector.kind}, ptr %x.i, i64 %x.by
  %copy.by = mul i64 %y, %copy.row
  %copy.y = getelementptr {vector.kind}, ptr %copy.rows, i64 %copy.by
  {_run(vector, "k", "%width", "%x.y", "%copy.y")}
  %end = getelementptr {vector.kind}, ptr %copy.y, i64 %width
  %last = icmp eq i64 %y, %height.less
  %zeros = select i1 %last, i64 %after, i64 %gap
  {_run(vector, "z", "%zeros", "", "%end")}"""
    images = f"""
  %i.x.by = mul i64 %i, %image
  %x.i = getelementptr {vector.kind}, ptr %x, i64 %i.x.by
  %i.copy.by = mul i64 %i, %copy.image
  %copy.i = getelementptr {vector.kind}, ptr %copy, i64 %i.copy.by
  %copy.rows = getelementptr {vector.kind}, ptr %copy.i, i64 %before
  {_run(vector, "b", "%before", "", "%copy.i")}
  {loop("y", "0", "%height", "1", rows)}"""
    return f"""
define internal void @pad(ptr %x, ptr %copy, i64 %count, ptr %margins) #0 {{
  {text}
  %height.less = sub i64 %height, 1
  {loop("i", "0", "%count", "1", images)}
  ret void
}}"""


def _run(vector: Vector, name: str, count: str, source: str, target: str) -> str:
    """`count` numbers copied from `source`, or zeros."""
    value = vector.load(f"%{name}.now", f"%{name}.from", f"%{name}.mask")
    body = f"""
  %{name}.left = sub i64 {count}, %{name}
  {vector.mask(f"%{name}.mask", f"%{name}.left")}
  %{name}.to = getelementptr {vector.kind}, ptr {target}, i64 %{name}"""
    if source:
        body += f"""
  %{name}.from = getelementptr {vector.kind}, ptr {source}, i64 %{name}
  {value}"""
    written = f"%{name}.now" if source else "zeroinitializer"
    body += "\n" + vector.store(written, f"%{name}.to", f"%{name}.mask")
    return loop(name, "0", count, str(vector.width), body)


def _over_images(name: str, before: str, after: str, along: str, call: str, vector: Vector) -> str:
    """%group images at a time, copied with their margins, or where they are if there are none.

    %columns windows in each of %height rows of windows; `along` goes on from window to window.
    """
    body = f"""
  %left = sub i64 %images, %i
  %few = icmp ult i64 %left, %group
  %now = select i1 %few, i64 %left, i64 %group
  %now.rows = mul i64 %now, %height
  %now.windows = mul i64 %now.rows, %columns
  %done.rows = mul i64 %i, %height
  %done.windows = mul i64 %done.rows, %columns
  %done = mul i64 %done.windows, %outputs
  %{along}.i = getelementptr {vector.kind}, ptr %{along}, i64 %done
  %x.by = mul i64 %i, %image
  %x.i = getelementptr {vector.kind}, ptr %x, i64 %x.by
  br i1 %there, label %use, label %copied
copied:
  call void @pad(ptr %x.i, ptr %copy, i64 %now, ptr %margins)
  br label %use
use:
  %read = phi ptr [ %x.i, %i.on ], [ %copy, %copied ]
  {call}"""
    return f"""
define void @{name}(ptr %x, i64 %images, ptr %margins, ptr %copy, i64 %group, i64 %height,
                    i64 %columns, ptr %places, i64 %steps, ptr %jumps, i64 %n,
                    {before}{after}) #0 {{
  %there = icmp eq ptr %copy, null
  %image = load i64, ptr %margins
  {loop("i", "0", "%images", "%group", body)}
  ret void
}}"""
