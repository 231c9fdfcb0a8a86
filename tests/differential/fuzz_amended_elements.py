"""PyTorch の、要素ごとの関数を、README の表のとおりに直したもの。"""

from __future__ import annotations

import math
from typing import Any

import torch
from fuzz_amended import amend


def open_(shut: Any, g: Any, slope: Any) -> Any:
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
        gx = open_(shut, g, y * Pow.apply(x, torch.where(shut, one, y) - 1))
        shut = (x == 0) & (y >= 0)
        gy = open_(shut, g, Pow.apply(x, y) * torch.where(shut, one, x).log())
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


class Given(torch.autograd.Function):
    """A value that is given, of x: how its gradient goes back, the classes of it say."""

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any) -> Any:
        ctx.save_for_backward(x)
        return value.clone()


class Swish(Given):
    """A value with the slope of hardswish."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        slope = torch.where(x < 3, x / 3 + 0.5, torch.ones_like(x))
        return open_(x <= -3, g, slope), None


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
    low = torch.where(x <= 0, x, torch.zeros_like(x))
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


# ---- 書き換える論理演算 -------------------------------------------------------------------------


@amend("PyTorch の誤り", "logical_not", "logical_and", "logical_or", "logical_xor")
def logical(f: Any, x: Any, *others: Any) -> Any:
    """`logical_not_` and its like let the gradient through, as if nothing had been written."""
    return f(x.detach(), *others)
