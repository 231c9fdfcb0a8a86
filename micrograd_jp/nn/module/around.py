"""部品の前と後のフック: 順伝播の前 (forward pre-hook) と、逆伝播が通り抜けたとき (backward hook)。

逆伝播のフックがある部品の入力と出力は、何もしない 1 つの演算 (identity) を通る。その逆伝播が、
部品の出力の勾配と入力の勾配である。
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.custom import Function

AROUND = "_around_hooks"
"""取り付けたフックを持つ属性（なければ、ない）。中身は (種類, 関数)。"""

BEFORE, PULLED, BEFORE_PULL = "forward_pre", "full_backward", "full_backward_pre"


def called(module: Any, args: tuple[Any, ...], kwargs: Any, call: Callable[..., Any]) -> Any:
    """フックのある部品を呼ぶ。"""
    hooks = tuple(vars(module).get(AROUND, {}).values())
    for kind, hook in hooks:
        if kind == BEFORE:
            args, kwargs = hook(module, args, kwargs)
    if all(kind == BEFORE for kind, _ in hooks):
        return call(*args, **kwargs)
    passing = _Passing(module, hooks)
    places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
    inside = list(args)
    if any(args[i].requires_grad for i in places):
        entered = _Entering.apply(passing, *[args[i] for i in places])
        for i, x in zip(places, entered, strict=True):
            inside[i] = x
    else:
        passing.inputs = len(places)
    out = call(*inside, **kwargs)
    outs = out if isinstance(out, tuple) else (out,)
    if not all(isinstance(x, Tensor) for x in outs):
        raise TypeError(
            "逆伝播のフックのある部品は Tensor かその組を返します (expected Tensors): "
            f"{type(module).__name__} は {type(out).__name__} を返しました。"
        )
    left = _Leaving.apply(passing, *outs)
    return left if isinstance(out, tuple) else left[0]


def before(hook: Callable[..., Any], module: Any, args: Any, kwargs: Any) -> Any:
    """順伝播の前のフックを、名前の付いた引数を見せずに呼ぶ。"""
    given = hook(module, args)
    if given is None:
        return args, kwargs
    return given if isinstance(given, tuple) else (given,), kwargs


def before_with_names(hook: Callable[..., Any], module: Any, args: Any, kwargs: Any) -> Any:
    """順伝播の前のフックを、名前の付いた引数も渡して呼ぶ。"""
    given = hook(module, args, kwargs)
    if given is None:
        return args, kwargs
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)):
        raise TypeError(
            "with_kwargs=True のフックは None か組 (args, kwargs) を返します "
            f"(expected (args, kwargs)): {type(given).__name__} が返されました。"
        )
    return given


def after(hook: Callable[..., Any], module: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """順伝播のあとのフックを、名前の付いた引数を見せずに呼ぶ。"""
    return hook(module, args, out)


class _Passing:
    """One call of a module: what the gradients of its outputs were."""

    def __init__(self, module: Any, hooks: tuple[Any, ...]) -> None:
        self.module, self.hooks = module, hooks
        self.outputs: tuple[Any, ...] = ()
        self.inputs = -1  # how many, where none of them has a gradient

    def left(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for kind, hook in self.hooks:
            if kind == BEFORE_PULL:
                grads = _replaced(hook(self.module, grads), grads)
        self.outputs = grads
        if self.inputs >= 0:
            self.entered((None,) * self.inputs)
        return grads

    def entered(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for kind, hook in self.hooks:
            if kind == PULLED:
                grads = _replaced(hook(self.module, grads, self.outputs), grads)
        return grads


def _replaced(new: Any, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    if new is None:
        return grads
    found: tuple[Any, ...] = new if isinstance(new, tuple) else (new,)
    if len(found) != len(grads):
        raise ValueError(
            f"逆伝播のフックは {len(grads)} 個の勾配の組を返します (wrong number of gradients): "
            f"{len(found)} 個が返されました。"
        )
    return found


class _Leaving(Function):
    """The outputs of a module, as they are."""

    @staticmethod
    def forward(ctx: Any, passing: _Passing, *xs: Any) -> Any:
        ctx.passing = passing
        return xs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.passing.left(grads)


class _Entering(Function):
    """The inputs of a module, as they are."""

    @staticmethod
    def forward(ctx: Any, passing: _Passing, *xs: Any) -> Any:
        ctx.passing = passing
        return xs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        shown = tuple(g if need else None for g, need in zip(grads, ctx.needs_input_grad[1:]))
        return None, *ctx.passing.entered(shown)
