"""`mg.jit` の中の乱数: 値のない配列から、呼ぶたびに違う乱数を引く。

`jax.jit` は関数を 1 度しか実行しない。そこで NumPy の乱数を引くと定数になり、2 度めからも同じ
数が使われてしまう。だから種を関数の引数として渡し、JAX の鍵 (key) から引く。
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_source: ContextVar[list[Any] | None] = ContextVar("source", default=None)


@contextmanager
def drawn_from(seed: Any) -> Iterator[None]:
    """この中では、乱数を種 `seed`（値のない整数でよい）から引く。"""
    import jax

    token = _source.set([jax.random.key(seed)])
    try:
        yield
    finally:
        _source.reset(token)


def is_active() -> bool:
    """`drawn_from` の中か。"""
    return _source.get() is not None


def draw(name: str, *args: Any, dtype: Any = None) -> Any:
    """`jax.random` の関数 `name` を新しい鍵で呼ぶ。使えない 64 ビットの `dtype` は 32 に。"""
    import jax

    source = _source.get()
    assert source is not None
    source[0], key = jax.random.split(source[0])
    numbers = getattr(jax.random, name)(key, *args)
    return numbers if dtype is None else numbers.astype(jax.dtypes.canonicalize_dtype(dtype))
