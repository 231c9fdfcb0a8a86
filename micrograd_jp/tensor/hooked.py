"""`Tensor` のフック (tensor hooks): 勾配ができたときに呼ばれる、利用者の関数。

フックのある `Tensor` だけが、そのときから、勾配を足し込む前にフックを呼ぶクラスになる。だから、
フックのない `Tensor` の逆伝播には、何の手間もかからない。
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from micrograd_jp.arguments import explained, require_function
from micrograd_jp.graph.hooks import Hooks, hooks_of
from micrograd_jp.graph.modes import no_grad
from micrograd_jp.graph.writes import latest
from micrograd_jp.hooks import HookHandle
from micrograd_jp.tensor.grad_fn import GradFn, grad_fn_of


class Hookable:
    """`Tensor` のうち、作った演算を見て、フックを取り付ける部分。"""

    __slots__ = ()

    @property
    def grad_fn(self) -> GradFn | None:
        """自分を作った演算（`<AddBackward0>` のように見える）。葉なら `None`。"""
        return grad_fn_of(self)

    @explained
    def register_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """勾配ができるたびに `hook(grad)` を呼ぶ。`None` 以外を返せば、それが勾配になる。

        葉でも途中のノードでもよい。1 度の逆伝播に 1 度、足し終えた勾配で呼ばれる。

        Returns:
            `remove()` で取り外せる取っ手。

        Raises:
            RuntimeError: 勾配を求めない Tensor。
            TypeError: 関数でない。
        """
        _require_gradient(self, "register_hook")
        return _hung(latest(self), "before", hook)

    @explained
    def register_post_accumulate_grad_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """葉の `grad` に足し込んだあとに `hook(t)` を呼ぶ（`t.grad` を使う更新など）。

        Returns:
            `remove()` で取り外せる取っ手。

        Raises:
            RuntimeError: 葉でないか、勾配を求めない Tensor。
            TypeError: 関数でない。
        """
        _require_gradient(self, "register_post_accumulate_grad_hook")
        if not self.is_leaf:  # type: ignore[attr-defined]
            raise RuntimeError(
                "register_post_accumulate_grad_hook は葉の Tensor に使います (not a leaf): "
                "途中の勾配を見るなら register_hook を使ってください。"
            )
        return _hung(self, "after", hook)


def _require_gradient(t: Any, name: str) -> None:
    if not t.requires_grad:
        raise RuntimeError(
            f"勾配を求めない Tensor に {name} は使えません (requires_grad is False): "
            "requires_grad=True の Tensor に取り付けてください。"
        )


def _hung(t: Any, place: str, hook: Any) -> HookHandle:
    require_function("hook", hook)
    hooks = hooks_of(t)
    if hooks is None:
        hooks = Hooks(t)
        t.__class__ = _hooked(t.__class__)
        if t.op is None:
            t._a = ()  # so that the backward pass stops here, too, once all shares have come
    return HookHandle(hooks, place, hook)


class _Hooked:
    """What is different about a Tensor with hooks."""

    __slots__ = ()

    _grad: Any
    _mark: Any
    op: Any

    @property
    def is_array_op(self) -> bool:
        return True  # also a leaf is pulled

    def accumulate(self, share: Any, fresh: bool = False) -> None:
        """葉では、この逆伝播の勾配を、フックを呼ぶまで別に足しておく。"""
        if self.op is not None:
            super().accumulate(share, fresh)  # type: ignore[misc]
            return
        hooks: Any = hooks_of(self)
        this = self._mark
        # What another pass left when it failed half-way is none of this one.
        before, came_from = hooks.pending
        hooks.pending = (share if came_from is not this else before + share, this)

    def pull(self) -> None:
        """フックを呼び、その結果を使う。"""
        hooks: Any = hooks_of(self)
        if self.op is not None:
            self._grad = hooks.changed(self, self._grad)
            super().pull()  # type: ignore[misc]
            return
        (total, came_from), hooks.pending = hooks.pending, (None, None)
        if came_from is self._mark:
            super().accumulate(hooks.changed(self, total))  # type: ignore[misc]
            with no_grad():
                hooks.accumulated(self)


@functools.cache
def _hooked(cls: type) -> type:
    """The same class with hooks; a copy of such a Tensor has none."""
    names = {
        "__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__,
        "plain_class": cls,
    }  # fmt: skip
    return type(cls.__name__, (_Hooked, cls), names)
