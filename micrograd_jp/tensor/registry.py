"""配列の関数の登録簿: どこから呼べるか、PyTorch での引数の名前は何かを、定義の上で 1 度だけ言う。

    @function(in_place=True, torch={"diagonal": "k"})
    def tril(x: Any, k: int = 0) -> Tensor: ...

これで `mg.tril(t)`, `t.tril()`, `t.tril_()` ができ、規則は `m.tril` を使え、どれも `diagonal=` でも
呼べる。関数は NumPy の引数の名前で 1 度だけ書かれる。モジュールの中の名前は、もとの関数のまま。
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from micrograd_jp.arguments import FOREIGN, explained, explanation
from micrograd_jp.ops.complex import is_complex, only_for_real

P = ParamSpec("P")
R = TypeVar("R")

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""パッケージの関数 `mg.名前`。規則も、計算グラフの上で使う。"""

METHODS: dict[str, Callable[..., Any]] = {}
"""`Tensor` のメソッド。"""

IN_PLACE: dict[str, Callable[..., Any]] = {}
"""名前が `_` で終わるメソッド: 計算グラフにない `Tensor` から、新しい値を作る関数。"""

RULES: dict[str, Callable[..., Any]] = {}
"""規則だけが、計算グラフの上で使う関数。"""

TORCH_NAMES = {
    "input": "x a xs", "tensors": "xs", "dim": "axis", "keepdim": "keepdims",
    "start_dim": "start_axis", "end_dim": "end_axis", "dim1": "axis1", "dim2": "axis2",
    "size": "shape", "end": "stop", "steps": "num",
}  # fmt: skip
"""どの関数でも: PyTorch の引数の名前から、ここでの名前へ（先に挙げた、その関数にあるもの）。"""


_NOTHING = ("out", "dtype")
"""`np.sum(t)` や `np.std(t)` は、`t` のメソッドに、これらも `None` として渡す。"""


def function(
    *, package: bool = True, method: bool = True, in_place: bool = False,
    torch: Mapping[str, str] | None = None, real: bool = False, name: str = "", summary: str = "",
) -> Callable[[Callable[P, R]], Callable[P, R]]:  # fmt: skip
    """配列の関数を登録するデコレータ。

    Args:
        package: パッケージの関数にもするか。
        method: `Tensor` のメソッドにもするか。
        in_place: 名前の後に `_` の付く、その場で書き換えるメソッドにもするか。
        torch: この関数だけの、PyTorch の引数の名前から、ここでの名前へ。
        real: 大小や順序を使うので、複素数を断るか。
        name: ほかの関数が作った関数に付ける名前。
        summary: その説明。
    """

    def declare(f: Callable[P, R]) -> Callable[P, R]:
        if name:
            f.__name__ = f.__qualname__ = name
            f.__doc__ = summary
        given = _ordered(f) if real else f
        called = torch_names(**torch or {})(given)
        called = explained(given) if called is given else called
        if package:
            FUNCTIONS[f.__name__] = called
        if method:
            METHODS[f.__name__] = called
        if in_place:
            IN_PLACE[f"{f.__name__}_"] = called
        return f

    return declare


def _ordered(f: Callable[P, R]) -> Callable[P, R]:
    """NumPy orders complex numbers by their real parts; PyTorch refuses to."""

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for x in (*args, *kwargs.values()):
            if is_complex(x):
                raise only_for_real(f.__name__)
        return f(*args, **kwargs)

    return call


def torch_names(**own: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """PyTorch の引数の名前でも呼べるようにするデコレータ。別名のない関数はそのまま返す。

    できた関数は、同じ引数を 2 つの名前で渡されると `TypeError` を出す。その属性 `torch_names` に
    別名がある。

    Args:
        **own: この関数だけの、PyTorch の引数の名前から、ここでの名前へ。
    """

    def named(f: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(f).parameters
        order = list(parameters)
        rest = next((n for n, p in parameters.items() if p.kind is p.VAR_POSITIONAL), "")
        aliases = {rest: rest} if rest else {}
        for theirs, ours in (TORCH_NAMES | own).items():
            meant = next((n for n in ours.split() if n in parameters), None)
            if meant and theirs not in parameters:
                aliases[theirs] = meant
        if not aliases:
            return f

        @functools.wraps(f)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for nothing in _NOTHING if kwargs else ():
                if nothing not in order and kwargs.get(nothing, nothing) is None:
                    del kwargs[nothing]
            several = []  # what goes where any number may stand: dims, dim0 and dim1, size, …
            for theirs in [a for a in aliases if a in kwargs] if kwargs else ():
                ours = aliases[theirs]
                if order.index(ours) < len(args) or (ours in kwargs and ours != theirs):
                    raise TypeError(
                        f"{f.__name__} の {ours} と {theirs} は同じ引数です "
                        f"(given twice): どちらか 1 つだけを渡してください。"
                    )
                if ours == rest:
                    several.append(kwargs.pop(theirs))
                else:
                    kwargs[ours] = kwargs.pop(theirs)
            before = order[len(args) : order.index(rest)] if several else ()
            if several and kwargs.keys() >= set(before):  # else f says what is missing
                args = (*args, *[kwargs.pop(n) for n in before], *several)  # type: ignore[assignment]
            try:
                return f(*args, **kwargs)
            except FOREIGN as error:
                better = explanation(f, args, kwargs, error)
                if better is None:
                    raise
                raise better from error

        vars(call)["torch_names"] = aliases
        return call

    return named
