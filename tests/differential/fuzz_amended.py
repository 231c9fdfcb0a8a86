"""PyTorch を、README の表のとおりに直したもの。

違いが「約束」で説明できるのは、PyTorch の側をその約束のとおりに直して動かすと、違いが消えるとき
だけである。約束と似た姿の、ほかの誤りは、直した PyTorch とも違うので、残る。

関数は `fuzz_amended_elements`、`fuzz_amended_reductions`、`fuzz_amended_values` が直す。
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
OF_NUMBERS: dict[str, Any] = {}
"""0 次元の `Tensor` が `Value` の代わりをするときの「閉じた門」。"""


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
