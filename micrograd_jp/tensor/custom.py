"""自分で書いた演算 (`autograd.Function`): 順伝播と逆伝播を書いた、1 つのノード。

>>> import micrograd_jp as mg
>>> class Cube(mg.autograd.Function):
...     @staticmethod
...     def forward(ctx, x):
...         ctx.save_for_backward(x)
...         return x**3
...
...     @staticmethod
...     def backward(ctx, g):
...         (x,) = ctx.saved_tensors
...         return g * 3 * x**2
>>> x = mg.tensor(2.0, requires_grad=True)
>>> Cube.apply(x).backward()
>>> x.grad
tensor(12.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.arguments import undefined
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.graph.rows import OneByOne, Rows
from micrograd_jp.graph.shares import overwritten
from micrograd_jp.graph.writes import Overwritten, latest, writes
from micrograd_jp.ops.primitive import ArrayOp
from micrograd_jp.tensor.array import Tensor, as_tensor, is_recorded
from micrograd_jp.tensor.dtypes import together


class FunctionCtx:
    """`forward` から `backward` へ持ち越すもの（`ctx`）。属性も自由に置ける。

    Attributes:
        needs_input_grad: 引数ごとに、その勾配が要るか。
    """

    needs_input_grad: tuple[bool, ...] = ()
    _saved: tuple[Any, ...] = ()
    _constant: tuple[Any, ...] = ()
    _outputs: tuple[Any, ...] = ()  # what forward returned; then, while backward runs, their nodes
    _made = 0

    def save_for_backward(self, *tensors: Any) -> None:
        """`backward` で使う `Tensor`（引数、結果、途中の値。`None` もよい）を取っておく。

        Raises:
            TypeError: `Tensor` でない。
        """
        for x in tensors:
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    "save_for_backward は Tensor を取っておきます (expected Tensors): "
                    f"{type(x).__name__} が渡されました。数などは ctx.名前 = … としてください。"
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """`save_for_backward` した `Tensor`。

        Raises:
            RuntimeError: 順伝播のあとで書き換えられている。
        """
        found = []
        for x in self._saved:
            if isinstance(x, int):  # the number of an output: it would hold itself
                x = self._outputs[x]
            if isinstance(x, Overwritten) or (
                x is not None
                and self._made != writes.count
                and writes.after(self._made, latest(x)._data)
            ):
                raise overwritten("save_for_backward")
            found.append(x)
        return tuple(found)

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """これらの結果には勾配を流さない（番号など）。`backward` には 0 が渡る。"""
        self._constant = outputs


class Function:
    """自分で書いた演算。`forward` と `backward` を書き、`クラス名.apply(…)` で呼ぶ (PyTorch)。

    `forward(ctx, *args)` は `no_grad()` の中で呼ばれる。`backward(ctx, *grads)` は、結果ごとの
    勾配を受け取り、引数ごとの勾配（`Tensor` でない引数には `None`）を返す。`backward` を
    微分できる演算で書けば、何階でも微分できる。`forward(*args)` と
    `setup_context(ctx, inputs, output)` に分けて書いてもよい。`Value` だけを渡せば、0 次元の
    `Tensor` として計算し、`Value` を返す。
    """

    _operation: ArrayOp

    # Those a subclass writes are static; these know which subclass did not.
    @classmethod
    def forward(cls, *args: Any, **kwargs: Any) -> Any:
        """順伝播。派生クラスが書く。"""
        raise undefined(cls, "forward(ctx, *args)")

    @classmethod
    def setup_context(cls, ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        """`forward` のあとに、要るものを取っておく。書けば `forward` は `ctx` を取らない。"""
        raise undefined(cls, "setup_context(ctx, inputs, output)")

    @classmethod
    def backward(cls, ctx: FunctionCtx, *grads: Any) -> Any:
        """逆伝播。派生クラスが書く。"""
        raise undefined(cls, "backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """計算し、計算グラフに 1 つのノードとして記録する。

        Returns:
            `forward` の返したもの。

        Raises:
            TypeError: `forward` が `Tensor` を返さなかった。
        """
        nodes = [x for x in args if isinstance(x, Node)]
        scalars = bool(nodes) and all(isinstance(x, Value) for x in nodes)
        args = tuple([as_tensor(x) if isinstance(x, Value) else x for x in args])
        operands = tuple([latest(x) for x in args if isinstance(x, Tensor)])
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple([isinstance(x, Tensor) and x.requires_grad for x in args])
        with no_grad():
            if getattr(cls.setup_context, "__func__", None) is _UNWRITTEN:
                out = cls.forward(ctx, *args)
            else:
                out = cls.forward(*args)
                cls.setup_context(ctx, args, out)
        outs = out if isinstance(out, tuple) else (out,)
        if not any(isinstance(x, Tensor) for x in outs):
            raise TypeError(
                f"{cls.__name__}.forward は Tensor かその組を返します (expected a Tensor): "
                f"{type(out).__name__} が返されました。"
            )
        if is_recorded(*operands):
            outs = _recorded(cls, ctx, args, operands, outs)
        if scalars:
            outs = tuple([x.to_value() if isinstance(x, Tensor) else x for x in outs])
        return outs if isinstance(out, tuple) else outs[0]


_UNWRITTEN = vars(Function)["setup_context"].__func__


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """`backward` を修飾する: 1 階だけ微分できる。2 階微分は、違う数にならずエラーになる。"""

    @functools.wraps(backward)
    def once(ctx: FunctionCtx, *grads: Any) -> Any:
        with no_grad():
            found = backward(ctx, *grads)
        if not is_recorded(*grads, *(x for x in ctx.saved_tensors if x is not None)):
            return found
        given = found if isinstance(found, tuple) else (found,)
        after = [g.detach().requires_grad_() for g in grads if isinstance(g, Tensor)]
        shut = tuple([x if x is None else _Once.apply(x, *after) for x in given])
        return shut if isinstance(found, tuple) else shut[0]

    return once


class _Once(Function):
    """What stands behind the gradients of a rule that is not differentiable."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Any, *_: Any) -> Any:
        return x

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Any) -> Any:
        raise RuntimeError(
            "once_differentiable の付いた backward は 2 度微分できません (trying to differentiate "
            "twice): backward を微分できる演算で書き、@once_differentiable を消してください。"
        )


# ---- 記録と規則 ----------------------------------------------------------------------------------


def _recorded(
    cls: type[Function], ctx: FunctionCtx, args: Any, operands: Any, outs: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The outputs as nodes. Several are parts of one: the rule is called once, for all of them."""
    constant = {id(x) for x in ctx._constant}
    flowing = [
        i for i, x in enumerate(outs)
        if isinstance(x, Tensor) and namespace.is_differentiable(x.dtype) and id(x) not in constant
    ]  # fmt: skip
    ids = {id(x): i for i, x in enumerate(outs)}
    inputs = {id(x) for x in args}
    ctx._saved = tuple(
        [ids[id(x)] if id(x) in ids and id(x) not in inputs else x for x in ctx._saved]
    )
    ctx._made = writes.count
    xs = tuple([x._data for x in operands])
    parents = tuple([x for x in operands if x.requires_grad])
    if not flowing:
        return tuple([x.detach() if isinstance(x, Tensor) else x for x in outs])
    params = {"ctx": ctx, "slots": _Slots(cls, args, outs, flowing)}
    if len(outs) == 1:
        node = Tensor.of_array(outs[0]._data)
        node.record(_operation(cls), operands, parents, xs, params)
        return (node,)
    dtype = functools.reduce(together, [outs[i].dtype for i in flowing])
    m = namespace.of(*[outs[i]._data for i in flowing])
    flat = [m.reshape(m.astype(outs[i]._data, dtype), (-1,)) for i in flowing]
    packed = Tensor.of_array(m.concatenate(flat, axis=0))
    packed.record(_operation(cls), operands, parents, xs, params)
    parts = dict(zip(flowing, _unpacked(packed, [outs[i] for i in flowing]), strict=True))
    return tuple(
        parts[i] if i in parts else x.detach() if isinstance(x, Tensor) else x
        for i, x in enumerate(outs)
    )


class _Slots:
    """Which arguments are Tensors, and what the outputs look like."""

    def __init__(
        self, cls: type[Function], args: Any, outs: tuple[Any, ...], flowing: list[int]
    ) -> None:
        self.cls, self.flowing = cls, flowing
        self.tensors = [isinstance(x, Tensor) for x in args]
        self.outs = [
            _Like(x) if i in flowing else x.detach() if isinstance(x, Tensor) else None
            for i, x in enumerate(outs)
        ]


class _Like:
    def __init__(self, x: Any) -> None:
        self.shape, self.dtype = x.shape, x.dtype


def _unpacked(packed: Any, like: list[Any]) -> list[Any]:
    parts, start = [], 0
    for x in like:
        size = prod(x.shape)
        parts.append(packed[start : start + size].reshape(x.shape).astype(x.dtype))
        start += size
    return parts


def _operation(cls: type[Function]) -> ArrayOp:
    if "_operation" not in vars(cls):  # one for each class, and none of its base's
        cls._operation = ArrayOp(
            cls.__name__, cls.__name__, cls.__doc__ or "", cls.forward, _pulled
        )
    return cls._operation


def _pulled(m: Any, g: Any, z: Any, *xs: Any, ctx: FunctionCtx, slots: _Slots) -> tuple[Any, ...]:
    """The rule of every Function: what its own `backward` says."""
    if isinstance(g, Rows):
        raise OneByOne
    if isinstance(g, Node):
        return _gradients(g, z, xs, ctx, slots)
    with no_grad():
        shown = z if isinstance(z, Overwritten) else Tensor.of_array(z)
        found = _gradients(Tensor.of_array(g), shown, xs, ctx, slots)
    return tuple([x._data for x in found])


def _gradients(
    g: Any, z: Any, xs: tuple[Any, ...], ctx: FunctionCtx, slots: _Slots
) -> tuple[Any, ...]:
    name, outs = slots.cls.__name__, slots.outs
    if len(outs) == 1:
        grads, ctx._outputs = [g], (z,)
    else:
        flowing = [outs[i] for i in slots.flowing]
        parts = dict(zip(slots.flowing, _unpacked(g, flowing), strict=True))
        grads = [parts[i] if i in parts else _zeros(x) for i, x in enumerate(outs)]
        if any(isinstance(x, int) for x in ctx._saved):
            of = z if isinstance(z, Overwritten) else _unpacked(z, flowing)
            nodes = dict(zip(slots.flowing, [of] * len(flowing) if of is z else of, strict=True))
            ctx._outputs = tuple([nodes.get(i, x) for i, x in enumerate(outs)])
    try:
        found = slots.cls.backward(ctx, *grads)
    finally:
        ctx._outputs = ()
    found = found if isinstance(found, tuple | list) else (found,)
    extra = found[len(slots.tensors) :]
    if len(found) < len(slots.tensors) or any(x is not None for x in extra):
        raise RuntimeError(
            f"{name}.backward は引数と同じ {len(slots.tensors)} 個の勾配を返します "
            f"(wrong number of gradients): {len(found)} 個が返されました。"
            "Tensor でない引数には None を返します。"
        )
    shares = [_share(name, x, i, ctx) for i, (x, t) in enumerate(zip(found, slots.tensors)) if t]
    return tuple([_checked(name, share, x) for share, x in zip(shares, xs, strict=True)])


def _share(name: str, x: Any, i: int, ctx: FunctionCtx) -> Any:
    if x is not None and not isinstance(x, Tensor):
        raise TypeError(
            f"{name}.backward は Tensor か None を返します (expected Tensors): {i} 番目は "
            f"{type(x).__name__} です。"
        )
    return x if ctx.needs_input_grad[i] else None


def _zeros(x: Any) -> Any:
    """Zeros like a Tensor or an array; nothing for what is no Tensor."""
    if x is None:
        return None
    if isinstance(x, Overwritten):  # only its shape is asked
        return Tensor.of_array(namespace.ieee.zeros(x.shape, dtype=x.dtype))
    data = data_of(x)
    return Tensor.of_array(namespace.of(data).zeros_like(data))


def _checked(name: str, share: Any, x: Any) -> Any:
    """The share, where it can be summed to the shape of what it is the gradient of."""
    if share is None:
        return _zeros(x)
    shape, wanted = share.shape, x.shape
    ends = shape[len(shape) - len(wanted) :]
    if len(shape) < len(wanted) or any(b not in (1, a) for a, b in zip(ends, wanted)):
        raise RuntimeError(
            f"{name}.backward の返した勾配の形が違います (invalid gradient shape): {shape}。"
            f"引数と同じ {wanted} にしてください。"
        )
    return share
