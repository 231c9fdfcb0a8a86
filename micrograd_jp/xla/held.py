"""jit した関数が書き換えてよいもの: モデル、最適化手法、そのほかの状態を持つもの (`Held`)。"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np

from micrograd_jp.engine.value import Value
from micrograd_jp.graph.leaves import clear_gradients, gradients_of, set_gradients
from micrograd_jp.graph.modes import autocasting, is_grad_enabled
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim import Optimizer
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.xla.frozen import frozen, is_plain

Fixed = tuple[tuple[str, Any], ...]
"""Where something was found, and what compares equal as long as it means the same."""

_CHANGING = ("params", "lr", "initial_lr")  # of a group: given as arrays


@runtime_checkable
class Held(Protocol):
    """状態を持つもの。この 2 つのメソッドを書けば、何でも `mg.jit` に渡せる。

    >>> import micrograd_jp as mg
    >>> class Average:
    ...     def __init__(self, model):
    ...         self.model, self.w = model, [p.detach().clone() for p in model.parameters()]
    ...
    ...     def update(self):
    ...         pairs = zip(self.w, self.model.parameters())
    ...         self.w = [0.9 * w + 0.1 * p.detach() for w, p in pairs]
    ...
    ...     def state_arrays(self):
    ...         return [w.data for w in self.w]
    ...
    ...     def set_state_arrays(self, state):
    ...         self.w = [mg.Tensor(x) for x in state]
    >>> isinstance(Average(mg.nn.Linear(1, 1)), mg.xla.Held)
    True
    """

    def state_arrays(self) -> Any:
        """いまの状態: 配列か数と、その入れ子のリスト・タプル・辞書。"""

    def set_state_arrays(self, state: Any) -> None:
        """`state_arrays()` の形の状態に、写さずに取り替える。値のない配列が来ることもある。"""


def require_held(held: Sequence[Any]) -> None:
    """どれも、状態の出し入れができることを確かめる。

    Raises:
        TypeError: `Module` でも `Optimizer` でも `Tensor` でも `Held` でもない。
    """
    for x in held:
        if isinstance(x, type) or not (isinstance(x, Module | Tensor) or is_held(x)):
            raise TypeError(
                "jit に渡すのは、関数の中で書き換わる Module、Optimizer、Tensor と、state_arrays() "
                "と set_state_arrays() のあるものです (expected modules and optimizers): "
                f"{type(x).__name__} が渡されました。jit(step, model, optimizer) と書いてください。"
            )


def is_held(x: Any) -> bool:
    """`Held` か（`isinstance` より速い）。"""
    return hasattr(x, "state_arrays") and hasattr(x, "set_state_arrays")


class Look:
    """持っているものを 1 度見渡したもの: 書き換わる `Tensor`、グループ、ほかのすべて、モード。"""

    def __init__(self, held: Sequence[Any]) -> None:
        self.held = held
        self.others = [x for x in held if not isinstance(x, Module | Tensor)]
        self.groups = [g for x in held if isinstance(x, Optimizer) for g in x.param_groups]
        self.parts: list[Module] = []
        self._tensors: dict[int, Tensor] = {}
        found: list[tuple[str, Any]] = [("autocast", autocasting()), ("no_grad", is_grad_enabled())]
        for x in held:
            if isinstance(x, Module):
                for path, part in tree.once(tree.modules(x)):
                    self.parts.append(part)
                    found += self._inside(f"{type(x).__name__}.{path}".rstrip("."), part)
            elif isinstance(x, Tensor):
                self._met(x)
            elif not isinstance(x, Optimizer):
                found += _plain_in(type(x).__name__, x)
        for i, group in enumerate(self.groups):
            options = {k: x for k, x in group.items() if k not in _CHANGING}
            found += [(f"param_groups[{i}][{k!r}]", frozen(x)) for k, x in options.items()]
            for p in group["params"]:
                self._met(p)
        self.tensors = list(self._tensors.values())
        found.append(("requires_grad", tuple([t.requires_grad for t in self.tensors])))
        self.fixed: Fixed = tuple(found)

    def _met(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            self._tensors[id(x)] = x
        elif isinstance(x, Value):
            raise TypeError(
                "Value のパラメータは jit に入れられません (parameters must be tensors): "
                "nn.Linear などの Tensor の層を使うか、mg.compile を使ってください。"
            )
        return type(x)

    def _inside(self, path: str, part: Module) -> Iterator[tuple[str, Any]]:
        yield path, type(part)
        yield f"{path}.training", part.training
        for name, x in list(vars(part).items()):
            if name != "training":
                yield f"{path}.{name}", frozen(x, self._met)
        if type(part).parameters is not tree.Part.parameters:  # its own, as in micrograd
            for p in part.parameters():
                self._met(p)

    def state(self) -> Any:
        """すべての状態。"""
        return [t._data for t in self.tensors], [x.state_arrays() for x in self.others]

    def set_state(self, state: Any) -> None:
        """`state()` の形の状態に、写さずに取り替える。勾配は消える。"""
        for t, x in zip(self.tensors, state[0], strict=True):
            t.data = x
        clear_gradients(self.tensors)
        for other, arrays in zip(self.others, state[1], strict=True):
            other.set_state_arrays(arrays)


def _plain_in(path: str, x: Any) -> list[tuple[str, Any]]:
    """Of an object with a state of its own: what is no array."""
    own = list(getattr(x, "__dict__", {}).items())
    return [
        (f"{path}.{name}", frozen(y))
        for name, y in own
        if is_plain(y) and not isinstance(y, np.generic)
    ]


@contextmanager
def borrowed(held: Sequence[Any], state: Any, rates: Sequence[Any]) -> Iterator[None]:
    """この中では、状態と学習率は、渡されたもの（値のない配列でよい）。終わると、元に戻る。"""
    look = Look(held)
    before, kept = look.state(), gradients_of(look.tensors)
    given = [group["lr"] for group in look.groups]
    attributes = [dict(vars(part)) for part in look.parts]
    try:
        look.set_state(state)
        for group, rate in zip(look.groups, rates, strict=True):
            group["lr"] = rate
        yield
    finally:  # nothing outside may hold arrays that exist only while jax.jit looks on
        for part, old in zip(look.parts, attributes, strict=True):
            if [*map(id, vars(part).values())] != [*map(id, old.values())]:
                vars(part).clear()
                vars(part).update(old)
        look.set_state(before)
        for group, rate in zip(look.groups, given, strict=True):
            group["lr"] = rate
        set_gradients(look.tensors, kept)
