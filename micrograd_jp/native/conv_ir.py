"""畳み込みの機械語: 何枚かずつ、ふち (padding) をつけて、積和の核 (`products`) をくり返す。"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Pointer, Writer, function
from micrograd_jp.native.products import Tile, tile


def _over_tiles(f: Writer, count: Any, outputs: Any, each: Callable[..., None]) -> None:
    """`each(the first place, the first output)` of every tile."""
    pixels, vectors, lanes = Tile.of(f.vector)

    def across(p: Number) -> None:
        f.loop(outputs, lambda o: each(p, o), step=vectors * lanes)

    f.loop(count, across, step=pixels)


@function("ppiipipppi")
def _multiply(
    f: Writer, x: Any, places: Any, count: Any, steps: Any, jumps: Any, n: Any, *more: Any
) -> None:
    """All places × all outputs; the weights in panels of V vectors."""
    w, bias, out, outputs = more
    size = Tile.of(f.vector)

    def some(p: Number, o: Number) -> None:
        left = outputs - o
        apart = f.m.where(left > size.lanes, f.whole(size.lanes * size.vectors), size.lanes)
        f.call(
            tile, x, places.of("i64") + p, steps, jumps, n, 1, w + steps * n * o, apart,
            bias + o, 0, out + p * outputs + o, outputs, count - p, left,
        )  # fmt: skip

    _over_tiles(f, count, outputs, some)


@function("ppiiipiippi")
def _add_products(
    f: Writer, x: Any, places: Any, count: Any, steps: Any, block: Any, jumps: Any, *more: Any
) -> None:
    """The sums go on in memory: `block` steps at a time, so that what they read stays in cache."""
    n, sx, g, out, outputs = more
    pixels = Tile.of(f.vector).pixels

    def some(t: Number, p: Number, o: Number) -> None:
        here, left = out + p * outputs + o, outputs - o
        f.call(
            tile, x, places.of("i64") + p, f.least(steps - t, block), jumps.of("i64") + t, n, sx,
            g + t * n * outputs + o, outputs, here, outputs, here, outputs, pixels, left,
        )  # fmt: skip

    f.loop(steps, lambda t: _over_tiles(f, count, outputs, lambda p, o: some(t, p, o)), step=block)


@function("ppip")
def _pad(f: Writer, x: Pointer, copy: Pointer, count: Number, margins: Pointer) -> None:
    """Copies images with their margins.

    margins: from one image to the next and from one row to the next, there and in the copy; rows
    and numbers in a row; zeros before the first row, between two rows, and after the last.
    """
    image, row, copy_image, copy_row, height, width, before, gap, after = (
        (margins.of("i64") + i).item() for i in range(9)
    )

    def zeros(n: Number, out: Pointer) -> None:
        f.vectors(n, lambda k, mask: (out + k).store(f.zero(), mask))

    def one(i: Number) -> None:
        source, out = x + i * image, copy + i * copy_image
        zeros(before, out)

        def line(y: Number) -> None:
            there, here = source + y * row, out + before + y * copy_row
            f.vectors(width, lambda k, mask: (here + k).store((there + k).load(mask), mask))
            zeros(f.m.where(y == height - 1, after, gap), here + width)

        f.loop(height, line)

    f.loop(count, one)


def _over_images(
    f: Writer, x: Pointer, count: Number, margins: Pointer, copy: Pointer, group: Number,
    each: Callable[[Pointer, Number, Number], None],
) -> None:  # fmt: skip
    """`group` images at a time, copied with their margins, or where they are if there is no copy.

    `each(where to read, how many images, how many before)`.
    """

    def some(i: Number) -> None:
        now, source = f.least(count - i, group), x + i * margins.of("i64").item()
        f.when(copy.exists(), lambda: f.call(_pad, source, copy, now, margins))
        each(copy.otherwise(source), now, i)

    f.loop(count, some, step=group)


@function("pippiiipipipppi")
def convolve(
    f: Writer, x: Any, count: Any, margins: Any, copy: Any, group: Any, *more: Any
) -> None:
    """`columns` windows in each of `height` rows of an image."""
    height, columns, places, steps, jumps, n, w, bias, out, outputs = more

    def each(read: Pointer, images: Number, before: Number) -> None:
        here = out + before * height * columns * outputs
        windows = images * height * columns
        f.call(_multiply, read, places, windows, steps, jumps, n, w, bias, here, outputs)

    _over_images(f, x, count, margins, copy, group, each)


@function("pippiiipipiiiippi")
def correlate(
    f: Writer, x: Any, count: Any, margins: Any, copy: Any, group: Any, *more: Any
) -> None:
    """`taps` numbers in each window; sx from one window to the next."""
    height, columns, places, _, jumps, n, taps, block, sx, g, out, outputs = more

    def each(read: Pointer, images: Number, before: Number) -> None:
        here, rows = g + before * height * columns * outputs, images * height
        f.call(_add_products, read, places, taps, rows, block, jumps, n, sx, here, out, outputs)

    _over_images(f, x, count, margins, copy, group, each)
