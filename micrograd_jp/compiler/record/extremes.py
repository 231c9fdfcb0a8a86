"""記録の間だけの、Python の `max` と `min`: 記録中の数の中から、いちばん大きい（小さい）数を選ぶ。

組み込みの `max` は比べた結果を真偽値にするので、まだ値のない数には使えない。手で書かれた softmax
(`max(x.data for x in xs)` を引くもの) が、書き直さずに記録できるようにする。ほかのスレッドと、
記録中の数のない呼び出しでは、組み込みのものがそのまま動く。
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from threading import get_ident
from typing import Any

from micrograd_jp.compiler.record.traced import Traced
from micrograd_jp.engine.operations import apply
from micrograd_jp.ops.elementwise import maximum, minimum, where
from micrograd_jp.ops.primitive import Elementwise


@contextmanager
def extremes() -> Iterator[None]:
    """このスレッドの `max` と `min` が、記録中の数にも使える間。"""
    own = builtins.max, builtins.min
    thread = get_ident()
    builtins.max = _recorded(own[0], maximum, operator.gt, thread)
    builtins.min = _recorded(own[1], minimum, operator.lt, thread)
    try:
        yield
    finally:
        builtins.max, builtins.min = own


def _recorded(
    builtin: Callable[..., Any], op: Elementwise, better: Callable[..., Any], thread: int
) -> Callable[..., Any]:
    def extreme(*args: Any, **options: Any) -> Any:
        if get_ident() != thread or options.keys() - {"default"}:
            return builtin(*args, **options)
        if len(args) == 1 and not isinstance(args[0], str | bytes):
            args = (list(args[0]),)
        xs = args[0] if len(args) == 1 else args
        if not any(x.__class__ is Traced for x in xs):
            return builtin(*args, **options)
        sources = [x.detached_from() if x.__class__ is Traced else x for x in xs]
        if None not in sources:  # a number without gradient, as softmax subtracts it
            return reduce(lambda a, b: apply(op, a, b), sources).detach()
        # As the builtin does: of equal ones the first.
        return reduce(lambda a, b: apply(where, better(b, a), b, a), xs)

    return extreme
