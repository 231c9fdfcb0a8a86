"""PyTorch を、README の表のとおりに直したもの。

違いが「約束」で説明できるのは、PyTorch の側をその約束のとおりに直して動かすと、違いが消えるとき
だけである。約束と似た姿の、ほかの誤りは、直した PyTorch とも違うので、残る。

`AMENDED` の関数は、PyTorch の関数を包む。どの書き方（関数、メソッド、`_` つき、演算子）でもよい。
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

AMENDED: dict[str, dict[str, Callable[..., Any]]] = {}
"""約束の名前から、関数の名前から、それを直したもの `f(原型, *引数)`。"""


def amend(convention: str, *names: str) -> Callable[[Any], Any]:
    """The decorated function stands for PyTorch's functions of these names."""

    def note(f: Any) -> Any:
        AMENDED.setdefault(convention, {}).update(dict.fromkeys(names, f))
        return f

    return note


OPERATORS = {"truediv": "div", "floordiv": "floor_divide", "mod": "remainder", "clip": "clamp"}


class Amended(TorchFunctionMode):
    """PyTorch with these conventions."""

    def __init__(self, conventions: Any) -> None:
        super().__init__()
        self.table: dict[str, Any] = {}
        for convention in conventions:
            for name, function in AMENDED.get(convention, {}).items():
                before = self.table.get(name)
                if before is not None and before is not function:
                    function = _after(before, function)
                self.table[name] = function

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        plain = name.strip("_")
        in_place = (name.endswith("_") and not name.startswith("__")) or name[:3] == "__i"
        swapped = name.startswith("__r")
        if name.startswith("__") and plain[:1] in "ir" and plain[1:] in DUNDER:
            plain = plain[1:]
        else:
            swapped = False
            in_place = in_place and not name.startswith("__")
        plain = OPERATORS.get(plain, plain)
        function = self.table.get(plain)
        if "overlap" in self.table and (in_place or name == "__setitem__"):
            args = _apart(args)
        if function is None or (in_place and plain not in self.table):
            return func(*args, **kwargs)
        if "input" in kwargs:
            kwargs = dict(kwargs)
            args = (kwargs.pop("input"), *args)
        if swapped:
            args = (args[1], args[0])
        if not in_place:
            return function(func if not swapped else getattr(torch, plain), *args, **kwargs)
        out = function(getattr(torch.Tensor, plain), *args, **kwargs)
        return args[0].copy_(out)


def _after(before: Any, function: Any) -> Any:
    """Both amendments of one function: the later one stands on the earlier."""
    return lambda f, *args, **kwargs: function(partial(before, f), *args, **kwargs)


DUNDER = set("add sub mul truediv floordiv mod pow and or xor".split())


def _apart(args: Any) -> Any:
    """The written Tensor first; the others no longer share its memory."""

    def apart(a: Any) -> Any:
        shares = isinstance(a, torch.Tensor) and (
            a.untyped_storage().data_ptr() == args[0].untyped_storage().data_ptr()
        )
        return a.clone() if shares else a

    return (args[0], *map(apart, args[1:]))


amend("PyTorch の誤り", "overlap")(None)


def _open(shut: Any, g: Any, slope: Any) -> Any:
    """The share g · slope of an operand; exactly 0 where the operation does not depend on it."""
    zero = torch.zeros((), dtype=g.dtype)
    return torch.where(shut, zero, torch.where(shut, zero, g) * torch.where(shut, zero + 1, slope))


# ---- 符号 ---------------------------------------------------------------------------------------


@amend("nan の符号", "sign")
def sign(f: Any, x: Any) -> Any:
    return torch.where(x.isnan(), x.detach(), f(x)) if x.is_floating_point() else f(x)


@amend("nan の符号", "abs")
def absolute(f: Any, x: Any) -> Any:
    if not x.is_floating_point():
        return f(x)
    lost = torch.where(x.isnan(), x, torch.zeros_like(x)).detach()
    return torch.where(x.isnan(), x * lost, f(x))


@amend("nan の符号", "l1_loss")
def l1_loss(f: Any, y: Any, t: Any, reduction: str = "mean", **_: Any) -> Any:
    away = absolute(torch.abs, y - t)
    return away if reduction == "none" else getattr(away, reduction)()


# ---- べき ---------------------------------------------------------------------------------------


class Pow(torch.autograd.Function):
    """xʸ; constant where y = 0, and in y where x = 0 and y >= 0."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return torch.pow(x, y)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, y = ctx.saved_tensors
        one = torch.ones((), dtype=g.dtype)
        shut = (y == 0) & (x.abs() < 1e-30 if y.requires_grad else torch.tensor(True))
        gx = _open(shut, g, y * Pow.apply(x, torch.where(shut, one, y) - 1))
        shut = (x == 0) & (y >= 0)
        gy = _open(shut, g, Pow.apply(x, y) * torch.where(shut, one, x).log())
        return gx.sum_to_size(x.shape), gy.sum_to_size(y.shape)


@amend("PyTorch の誤り", "pow")
def power(f: Any, x: Any, y: Any) -> Any:
    dtype = torch.result_type(x, y)
    if not dtype.is_floating_point:
        return f(x, y)
    wide = torch.float32 if dtype == torch.float16 else dtype
    a, b = (t.to(wide) if isinstance(t, torch.Tensor) else torch.tensor(t, dtype=torch.float64)
            .to(wide) for t in (x, y))  # fmt: skip
    return Pow.apply(a, b).to(dtype)


@amend("0.5 乗は平方根", "pow")
def root(f: Any, x: Any, y: Any) -> Any:
    number = isinstance(y, torch.Tensor) and not y.ndim and y.is_floating_point()
    half = getattr(x, "dtype", None) == torch.float16 and isinstance(y, float)
    out = f(x, y)
    return (
        torch.where(x == -math.inf, out * math.nan, out) if (number or half) and y == 0.5 else out
    )


# ---- 活性化関数と正規化 -------------------------------------------------------------------------


@amend("PyTorch の誤り", "hardsigmoid")
def hardsigmoid(f: Any, x: Any, **_: Any) -> Any:
    flat = torch.where(x.isnan(), x, (x >= 3).to(x.dtype)).detach()
    return torch.where((x > -3) & (x < 3), x / 6 + 0.5, flat)


@amend("PyTorch の誤り", "hardswish")
def hardswish(f: Any, x: Any, **_: Any) -> Any:
    if not x.is_floating_point():
        return f(x)
    return Swish.apply(x, x * hardsigmoid(torch.nn.functional.hardsigmoid, x.detach()))


class Swish(torch.autograd.Function):
    """A value with the slope of hardswish."""

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any) -> Any:
        ctx.save_for_backward(x)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        slope = torch.where(x < 3, x / 3 + 0.5, torch.ones_like(x))
        return _open(x <= -3, g, slope), None


@amend("PyTorch の誤り", "gelu")
def gelu(f: Any, x: Any, **_: Any) -> Any:
    if not x.is_floating_point():
        return f(x)
    wide = x.float() if x.dtype == torch.float16 else x
    return (wide * (0.5 * (1 + torch.erf(wide * math.sqrt(0.5))))).to(x.dtype)


@amend("PyTorch の誤り", "softplus")
def softplus(f: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Without the threshold above which it is x."""
    if args or kwargs or not x.is_floating_point() or x.dtype == torch.float16:
        return f(x, *args, **kwargs)
    return torch.where(x <= 0, 0.0, x) + torch.log1p(torch.exp(torch.where(x <= 0, x, -x)))


@amend("PyTorch の誤り", "mish")
def mish(f: Any, x: Any, **_: Any) -> Any:
    return f(x) if x.dtype == torch.float16 or not (x > 10).any() else x * softplus(f, x).tanh()


@amend("PyTorch の誤り", "elu")
def elu(f: Any, x: Any, alpha: float = 1.0, **_: Any) -> Any:
    low = torch.where(x < 0, x, torch.zeros_like(x))
    return torch.where(x <= 0, alpha * torch.expm1(low), x)


@amend("PyTorch の誤り", "layer_norm")
def layer_norm(f: Any, x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5):
    axes = tuple(range(-len(shape), 0))
    away = x - x.mean(axes, keepdim=True)
    z = away / ((away * away).mean(axes, keepdim=True) + eps).sqrt()
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


@amend("PyTorch の誤り", "batch_norm")
def batch_norm(
    f: Any, x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    if not training:
        return f(x, mean, var, weight, bias, training, momentum, eps)
    f(x.detach(), mean, var, None, None, training, momentum, eps)
    axes = (0, *range(2, x.ndim))
    away = x - x.mean(axes, keepdim=True)
    z = away / ((away * away).mean(axes, keepdim=True) + eps).sqrt()
    as_x = (1, -1) + (1,) * (x.ndim - 2)
    return z if weight is None else z * weight.reshape(as_x) + bias.reshape(as_x)


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
    dim, kept = _dim(dim, {"keepdim": keepdim, **kwargs})
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
        return (_open(shut, g.reshape(ctx.shape).expand(shut.shape), share), *[None] * 5)


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
        return _open(no_x, g, half), _open(no_y, g, half), None, None, None, None


class Flat(torch.autograd.Function):
    """A value of x with the gradient 0, where PyTorch has none."""

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any) -> Any:
        ctx.save_for_backward(x)
        return value.clone()

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
        share = _open(zero, g.expand(x.shape), x / torch.where(zero, 1.0, norm))
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


def _from_zero(x: Any, out: Any, dim: Any = None, *_: Any, **kwargs: Any) -> Any:
    """The norm by `Norm`, in the shape of `out`; `out` itself where none is 0."""
    if not x.requires_grad or not x.numel() or x.dtype == torch.float16:
        return out
    z = Norm.apply(x, _axes(x, kwargs.get("dim", kwargs.get("axis", dim))))
    return z.reshape(out.shape) if (z == 0).any() else out


@amend("どこでも 0 の勾配", "slogdet", "linalg_slogdet")
def slogdet(f: Any, x: Any) -> Any:
    sign, log = f(x)
    return (Flat.apply(x, sign.detach()) if sign.requires_grad else sign), log


@amend("clip の限り", "clamp")
def clamp(f: Any, x: Any, min: Any = None, max: Any = None) -> Any:
    """A limit of ±inf is none."""
    low = None if isinstance(min, float) and min == -math.inf else min
    high = None if isinstance(max, float) and max == math.inf else max
    return x.clone() if low is None is high else f(x, low, high)


# ---- 数 (Value) の閉じた門: つながっていないので、2 階の勾配も 0 でなく、ない --------------------


class Shut(torch.autograd.Function):
    """A value that x does not change: of the graph, but nothing goes back."""

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any) -> Any:
        return value.detach().clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return None, None


OF_NUMBERS: dict[str, Any] = {}


def piecewise(*names: str) -> Callable[[Any], Any]:
    """The function gives the piece on which x is, or None where PyTorch's own will do."""

    def note(piece: Any) -> Any:
        def f(own: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            if x.ndim or not x.requires_grad:
                return own(x, *args, **kwargs)
            out = piece(x, own(x, *args, **kwargs), *args, **kwargs)
            return own(x, *args, **kwargs) if out is None else out

        OF_NUMBERS.update(dict.fromkeys(names, f))
        return piece

    return note


@piecewise("relu")
def _relu(x: Any, z: Any) -> Any:
    return Shut.apply(x, z) if x <= 0 else x * 1


@piecewise("leaky_relu")
def _leaky_relu(x: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
    return x * (1 if x > 0 else kwargs.get("negative_slope", 0.01))


@piecewise("abs")
def _abs(x: Any, z: Any) -> Any:
    return x * math.copysign(1, x) if x != 0 and not x.isnan() else None


@piecewise("clamp")
def _clamp(x: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
    if any(isinstance(a, torch.Tensor) for a in (*args, *kwargs.values())):
        return None
    return x * 1 if z == x else None if x.isnan() else Shut.apply(x, z)


@piecewise("elu")
def _elu(x: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
    return x * 1 if x > 0 else None


def _larger(own: Any, x: Any, y: Any) -> Any:
    """The one of two that counts; nothing goes back to the other."""
    z = own(x, y)
    if not isinstance(y, torch.Tensor) or x.ndim or y.ndim or x == y or z.isnan():
        return z
    chosen, other = (x, y) if z == x else (y, x)
    out = chosen * 1
    return Shut.apply(other, out) if other.requires_grad and not chosen.requires_grad else out


OF_NUMBERS |= {"maximum": _larger, "minimum": _larger}


@piecewise("hardsigmoid", "floor", "sign")
def _flat(x: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
    return Shut.apply(x, z) if x.isfinite() and z == z.round() else None


# ---- 記憶 ---------------------------------------------------------------------------------------


def contiguous(f: Any, *args: Any, **kwargs: Any) -> Any:
    out = f(*args, **kwargs)
    return out.contiguous() if isinstance(out, torch.Tensor) else out


for _name in ("linalg_cholesky", "linalg_solve", "linalg_inv", "inverse", "cholesky", "nonzero",
              "repeat_interleave"):  # fmt: skip
    amend("行列の並び", _name)(contiguous)


def saved_by_value() -> Any:
    """What the rules of backward see is what stood there in the forward pass."""
    return torch.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t)


@contextlib.contextmanager
def amended(conventions: Any, numbers: bool = False) -> Any:
    """PyTorch with these conventions; `numbers`: where 0-d Tensors stand for our Values."""
    mode = Amended(conventions)
    if numbers and "閉じた門" in conventions:
        mode.table.update(OF_NUMBERS)
    with contextlib.ExitStack() as stack:
        stack.enter_context(mode)
        if "data への代入" in conventions:
            stack.enter_context(saved_by_value())
        if "no_grad" in conventions:
            stack.enter_context(torch.no_grad())
        yield mode


BOUNDS = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int16: (-32768, 32767)}


@amend("型に入らない数", "lt", "le", "gt", "ge", "eq", "ne")
def compared(f: Any, x: Any, y: Any) -> Any:
    """A number that the dtype cannot hold is compared as the number it is."""
    low, high = BOUNDS.get(getattr(x, "dtype", None), (-math.inf, math.inf))
    outside = isinstance(y, (int, float)) and not low <= y <= high
    return f(x.to(torch.int64), y) if outside else f(x, y)


class Recorded(TorchFunctionMode):
    """Which Tensors went into operations and came out, and of which version they were."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not getattr(func, "__name__", "").startswith("__get"):
            for t in (*args, *(kwargs or {}).values(), out):
                if isinstance(t, torch.Tensor):
                    self.seen.append((t, t._version))
        return out

    def stale(self) -> bool:
        return any(t._version > version for t, version in self.seen)
