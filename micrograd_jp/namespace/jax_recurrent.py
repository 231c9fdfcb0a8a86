"""JAX の再帰層: 1 時刻分だけをコンパイルし、`lax.scan` でくり返す。

公式 (`ops/recurrent.py`) を時刻の数だけ並べたプログラムは、コンパイルに時刻の数だけかかり、遅い。
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from micrograd_jp.namespace.jax_windows import JAXWindows

Arrays = tuple[Any, ...]


class JAXRecurrent(JAXWindows):
    """再帰層のカーネル。"""

    def recurrent(
        self, formula: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Any, **how: Any
    ) -> Any:
        """The formula of all times, from the states at the start."""
        if len(set(sizes)) > 1 or len(sizes) == 1:
            return formula(self, rows, states, weights, sizes, **how)
        return _forward(self, formula, len(sizes), **how)(rows, states, weights)

    def recurrent_back(
        self, formula: Any, rows: Arrays, states: Arrays, weights: Arrays, sizes: Any, **how: Any
    ) -> Any:
        """The formula of its gradients, back through all times."""
        if len(set(sizes)) > 1 or len(sizes) == 1:
            return formula(self, rows, states, weights, sizes, **how)
        return _backward(self, formula, len(sizes), **how)(rows, states, weights)


@functools.cache
def _forward(
    m: Any, formula: Any, times: int, backwards: bool, **how: Any
) -> Callable[[Arrays, Arrays, Arrays], Any]:
    """What comes out of one time ends with the states, h last."""

    def all_times(rows: Arrays, states: Arrays, weights: Arrays) -> Any:
        def one(carried: Arrays, here: Arrays) -> tuple[Arrays, Any]:
            z = formula(m, here, carried, weights, (len(here[0]),), backwards, **how)
            ends = _ends(z, states)
            return tuple([z[:, a:b] for a, b in ends]), z

        given = tuple([_apart(x, times) for x in rows])
        return _together(m.lax.scan(one, states, given, reverse=backwards)[1])

    return m.jax.jit(all_times)  # type: ignore[no-any-return]


@functools.cache
def _backward(
    m: Any, formula: Any, times: int, backwards: bool, **how: Any
) -> Callable[[Arrays, Arrays, Arrays], Any]:
    """What comes back to the states is added to the upstream gradient of the time before."""

    def all_times(rows: Arrays, states: Arrays, weights: Arrays) -> Any:
        def one(carried: Arrays, here: Arrays) -> tuple[Arrays, Any]:
            u, *others = here
            for (a, b), share in zip(_ends(u, states), carried):
                u = u.at[:, a:b].add(share)
            found, back = formula(m, (u, *others), states, weights, (len(u),), backwards, **how)
            return tuple(back), tuple(found)

        given = tuple([_apart(x, times) for x in rows])
        nothing = tuple([m.zeros_like(s) for s in states])
        back, found = m.lax.scan(one, nothing, given, reverse=not backwards)
        return [_together(x) for x in found], back

    return m.jax.jit(all_times)  # type: ignore[no-any-return]


def _apart(x: Any, times: int) -> Any:
    return x.reshape(times, -1, x.shape[1])


def _together(x: Any) -> Any:
    return x.reshape(-1, x.shape[2])


def _ends(z: Any, states: Arrays) -> list[tuple[int, int]]:
    """The columns of the states, h first."""
    end, found = z.shape[1], []
    for state in states:
        found.append((end - state.shape[1], end))
        end -= state.shape[1]
    return found
