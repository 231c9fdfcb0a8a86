"""配列の演算 1 つの JavaScript: 値と、引数ごとに勾配が届くまで（何と何の積か、コピーの数）。"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.namespace.javascript.arrays import Arrays, Unsupported
from micrograd_jp.namespace.javascript.traced import Traced
from micrograd_jp.ops.arrays import summed_to
from micrograd_jp.ops.complex import is_complex
from micrograd_jp.ops.gates import Gate, literally
from micrograd_jp.ops.primitive import Elementwise

VJP = "⟨vjp⟩"
"""短い式では書けない、逆伝播の規則 (vector-Jacobian product)。"""


def array_rule(
    op: Any, operands: Sequence[Any], wanted: Sequence[int], params: Mapping[str, Any], result: Any
) -> str:
    """`{value, shares}` を書く。配列はどれも平らである。

    `value(a0, a1, …)` は値、`shares[k](g, z, a0, …)` は k 番目の引数に届く勾配 `share` と、その内訳
    である: `factors`（何と何の積か）、`sign`（積の記号）、`copies`（足し合わせる前の、コピーごとの
    勾配）、`label`（辺に書く短い式）。`text` の `{g}` は上流の勾配、`{z}` は結果、`{0}` は 0 番目の
    引数を表す。

    Args:
        op: 演算の宣言。
        operands: 引数。配列は `shape` と `dtype` があればよく、ほかは数。
        wanted: 勾配が流れる引数の番号。
        params: 勾配のない引数（軸や形）。
        result: 結果。`shape` と `dtype` だけを見る。

    Raises:
        Unsupported: ページの中では計算できない演算。
    """
    if any(map(is_complex, (result, *operands))):
        raise Unsupported(op.name)
    names = [f"a{i}" for i in range(len(operands))]
    m = Arrays()
    value = op.value(m, *_arguments(m, operands), **params)
    ways = [_written(op, operands, k, params, result, names) for k in wanted]
    shares = ", ".join(f"{k}: {text}" for k, text in zip(wanted, ways, strict=True))
    return f"{{value: {m.function(names, value.name, [value])}, shares: {{{shares}}}}}"


def _arguments(m: Arrays, operands: Sequence[Any]) -> list[Any]:
    """Arrays and Values by name; constants that are numbers as they are."""
    out = []
    for i, x in enumerate(operands):
        if hasattr(x, "shape"):
            out.append(Traced(m, f"a{i}", tuple(x.shape), x.dtype, f"{{{i}}}"))
        else:
            number = isinstance(x, int | float)
            out.append(x if number else Traced(m, f"a{i}", (), np.float64, f"{{{i}}}"))
    return out


class Way(NamedTuple):
    """勾配が 1 つの引数に届くまで。

    Attributes:
        share: 届く勾配。
        factors: それが何と何の積か。
        sign: 積の記号（積でなければ空）。
        label: 辺に書く短い式（数を見ないと書けなければ空）。
    """

    share: Traced
    factors: list[Traced]
    sign: str
    label: str


def way(
    m: Arrays, op: Any, operands: Sequence[Any], k: int, params: Mapping[str, Any], result: Any
) -> Way:
    """上流の勾配が k 番目の引数に届くまで。引数は `array_rule` と同じ。"""
    xs = _arguments(m, operands)
    z = Traced(m, "z", tuple(result.shape), result.dtype, "{z}")
    g = Traced(m, "g", z.shape, z.dtype, "{g}")
    local = None
    if isinstance(op, Elementwise):
        rule = op.partials[k]
        d = 0 if rule is None else rule(m, z, *xs)
        full = g if literally(d, 1) else m.times(g, d)
        local = _local(m, d)
    elif isinstance(op.vjp, tuple):
        full = op.vjp[k](m, g, z, *xs, **params)
    else:
        full = op.vjp(m, g, z, *xs, **params)[k]
    share = summed_to(m, full, xs[k].shape)
    factors, sign, label = [g], "", VJP
    if full.made and full.made[0] == "matmul":
        factors, sign = [*full.made[1:]], "@"
        label = next((x.text for x in factors if "{g}" not in x.text), "") or VJP
    elif local is not None:
        factors, sign, label = [g] if full is g else [g, local], "×", "1" if full is g else ""
    return Way(share, factors, sign, label)


def _written(
    op: Any, operands: Sequence[Any], k: int, params: Any, result: Any, names: list[str]
) -> str:
    m = Arrays()
    share, factors, sign, label = way(m, op, operands, k, params, result)
    parts = {
        "share": share.name,
        "factors": f"[{', '.join(map(_shown, factors))}]",
        "sign": json.dumps(sign),
        "label": json.dumps(label),
    }
    needs = [share, *factors]
    if share.made and share.made[0] == "sum" and share.shape != share.made[1].shape:
        copies = share.made[1]
        parts["copies"] = _shown(copies)
        needs.append(copies)
    written = ", ".join(f"{name}: {text}" for name, text in parts.items())
    return m.function(["g", "z", *names], f"({{{written}}})", needs)


def _local(m: Arrays, d: Any) -> Traced:
    """The local derivative as an array: shut gates are zeros."""
    if isinstance(d, Gate):
        d = m.where(d.shut, 0, d.slope)
    return d if isinstance(d, Traced) else m.lifted(np.float64(d))


def _shown(x: Traced) -> str:
    return f"{{text: {json.dumps(x.text)}, x: {x.name}, shape: {json.dumps(x.shape)}}}"
