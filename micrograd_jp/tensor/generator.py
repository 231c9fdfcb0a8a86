"""乱数の元: パッケージの生成器と種 (seed)、自分の生成器 `Generator`、`mg.jit` の中の鍵。

乱数はこのパッケージの 1 つの生成器 (`numpy.random.Generator`) から来る。`manual_seed` で
同じ列を繰り返せる。生成器はプロセスごとに 1 つで、NumPy の `np.random.seed` とは独立である。
`get_rng_state` と `set_rng_state` は、Python の `random` も合わせて、状態を取り出し、戻す。
乱数を引く関数に `generator=mg.Generator().manual_seed(7)` と渡せば、その列はほかと混ざらない。

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
from weakref import WeakSet

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.locks import Lock, in_child
from micrograd_jp.tensor.devices import device as _device

__all__ = ["Generator", "get_rng_state", "manual_seed", "set_rng_state"]

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
    seed = _checked(seed)
    _generator = np.random.default_rng(seed)
    random.seed(seed)


def _checked(seed: Any) -> int:
    try:
        seed = operator.index(seed)
    except TypeError:
        raise TypeError(
            f"種は整数です (expected an int seed): {type(seed).__name__} が渡されました。"
        ) from None
    if seed < 0:
        raise ValueError(f"種は 0 以上の整数です (expected a non-negative seed): {seed}。")
    return int(seed)


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
        restored = _restored(state["numpy"])
        version, numbers, gauss = state["python"]
        python = random.Random()
        python.setstate((version, tuple(numbers), gauss))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _no_state(error, "mg.get_rng_state()") from None

    def put() -> None:
        global _generator
        _generator = restored
        random.setstate(python.getstate())

    return put


def _restored(state: Any) -> np.random.Generator:
    restored = np.random.default_rng(0)  # every state that we hand out is of this kind
    restored.bit_generator.state = state
    return restored


def _no_state(error: Exception, source: str) -> ValueError:
    return ValueError(
        f"乱数の状態ではありません (not a random state): {error}。{source} の結果を渡してください。"
    )


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
    """A generator has a lock: another thread may have drawn from it at the fork."""
    for held in (_generator, *(own.numpy for own in _made)):
        if held is not None:
            held.bit_generator.lock._at_fork_reinit()  # type: ignore[attr-defined]


# ---- 自分の生成器 --------------------------------------------------------------------------------

_made: WeakSet[Generator] = WeakSet()


class Generator:
    """自分の乱数の列。`g = mg.Generator().manual_seed(7)`, `mg.randn(3, generator=g)` と使う。

    名前は PyTorch のもの。`manual_seed` を呼ぶまでの種は、PyTorch と同じく、いつも同じ数である。
    同じ種でも、出てくる数は PyTorch のものとは違う。

    Args:
        device: 受け取るだけで、数は NumPy が引く（置く場所は、引く関数の `device=`）。

    Attributes:
        numpy: 数を引いている `numpy.random.Generator`。

    Raises:
        ValueError: 知らない装置。
    """

    __slots__ = ("__weakref__", "_seed", "device", "numpy")

    def __init__(self, device: Any = "cpu") -> None:
        self.device = _device(device)
        self.manual_seed(67280421310721)
        _made.add(self)

    def manual_seed(self, seed: int) -> Generator:
        """種を決め、自分を返す。

        Raises:
            TypeError: 整数でない。
            ValueError: 負の整数。
        """
        self._seed = _checked(seed)
        self.numpy = np.random.default_rng(self._seed)
        return self

    def seed(self) -> int:
        """種を、そのたびに違う数に決め、その種を返す。"""
        return self.manual_seed(random.SystemRandom().getrandbits(63))._seed

    def initial_seed(self) -> int:
        """いまの列の種。"""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """いまの状態。`set_state` に渡すと、同じ列が続く。`mg.save` で保存できる。"""
        return {"numpy": self.numpy.bit_generator.state, "seed": self._seed}

    def set_state(self, state: Mapping[str, Any]) -> Generator:
        """`get_state()` の状態に戻し、自分を返す。

        Raises:
            ValueError: その状態ではない。このとき何も変わらない。
        """
        try:
            restored, seed = _restored(state["numpy"]), _checked(state["seed"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _no_state(error, "g.get_state()") from None
        self.numpy, self._seed = restored, seed
        return self

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed})"


def numbers_of(given: Any) -> np.random.Generator:
    """引数 `generator=` の生成器。`None` ならパッケージのもの、NumPy のものならそのもの。

    Raises:
        TypeError: 生成器でない。
        RuntimeError: `mg.jit` の中の生成器（1 度だけ引かれて、定数になってしまう）。
    """
    if given is None:
        return generator()
    if is_keyed():
        raise RuntimeError(
            "mg.jit の中では generator= を使えません (generator inside jit): 毎回同じ数になって"
            "しまいます。generator= を消すと、mg.manual_seed の列から引きます。"
        )
    if isinstance(given, Generator):
        return given.numpy
    if isinstance(given, np.random.Generator):
        return given
    raise TypeError(
        f"generator は乱数の生成器です (expected a Generator): {type(given).__name__} が"
        "渡されました。mg.Generator().manual_seed(7) を渡してください。"
    )


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


explain_all(globals())
