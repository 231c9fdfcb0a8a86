"""関数 1 つの部品 (`FunctionModule`, `OfFunction`)。活性化関数、プーリング、損失。"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import Tensor


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


class OfFunction(FunctionModule):
    """関数 1 つの部品のうち、コンストラクタの引数も、関数のものであるもの。

    派生クラスは `class MSELoss(OfFunction, function=F.mse_loss, inputs=2)` と書く。はじめの
    `inputs` 個は `forward` が受け取り、残りをコンストラクタが、同じ順序と既定値で受け取る。
    """

    _signature: ClassVar[Signature]
    _only_taken: ClassVar[tuple[str, ...]] = ()
    """Arguments of the constructor that `forward` does not pass on."""

    def __init_subclass__(
        cls,
        function: Callable[..., Any] | None = None,
        inputs: int = 1,
        without: str = "",
        by_name: bool = False,
    ) -> None:
        """派生クラスを作る。

        Args:
            function: 関数。
            inputs: `forward` が受け取る引数の数。
            without: どちらも受け取らない引数。
            by_name: 真なら、コンストラクタは名前でだけ受け取る。
        """
        if function is not None:
            rest = [*signature(function).parameters.values()][inputs:]
            if by_name:
                rest = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in rest]
            cls._signature = Signature([p for p in rest if p.name != without])
            cls.__signature__ = cls._signature  # type: ignore[attr-defined]
        super().__init_subclass__(function)
        if function is not None:
            cls._arguments = [name for name in cls._arguments if name not in cls._only_taken]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            names = ", ".join(self._signature.parameters)
            raise TypeError(
                f"{type(self).__name__}({names}) の引数が合いません (wrong arguments): {error}。"
            ) from None
        bound.apply_defaults()
        self._take(bound.arguments)

    def _take(self, given: dict[str, Any]) -> None:
        for name, x in given.items():
            if isinstance(x, Tensor) and not x.requires_grad:
                self.register_buffer(name, x)  # it goes where the module goes
            else:
                setattr(self, name, x)


explain_all(globals())
