"""モード: 記録するか (no_grad)、異常を探すか (detect_anomaly)。

どちらもスレッドごと・文脈 (context) ごとで、プロセス全体の設定ではない。
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from micrograd_jp.graph.backward import Node

F = TypeVar("F", bound=Callable[..., Any])

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_births: ContextVar[dict[int, tuple[Any, str]] | None] = ContextVar("births", default=None)


class _Unusual:
    """How many contexts, in all threads, are in a mode other than the usual one.

    Every operation asks one attribute of this object; only when it is not 0 does it look up the
    context variables, which cost more than the arithmetic itself.
    """

    __slots__ = ("contexts", "lock")

    def __init__(self) -> None:
        self.contexts = 0
        self.lock = threading.Lock()

    def change(self, by: int) -> None:
        with self.lock:
            self.contexts += by


unusual = _Unusual()


class _Mode:
    """A context manager over one context variable that nests and also decorates functions."""

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable, self._value = variable, value
        self._tokens: list[Token[Any]] = []

    def _fresh(self) -> _Mode:
        raise TypeError(f"{type(self).__name__} は修飾子 (decorator) として使えません。")

    def __enter__(self) -> _Mode:
        self._tokens.append(self._variable.set(self._value))
        unusual.change(+1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        unusual.change(-1)
        self._variable.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{type(self).__name__} はジェネレータや async 関数を修飾できません。"
                "関数の中で with を使ってください。"
            )

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._fresh():  # one object per call: calls may nest and run in many threads
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class no_grad(_Mode):
    """計算グラフを記録しない区間。`with mg.no_grad():` か `@mg.no_grad()` で使う。

    区間の中で作られた `Value` は葉になり、親を持たない。入れ子にでき、例外が出ても元に戻り、
    他のスレッドには影響しない。
    """

    def __init__(self) -> None:
        super().__init__(_recording, False)

    def _fresh(self) -> _Mode:
        return no_grad()


class enable_grad(_Mode):
    """`no_grad` の中で、もう一度記録を始める区間。"""

    def __init__(self) -> None:
        super().__init__(_recording, True)

    def _fresh(self) -> _Mode:
        return enable_grad()


def is_grad_enabled() -> bool:
    """いま計算グラフを記録しているか。"""
    return _recording.get()


class AnomalyError(ArithmeticError):
    """`detect_anomaly()` の中で nan か inf が生まれた。

    Attributes:
        node: それを生んだノード。
        where: そのノードを作った利用者のコードの場所。
    """

    def __init__(self, message: str, node: Node, where: str) -> None:
        super().__init__(f"{message}\n  作られた場所 (created at): {where}")
        self.node, self.where = node, where


class detect_anomaly(_Mode):
    """最初の nan・inf が生まれたノードを見つけ、それを書いた行を示す区間。

    順伝播では、有限の入力から nan・inf が出た演算、または nan を受け取った演算で、逆伝播では
    有限の勾配が nan・inf に変わったノードで `AnomalyError` を出す。もとから inf を含む入力
    （マスクの −inf など）から inf が出るのは異常としない。遅くなるので、原因を探すときだけ使う。
    """

    def __init__(self) -> None:
        super().__init__(_births, None)

    def _fresh(self) -> _Mode:
        return detect_anomaly()

    def __enter__(self) -> _Mode:
        self._value = {}
        return super().__enter__()


def observe_birth(node: Node, operands: tuple[Any, ...]) -> None:
    """`detect_anomaly` の中なら、作られた場所を覚え、値を確かめる。"""
    births = _births.get()
    if births is None:
        return
    place = users_line()
    # The node itself is kept too: an id is only unique among living objects.
    births[id(node)] = (node, place)
    if _all_finite(node.data):
        return
    inputs = [x.data if hasattr(x, "op") else x for x in operands]
    if not _any_nan(node.data) and not all(map(_all_finite, inputs)):
        return
    assert node.op is not None
    shown = ", ".join(map(_shown, inputs))
    already = "（入力に既に nan があります）" if any(map(_any_nan, inputs)) else ""
    raise AnomalyError(
        f"順伝播 (forward) で {'nan' if _any_nan(node.data) else 'inf'} が生まれました: "
        f"{node.op.name}({shown}) = {_shown(node.data)}{already}",
        node,
        place,
    )


def observe_gradient(node: Node, upstream: float, local: float) -> None:
    """`detect_anomaly` の中なら、有限の上流の勾配から nan・inf が出ていないか確かめる。"""
    births = _births.get()
    if births is None or math.isfinite(upstream * local) or not math.isfinite(upstream):
        return
    _, place = births.get(id(node), (node, "detect_anomaly() の外"))
    assert node.op is not None
    raise AnomalyError(
        f"逆伝播 (backward) で {upstream * local} が生まれました: {node.op.name} の"
        f"上流の勾配 {upstream:.6g} × 局所微分 {local:.6g}",
        node,
        place,
    )


def observe_shares(node: Node, upstream: Any, shares: list[Any]) -> None:
    """`observe_gradient` と同じことを、配列のノードで行う。"""
    births = _births.get()
    if births is None or all(map(_all_finite, shares)) or not _all_finite(upstream):
        return
    _, place = births.get(id(node), (node, "detect_anomaly() の外"))
    assert node.op is not None
    kind = "nan" if any(map(_any_nan, shares)) else "inf"
    raise AnomalyError(
        f"逆伝播 (backward) で {kind} が生まれました: {node.op.name} の"
        f"上流の勾配 {_shown(upstream)} から",
        node,
        place,
    )


def _all_finite(x: Any) -> bool:
    return math.isfinite(x) if isinstance(x, float | int) else bool(np.isfinite(x).all())


def _any_nan(x: Any) -> bool:
    return bool(np.isnan(x).any())


def _shown(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float | int) else np.array2string(np.asarray(x), threshold=8)


_PACKAGE = str(Path(__file__).parents[1])


def users_line() -> str:
    """The innermost frame that is not this package's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith((_PACKAGE, "<micrograd_jp"))
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
