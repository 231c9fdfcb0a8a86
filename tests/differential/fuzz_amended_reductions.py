"""PyTorch の、軸に沿ってまとめる関数を、README の表のとおりに直したもの。"""

from __future__ import annotations

import math
from typing import Any

import torch
from fuzz_amended import AMENDED, amend
from fuzz_amended_elements import Given, absolute, open_

# ---- まとめる -----------------------------------------------------------------------------------


def _axes(x: Any, dim: Any) -> tuple[int, ...]:
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    return tuple(d % max(x.ndim, 1) for d in ((dim,) if isinstance(dim, int) else dim))


def _dim(dim: Any, kwargs: dict[str, Any]) -> tuple[Any, bool]:
    kept = kwargs.get("keepdim", kwargs.get("keepdims", False))
    return kwargs.get("dim", kwargs.get("axis", dim)), kept


@amend("PyTorch の誤り", "prod")
def prod(f: Any, x: Any, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """A chain of products: the slope is a product of the others, not the whole by the one."""
    want = f(x, *(() if dim is None else (dim, keepdim)), **kwargs)
    if not x.is_floating_point() or not x.ndim:
        return want
    dim, _ = _dim(dim, kwargs)
    rows = x.reshape(-1) if dim is None else x.movedim(dim, 0)
    out = torch.ones_like(rows.sum(0))
    for i, row in enumerate(rows):
        out = out * row if i else row
    return out.reshape(want.shape)


@amend("閉じた門", "amax", "amin")
def extreme(f: Any, x: Any, dim: Any = (), keepdim: bool = False, **kwargs: Any) -> Any:
    dim, kept = _dim(dim, {"keepdim": True} | kwargs if keepdim else kwargs)
    out = f(x, dim, kept) if dim != () else f(x, _axes(x, dim), kept)
    if not x.requires_grad:
        return out
    top = out.detach() if kept else f(x.detach(), _axes(x, dim), True)
    shut = (x < top) | (x > top)
    ties = (x == top).sum(_axes(x, dim), keepdim=True)
    share = torch.where(ties == 0, torch.full((), math.nan, dtype=x.dtype), 1.0 / ties)
    return Chosen.apply(x, shut, share.to(x.dtype), _axes(x, dim), kept, out.detach())


class Chosen(torch.autograd.Function):
    """The maximum, with the gradient in equal parts to all that attain it, to no other."""

    @staticmethod
    def forward(ctx: Any, x: Any, shut: Any, share: Any, axes: Any, kept: Any, out: Any) -> Any:
        ctx.save_for_backward(shut, share)
        ctx.shape, ctx.axes, ctx.kept = share.shape, axes, kept
        return out.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        shut, share = ctx.saved_tensors
        return (open_(shut, g.reshape(ctx.shape).expand(shut.shape), share), *[None] * 5)


AMENDED["nan の最大値"] = dict(AMENDED["閉じた門"])


@amend("nan の最大値", "max", "min")
def largest(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Without an axis the gradient of nan goes to all: none is the largest."""
    if args or kwargs:
        return f(x, *args, **kwargs)
    low = "min" in f.__name__
    return extreme(torch.amin if low else torch.amax, x)


def _pooled(pool: Any) -> Any:
    """The gradient of nan goes to the first in its window, not to the last."""

    def pooled(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not x.isnan().any():
            return f(x, *args, **kwargs)
        known, places = x.detach()[~x.isnan()].unique(return_inverse=True)
        ranks = torch.arange(x.numel(), 0, -1.0, dtype=torch.float64).reshape(x.shape) + len(known)
        ranks[~x.isnan()] = places.double()
        _, first = pool(ranks, *args, **{**kwargs, "return_indices": True})
        return x.flatten(-2).gather(-1, first.flatten(-2)).reshape(first.shape)

    return pooled


amend("nan の最大値", "max_pool2d")(_pooled(torch.nn.functional.max_pool2d))
amend("nan の最大値", "adaptive_max_pool2d")(_pooled(torch.nn.functional.adaptive_max_pool2d))


@amend("閉じた門", "maximum", "minimum")
def larger(f: Any, x: Any, y: Any) -> Any:
    z = f(x, y)
    if not z.is_floating_point():
        return z
    x, y = (t.to(z.dtype).expand(z.shape) for t in (x, y))
    half = torch.where(x == y, 0.5, 1.0).to(z.dtype)
    return Pair.apply(x, y, (z.detach() != x) & ~(x.isnan() | y.isnan()),
                      (z.detach() != y) & ~(x.isnan() | y.isnan()), half, z.detach())  # fmt: skip


class Pair(torch.autograd.Function):
    """One of two, by masks that say to which the gradient does not go."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, no_x: Any, no_y: Any, half: Any, z: Any) -> Any:
        ctx.save_for_backward(no_x, no_y, half)
        return z.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        no_x, no_y, half = ctx.saved_tensors
        return open_(no_x, g, half), open_(no_y, g, half), None, None, None, None


class Flat(Given):
    """A value of x with the gradient 0, where PyTorch has none."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return torch.zeros_like(ctx.saved_tensors[0]), None


@amend("どこでも 0 の勾配", "norm")
def norm(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    out = f(x, *args, **kwargs)
    zero = (args[:1] == (0,)) or kwargs.get("p") == 0
    return Flat.apply(x, out.detach()) if zero and out.requires_grad else out


@amend("nan の符号", "norm")
def sum_of_sizes(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    p, rest, kwargs = _order(args, kwargs)
    return absolute(torch.abs, x).sum(*rest, **kwargs) if p == 1 else f(x, p, *rest, **kwargs)


@amend("nan の最大値", "norm")
def largest_size(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    p, rest, kwargs = _order(args, kwargs)
    if p not in (math.inf, -math.inf):
        return f(x, p, *rest, **kwargs)
    return extreme(torch.amin if p < 0 else torch.amax, absolute(torch.abs, x), *rest, **kwargs)


def _order(args: Any, kwargs: Any) -> tuple[Any, Any, Any]:
    """The p of a norm, the other arguments by position, and those by name."""
    named = {k: v for k, v in kwargs.items() if k != "p"}
    return (args[0], args[1:], named) if args else (kwargs.get("p", "fro"), (), named)


class Norm(torch.autograd.Function):
    """‖x‖, by which g·x/‖x‖ goes back; at 0 it is x·dg/d‖x‖ where g is 0 there, too."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: Any) -> Any:
        z = (x * x).sum(axes, keepdim=True).sqrt()
        ctx.save_for_backward(x, z)
        ctx.axes = axes
        return z

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, z = ctx.saved_tensors
        norm, zero = Norm.apply(x, ctx.axes), (z == 0).expand(x.shape)
        share = open_(zero, g.expand(x.shape), x / torch.where(zero, 1.0, norm))
        if g.grad_fn is not None and ((g == 0) & (z == 0)).any():
            (curve,) = torch.autograd.grad(g.sum(), z, create_graph=True, allow_unused=True)
            if curve is not None:
                share = share + x * torch.where((g == 0) & (z == 0), curve, 0.0)
        return share, None


@amend("0 でのノルム", "norm")
def round_at_zero(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    p, rest, kwargs = _order(args, kwargs)
    out = f(x, p, *rest, **kwargs)
    return _from_zero(x, out, *rest, **kwargs) if p in (2, None, "fro") else out


@amend("0 でのノルム", "std")
def spread_at_zero(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    out = f(x, *args, **kwargs)
    dim = kwargs.get("dim", kwargs.get("axis", args[0] if args else None))
    dim = None if isinstance(dim, bool) else dim
    if not x.is_floating_point() or not out.isfinite().all():
        return out
    away = x - x.mean(_axes(x, dim), keepdim=True)
    norm = _from_zero(away, out, dim)
    n = away.numel() // max(norm.numel(), 1) - kwargs.get("correction", 1)
    return norm / math.sqrt(n) if n > 0 and norm is not out else out


def _from_zero(x: Any, out: Any, dim: Any = None, /, *_: Any, **kwargs: Any) -> Any:
    """The norm by `Norm`, in the shape of `out`; `out` itself where none is 0."""
    if not x.requires_grad or not x.numel() or x.dtype == torch.float16:
        return out
    z = Norm.apply(x, _axes(x, kwargs.get("dim", kwargs.get("axis", dim))))
    return z.reshape(out.shape) if (z == 0).any() else out


@amend("どこでも 0 の勾配", "slogdet", "linalg_slogdet")
def slogdet(f: Any, x: Any) -> Any:
    sign, log = f(x)
    return (Flat.apply(x, sign.detach()) if sign.requires_grad else sign), log


@amend("閉じた門", "addmm")
def addmm(f: Any, x: Any, *args: Any, beta: Any = 1, **kwargs: Any) -> Any:
    """With beta = 0 the first one is not looked at."""
    if beta != 0:
        return f(x, *args, beta=beta, **kwargs)
    out = f(x.detach(), *args, beta=beta, **kwargs)
    return out + Flat.apply(x, torch.zeros_like(x)) if x.requires_grad else out


@amend("clip の限り", "clamp")
def clamp(f: Any, x: Any, min: Any = None, max: Any = None) -> Any:
    """A limit of ±inf is none; a Tensor beside a number is no number, but keeps its dtype."""
    low = None if isinstance(min, float) and min == -math.inf else min
    high = None if isinstance(max, float) and max == math.inf else max
    if isinstance(low, torch.Tensor) != isinstance(high, torch.Tensor):
        low, high = (None if y is None else torch.as_tensor(y) for y in (low, high))
    return x.clone() if low is None is high else f(x, low, high)
