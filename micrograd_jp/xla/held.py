"""jit した関数が書き換えてよいもの: モデル、最適化手法、そのほかの状態を持つもの (`Held`)。"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from micrograd_jp.arguments import explain_all
from micrograd_jp.graph.leaves import clear_gradients, gradients_of, set_gradients
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim import Optimizer
from micrograd_jp.tensor.array import Tensor


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
        if isinstance(x, type) or not isinstance(x, Module | Tensor | Held):
            raise TypeError(
                "jit に渡すのは、関数の中で書き換わる Module、Optimizer、Tensor と、state_arrays() "
                "と set_state_arrays() のあるものです (expected modules and optimizers): "
                f"{type(x).__name__} が渡されました。jit(step, model, optimizer) と書いてください。"
            )


def groups_of(held: Sequence[Any]) -> list[Any]:
    """最適化手法のグループ。"""
    return [group for x in held if isinstance(x, Optimizer) for group in x.param_groups]


def tensors_of(held: Sequence[Any]) -> list[Tensor]:
    """関数が書き換えてよい `Tensor`。それぞれ 1 度だけ。"""
    modules = [x for x in held if isinstance(x, Module)]
    found = [x for x in held if isinstance(x, Tensor)]
    found += [t for module in modules for t in (*module.parameters(), *module.buffers())]
    # Also those that are neither: a mask, a state that is carried on.
    parts = [part for module in modules for part in module.modules()]
    found += [x for part in parts for _, x in tree.members(part) if isinstance(x, Tensor)]
    found += [t for group in groups_of(held) for t in group["params"]]
    if not all(isinstance(t, Tensor) for t in found):
        raise TypeError(
            "Value のパラメータは jit に入れられません (parameters must be tensors): "
            "nn.Linear などの Tensor の層を使うか、mg.compile を使ってください。"
        )
    return list({id(t): t for t in found}.values())


def state_of(held: Sequence[Any]) -> Any:
    """すべての状態。"""
    others = [x.state_arrays() for x in held if not isinstance(x, Module | Tensor)]
    return [t.data for t in tensors_of(held)], others


def set_state(held: Sequence[Any], state: Any) -> None:
    """`state_of` の形の状態に、写さずに取り替える。勾配は消える。"""
    tensors = tensors_of(held)
    for t, x in zip(tensors, state[0], strict=True):
        t.data = x
    clear_gradients(tensors)
    others = (x for x in held if not isinstance(x, Module | Tensor))
    for other, arrays in zip(others, state[1], strict=True):
        other.set_state_arrays(arrays)


@contextmanager
def borrowed(held: Sequence[Any], state: Any, rates: Sequence[Any]) -> Iterator[None]:
    """この中では、状態と学習率は、渡されたもの（値のない配列でよい）。終わると、元に戻る。"""
    before, tensors = state_of(held), tensors_of(held)
    kept, groups = gradients_of(tensors), groups_of(held)
    given = [group["lr"] for group in groups]
    modules = [part for x in held if isinstance(x, Module) for part in x.modules()]
    attributes = [dict(vars(part)) for part in modules]
    try:
        set_state(held, state)
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        yield
    finally:  # nothing outside may hold arrays that exist only while jax.jit looks on
        for part, old in zip(modules, attributes, strict=True):
            if [*map(id, vars(part).values())] != [*map(id, old.values())]:
                vars(part).clear()
                vars(part).update(old)
        set_state(held, before)
        for group, rate in zip(groups, given, strict=True):
            group["lr"] = rate
        set_gradients(tensors, kept)


explain_all(globals())
