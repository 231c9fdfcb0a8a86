"""規則を Python のソースコードに書き下す。

演算の規則を記号 (`ops/symbols.py`) に対して 1 度だけ実行し、できた式の木を、値と局所微分を計算する
代入文にする。規則を毎回呼ぶより速く、しかも公式は宣言にしかない。

    >>> from micrograd_jp.ops.elementwise import tanh
    >>> for line in statements(tanh, ["x"], {0: "dx"}): print(line)
    z = tanh(x)
    dx = 1.0 - z * z
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from micrograd_jp.ops.primitive import Elementwise
from micrograd_jp.ops.symbols import Symbol, Writer, Writing, shown


def statements(op: Elementwise, inputs: Sequence[str], outputs: Mapping[int, str]) -> list[str]:
    """`z` と、求められた局所微分を計算する代入文。

    Args:
        op: 要素ごとの演算。
        inputs: 引数の変数名。
        outputs: 引数の番号から、その局所微分を入れる変数名への対応。

    Returns:
        1 行に 1 つの代入文。2 度以上使う部分式は先に変数へ入れる。
    """
    m, xs, z = Writing(), [Symbol("name", name) for name in inputs], Symbol("name", "z")
    results: list[tuple[str, Any]] = [("z", op.value(m, *xs))]
    for i, name in outputs.items():
        rule = op.partials[i]
        results.append((name, shown(0 if rule is None else rule(m, z, *xs))))
    return [f"{name} = {text}" for name, text in Writer(results).lines]
