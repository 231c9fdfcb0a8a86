"""数 (Value) の閉じた門: つながっていないので、2 階の勾配も 0 でなく、ない。"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from fuzz_amended import OF_NUMBERS


class Shut(torch.autograd.Function):
    """A value that x does not change: of the graph, but nothing goes back."""

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any) -> Any:
        return value.detach().clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return None, None


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


def _where(own: Any, condition: Any, x: Any, y: Any) -> Any:
    if condition.ndim or any(isinstance(t, torch.Tensor) and t.ndim for t in (x, y)):
        return own(condition, x, y)
    chosen, other = (x, y) if condition else (y, x)
    out = own(condition, x, y).detach() * 0 + chosen
    tracked = getattr(other, "requires_grad", False) and not getattr(chosen, "requires_grad", False)
    return Shut.apply(other, out) if tracked else out


OF_NUMBERS |= {"maximum": _larger, "minimum": _larger, "where": _where}


@piecewise("hardsigmoid", "floor", "sign")
def _flat(x: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
    return Shut.apply(x, z) if x.isfinite() and z == z.round() else None
