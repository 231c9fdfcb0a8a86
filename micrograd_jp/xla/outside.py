"""関数が外から読む変数: 閉包とグローバル変数、そこから呼ばれる利用者の関数の変数、使われる属性。

`jax.jit` は、それらの Python の値を定数にする。あとで変えても、プログラムは古い値のまま黙って動き
続けるので、呼ぶたびにすべてを比べ、状態を持つものが `held` になければ断る。
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

from micrograd_jp.graph.node import Node
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim import Optimizer
from micrograd_jp.xla.frozen import Same, frozen, is_plain
from micrograd_jp.xla.held import Fixed, Look, is_held

_LIBRARIES = ("micrograd_jp", "numpy", "jax")


def fixed_around(function: Callable[..., Any], look: Look) -> Fixed:
    """関数が外から読む変数の、配列でないすべて。

    Raises:
        TypeError: 状態を持つものを使うのに、`held` にない。
    """
    known = _known(look)
    found: list[tuple[str, Any]] = []
    for name, x in _outside(function, set()):
        if id(x) in known:
            continue
        if _has_state(x, known):
            raise TypeError(
                f"jit する関数は {name} ({type(x).__name__}) も使います (not held): 渡さないと、"
                "いまの状態がプログラムの中で固定されます。"
                f"jit(step, …, {name}) のように渡してください。"
            )
        if isinstance(x, Module):
            found += [(f"{name}: {path}", y) for path, y in Look([x]).fixed]
        else:
            # What grows may be a record of what the function saw.
            kept = isinstance(x, list | dict) and not (x and is_plain(x))
            found.append((name, Same(x) if kept else frozen(x)))
    return tuple(found)


def stateful_around(function: Any, held: list[Any]) -> list[Any]:
    """関数が外から使う、`held` にない、状態を持つもの。"""
    known = _known(Look(held))
    found = [x for _, x in _outside(function, set()) if id(x) not in known and _has_state(x, known)]
    return list({id(x): x for x in found}.values())


def difference(old: Fixed, new: Fixed) -> str:
    """どこが変わったか。"""
    before, after = dict(old), dict(new)
    changed = [path for path, x in new if path not in before or before[path] != x]
    return next(iter([*changed, *(path for path in before if path not in after)]), "")


def _known(look: Look) -> set[int]:
    return {*map(id, look.tensors), *map(id, look.held), *map(id, look.parts)}


def _has_state(x: Any, known: set[int]) -> bool:
    if isinstance(x, Module):
        return any(id(t) not in known for t in Look([x]).tensors)
    return isinstance(x, Optimizer) or (is_held(x) and not isinstance(x, type))


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
    if (function.__module__ or "").partition(".")[0] in _LIBRARIES:
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
        elif hasattr(x, "__dict__") and not (isinstance(x, Module | Node) or is_held(x)):
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
