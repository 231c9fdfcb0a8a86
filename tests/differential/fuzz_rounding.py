"""丸めの違いか: PyTorch の演算の 1 つ 1 つを丸めの分だけ揺らして、答えがどれだけ動くかを測る。

モンテカルロ算術 (Monte Carlo arithmetic, Parker 1997)。どのライブラリでも同じ数になる演算（四則、
平方根、比較、選ぶ・並べる）は揺らさない。順序の決まらない和は引数を、初等関数は答えを、LAPACK の
演算は行列をノルムの分だけ揺らす（後退誤差, backward error）。逆伝播では、公式の書き方が違っても
よいので、すべて揺らす。
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

EXACT = set(
    (
        "add sub rsub mul div neg abs sign sgn sqrt reciprocal floor ceil trunc round square relu"
        " maximum minimum clamp clamp_min clamp_max amax amin max min argmax argmin where"
        " masked_fill masked_fill_ copy _to_copy clone fill zero cat stack index index_select"
        " gather scatter take sort topk flip roll tril triu full zeros ones full_like zeros_like"
        " ones_like new_zeros new_empty empty empty_like empty_strided arange eye scalar_tensor eq"
        " ne lt le gt ge isnan isinf logical_not logical_and logical_or logical_xor bitwise_not"
        " bitwise_and bitwise_or bitwise_xor remainder floor_divide fmod constant_pad_nd repeat"
        " repeat_interleave leaky_relu hardtanh threshold max_pool2d_with_indices"
        " adaptive_max_pool2d embedding nonzero bincount lift_fresh index_put masked_select resize"
        " hardshrink any all l1_loss _local_scalar_dense"
    ).split()
)
SUMS = set(
    ("sum mean mm bmm addmm mv addmv dot baddbmm cumsum prod trace index_add scatter_add").split()
)
LAPACK = ("linalg", "cholesky", "_linalg", "triangular", "lu_", "_cholesky")


class Shaken(TorchDispatchMode):
    """Every inexact operation a few roundings off, by numbers that `seed` draws.

    With `poison`, what LAPACK makes of inf or nan is nan: which one is the algorithm's affair.
    """

    def __init__(self, seed: int, roundings: float, poison: bool = False) -> None:
        super().__init__()
        self.roundings, self.poison, self.backward = roundings, poison, False
        self.random = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        base = name.rstrip("_") or name
        aliases = [r.alias_info for r in func._schema.returns]
        if any(a is not None and not a.is_write for a in aliases):  # a view
            return func(*args, **kwargs)
        lapack = base.startswith(LAPACK)
        if base == "where" or (base in EXACT and not self.backward):
            return func(*args, **kwargs)
        if base in SUMS and not self.backward and _sums_exactly(args):
            return func(*args, **kwargs)
        written = any(a is not None for a in aliases)
        mixes = self.backward or base in SUMS or lapack or base not in ELEMENTWISE
        if mixes and not written and base not in COPIES:
            args = [self._off(a, lapack) for a in args]
        out = func(*args, **kwargs)
        if self.poison and lapack and not all(_finite(a) for a in args):
            return _mapped(lambda t: t * math.nan, out)
        if written:
            for a in args[:1]:
                if isinstance(a, torch.Tensor) and a.is_floating_point() and base not in COPIES:
                    a.copy_(self._off(a, False))
            return out
        return out if base in COPIES else _mapped(lambda t: self._off(t, False), out)

    def _off(self, x: Any, normwise: bool) -> Any:
        if isinstance(x, (tuple, list)) and any(isinstance(t, torch.Tensor) for t in x):
            return [self._off(t, normwise) for t in x]
        if not isinstance(x, torch.Tensor) or not x.is_floating_point() or not _has_numbers(x):
            return x
        noise = 2 * torch.rand(x.shape, generator=self.random, dtype=torch.float64) - 1
        noise = (noise * self.roundings * torch.finfo(x.dtype).eps).to(x.dtype)
        off = x + x * noise
        if normwise:
            norm = x.abs().nan_to_num(0, 0, 0).amax((-2, -1) if x.ndim > 1 else -1, keepdim=True)
            off = x + noise * norm
        return torch.where(x.isfinite(), off, x)


class Reordered(TorchFunctionMode):
    """The contractions of einsum from left to right, another operand first."""

    backward = False

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") != "einsum":
            return func(*args, **(kwargs or {}))
        spec, *xs = args
        xs = list(xs[0]) if len(xs) == 1 and isinstance(xs[0], (list, tuple)) else xs
        inputs, arrow, out = spec.replace(" ", "").partition("->")
        labels = inputs.split(",")
        if not arrow:
            out = "".join(sorted(c for c in set(inputs) if c.isalpha() and inputs.count(c) == 1))
            out = "..." * ("..." in inputs) + out
        k = self.first % len(xs)
        before, torch.backends.opt_einsum.enabled = torch.backends.opt_einsum.enabled, False
        try:
            return func(f"{','.join(labels[k:] + labels[:k])}->{out}", *xs[k:], *xs[:k])
        finally:
            torch.backends.opt_einsum.enabled = before


COPIES = set(
    (
        "where copy _to_copy clone fill zero cat stack index index_select gather scatter flip"
        " roll tril triu full zeros ones full_like zeros_like ones_like new_zeros new_empty empty"
        " empty_like empty_strided arange eye scalar_tensor lift_fresh index_put masked_fill"
        " masked_select eq ne lt le gt ge isnan isinf logical_not logical_and logical_or repeat"
        " constant_pad_nd resize select_backward slice_backward nonzero detach _local_scalar_dense"
        " neg"
    ).split()
)
ELEMENTWISE = set(
    (
        "exp log log2 log10 log1p expm1 rsqrt"
        " sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh"
        " sigmoid _softmax _log_softmax softmax log_softmax logsumexp erf pow softplus elu gelu"
        " silu hardsigmoid hardswish log_sigmoid_forward mish linspace"
    ).split()
)


def _mapped(change: Callable[[Any], Any], out: Any) -> Any:
    if isinstance(out, (tuple, list)):
        return type(out)(_mapped(change, x) for x in out)
    return change(out) if isinstance(out, torch.Tensor) and out.is_floating_point() else out


def _has_numbers(x: Any) -> bool:
    """Not so an empty one, nor the zeros without memory that stand for a gradient not there."""
    return x.numel() > 0 and not x._is_zerotensor() and x.untyped_storage().data_ptr() != 0


def _finite(x: Any) -> bool:
    return not isinstance(x, torch.Tensor) or bool(x.isfinite().all())


def _sums_exactly(args: Any) -> bool:
    """Whether these are quarters and halves, few and small enough to be summed without rounding."""
    for x in args:
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            digits = 256 if x.dtype == torch.float64 else 4
            y = x.to(torch.float64) * digits
            if not bool(((y == y.floor()) & (y.abs() <= digits * 64)).all()):
                return False
    return True


SAMPLES = [(s, r, False) for s, r in enumerate((4, 4, 4, 4, 64, 64, 64))] + [(9, 4, True)]


def is_rounding(got: Any, sure: Any, again: Callable[[Any], Any]) -> bool:
    """Whether `got` is among the answers that PyTorch gives when its roundings fall otherwise.

    Args:
        got: Our numbers.
        sure: PyTorch's.
        again: Runs the program in PyTorch under a mode; its numbers, or None when it is refused.
    """
    modes = [Shaken(*sample) for sample in SAMPLES] + [Reordered(first) for first in range(3)]
    samples = [again(mode) for mode in modes]
    if any(s is None or s.shape != sure.shape for s in samples):
        return True  # PyTorch refuses as soon as its own numbers are a rounding off
    with np.errstate(all="ignore"):
        spread = np.max([np.where(_same(s, sure), 0, np.abs(s - sure)) for s in samples], axis=0)
        near = _same(got, sure) | (np.abs(got - sure) <= 8 * spread)
        # Beside a pole what counts is how far from it: 1/x, of which ±inf is the 0.
        away = np.max([np.abs(1 / s - 1 / sure) for s in samples], axis=0)
        far = (np.abs(got) > 1) & (np.abs(sure) > 1)
        near |= far & (np.abs(1 / got - 1 / sure) <= 8 * away)
        # At the edge of a domain (log 0, 1/0) PyTorch's own answer may be a number or not one:
        # then ours may be any number, or what one of PyTorch's is that is none.
        kinds = np.array([_kind(s) for s in [sure, *samples]])
        unsure = (kinds != kinds[0]).any(0) & (kinds == _kind(got)).any(0)
    return bool((near | unsure).all())


def _same(a: Any, b: Any) -> Any:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def _kind(x: Any) -> Any:
    """0 for a number, ±1 for ±inf, 2 for nan."""
    return np.where(np.isnan(x), 2, np.where(np.isinf(x), np.sign(x), 0))
