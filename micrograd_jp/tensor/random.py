"""乱数: パッケージの生成器と種 (seed)、乱数の `Tensor`、`mg.jit` の中の乱数。

乱数はこのパッケージの 1 つの生成器 (`numpy.random.Generator`) から来る。`manual_seed` で
同じ列を繰り返せる。生成器はプロセスごとに 1 つで、NumPy の `np.random.seed` とは独立である。
`get_rng_state` と `set_rng_state` は、Python の `random` も合わせて、状態を取り出し、戻す。
どの関数も、`device=` があれば NumPy が作ってから運ぶ。

`jax.jit` は関数を 1 度しか実行しない。そこで NumPy の乱数を引くと定数になり、2 度めからも同じ
数が使われてしまう。だから `mg.jit` は種を関数の引数として渡し、乱数を JAX の鍵 (key) から引く
(`keyed`)。
"""

from __future__ import annotations

import copy
import operator
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.locks import Lock, in_child
from micrograd_jp.namespace import dtype_of
from micrograd_jp.tensor.array import Tensor, as_tensor
from micrograd_jp.tensor.checks import Shape, shape_of
from micrograd_jp.tensor.devices import placed
from micrograd_jp.tensor.dtypes import float32, float64, get_default_dtype, int64

__all__ = [
    "get_rng_state", "manual_seed", "rand", "rand_like", "randint", "randn", "randn_like",
    "randperm", "set_rng_state",
]  # fmt: skip

# ---- パッケージの生成器 --------------------------------------------------------------------------

_generator: np.random.Generator | None = None
_own: ContextVar[np.random.Generator | None] = ContextVar("own", default=None)
_making = Lock()


def manual_seed(seed: int) -> None:
    """乱数の種 (seed) を決める。同じ種からは、どのプロセスでも同じ乱数の列が得られる。

    このパッケージの生成器と、Python の `random` の両方の種になる（`Value` でできた `nn.Neuron` の
    重みは、micrograd と同じく `random` から来る）。NumPy の `np.random.seed` には触れない。

    Raises:
        TypeError: 整数でない。
        ValueError: 負の整数。
    """
    global _generator
    try:
        seed = operator.index(seed)
    except TypeError:
        raise TypeError(
            f"種は整数です (expected an int seed): {type(seed).__name__} が渡されました。"
        ) from None
    if seed < 0:
        raise ValueError(f"種は 0 以上の整数です (expected a non-negative seed): {seed}。")
    _generator = np.random.default_rng(seed)
    random.seed(seed)


def get_rng_state() -> dict[str, Any]:
    """乱数のいまの状態: このパッケージの生成器と、Python の `random`。

    Returns:
        `set_rng_state` に渡すと、同じ乱数の列が続く dict。`mg.save` で保存できる。
    """
    return {"numpy": generator().bit_generator.state, "python": random.getstate()}


def set_rng_state(state: Mapping[str, Any]) -> None:
    """`get_rng_state()` の状態に戻す。

    Raises:
        ValueError: その状態ではない。このとき何も変わらない。
    """
    setting_rng_state(state)()


def setting_rng_state(state: Mapping[str, Any]) -> Callable[[], None]:
    """状態を確かめて、それに戻す関数にする。まだ何も変えない。"""
    try:
        restored = np.random.default_rng(0)  # every state that we hand out is of this kind
        restored.bit_generator.state = state["numpy"]
        version, numbers, gauss = state["python"]
        python = random.Random()
        python.setstate((version, tuple(numbers), gauss))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"乱数の状態ではありません (not a random state): {error}。"
            "mg.get_rng_state() の結果を渡してください。"
        ) from None

    def put() -> None:
        global _generator
        _generator = restored
        random.setstate(python.getstate())

    return put


def generator() -> np.random.Generator:
    """このパッケージの乱数生成器。"""
    global _generator
    own = _own.get()
    if own is not None:
        return own
    if _generator is None:  # made when first asked for: importing numpy.random takes its time
        with _making:
            _generator = _generator or np.random.default_rng()
    return _generator


@contextmanager
def own_generator() -> Iterator[None]:
    """この中では、このスレッドは生成器の写しから引く。ほかのスレッドの乱数の列は変わらない。"""
    token = _own.set(copy.deepcopy(generator()))
    try:
        yield
    finally:
        _own.reset(token)


@in_child
def _open() -> None:
    """The generator has a lock: another thread may have drawn from it at the fork."""
    if _generator is not None:
        _generator.bit_generator.lock._at_fork_reinit()  # type: ignore[attr-defined]


# ---- mg.jit の中 ---------------------------------------------------------------------------------

_key: ContextVar[list[Any] | None] = ContextVar("key", default=None)


@contextmanager
def keyed(seed: Any) -> Iterator[None]:
    """この中では、乱数を種 `seed`（値のない整数でよい）の JAX の鍵から引く。"""
    import jax

    token = _key.set([jax.random.key(seed)])
    try:
        yield
    finally:
        _key.reset(token)


def is_keyed() -> bool:
    """`keyed` の中か。"""
    return _key.get() is not None


def draw(name: str, *args: Any, dtype: Any = None) -> Any:
    """`jax.random` の関数 `name` を新しい鍵で呼ぶ。使えない 64 ビットの `dtype` は 32 に。"""
    import jax

    held = _key.get()
    assert held is not None
    held[0], key = jax.random.split(held[0])
    numbers = getattr(jax.random, name)(key, *args)
    return numbers if dtype is None else numbers.astype(jax.dtypes.canonicalize_dtype(dtype))


# ---- 乱数の Tensor -------------------------------------------------------------------------------


def rand(*shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0 以上 1 未満の一様乱数。"""
    return _random("random", shape_of(shape, "rand"), dtype, device, requires_grad)


def randn(
    *shape: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """平均 0、分散 1 の正規乱数。"""
    return _random("standard_normal", shape_of(shape, "randn"), dtype, device, requires_grad)


def _random(name: str, shape: Shape, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    wanted = dtype_of(dtype or get_default_dtype())
    if is_keyed():
        there = {"random": "uniform", "standard_normal": "normal"}[name]
        return Tensor(draw(there, shape, dtype=wanted), requires_grad)
    drawn = float64 if wanted == float64 else float32  # the two that NumPy draws
    numbers = getattr(generator(), name)(shape, dtype=drawn)
    numbers = np.asarray(numbers).astype(wanted, copy=False)
    return Tensor(placed(numbers, device), requires_grad)


def randint(
    low: int, high: Any, shape: Any = None, *, dtype: Any = int64, device: Any = None
) -> Tensor:
    """`low` 以上 `high` 未満の整数の乱数。`randint(high, shape)` なら 0 から。

    Raises:
        ValueError: `high` が `low` より大きくない。
    """
    if shape is None:
        low, high, shape = 0, low, high
    size = shape_of((shape,) if isinstance(shape, int) else tuple(shape), "randint")
    if low >= high:
        raise ValueError(f"randint の範囲が空です (low >= high): {low} 以上 {high} 未満。")
    if is_keyed():
        return Tensor(draw("randint", size, low, high, dtype=dtype))
    numbers = np.asarray(generator().integers(low, high, size)).astype(dtype)
    return Tensor(placed(numbers, device))


def randperm(n: int, *, device: Any = None) -> Tensor:
    """0 から n − 1 までの整数を、でたらめな順に並べたもの。"""
    (n,) = shape_of((n,), "randperm")
    if is_keyed():
        return Tensor(draw("permutation", n))
    return Tensor(placed(generator().permutation(n), device))


def rand_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の一様乱数。"""
    x = as_tensor(x)
    return rand(x.shape, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


def randn_like(
    x: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """x と同じ形と型の正規乱数。"""
    x = as_tensor(x)
    return randn(x.shape, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


explain_all(globals())
