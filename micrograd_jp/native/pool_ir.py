"""最大値プーリングの機械語。チャネルのベクトルごとに、窓の画素を 1 つずつ見る。

窓の番号は表 `down`、`across` で、画像の中にある画素（窓の中の番号の始まりと終わり）に直す。
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Writer

Taps = tuple[Callable[[Pointer, Number], None], Callable[[], None]]
"""What to do with every pixel (where, which) of a window, and after the last."""


def _largest(f: Writer, z: Pointer, chosen: Pointer, mask: Number) -> Taps:
    """As np.maximum: nan wins."""
    best = f.variable(f.m.number(-inf))

    def tap(x: Pointer, _: Number) -> None:
        now = x.load(mask)
        best.value = f.m.where((now > best.value) | (now != now), now, best.value)

    return tap, lambda: z.store(best.value, mask)


def _places(f: Writer, z: Pointer, chosen: Pointer, mask: Number) -> Taps:
    """The first of equal ones: each tap is asked whether it is the maximum and none was before."""
    most, place, found = z.load(mask), f.variable(f.zero("i8")), f.variable(f.zero("i1"))

    def tap(x: Pointer, number: Number) -> None:
        now = x.load(mask)
        hit = (now == most) | (now != now)
        first = f.m.where(hit, f.all(number), place.value)
        place.value = f.m.where(found.value, place.value, first)
        found.value = found.value | hit

    return tap, lambda: chosen.store(place.value, mask)


def _drop(f: Writer, z: Pointer, chosen: Pointer, mask: Number) -> Taps:
    """The numbers z are added to the pixels of x that were chosen."""
    some, which = z.load(mask), chosen.load(mask)

    def tap(x: Pointer, number: Number) -> None:
        before = x.load(mask)
        x.store(f.m.where(which == f.all(number), before + some, before), mask)

    return tap, lambda: None


def _over_windows(taps: Callable[..., Taps]) -> Function:
    """The function that goes through all windows.

    Its arguments: x: images; z, chosen: (count, oh, ow, c) side by side; count; how far apart are
    images, rows, pixels; c, oh, ow; down, across: for each row and column of windows where in the
    image it begins, its first tap and its last + 1; how far apart are taps; kw. Places and strides
    count numbers.
    """

    def body(f: Writer, x: Any, z: Any, chosen: Any, count: Any, *more: Any) -> None:
        image, row, pixel, c, oh, ow, down, across, dy, dx, kw = more

        def row_of(table: Pointer, i: Number) -> list[Number]:
            return [(table.of("i64") + i * 3 + k).item() for k in range(3)]

        def window(n: Number, y: Number, rows: list[Number], x_: Number) -> None:
            (top, first_i, last_i), (left, first_j, last_j) = rows, row_of(across, x_)
            begin = x + n * image + top * row + left * pixel
            out = ((n * oh + y) * ow + x_) * c

            def channels(v: Number, mask: Number) -> None:
                tap, end = taps(f, z + out + v, chosen.of("i8") + out + v, mask)

                def at(i: Number, j: Number) -> None:
                    number = i * kw + j
                    tap(
                        begin + v + i * dy + j * dx,
                        number.cast("trunc", "i8"),
                    )

                f.loop(last_i, lambda i: f.loop(last_j, lambda j: at(i, j), first_j), first_i)
                end()

            f.vectors(c, channels)

        def line(n: Number, y: Number) -> None:
            rows = row_of(down, y)
            f.loop(ow, lambda x_: window(n, y, rows, x_))

        f.loop(count, lambda n: f.loop(oh, lambda y: line(n, y)))

    return Function(taps.__name__.strip("_"), "pppiiiiiiippiii", body)


largest, places, drop = map(_over_windows, (_largest, _places, _drop))
