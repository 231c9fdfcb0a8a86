"""配列の演算を JavaScript に: 形の決まった小さな配列のプログラム。

規則を `Traced`（形だけを知る配列）に対して 1 度動かし、行に書き留める。行は 4 種類しかない:
要素ごとの式、番号で選ぶ (`take`)、番号の所へ足す (`scatter`)、まとめる（和、最大値、行列の積）。
転置、連結、添字などは、番号の配列に NumPy で同じことをすれば、どの要素を選ぶかが決まる。

配列はどれも平らで、要素は倍精度。
"""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Any

import numpy as np

from micrograd_jp.namespace.base import ELEMENTWISE, ArrayNamespace
from micrograd_jp.namespace.javascript import JavaScript
from micrograd_jp.namespace.javascript.traced import Shape, Traced
from micrograd_jp.ops.symbols import Symbol


class Unsupported(Exception):
    """ページの中では計算できない演算。"""


class Arrays(ArrayNamespace):
    """配列の規則の行を書き留める名前空間。"""

    def __init__(self) -> None:
        super().__init__(self)
        self.lines: dict[str, tuple[str, tuple[str, ...]]] = {}

    def __getattr__(self, name: str) -> Any:
        if name in ELEMENTWISE or name in ("remainder", "floor_divide", "isfinite"):
            return lambda *xs: self.each(name, *xs)
        raise Unsupported(name)

    def emit(self, text: str, needs: Sequence[Traced], shape: Shape, dtype: Any) -> Traced:
        """1 行を書き留める。"""
        name = f"t{len(self.lines)}"
        self.lines[name] = (text, tuple(x.name for x in needs))
        return Traced(self, name, shape, dtype)

    def function(self, arguments: Sequence[str], result: str, needs: Sequence[Traced]) -> str:
        """`result` に要る行だけからなる、アロー関数。"""
        wanted, stack = set(), [x.name for x in needs]
        while stack:
            name = stack.pop()
            if name in self.lines and name not in wanted:
                wanted.add(name)
                stack += self.lines[name][1]
        body = "".join(f"const {n} = {self.lines[n][0]}; " for n in self.lines if n in wanted)
        return f"({', '.join(arguments)}) => {{ {body}return {result}; }}"

    # ---- 要素ごと ------------------------------------------------------------------------------

    def lifted(self, x: Any) -> Traced:
        """定数の配列も `Traced` に。"""
        if isinstance(x, Traced):
            return x
        x = np.asarray(x)
        return self.emit(_literal(np.ravel(x).astype(float)), (), x.shape, x.dtype)

    def each(self, kind: str, *xs: Any) -> Traced:
        """要素ごとの演算。形はブロードキャストされる。"""
        xs = tuple(self.lifted(x) if isinstance(x, np.ndarray) else x for x in xs)
        arrays = [x for x in xs if isinstance(x, Traced)]
        shape = np.broadcast_shapes(*[x.shape for x in arrays])
        size = prod(shape)
        symbols = []
        for x in xs:
            if isinstance(x, Traced):
                part = x if x.size == 1 else self.spread(x, shape)
                symbols.append(Symbol("name", f"{part.name}[{0 if x.size == 1 else 'i'}]"))
                arrays.append(part)
            else:
                symbols.append(x)
        ((_, text),) = JavaScript([("", Symbol(kind, *symbols))]).lines
        compares = kind in ("<", "<=", ">", ">=", "==", "isfinite")
        dtype = bool if compares else next((a.dtype for a in arrays if a.dtype.kind != "b"), bool)
        return self.emit(f"each({size}, (i) => {text})", arrays, shape, dtype)

    def sign(self, x: Traced) -> Traced:
        """符号。"""
        return self.each("sign", x)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """条件で選ぶ。"""
        if not isinstance(condition, Traced):
            return x if condition else y
        return self.each("where", condition, x, y)

    def astype(self, x: Traced, dtype: Any) -> Traced:
        """型を変える: ページの中の数はどれも倍精度なので、整数への切り捨てと真偽値だけが残る。"""
        dtype = np.dtype(dtype)
        if dtype.kind in "iu" and x.dtype.kind == "f":
            out = self.emit(f"{x.name}.map(Math.trunc)", [x], x.shape, dtype)
        elif "b" in (dtype.kind, x.dtype.kind) and dtype != x.dtype:
            out = self.emit(f"{x.name}.map((x) => Number(x != 0))", [x], x.shape, dtype)
        else:
            out = self._renamed(x, x.shape)
        out.dtype = dtype
        return out

    def zeros_like(self, x: Traced) -> Traced:
        """同じ形の 0。"""
        return self.emit(f"each({x.size}, () => 0)", (), x.shape, x.dtype)

    def array(self, x: Traced) -> Traced:
        """ページの中の配列は、書き換えられない。"""
        return x

    asarray = array

    # ---- 番号で選ぶ ----------------------------------------------------------------------------

    def _renamed(self, x: Traced, shape: Shape) -> Traced:
        return Traced(self, x.name, shape, x.dtype, x.text, x.made)

    def taken(self, x: Traced, places: Any, otherwise: float = 0.0) -> Traced:
        """番号 `places` の要素。負の番号は `otherwise`。"""
        flat = places.ravel()
        if flat.size == x.size and (flat == np.arange(x.size)).all():
            return self._renamed(x, places.shape)
        text = f"take({x.name}, {_literal(flat)}, {_literal(otherwise)})"
        return self.emit(text, [x], places.shape, x.dtype)

    def reshape(self, x: Traced, shape: Shape) -> Traced:
        """形を変える。"""
        return self.taken(x, _places(x).reshape(shape))

    def transpose(self, x: Traced, axes: Shape) -> Traced:
        """軸の入れ替え。"""
        out = self.taken(x, _places(x).transpose(axes))
        out.text = f"{x.text}ᵀ" if x.text and len(x.shape) == 2 and axes == (1, 0) else ""
        return out

    def spread(self, x: Traced, shape: Shape) -> Traced:
        """ブロードキャスト。"""
        return self.taken(x, np.broadcast_to(_places(x), shape))

    broadcast_to = spread

    def flip(self, x: Traced, axis: Any) -> Traced:
        """逆順。"""
        return self.taken(x, np.flip(_places(x), axis))

    def roll(self, x: Traced, shift: Any, axis: Any) -> Traced:
        """巡回。"""
        return self.taken(x, np.roll(_places(x), shift, axis))

    def pad(self, x: Traced, widths: Any, constant_values: float) -> Traced:
        """まわりを埋める。"""
        return self.taken(x, np.pad(_places(x), widths, constant_values=-1), constant_values)

    def tril(self, x: Traced, k: int) -> Traced:
        """下三角。"""
        return self.taken(x, np.tril(_places(x) + 1, k) - 1)

    def triu(self, x: Traced, k: int) -> Traced:
        """上三角。"""
        return self.taken(x, np.triu(_places(x) + 1, k) - 1)

    def getitem(self, x: Traced, key: Any) -> Traced:
        """x[key]。"""
        return self.taken(x, np.asarray(_places(x)[key]))

    def zeroed(self, x: Traced, key: Any) -> Traced:
        """Key の場所を 0 にする。"""
        places = _places(x)
        places[key] = -1
        return self.taken(x, places)

    def assigned(self, x: Traced, key: Any, value: Any) -> Traced:
        """x[key] = value。"""
        value, places = self.lifted(value), _places(x)
        places[key] = x.size + _places(value)
        return self.taken(self._joined([x, value]), places)

    def scattered(self, g: Traced, key: Any, shape: Shape) -> Traced:
        """0 の、key の場所に g を足す。"""
        places = np.arange(prod(shape)).reshape(shape)[key]
        text = f"scatter({prod(shape)}, {_literal(np.ravel(places))}, {g.name})"
        return self.emit(text, [g], shape, g.dtype)

    def _joined(self, xs: Sequence[Traced]) -> Traced:
        text = f"[{', '.join(f'...{x.name}' for x in xs)}]"
        return self.emit(text, xs, (sum(x.size for x in xs),), xs[0].dtype)

    def _together(self, xs: Sequence[Any], join: Callable[[Any], Any]) -> Traced:
        xs = [self.lifted(x) for x in xs]
        starts = np.cumsum([0, *[x.size for x in xs]])
        places = [_places(x) + start for x, start in zip(xs, starts)]
        return self.taken(self._joined(xs), join(places))

    def concatenate(self, xs: Sequence[Any], axis: int) -> Traced:
        """連結。"""
        return self._together(xs, lambda places: np.concatenate(places, axis))

    def stack(self, xs: Sequence[Any], axis: int) -> Traced:
        """新しい軸に積む。"""
        return self._together(xs, lambda places: np.stack(places, axis))

    # ---- まとめる ------------------------------------------------------------------------------

    def _along(self, x: Traced, axis: Any, keepdims: bool, what: str, empty: float) -> Traced:
        every = tuple(range(len(x.shape))) if axis is None else np.atleast_1d(axis)
        axes = {int(i) % len(x.shape) for i in every}
        others = [i for i in range(len(x.shape)) if i not in axes]
        count = prod(x.shape[i] for i in axes)
        shape = tuple(
            1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes
        )
        if not count:
            return self.lifted(np.full(shape, empty))
        rows = self.taken(x, _places(x).transpose([*others, *sorted(axes)]))
        out = self.emit(f"rows({rows.name}, {count}).map({what})", [rows], shape, x.dtype)
        out.made = ("sum", x) if what == "m.sum" else None
        return out

    def sum(self, x: Traced, axis: Any = None, keepdims: bool = False) -> Traced:
        """軸の和。"""
        return self._along(x, axis, keepdims, "m.sum", 0.0)

    def amax(
        self, x: Traced, axis: Any = None, keepdims: bool = False, initial: float = -inf
    ) -> Traced:
        """軸の最大値。"""
        return self._along(x, axis, keepdims, "m.amax", initial)

    max = amax

    def amin(self, x: Traced, axis: Any = None, keepdims: bool = False) -> Traced:
        """軸の最小値。"""
        return self._along(x, axis, keepdims, "m.amin", inf)

    def cumsum(self, x: Traced, axis: int) -> Traced:
        """累積和。"""
        axes = [i for i in range(len(x.shape)) if i != axis % len(x.shape)]
        places = _places(x).transpose([*axes, axis])
        rows = self.taken(x, places)
        text = f"rows({rows.name}, {max(x.shape[axis], 1)}).flatMap(m.running)"
        run = self.emit(text, [rows], places.shape, x.dtype)
        return self.taken(run, np.argsort(places.ravel()).reshape(x.shape))

    def matmul(self, a: Traced, b: Traced) -> Traced:
        """行列の積。"""
        if len(a.shape) == 1:
            out = self.matmul(self.reshape(a, (1, *a.shape)), b)
            return out if len(b.shape) == 1 else self._without(out, -2)
        if len(b.shape) == 1:
            return self._without(self.matmul(a, self.reshape(b, (*b.shape, 1))), -1)
        n, k, width = a.shape[-2], a.shape[-1], b.shape[-1]
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        left, right = self.spread(a, (*batch, n, k)), self.spread(b, (*batch, k, width))
        text = f"matmul({left.name}, {right.name}, {prod(batch)}, {n}, {k}, {width})"
        out = self.emit(text, [left, right], (*batch, n, width), a.dtype)
        out.made = ("matmul", a, b)
        return out

    def _without(self, x: Traced, axis: int) -> Traced:
        """X with an axis of length 1 left out."""
        return self.reshape(x, _places(x).squeeze(axis).shape)

    def einsum(self, spec: str, *xs: Any) -> Traced:
        """縮約: どの文字の軸にも広げて掛け、残らない軸で足す。"""
        inputs, _, out = spec.partition("->")
        labels = inputs.split(",")
        sizes = {c: n for own, x in zip(labels, xs) for c, n in zip(own, x.shape)}
        every = out + "".join(c for c in sizes if c not in out)
        factors = []
        for own, x in zip(labels, xs):
            places = _places(x).transpose(
                sorted(range(len(own)), key=lambda i: every.index(own[i]))
            )
            places = places.reshape([sizes[c] if c in own else 1 for c in every])
            factors.append(self.taken(x, np.broadcast_to(places, [sizes[c] for c in every])))
        total = functools.reduce(operator.mul, factors)
        rest = tuple(range(len(out), len(every)))
        return self.sum(total, axis=rest) if rest else total

    def _refused(self, *_: Any, **__: Any) -> Any:
        raise Unsupported("batch_norm")

    # Their statistics are numbers of the forward pass, which would not follow an edited leaf.
    batch_statistics = batch_normalized = batch_normalized_back = _refused
    signdet = logabsdet = cofactors = _refused


def _places(x: Traced) -> Any:
    return np.arange(x.size).reshape(x.shape)


def _literal(x: Any) -> str:
    """As json.dumps writes inf and nan, JavaScript reads them."""
    return json.dumps(x.tolist() if isinstance(x, np.ndarray) else float(x), separators=(",", ":"))
