"""`FunctionModule`: 関数 1 つの部品。活性化関数、プーリング、損失。"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.module.module import Module


class FunctionModule(Module):
    """関数 1 つの部品: コンストラクタの引数を同じ名前の属性に持ち、`forward` で関数に渡す。

    派生クラスは `class MaxPool2d(FunctionModule, function=F.max_pool2d)` と書く。
    """

    _function: ClassVar[Callable[..., Any]]
    _arguments: ClassVar[list[str]]

    def __init_subclass__(cls, function: Callable[..., Any] | None = None) -> None:
        if function is not None:
            cls._function = staticmethod(function)
            cls._arguments = list(signature(cls).parameters)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """入力と属性を関数に渡す。"""
        settings = {name: getattr(self, name) for name in self._arguments}
        return self._function(*inputs, **named, **settings)

    def extra_repr(self) -> str:
        """属性とその値。"""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._arguments)


explain_all(globals())
