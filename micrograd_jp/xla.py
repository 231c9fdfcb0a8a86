"""`jit`: モデルや最適化手法を書き換える関数を、そのまま `jax.jit` で 1 つのプログラムにする。

`jax.jit` の関数は、引数から結果を作るだけで、外のものを書き換えられない。`jit` は、パラメータ、
バッファ、最適化手法の状態を引数として渡し、書き換えられたものを結果として受け取って戻す。
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.environment import require
from micrograd_jp.graph.leaves import clear_gradients, gradients_of, set_gradients
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.locks import Lock
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim import Optimizer
from micrograd_jp.optim.checks import number
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.random import generator, keyed
from micrograd_jp.transforms import leaves_of, map_structure, rebuild


def jit(function: Callable[..., Any], *held: Module | Optimizer) -> Callable[..., Any]:
    """関数を `jax.jit` で 1 つのプログラムにする。学習の 1 歩を、ふだんの書き方のまま速くする。

    >>> import micrograd_jp as mg
    >>> from micrograd_jp import nn, optim
    >>> model = nn.Linear(2, 1)
    >>> optimizer = optim.Adam(model.parameters())
    >>> def step(x, t):
    ...     optimizer.zero_grad()
    ...     loss = mg.mse_loss(model(x), t)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> fast = mg.jit(step, model, optimizer)
    >>> fast(mg.ones(4, 2), mg.zeros(4, 1)).shape
    ()

    引数の `Tensor` と配列の形や型が変わるか、ほかの引数の値、`model.train()`、学習率以外の設定が
    変わると、もう一度コンパイルする。学習率は `scheduler.step()` などで変えてよい。乱数
    （ドロップアウトなど）は `manual_seed` の生成器から引いた種で、呼ぶたびに変わる。

    Args:
        function: 関数。Python の部分は、コンパイルのときに 1 度だけ動く（値を見る if や print は
            使えない）。
        *held: 関数の中で使う `Module` と `Optimizer` のすべて。呼ぶと、パラメータ、バッファ、
            最適化手法の状態は JAX の配列になる。パラメータの `grad` は外には残らない。

    Returns:
        同じ引数を取る関数。結果の中の `Tensor`、配列、数は `Tensor` になる（計算グラフは切れる）。

    Raises:
        ImportError: JAX がない。
        TypeError: `held` が `Module` でも `Optimizer` でもない、`Value` のパラメータがある。
    """
    jax = require("jax", "accel")
    require_function("jit", function)
    for x in held:
        if not isinstance(x, Module | Optimizer):
            raise TypeError(
                f"jit に渡すのは Module と Optimizer です (expected modules and optimizers): "
                f"{type(x).__name__} が渡されました。jit(step, model, optimizer) と書いてください。"
            )

    def pure(fixed: Any, state: Any, rates: Any, seed: Any, arrays: Any) -> Any:
        before, kept = _state(held), gradients_of(_tensors(held))
        given = [group["lr"] for group in _groups(held)]
        following = iter(arrays)
        leaves = [x if kind is None else kind(next(following)) for kind, x in fixed.arguments]
        args, kwargs = rebuild(fixed.shape, leaves)
        try:
            _set_state(held, state)
            _set_rates(held, rates)
            with keyed(seed):
                out = function(*args, **kwargs)
            return map_structure(_returned, out), _state(held)
        finally:  # nothing outside may hold arrays that exist only while jax.jit looks on
            _set_state(held, before)
            _set_rates(held, given)
            set_gradients(_tensors(held), kept)

    compiled = jax.jit(pure, static_argnums=0)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _turn:
            fixed, arrays = _Fixed.of(held, (args, kwargs))
            rates = [float(number("lr", group["lr"])) for group in _groups(held)]
            seed = generator().integers(1 << 32, dtype="uint32")
            out, state = compiled(fixed, _state(held), rates, seed, arrays)
            _set_state(held, state)
        return map_structure(lambda x: None if x is None else Tensor(x), out)

    return call


_turn = Lock()
"""1 度に 1 つの呼び出し: 状態を読んで書く間に、ほかの呼び出しが書かないように。"""


@dataclass(frozen=True)
class _Fixed:
    """What a program was compiled for: everything that is no array."""

    shape: Any = field(compare=False)  # the nesting of the arguments, as a tree and as text
    nesting: str
    arguments: tuple[Any, ...]
    modes: Any

    @staticmethod
    def of(held: Any, tree: Any) -> tuple[_Fixed, list[Any]]:
        """And the arrays among the arguments."""
        arguments: list[Any] = []
        arrays: list[Any] = []
        for x in leaves_of(tree):
            if isinstance(x, Tensor) or namespace.is_array(x):
                arguments.append((Tensor if isinstance(x, Tensor) else _same, None))
                arrays.append(data_of(x))
            else:
                arguments.append((None, x))
        shape = map_structure(lambda _: None, tree)
        return _Fixed(shape, repr(shape), tuple(arguments), _modes(held)), arrays


def _same(x: Any) -> Any:
    return x


def _returned(x: Any) -> Any:
    """One result, as jax.jit takes it."""
    if x is None or isinstance(x, Node) or namespace.is_array(x) or is_number(x):
        return data_of(x)
    raise TypeError(
        "jit する関数は Tensor、数、None と、その入れ子を返します (expected tensors): "
        f"{type(x).__name__} が返されました。"
    )


def _modes(held: Any) -> Any:
    """Training or not, and the options of the optimizers but for the learning rate."""
    training = [m.training for x in held if isinstance(x, Module) for m in x.modules()]
    options = [
        (key, repr(x)) for group in _groups(held) for key, x in group.items()
        if key not in ("params", "lr", "initial_lr")
    ]  # fmt: skip
    return tuple(training), tuple(options)


def _groups(held: Any) -> list[Any]:
    return [group for x in held if isinstance(x, Optimizer) for group in x.param_groups]


def _set_rates(held: Any, rates: Any) -> None:
    for group, rate in zip(_groups(held), rates, strict=True):
        group["lr"] = rate


def _tensors(held: Any) -> list[Tensor]:
    """What the function may write to, each once."""
    modules = [x for x in held if isinstance(x, Module)]
    found = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    found += [t for group in _groups(held) for t in group["params"]]
    if not all(isinstance(t, Tensor) for t in found):
        raise TypeError(
            "Value のパラメータは jit に入れられません (parameters must be tensors): "
            "nn.Linear などの Tensor の層を使うか、mg.compile を使ってください。"
        )
    return list({id(t): t for t in found}.values())


def _state(held: Any) -> Any:
    optimizers = [x.state_arrays() for x in held if isinstance(x, Optimizer)]
    return [t.data for t in _tensors(held)], optimizers


def _set_state(held: Any, state: Any) -> None:
    tensors = _tensors(held)
    for t, x in zip(tensors, state[0], strict=True):
        t.data = x
    clear_gradients(tensors)
    optimizers = (x for x in held if isinstance(x, Optimizer))
    for optimizer, arrays in zip(optimizers, state[1], strict=True):
        optimizer.set_state_arrays(arrays)


explain_all(globals())
