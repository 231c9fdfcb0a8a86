"""最大値プーリングの機械語の、LLVM の中間表現 (IR)。チャネルのベクトルごとに、窓を 1 つずつ見る。

窓の番号は表 `down`、`across` で、画像の中にある画素（窓の中の番号の始まりと終わり）に直す。
"""

from __future__ import annotations

from micrograd_jp.native.ir import Vector, loop

_ARGUMENTS = (
    "ptr %x, ptr %z, ptr %chosen, i64 %count, i64 %image, i64 %row, i64 %pixel, i64 %c, "
    "i64 %oh, i64 %ow, ptr %down, ptr %across, i64 %dy, i64 %dx, i64 %kw"
)
"""x: images, with their strides; z, chosen: (count, oh, ow, c) side by side; down, across: for each
row and column of windows where in the image it begins, its first tap and its last + 1; dy, dx:
from one tap to the next. Places and strides count numbers.
"""

FUNCTIONS = dict.fromkeys(("largest", "places", "drop"), "pppiiiiiiippiii")
"""名前と、引数の型 (`call.kernels`)。"""


def module(vector: Vector) -> str:
    """IR の全体。"""
    bodies = _largest(vector), _places(vector), _drop(vector)
    return "\n".join(
        [
            *(_over_windows(vector, name, *body) for name, body in zip(FUNCTIONS, bodies)),
            vector.declarations(),
            vector.declarations("i8"),
            vector.attributes,
        ]
    )


def _largest(vector: Vector) -> tuple[str, str, str]:
    """As np.maximum: nan wins."""
    start = f"""
  {vector.all("%lowest", "0xFFF0000000000000")}
  store {vector} %lowest, ptr %best"""
    tap = f"""
  {vector.load("%now", "%x.at", "%mask")}
  %before = load {vector}, ptr %best
  %larger = fcmp ogt {vector} %now, %before
  %unordered = fcmp uno {vector} %now, %now
  %wins = or {vector.like("i1")} %larger, %unordered
  %after = select {vector.like("i1")} %wins, {vector} %now, {vector} %before
  store {vector} %after, ptr %best"""
    end = f"""
  %max = load {vector}, ptr %best
  {vector.store("%max", "%z.at", "%mask")}"""
    return start, tap, end


def _places(vector: Vector) -> tuple[str, str, str]:
    """The first of equal ones: each tap is asked whether it is the maximum and none was before."""
    numbers, bits = vector.like("i8"), vector.like("i1")
    start = f"""
  {vector.load("%max", "%z.at", "%mask")}
  store {numbers} zeroinitializer, ptr %place
  store {bits} zeroinitializer, ptr %found"""
    tap = f"""
  {vector.load("%now", "%x.at", "%mask")}
  {vector.all("%number", "%tap", "i8")}
  %unordered = fcmp uno {vector} %now, %now
  %same = fcmp oeq {vector} %now, %max
  %hit = or {bits} %same, %unordered
  %before = load {bits}, ptr %found
  %old = load {numbers}, ptr %place
  %first = select {bits} %hit, {numbers} %number, {numbers} %old
  %after = select {bits} %before, {numbers} %old, {numbers} %first
  store {numbers} %after, ptr %place
  %known = or {bits} %before, %hit
  store {bits} %known, ptr %found"""
    end = f"""
  %best.place = load {numbers}, ptr %place
  {vector.store("%best.place", "%chosen.at", "%mask", "i8")}"""
    return start, tap, end


def _drop(vector: Vector) -> tuple[str, str, str]:
    """The numbers z are added to the pixels of x that were chosen."""
    start = f"""
  {vector.load("%some", "%z.at", "%mask")}
  {vector.load("%which", "%chosen.at", "%mask", "i8")}"""
    tap = f"""
  {vector.all("%number", "%tap", "i8")}
  %here = icmp eq {vector.like("i8")} %which, %number
  {vector.load("%before", "%x.at", "%mask")}
  %sum = fadd {vector} %before, %some
  %after = select {vector.like("i1")} %here, {vector} %sum, {vector} %before
  {vector.store("%after", "%x.at", "%mask")}"""
    return start, tap, ""


def _over_windows(vector: Vector, name: str, start: str, tap: str, end: str) -> str:
    """`start`, then `tap` for every pixel (%x.at, number %tap) of the window, then `end`."""
    kind = vector.kind
    columns = f"""
  %j.by = mul i64 %j, %dx
  %x.at = getelementptr {kind}, ptr %x.i, i64 %j.by
  %tap.wide = add i64 %i.first, %j
  %tap = trunc i64 %tap.wide to i8{tap}"""
    rows = f"""
  %i.by = mul i64 %i, %dy
  %x.i = getelementptr {kind}, ptr %x.v, i64 %i.by
  %i.first = mul i64 %i, %kw
  {loop("j", "%j.from", "%j.to", "1", columns)}"""
    channels = f"""
  %rest = sub i64 %c, %v
  {vector.mask("%mask", "%rest")}
  %x.v = getelementptr {kind}, ptr %x.x, i64 %v
  %z.v = add i64 %z.x, %v
  %z.at = getelementptr {kind}, ptr %z, i64 %z.v
  %chosen.at = getelementptr i8, ptr %chosen, i64 %z.v{start}
  {loop("i", "%i.from", "%i.to", "1", rows)}{end}"""
    across = f"""
  {_row("j", "across", "x")}
  %x.x.by = mul i64 %j.begin, %pixel
  %x.x = getelementptr {kind}, ptr %x.y, i64 %x.x.by
  %z.x.before = add i64 %z.y, %x
  %z.x = mul i64 %z.x.before, %c
  {loop("v", "0", "%c", str(vector.width), channels)}"""
    down = f"""
  {_row("i", "down", "y")}
  %x.y.by = mul i64 %i.begin, %row
  %x.y = getelementptr {kind}, ptr %x.n, i64 %x.y.by
  %z.y.before = add i64 %z.n, %y
  %z.y = mul i64 %z.y.before, %ow
  {loop("x", "0", "%ow", "1", across)}"""
    images = f"""
  %x.n.by = mul i64 %n, %image
  %x.n = getelementptr {kind}, ptr %x.first, i64 %x.n.by
  %z.n = mul i64 %n, %oh
  {loop("y", "0", "%oh", "1", down)}"""
    return f"""
define void @{name}({_ARGUMENTS.replace("ptr %x", "ptr %x.first")}) #0 {{
  %best = alloca {vector}
  %place = alloca {vector.like("i8")}
  %found = alloca {vector.like("i1")}
  {loop("n", "0", "%count", "1", images)}
  ret void
}}"""


def _row(tap: str, table: str, window: str) -> str:
    """Three numbers of the table."""
    text = f"  %{tap}.row = mul i64 %{window}, 3"
    for i, what in enumerate(("begin", "from", "to")):
        text += f"""
  %{tap}.{what}.i = add i64 %{tap}.row, {i}
  %{tap}.{what}.at = getelementptr i64, ptr %{table}, i64 %{tap}.{what}.i
  %{tap}.{what} = load i64, ptr %{tap}.{what}.at"""
    return text
