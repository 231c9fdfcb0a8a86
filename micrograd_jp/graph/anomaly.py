"""最初の nan・inf がどこで生まれたかを探す (`detect_anomaly`)。"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import numpy as np

from micrograd_jp.graph.modes import Mode

_births: ContextVar[dict[int, tuple[Any, str]] | None] = ContextVar("births", default=None)


class AnomalyError(ArithmeticError):
    """`detect_anomaly()` の中で nan か inf が生まれた。

    Attributes:
        node: それを生んだノード。
        where: そのノードを作った利用者のコードの場所。
    """

    def __init__(self, message: str, node: Any, where: str) -> None:
        super().__init__(f"{message}\n  作られた場所 (created at): {where}")
        self.node, self.where = node, where


class detect_anomaly(Mode):
    """最初の nan・inf が生まれたノードを見つけ、それを書いた行を示す区間。

    順伝播では、有限の入力から nan・inf が出た演算、または nan を受け取った演算で、逆伝播では
    有限の勾配が nan・inf に変わったノードで `AnomalyError` を出す。もとから inf を含む入力
    （マスクの −inf など）から inf が出るのは異常としない。遅くなるので、原因を探すときだけ使う。
    """

    def __init__(self) -> None:
        super().__init__(_births, None)

    def _fresh(self) -> Mode:
        return detect_anomaly()

    def __enter__(self) -> Mode:
        self._value = {}
        return super().__enter__()


class set_detect_anomaly(detect_anomaly):
    """`detect_anomaly` を、真偽値で始め、または終える。作ったところから効く (PyTorch の名前)。

    `with` のない `set_detect_anomaly(True)` は、次に変えるまで、そのスレッドで続く。

    Args:
        mode: 真なら異常を探す。
        check_nan: PyTorch の引数。つねに探すので、偽は使えない。

    Raises:
        ValueError: `check_nan` が偽。
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        if not check_nan:
            raise ValueError(
                "check_nan=False は使えません (not supported): 場所だけを覚えることはできません。"
            )
        super().__init__()
        self._mode = bool(mode)
        self._value = {} if mode else None
        Mode.__enter__(self)  # without `with`, it counts as unusual for ever
        self._entered = True

    def __enter__(self) -> Mode:
        if self._entered:
            self._entered = False
            return self
        self._value = {} if self._mode else None
        return Mode.__enter__(self)

    def _fresh(self) -> Mode:
        return set_detect_anomaly(self._mode)


def observe_birth(node: Any, operands: tuple[Any, ...]) -> None:
    """`detect_anomaly` の中なら、作られた場所を覚え、値を確かめる。"""
    births = _births.get()
    if births is None:
        return
    place = users_line()
    # The node itself is kept too: an id is only unique among living objects.
    births[id(node)] = (node, place)
    if _all_finite(node._data):
        return
    inputs = [x._data if hasattr(x, "op") else x for x in operands]
    if not _any_nan(node._data) and not all(map(_all_finite, inputs)):
        return
    shown = ", ".join(map(_shown, inputs))
    already = "（入力に既に nan があります）" if any(map(_any_nan, inputs)) else ""
    raise AnomalyError(
        f"順伝播 (forward) で {'nan' if _any_nan(node._data) else 'inf'} が生まれました: "
        f"{node.op.name}({shown}) = {_shown(node._data)}{already}",
        node,
        place,
    )


def observe_gradient(node: Any, upstream: float, local: float) -> None:
    """`detect_anomaly` の中なら、有限の上流の勾配から nan・inf が出ていないか確かめる。"""
    births = _births.get()
    if births is None or math.isfinite(upstream * local) or not math.isfinite(upstream):
        return
    raise _backward_error(births, node, upstream * local, f"{upstream:.6g} × 局所微分 {local:.6g}")


def observe_shares(node: Any, upstream: Any, shares: list[Any]) -> None:
    """`observe_gradient` と同じことを、配列のノードで行う。"""
    births = _births.get()
    if births is None or all(map(_all_finite, shares)) or not _all_finite(upstream):
        return
    kind = "nan" if any(map(_any_nan, shares)) else "inf"
    raise _backward_error(births, node, kind, f"{_shown(upstream)} から")


def _backward_error(births: Any, node: Any, born: Any, upstream: str) -> AnomalyError:
    _, place = births.get(id(node), (node, "detect_anomaly() の外"))
    text = f"逆伝播 (backward) で {born} が生まれました: {node.op.name} の上流の勾配 {upstream}"
    return AnomalyError(text, node, place)


def _all_finite(x: Any) -> bool:
    return math.isfinite(x) if isinstance(x, float | int) else bool(np.isfinite(x).all())


def _any_nan(x: Any) -> bool:
    return bool(np.isnan(x).any())


def _shown(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float | int) else np.array2string(np.asarray(x), threshold=8)


def watched(nodes: Iterable[Any]) -> None:
    """`backward` の繰り返しと同じことをしながら、最初の nan・inf を探す。"""
    for node in nodes:
        if node.is_array_op:
            node.pull()
            continue
        g = node._grad
        for parent, partial in _recorded(node):
            observe_gradient(node, g, partial)
            parent._grad += g * partial


def _recorded(node: Any) -> Iterable[tuple[Any, float]]:
    """Parents and slopes as they are: `partials` would make a plain 0 of one that is `Shut`."""
    if node._a.__class__ is tuple:
        return zip(node._a, node._da, strict=True)
    pairs = (node._a, node._da), (node._b, node._db)
    return [(parent, d) for parent, d in pairs if parent is not None]


_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def users_line() -> str:
    """The innermost frame that is not this package's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith((_PACKAGE, "<micrograd_jp"))
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
