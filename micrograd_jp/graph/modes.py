"""モード: 計算グラフを記録するか (no_grad, enable_grad)、短い型で計算するか (autocast)。

スレッドごと・文脈 (context) ごとで、プロセス全体の設定ではない。
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

from micrograd_jp.arguments import require_function
from micrograd_jp.locks import Lock

F = TypeVar("F", bound=Callable[..., Any])

_recording: ContextVar[bool] = ContextVar("recording", default=True)
short_dtype: ContextVar[Any] = ContextVar("short_dtype", default=None)


class _Unusual:
    """How many contexts, in all threads, are in a mode other than the usual one.

    Every operation asks one attribute of this object; only when it is not 0 does it look up the
    context variables, which cost more than the arithmetic itself.
    """

    __slots__ = ("contexts", "lock")

    def __init__(self) -> None:
        self.contexts = 0
        self.lock = Lock()

    def change(self, by: int) -> None:
        with self.lock:
            self.contexts += by


unusual = _Unusual()


class Mode:
    """A context manager over one context variable that nests and also decorates functions."""

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self._variable, self._value = variable, value
        self._tokens: list[Token[Any]] = []

    def _fresh(self) -> Mode:
        raise TypeError(f"{type(self).__name__} は修飾子 (decorator) として使えません。")

    def __enter__(self) -> Mode:
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
        for token in reversed(tuple(self._tokens)):
            try:
                self._variable.reset(token)
            except (ValueError, RuntimeError):  # of another thread or task that is in here, too
                continue
            self._tokens.remove(token)
            return

    def __call__(self, function: F) -> F:
        """関数を修飾する (decorator): 呼ばれている間だけ、このモードになる。"""
        require_function(type(self).__name__, function)
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


class no_grad(Mode):
    """計算グラフを記録しない区間。`with mg.no_grad():` か `@mg.no_grad()` で使う。

    区間の中で作られた `Value` は葉になり、親を持たない。入れ子にでき、例外が出ても元に戻り、
    他のスレッドには影響しない。
    """

    def __init__(self) -> None:
        super().__init__(_recording, False)

    def _fresh(self) -> Mode:
        return no_grad()


class enable_grad(Mode):
    """`no_grad` の中で、もう一度記録を始める区間。"""

    def __init__(self) -> None:
        super().__init__(_recording, True)

    def _fresh(self) -> Mode:
        return enable_grad()


class set_grad_enabled(Mode):
    """記録するかどうかを真偽値で決める区間。`with mg.set_grad_enabled(phase == "train"):` と書く。

    名前と約束は PyTorch のもの: 作ったところから効く。`with` のない `mg.set_grad_enabled(x)` は、
    次に変えるまで、そのスレッドで続く。

    Args:
        mode: 記録するか。

    Raises:
        TypeError: 真偽値でない。
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(_recording, _truth("set_grad_enabled", mode))
        super().__enter__()  # Without `with`, it counts as unusual for ever: slower, never wrong.
        self._entered = True

    def __enter__(self) -> Mode:
        if not self._entered:
            return super().__enter__()
        self._entered = False
        return self

    def __call__(self, function: F) -> F:
        """関数を修飾する (decorator)。"""
        if self._entered:
            self._entered = False
            self.__exit__(None, None, None)
        return super().__call__(function)

    def _fresh(self) -> Mode:
        return set_grad_enabled(self._value)


class inference_mode(Mode):
    """推論だけをする区間。ここでは `no_grad` と同じで、計算グラフを記録しない。

    名前は PyTorch のもの。できた `Tensor` は、区間の外でも、ふつうの葉である（PyTorch は断る）。

    Args:
        mode: 偽なら、`enable_grad` と同じく記録する。

    Raises:
        TypeError: 真偽値でない。
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(_recording, not _truth("inference_mode", mode))

    def _fresh(self) -> Mode:
        return inference_mode(not self._value)


def _truth(name: str, mode: Any) -> bool:
    if not hasattr(mode, "__bool__") or getattr(mode, "shape", ()) != () or mode not in (0, 1):
        raise TypeError(
            f"{name} は True か False を受け取ります (expected a bool): {mode!r} が渡されました。"
            f"関数を修飾するなら @mg.{name}(…) と、かっこを付けます。"
        )
    return bool(mode)


def autocasting() -> Any:
    """いま `autocast` の中なら、その 16 ビットの型。なければ `None`。"""
    return short_dtype.get() if unusual.contexts else None


def is_grad_enabled() -> bool:
    """いま計算グラフを記録しているか。"""
    return _recording.get()
