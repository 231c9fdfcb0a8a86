"""配列の関数。読み込むと、どれも登録簿 (`registry.py`) に載り、`Tensor` のメソッドが揃う。"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.on_demand import what_to_write
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.aliases import SAME
from micrograd_jp.tensor.operations import FUNCTIONS as _ELEMENTWISE
from micrograd_jp.tensor.registry import FUNCTIONS as FUNCTIONS
from micrograd_jp.tensor.registry import IN_PLACE as IN_PLACE
from micrograd_jp.tensor.registry import METHODS as METHODS
from micrograd_jp.tensor.registry import RULES as RULES

# In this order they are registered, and stand in the type stub.
# isort: off
from micrograd_jp.tensor.functions import reduce as reduce, shape as shape, index as index
from micrograd_jp.tensor.functions import select as select, linalg as linalg
from micrograd_jp.tensor.functions import pointwise as pointwise, to as to
from micrograd_jp.tensor.functions import conv as conv, pool as pool, norm as norm, loss as loss
from micrograd_jp.tensor.functions import elements as elements, complexes as complexes
from micrograd_jp.tensor.functions import arranging as arranging
from micrograd_jp.tensor.functions import cutting as cutting
from micrograd_jp.tensor.functions import decompositions as decompositions, sets as sets
from micrograd_jp.tensor.functions import statistics as statistics, running as running
from micrograd_jp.tensor.functions import scattering as scattering
from micrograd_jp.tensor.functions import sampling as sampling, creating as creating
# isort: on

for _name, _same in SAME.items():
    if _same in FUNCTIONS:
        FUNCTIONS[_name] = FUNCTIONS[_same]
    elif _same in _ELEMENTWISE:
        FUNCTIONS[_name] = _ELEMENTWISE[_same]
    if _same in METHODS:
        METHODS[_name] = METHODS[_same]
    elif _same in _ELEMENTWISE:
        METHODS[_name] = _ELEMENTWISE[_same]
    if f"{_same}_" in IN_PLACE:
        IN_PLACE[f"{_name}_"] = IN_PLACE[f"{_same}_"]

# Rules use our names of the arguments: they need no look at PyTorch's.
on_graph.fill({name: inspect.unwrap(f) for name, f in FUNCTIONS.items()} | RULES)
for _name, _function in METHODS.items():
    setattr(Tensor, _name, _function)
for _name, _function in {"floordiv": pointwise.floor_divide, "mod": pointwise.remainder}.items():
    setattr(Tensor, f"__{_name}__", _function)
    setattr(Tensor, f"__r{_name}__", lambda x, y, _f=_function: _f(y, x))


def _missing(t: Tensor, name: str) -> NoReturn:
    text = f"{type(t).__name__!r} object has no attribute {name!r}"
    raise AttributeError(what_to_write(name, "Tensor") or text, name=name, obj=t)


setattr(Tensor, "__getattr__", _missing)  # noqa: B010
for _name, _function in {
    "device": to.place_of,
    "H": lambda t: complexes.conj(t.T), "mH": arranging.adjoint,
}.items():  # fmt: skip
    setattr(Tensor, _name, property(_function))


def _settable(part: Callable[[Tensor], Any]) -> property:
    """`t.real = x` writes into t, as in PyTorch."""

    def write(t: Tensor, x: object) -> None:
        part(t).copy_(x)

    return property(part, write)


for _name in ("real", "imag"):
    setattr(Tensor, _name, _settable(getattr(complexes, _name)))
