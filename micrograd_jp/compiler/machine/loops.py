"""くり返しを書く (loops)。"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from micrograd_jp.native.ir import Writer

RUN = 512
"""続けて足す数の個数。"""


def loops(
    f: Writer, shape: tuple[int, ...], body: Callable[[tuple[Any, ...]], Any], at: Any = ()
) -> None:
    """`body(添字)` を、重なったくり返しの中に書く。"""
    if not shape:
        body(at)
    elif shape[0] == 1:
        loops(f, shape[1:], body, (*at, 0))
    else:

        def once(i: Any) -> list[Any]:
            loops(f, shape[1:], body, (*at, i))
            return []

        f.fold((0, shape[0], 1), [], once)


def split(n: int, size: int) -> Iterator[tuple[int, int, int]]:
    """`(始まり, 個数, 大きさ)`: ちょうど割り切れるところと、余り。"""
    if n >= size:
        yield 0, n // size, size
    if n % size:
        yield n - n % size, 1, n % size


def stripes(f: Writer, n: int, size: int, body: Callable[[Any, int], Any]) -> None:
    """n 個を `size` 個ずつに分け、`body(始まり, 個数)` を書く。"""
    for first, count, width in split(n, size):

        def one(i: tuple[Any, ...], first: int = first, width: int = width) -> None:
            body(i[0] * width + first, width)

        loops(f, (count,), one)


def total(f: Writer, n: int, term: Callable[[Any], Any]) -> Any:
    """Σ term(i)。`RUN` 個ずつ足すので、丸め誤差が小さい。"""
    if n <= RUN:
        return _run(f, 0, n, term)

    def more(first: Any, so_far: Any) -> list[Any]:
        return [so_far + _run(f, first, RUN, term)]

    whole = n - n % RUN
    x = _run(f, 0, RUN, term)
    if whole > RUN:
        [x] = f.fold((RUN, whole, RUN), [x], more)
    return x + _run(f, whole, n - whole, term) if n > whole else x


def _run(f: Writer, first: Any, n: int, term: Callable[[Any], Any]) -> Any:
    """The sum of n terms. A long one in four parts: no addition waits for the one before."""
    wide = 4 if n >= 12 else 1
    sums = [term(first + k) for k in range(wide)]
    if n >= 2 * wide:

        def more(i: Any, *sums: Any) -> list[Any]:
            return [x + term(first + (i + k)) for k, x in enumerate(sums)]

        sums = f.fold((wide, n - n % wide, wide), sums, more)
    while len(sums) > 1:
        sums = [x + y for x, y in zip(sums[::2], sums[1::2], strict=True)]
    for i in range(n - n % wide, n):
        sums[0] = sums[0] + term(first + i)
    return sums[0]
