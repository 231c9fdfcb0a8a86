"""プログラムに焼き込まれるもの: 関数が読む、配列でないもの。変われば、もう一度コンパイルする。

`jax.jit` は Python の数や属性を定数にする。あとで変えても、プログラムは古い値のまま黙って動き
続ける。だから呼ぶたびに、見えるものをすべて比べる: 持っているもの (`held`) の属性と、関数とそこから
呼ばれる利用者の関数が、外から読む変数。
"""

from __future__ import annotations

import functools
import inspect
import types
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from micrograd_jp.graph.modes import autocasting, is_grad_enabled
from micrograd_jp.graph.node import Node
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim import Optimizer
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.xla.held import Held, groups_of, tensors_of

Fixed = tuple[tuple[str, Any], ...]
"""Where something was found, and what compares equal as long as it means the same."""

_PLAIN = (bool, int, str, bytes, type(None), np.dtype)
_LIBRARIES = ("micrograd_jp.", "numpy", "jax", "builtins", "math")
_CHANGING = ("params", "lr", "initial_lr")  # of a group: given as arrays


class _Same:
    """Compares by identity, and keeps what it compares alive."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.x is self.x

    def __hash__(self) -> int:
        return id(self.x)

    def __repr__(self) -> str:
        return f"<{type(self.x).__name__}>"


def fixed_in(held: Sequence[Any]) -> Fixed:
    """持っているものの、配列でないすべてと、いまのモード。"""
    found: list[tuple[str, Any]] = [("autocast", autocasting()), ("no_grad", is_grad_enabled())]
    for x in held:
        kind = type(x).__name__
        if isinstance(x, Module):
            for name, part in x.named_modules():
                path = f"{kind}.{name}" if name else kind
                found.append((path, type(part)))
                found += _attributes(path, part)
        elif not isinstance(x, Tensor | Optimizer):
            found += _attributes(kind, x)
    for i, group in enumerate(groups_of(held)):
        options = {k: x for k, x in group.items() if k not in _CHANGING}
        found += [(f"param_groups[{i}][{k!r}]", _frozen(x)) for k, x in options.items()]
    found.append(("requires_grad", tuple(t.requires_grad for t in tensors_of(held))))
    return tuple(found)


def fixed_around(function: Callable[..., Any], held: Sequence[Any]) -> Fixed:
    """関数が外から読む変数の、配列でないすべて。

    Raises:
        TypeError: 状態を持つものを使うのに、`held` にない。
    """
    known = {id(t) for t in tensors_of(held)} | {id(x) for x in held}
    found: list[tuple[str, Any]] = []
    for name, x in _outside(function, set()):
        if id(x) in known:
            continue
        if isinstance(x, Module):
            if any(id(t) not in known for t in tensors_of([x])):
                raise _not_held(name, x)
            found += [(f"{name}: {path}", y) for path, y in fixed_in([x])]
        elif isinstance(x, Optimizer) or (isinstance(x, Held) and not isinstance(x, type)):
            raise _not_held(name, x)
        else:
            # What grows may be a record of what the function saw.
            kept = isinstance(x, list | dict) and not (x and _is_plain(x))
            found.append((name, _Same(x) if kept else _frozen(x)))
    return tuple(found)


def difference(old: Fixed, new: Fixed) -> str:
    """どこが変わったか。"""
    before = dict(old)
    for path, x in new:
        if path not in before or before[path] != x:
            return path
    return next((path for path, _ in old if path not in dict(new)), "")


def _not_held(name: str, x: Any) -> TypeError:
    return TypeError(
        f"jit する関数は {name} ({type(x).__name__}) も使います (not held): 渡さないと、いまの"
        f"状態がプログラムの中で固定されます。jit(step, …, {name}) のように渡してください。"
    )


def _attributes(path: str, x: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds that is no state: that travels as arrays."""
    module = isinstance(x, Module)
    if module:
        yield f"{path}.training", x.training
    for name, y in list(getattr(x, "__dict__", {}).items()):
        if name != "training" and (module or _is_plain(y)):
            yield f"{path}.{name}", _frozen(y, type)


def _is_plain(x: Any) -> bool:
    if isinstance(x, list | tuple | dict):
        return all(map(_is_plain, x.values() if isinstance(x, dict) else x))
    return isinstance(x, (*_PLAIN, float))


def _frozen(x: Any, node: Callable[[Any], Any] | None = None) -> Any:
    """What is equal as long as the program would be the same.

    Args:
        x: anything.
        node: what to make of a Tensor, a Value, or a Module; nothing: look at the numbers.
    """
    kind = x.__class__
    if kind in _PLAIN:
        return kind, x
    if kind is float:
        return x.hex()  # nan is itself, and -0.0 is not 0.0
    if kind is list or kind is tuple:
        return kind, tuple(_frozen(y, node) for y in x)
    if kind is dict:
        return kind, tuple((_frozen(k, node), _frozen(y, node)) for k, y in x.items())
    if isinstance(x, Node | Module) and node is not None:
        return node(x)
    if isinstance(x, Node):
        return _frozen(x.data)
    if kind is np.ndarray and not x.dtype.hasobject:
        return x.shape, x.dtype, zlib.crc32(x.tobytes())
    if isinstance(x, np.generic):
        return x.dtype, _frozen(x.item())
    if isinstance(x, types.MethodType):
        return _Same(x.__func__), _Same(x.__self__)
    if isinstance(x, functools.partial):
        return _frozen(x.func, node), _frozen(x.args, node), _frozen(x.keywords, node)
    return _Same(x)


# ---- 関数が外から読む変数 ------------------------------------------------------------------------


def _outside(function: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The variables that a function, and the user's functions among them, read from outside."""
    while isinstance(function, functools.partial):
        yield from _each({"functools.partial": (function.args, function.keywords)}, (), seen)
        function = function.func
    owner = getattr(function, "__self__", None)
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType) or id(function) in seen:
        return
    seen.add(id(function))
    if (function.__module__ or "").startswith(_LIBRARIES):
        return
    code, names = function.__code__, _names(function.__code__)
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not filled yet
            found[name] = cell.cell_contents
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    found.update((f"{function.__name__}({i})", x) for i, x in enumerate(defaults))
    if owner is not None and not isinstance(owner, type):
        found["self"] = owner
    yield from _each(found, names, seen)


def _each(found: dict[str, Any], names: Collection[str], seen: set[int]) -> Iterator[Any]:
    """The variables, those of the functions, and the attributes that the code may mean."""
    for name, x in found.items():
        if isinstance(x, types.ModuleType | type | types.BuiltinFunctionType):
            continue
        yield name, x
        if isinstance(x, types.FunctionType | types.MethodType | functools.partial):
            yield from _outside(x, seen)
        elif hasattr(x, "__dict__") and not isinstance(x, Module | Node | Held):
            own = vars(x)
            if id(x) in seen:
                continue
            seen.add(id(x))
            inner = {f"{name}.{n}": own[n] for n in names if n in own}
            for n in names:
                method = inspect.getattr_static(type(x), n, None)
                if isinstance(method, types.FunctionType):
                    inner[f"{name}.{n}"] = types.MethodType(method, x)
            yield from _each(inner, names, seen)


@functools.cache
def _names(code: types.CodeType) -> tuple[str, ...]:
    """Every name in the code, also of attributes, and in the functions defined inside of it."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(n for c in inner for n in _names(c))]))
