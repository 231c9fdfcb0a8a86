"""入力の大きさを書かない層: はじめて呼ばれたときに、入力から大きさを知り、ふつうの層になる。

PyTorch の `LazyLinear` などと同じく、呼んだあとは `Linear` などそのものである。それまでパラメータは
ない（尋ねるとエラーになる）ので、最適化手法を作る前に 1 度 `model(x)` を呼ぶ。
"""

from __future__ import annotations

from inspect import Signature, signature
from typing import Any, ClassVar, NoReturn

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.layers import conv, linear, norm
from micrograd_jp.nn.module.module import Module
from micrograd_jp.tensor.array import as_tensor

__all__ = [
    "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyConv1d", "LazyConv2d",
    "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyInstanceNorm1d",
    "LazyInstanceNorm2d", "LazyInstanceNorm3d", "LazyLinear",
]  # fmt: skip


class _Lazy(Module):
    """まだ大きさの決まっていない層。引数は、決まったあとの層の、はじめの 1 つを除いたもの。"""

    _becomes: ClassVar[type[Module]]
    _axis: ClassVar[int]
    _taken: ClassVar[Signature]

    def __init_subclass__(cls, becomes: type[Module], axis: int, **other: Any) -> None:
        """`becomes` になる層。大きさは、入力の軸 `axis` の長さ。`other` は、別の既定値。"""
        super().__init_subclass__()
        cls._becomes, cls._axis = becomes, axis
        rest = [*signature(becomes).parameters.values()][1:]
        cls._taken = Signature([p.replace(default=other.get(p.name, p.default)) for p in rest])
        cls.__signature__ = cls._taken  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            bound = self._taken.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{type(self).__name__}({', '.join(self._taken.parameters)}) の引数が合いません "
                f"(wrong arguments): {error}。"
            ) from None
        bound.apply_defaults()
        self._given = dict(bound.arguments)

    def forward(self, x: Any) -> Any:
        """入力から大きさを知り、ふつうの層になって、計算する。

        Raises:
            ValueError: 入力にその軸がない。
        """
        name, t = type(self).__name__, as_tensor(x)
        if not -t.ndim <= self._axis < t.ndim:
            raise ValueError(
                f"{name} の入力の次元が足りません (too few dimensions): 形は {t.shape} です。"
            )
        given, training = self._given, self.training
        becomes: Any = self._becomes
        whole = becomes(t.shape[self._axis], **given)  # what it refuses changes nothing
        del self._given
        self.__class__ = becomes
        vars(self).update(vars(whole))
        self.train(training)
        return becomes.forward(self, x)

    def parameters(self, recurse: bool = True) -> NoReturn:
        """まだない。

        Raises:
            RuntimeError: いつも。
        """
        raise RuntimeError(
            f"{type(self).__name__} の大きさはまだ決まっていません (uninitialized parameters): "
            "最適化手法を作ったりパラメータを見たりする前に、1 度 model(x) を呼んでください。"
        )

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> NoReturn:
        """まだない。エラーは `parameters` と同じ。"""
        self.parameters()

    def extra_repr(self) -> str:
        """渡された引数。"""
        usual = self._taken.parameters
        given = {name: x for name, x in self._given.items() if x is not usual[name].default}
        return ", ".join(f"{name}={x!r}" for name, x in given.items())


# PyTorch's own exception: these have what a BatchNorm has, and an InstanceNorm has not.
_NORMED = {"affine": True, "track_running_stats": True}


class LazyLinear(_Lazy, becomes=linear.Linear, axis=-1):
    """はじめて呼ばれると、入力の大きさの `Linear` になる。"""


class LazyConv1d(_Lazy, becomes=conv.Conv1d, axis=-2):
    """はじめて呼ばれると、入力の大きさの `Conv1d` になる。"""


class LazyConv2d(_Lazy, becomes=conv.Conv2d, axis=-3):
    """はじめて呼ばれると、入力の大きさの `Conv2d` になる。"""


class LazyConv3d(_Lazy, becomes=conv.Conv3d, axis=-4):
    """はじめて呼ばれると、入力の大きさの `Conv3d` になる。"""


class LazyConvTranspose1d(_Lazy, becomes=conv.ConvTranspose1d, axis=-2):
    """はじめて呼ばれると、入力の大きさの `ConvTranspose1d` になる。"""


class LazyConvTranspose2d(_Lazy, becomes=conv.ConvTranspose2d, axis=-3):
    """はじめて呼ばれると、入力の大きさの `ConvTranspose2d` になる。"""


class LazyBatchNorm1d(_Lazy, becomes=norm.BatchNorm1d, axis=1):
    """はじめて呼ばれると、入力の大きさの `BatchNorm1d` になる。"""


class LazyBatchNorm2d(_Lazy, becomes=norm.BatchNorm2d, axis=1):
    """はじめて呼ばれると、入力の大きさの `BatchNorm2d` になる。"""


class LazyBatchNorm3d(_Lazy, becomes=norm.BatchNorm3d, axis=1):
    """はじめて呼ばれると、入力の大きさの `BatchNorm3d` になる。"""


class LazyInstanceNorm1d(_Lazy, becomes=norm.InstanceNorm1d, axis=-2, **_NORMED):
    """はじめて呼ばれると、入力の大きさの `InstanceNorm1d` になる。"""


class LazyInstanceNorm2d(_Lazy, becomes=norm.InstanceNorm2d, axis=-3, **_NORMED):
    """はじめて呼ばれると、入力の大きさの `InstanceNorm2d` になる。"""


class LazyInstanceNorm3d(_Lazy, becomes=norm.InstanceNorm3d, axis=-4, **_NORMED):
    """はじめて呼ばれると、入力の大きさの `InstanceNorm3d` になる。"""


explain_all(globals())
