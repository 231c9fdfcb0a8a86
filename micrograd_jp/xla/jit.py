"""`jit`: モデルや最適化手法を書き換える関数を、そのまま `jax.jit` で 1 つのプログラムにする。

`jax.jit` の関数は、引数から結果を作るだけで、外のものを書き換えられない。`jit` は、パラメータ、
バッファ、最適化手法の状態を引数として渡し、書き換えられたものを結果として受け取って戻す。
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all, of_devices, require_function
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.environment import require
from micrograd_jp.graph.node import Node, data_of
from micrograd_jp.locks import Lock
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim import Optimizer
from micrograd_jp.optim.checks import number
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.generator import generator, keyed
from micrograd_jp.transforms import leaves_of, map_structure, rebuild
from micrograd_jp.xla.held import Fixed, Held, Look, borrowed, require_held
from micrograd_jp.xla.outside import difference, fixed_around

_MANY = 16
"""So many programs of one function are told to the user: something changes in every call."""


def jit(
    function: Callable[..., Any], *held: Module | Optimizer | Tensor | Held
) -> Callable[..., Any]:
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

    引数の `Tensor` と配列の形や型が変わるか、ほかの引数の値、`model.train()`、学習率以外の設定、
    `held` の属性、関数が外から読む変数の値が変わると、もう一度コンパイルする。学習率は
    `scheduler.step()` などで変えてよい。乱数（ドロップアウトなど）は `manual_seed` の生成器から
    引いた種で、呼ぶたびに変わる。

    Args:
        function: 関数。Python の部分は、コンパイルのときに 1 度だけ動く（値を見る if や print は
            使えない）。
        *held: 関数の中で書き換わるもののすべて: `Module`、`Optimizer`、`Tensor` と、
            `state_arrays()` と `set_state_arrays(state)` のあるもの (`mg.xla.Held`)。呼ぶと、
            パラメータ、バッファ、最適化手法の状態は JAX の配列になる。パラメータの `grad` は外には
            残らない。

    Returns:
        同じ引数を取る関数。結果の中の `Tensor`、配列、数は `Tensor` になる（計算グラフは切れる）。

    Raises:
        ImportError: JAX がない。
        TypeError: `held` に状態がない、`Value` のパラメータがある、状態を持つものを渡さずに使う、
            関数の中で属性に数などを代入する。
    """
    return compiled(function, held, (function,))


def compiled(
    function: Callable[..., Any], held: Sequence[Any], watched: Sequence[Any]
) -> Callable[..., Any]:
    """`jit` と同じ。外から読む変数を調べるのは `watched` の関数。"""
    jax = require("jax", "accel")
    require_function("jit", function)
    require_held(held)

    def pure(fixed: Any, state: Any, rates: Any, seed: Any, arrays: Any) -> Any:
        following = iter(arrays)
        leaves = [x if kind is None else kind(next(following)) for kind, x in fixed.arguments]
        args, kwargs = rebuild(fixed.shape, leaves)
        with borrowed(held, state, rates):
            before = Look(held)
            with keyed(seed):
                out = function(*args, **kwargs)
            after = Look(held)
            _require_unchanged(before, after)
            return map_structure(_returned, out), after.state()

    program = jax.jit(pure, static_argnums=0)
    programs: dict[_Fixed, None] = {}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _turn:
            look = Look(held)
            given, arrays = _Fixed.of(look, watched, (args, kwargs))
            _note(given, programs)
            rates = [float(number("lr", group["lr"])) for group in look.groups]
            try:
                out, state = program(given, look.state(), rates, next_seed(), arrays)
            except ValueError as error:
                raise of_devices(error) or error from None
            look.set_state(state)
        return map_structure(lambda x: None if x is None else Tensor(x), out)

    return call


def next_seed() -> Any:
    """次の呼び出しの乱数の種。"""
    return generator().integers(1 << 32, dtype="uint32")


_turn = Lock()
"""1 度に 1 つの呼び出し: 状態を読んで書く間に、ほかの呼び出しが書かないように。"""


@dataclass(frozen=True)
class _Fixed:
    """What a program was compiled for: everything that is no array."""

    shape: Any = field(compare=False)  # the nesting of the arguments, as a tree and as text
    nesting: str
    arguments: tuple[Any, ...]
    held: Fixed
    outside: Fixed

    @staticmethod
    def of(look: Look, watched: Any, tree: Any) -> tuple[_Fixed, list[Any]]:
        """And the arrays among the arguments."""
        arguments: list[Any] = []
        arrays: list[Any] = []
        for x in leaves_of(tree):
            if isinstance(x, Tensor) or namespace.is_array(x):
                arguments.append((Tensor if isinstance(x, Tensor) else _same, None))
                arrays.append(namespace.automatic(data_of(x)))
            else:
                arguments.append((None, x))
        shape = map_structure(lambda _: None, tree)
        outside = tuple([x for function in watched for x in fixed_around(function, look)])
        return _Fixed(shape, repr(shape), tuple(arguments), look.fixed, outside), arrays


def _note(given: _Fixed, programs: dict[_Fixed, None]) -> None:
    """Warn of a function that is compiled again and again, and tell what changes."""
    if given in programs:
        return
    if len(programs) == _MANY:
        last = next(reversed(programs))
        changed = difference(last.held + last.outside, given.held + given.outside)
        warnings.warn(
            f"jit した関数を {_MANY} 回より多くコンパイルします (recompiled too often): "
            f"{changed or '引数'} が、呼ぶたびに変わるからです。配列か Tensor の引数にして"
            "ください。",
            UserWarning,
            stacklevel=3,
        )
    programs[given] = None


def _require_unchanged(before: Look, after: Look) -> None:
    """What the function assigned would be assigned only once, while it is compiled."""
    changed = difference(before.fixed, after.fixed)
    if changed or len(before.tensors) != len(after.tensors):
        raise TypeError(
            "jit する関数の中で、属性に配列でないものは代入できません (assigned inside jit): "
            f"{changed or 'Tensor の数'} が変わりました。コンパイルのときに 1 度しか動かない"
            "からです。register_buffer で Tensor にして、その data を書き換えるか、関数の外で代入"
            "してください。"
        )


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


explain_all(globals())
