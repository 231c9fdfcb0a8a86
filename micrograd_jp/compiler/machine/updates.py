"""更新の続きを 1 つの機械語で: 入力を入れ、順伝播、逆伝播、パラメータの更新、のくり返し。

1 回が数マイクロ秒の計算では、Python に戻るあいだの手間のほうが長い。間に何も挟まらないなら、
戻らなくてよい。動くのは、1 回ずつ呼ぶときと同じ機械語である。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Writer

_POINTERS = (
    "inputs", "memory", "arrive", "forward", "backward", "fields", "out", "outs",
    "update", "arguments", "numbers", "done",
)  # fmt: skip
_COUNTS = "count", "words", "values", "step"


def _updates(f: Writer, *given: Any) -> None:
    pointers: dict[str, Pointer] = dict(zip(_POINTERS, given))
    count, words, values, step = given[len(_POINTERS) :]

    def once(i: Number) -> None:
        at = pointers.__getitem__
        _copy(f, at("inputs") + words * i, at("memory"), words)
        f.when(at("arrive").exists(), lambda: f.call_at(at("arrive"), at("fields")))
        f.call_at(at("forward"), at("fields"))
        _copy(f, at("out"), at("outs") + values * i, values)
        f.call_at(at("backward"), at("fields"))
        f.call_at(at("update"), at("arguments"))
        numbers = at("numbers").of("i64")
        numbers.store(numbers.item() + step)
        at("done").of("i64").store(i + 1)

    f.loop(count, once)


def _copy(f: Writer, source: Pointer, target: Pointer, n: Number) -> None:
    f.full_vectors(n, lambda i, mask: (target + i).store((source + i).load(mask), mask))


UPDATES = Function("updates", "p" * len(_POINTERS) + "i" * len(_COUNTS), _updates)
"""`count` 回の更新。

引数は `_POINTERS` と `_COUNTS`。`inputs` の 1 行は `memory` に入る `words` 個の数、`outs` の 1 行は
`out` にできる `values` 個の数である。`arrive` はなくてもよい。`update` に渡す並び `arguments` の
うち、`numbers` の番地は、1 回ごとに `step` バイト進む。`done` に、終えた回数を書く。
"""
