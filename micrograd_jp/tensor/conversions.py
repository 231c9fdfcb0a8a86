"""`Tensor` から、ふつうの形・型・数・リスト・ndarray・文字へ。"""

from __future__ import annotations

import warnings
from math import isfinite
from typing import Any, Self

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explained
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.graph.node import data_of
from micrograd_jp.graph.writes import latest, writes
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.tensor.checks import one_axis
from micrograd_jp.tensor.dtypes import get_default_dtype
from micrograd_jp.tensor.size import Size


class Conversions:
    """`Tensor` の形と値を取り出すメソッド。勾配が失われる変換は、黙ってはしない。"""

    __slots__ = ()

    _data: Any
    _base: Any
    op: Any
    requires_grad: Any
    label: Any
    detach: Any
    swapaxes: Any
    transpose: Any

    @property
    def data(self) -> Self:
        """計算グラフから切り離した、メモリを共有する `Tensor` (PyTorch)。書けば、もとも変わる。

        代入できるのは `Tensor`・配列・数で、勾配は流れない。NumPy の関数には `t.data` のまま渡せ、
        ndarray そのものは `t.detach().numpy()`。
        """
        t: Self = self.detach()
        return t

    @data.setter
    def data(self, data: Any) -> None:
        if data is getattr(self, "_data", None):  # an old pickle sets what has no data yet
            # `t.data -= …` has written into it (a JAX array it would have replaced). PyTorch says
            # nothing, and goes back through an older graph with the new numbers.
            if data.__class__ is np.ndarray:
                writes.note(data)
            return
        if isinstance(data, Conversions) and data._data is getattr(self, "_data", None):
            return  # `t.data -= …` has written through the Tensor that t.data gave
        data = data_of(data)
        if not namespace.is_array(data):
            if not is_number(data):
                raise TypeError(
                    "data に代入できるのは配列か数です (expected an array or a number): "
                    f"{type(data).__name__} が渡されました。mg.tensor(…) と書いてください。"
                )
            data = np.asarray(data, dtype=None if isinstance(data, np.generic) else self.dtype)
        elif data.__class__ is not np.ndarray:
            data = namespace.automatic(data)
        if getattr(self, "requires_grad", False):  # an old pickle has not set it yet
            require_gradients(data.dtype)
        self._data, self._base = data, ()  # no view of anything any more

    @property
    def shape(self) -> tuple[int, ...]:
        """形。"""
        return tuple(self._data.shape)

    @property
    def ndim(self) -> int:
        """次元の数。"""
        return int(self._data.ndim)

    @property
    def size(self) -> Size:
        """要素の数。`t.size()` と `t.size(0)` は、PyTorch のとおり形と長さ。"""
        return Size(self.shape)

    @property
    def dtype(self) -> Any:
        """要素の型。"""
        return self._data.dtype

    @property
    def T(self) -> Self:
        """すべての軸を逆順にしたもの。行列なら転置。"""
        t: Self = self.transpose()
        return t

    @property
    def mT(self) -> Self:
        """最後の 2 つの軸を入れ替えたもの。"""
        t: Self = self.swapaxes(-1, -2)
        return t

    def dim(self) -> int:
        """次元の数 (PyTorch の名前)。"""
        return self.ndim

    def numel(self) -> int:
        """要素の数 (PyTorch の名前)。"""
        return int(self._data.size)

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """隣の要素までの、記憶域での要素の数 (PyTorch の名前)。軸ごとの組か、軸 `dim` のもの。

        Raises:
            TypeError: 軸が整数でない。
            IndexError: その軸がない。
        """
        array = namespace.concrete(self._data, "stride()")
        steps = tuple(n // array.itemsize for n in array.strides)
        return steps if dim is None else steps[one_axis(dim, self.ndim, "stride")]

    def is_contiguous(self) -> bool:
        """記憶域に、行の順に隙間なく並んでいるか (PyTorch の名前)。"""
        array = namespace.concrete(self._data, "is_contiguous()")
        return bool(array.flags.c_contiguous)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("0 次元の Tensor に長さはありません (len of a 0-d tensor)。")
        return self.shape[0]

    def __contains__(self, x: Any) -> bool:
        # As in PyTorch: one of the numbers, also of a matrix, whose iteration gives rows.
        return bool(np.asarray(self == x).any())

    @explained
    def astype(self, dtype: Any) -> Self:
        """型を変える。同じ型なら自分を返す。整数や真偽値にしたものには勾配がない。"""
        if self.dtype == dtype:
            return self
        dtype = namespace.dtype_of(dtype)
        if self.dtype.kind == "c" and dtype.kind not in "cb":
            warnings.warn(
                f"複素数を {dtype} にすると、虚部が失われます (casting complex values to real "
                "discards the imaginary part): 実部だけが欲しいときは t.real と書いてください。",
                stacklevel=3,
            )
        tracked = self.requires_grad and not namespace.is_differentiable(dtype)
        t: Self = on_graph.astype(self.detach() if tracked else self, dtype)
        return t

    def float(self) -> Self:
        """float32 にする。"""
        return self.astype(np.float32)

    def double(self) -> Self:
        """float64 にする。"""
        return self.astype(np.float64)

    def numpy(self) -> Any:
        """値の ndarray。

        Raises:
            RuntimeError: 計算グラフにつながっている（`detach()` してから取り出す）。
            TypeError: `jax.jit` の中の、値のない配列。
        """
        self._require_constant("numpy()", "t.detach().numpy()")
        return namespace.concrete(self._data, "numpy()")

    def jax(self) -> Any:
        """値の `jax.Array`。`jax.jit` などの中でも使える (torchax の名前)。

        Raises:
            RuntimeError: 計算グラフにつながっている（`detach()` してから取り出す）。
        """
        self._require_constant("jax()", "t.detach().jax()")
        t: Any = self
        return t.to("jax")._data if isinstance(self._data, np.ndarray) else self._data

    def _require_constant(self, reader: str, instead: str) -> None:
        if self.requires_grad:
            raise RuntimeError(
                f"勾配を求める Tensor は {reader} で取り出せません (requires grad): "
                f"{instead} と書いてください。"
            )

    def item(self) -> Any:
        """要素が 1 つのとき、その数。

        Raises:
            ValueError: 要素が 1 つでない。
        """
        self._require_one("item")
        return namespace.concrete(self._data, "item()").item()

    def tolist(self) -> Any:
        """入れ子のリスト。"""
        return namespace.concrete(self._data, "tolist()").tolist()

    def _require_one(self, method: str) -> None:
        if self._data.size != 1:
            raise ValueError(
                f"{method} は要素が 1 つの Tensor に使います (expected one element): "
                f"形は {self._data.shape} です。"
            )

    def __repr__(self) -> str:
        if namespace.is_traced(self._data):  # inside jax.jit there is no value to show
            body = f"shape={self._data.shape}"
        else:
            data = namespace.concrete(self._data, "repr()")
            body = np.array2string(data, separator=", ", prefix="tensor(", threshold=20)
        if not self._data.size and self.ndim != 1:
            body += f", shape={self.shape}"
        extras = "" if self._data.dtype == get_default_dtype() else f", dtype={self._data.dtype}"
        if self.op is not None:
            extras += f", op={latest(self).op.name.removeprefix('tensor.')}"
        elif self.requires_grad:
            extras += ", requires_grad=True"
        label = f", label={self.label!r}" if self.label else ""
        return f"tensor({body}{extras}{label})"

    def __bool__(self) -> bool:
        self._require_one("bool")
        return bool(namespace.concrete(self._data, "if や bool()").item())

    def __float__(self) -> Any:
        return float(self._number("float"))

    def __complex__(self) -> Any:
        return complex(self._number("complex"))

    def __int__(self) -> Any:
        x = self._number("int")
        if not isfinite(x):
            raise ValueError(
                f"{x} は整数になりません (cannot convert to int): 有限の数か、t.isfinite() で"
                "確かめてください。"
            )
        return int(x)

    def _number(self, function: str) -> Any:
        if self.requires_grad:
            warnings.warn(
                f"{function}(t) は Tensor を計算グラフから切り離します ({function}() drops the "
                "gradient)。数だけが欲しいときは t.item()、関数は t.sin() か mg.sin(t) と"
                "書いてください。",
                stacklevel=3,
            )
        x = self.item()
        if isinstance(x, complex) and function != "complex":
            raise TypeError(
                f"複素数の Tensor は {function}(t) で取り出せません (not a real number): {x}。"
                "complex(t)、t.abs()、t.real のどれかにしてください。"
            )
        return x

    def __format__(self, spec: str) -> str:
        number = spec or (self.ndim == 0 and not namespace.is_traced(self._data))
        return format(self.item(), spec) if number else str(self)

    def __index__(self) -> int:
        self._require_one("整数としての使用")
        if self._data.dtype.kind not in "iu":
            raise TypeError(
                f"{self._data.dtype} の Tensor は整数として使えません (expected an integer dtype): "
                "t.item() を int で丸めるか、t.astype(mg.int64) としてください。"
            )
        number: int = self._data.item()  # the dtype says so
        return number

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = namespace.concrete(self.numpy(), "np.asarray")
        return np.array(array, dtype=dtype, copy=copy)


def require_gradients(dtype: Any) -> None:
    """勾配を求められる型であることを確かめる。

    Raises:
        TypeError: 小数でも複素数でもない。
    """
    if not namespace.is_differentiable(dtype):
        raise TypeError(
            f"{dtype} の Tensor の勾配は求められません (only floating and complex dtypes can "
            "require gradients): mg.tensor(…, dtype=mg.float32) のように小数にしてください。"
        )
