"""混合精度 (mixed precision): `autocast` の中では、重い演算だけを 16 ビットで計算する。

行列の積と畳み込みは、引数を 16 ビットにしてから計算する。まとめる演算、ソフトマックス、ノルム、損失
と、値の広がりやすい関数は単精度で計算し、結果も単精度のまま。ほかは、引数の型のとおり。重みは単精度
のままで (master weights)、その勾配も単精度。
Micikevicius et al. (2018) "Mixed Precision Training"。
"""

from __future__ import annotations

from typing import Any

from micrograd_jp.graph.modes import Mode, autocasting, short_dtype
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import dtype_of, is_floating
from micrograd_jp.ops.primitive import Primitive
from micrograd_jp.tensor.array import as_tensor
from micrograd_jp.tensor.devices import meant
from micrograd_jp.tensor.dtypes import float32

SHORT = {"tensor.matmul", "tensor.linear", "tensor.einsum", "tensor.conv2d", "tensor.conv2d_input"}
"""16 ビットで計算する演算。"""

WIDE = {
    "tensor.sum", "tensor.mean", "tensor.cumsum", "tensor.norm", "tensor.logsumexp",
    "tensor.cross_entropy", "tensor.soft_cross_entropy", "pow", "exp", "expm1", "log", "log1p",
    "log2", "log10", "tan", "asin", "acos", "sinh", "cosh", "softplus",
}  # fmt: skip
"""16 ビットの引数も、単精度で計算する演算（表は PyTorch の CUDA のもの）。"""


class autocast(Mode):
    """混合精度で計算する区間。`with mg.autocast(mg.bfloat16):` か `@mg.autocast(…)` で使う。

    順伝播と損失を区間の中に書く（逆伝播は、順伝播のとおりの型で計算される）。`no_grad` と同じく
    入れ子にでき、ほかのスレッドには影響しない。`Value` の計算は変わらない。float16 では、勾配が
    0 に丸められないように `mg.amp.GradScaler` を使う（bfloat16 では要らない）。

    Args:
        *where: 型 `mg.bfloat16` か `mg.float16`。PyTorch のように、その前に装置 `"cuda"` などを
            書いてもよい（計算する場所は変わらない）。
        dtype: 型。
        enabled: 偽なら、この区間では混合精度にしない。
        device_type: PyTorch の引数。読み飛ばす。

    Raises:
        TypeError: 16 ビットの小数の型でない。
        ImportError: bfloat16 なのに、追加の依存 `accel` がない。
    """

    def __init__(
        self, *where: Any, dtype: Any = None, enabled: bool = True, device_type: Any = None
    ) -> None:
        for given in where:
            dtype = dtype if meant(given) is not None else given
        super().__init__(short_dtype, _short(dtype) if enabled else None)

    def _fresh(self) -> autocast:
        return autocast(dtype=self._value, enabled=self._value is not None)


def _short(dtype: Any) -> Any:
    try:
        wanted = None if dtype is None else dtype_of(dtype)
    except TypeError:
        wanted = None
    if wanted is None or not is_floating(wanted) or wanted.itemsize != 2:
        raise TypeError(
            f"autocast は 16 ビットの小数の型を受け取ります (expected a half dtype): {dtype!r}。"
            "mg.autocast(mg.bfloat16) か mg.autocast(mg.float16) と書いてください。"
        )
    return wanted


def cast(op: Primitive, operands: tuple[Any, ...]) -> tuple[Any, ...]:
    """いまの区間がその演算に使う型にした引数。float64 があれば、PyTorch と同じくそのまま。"""
    wanted = autocasting()
    if op.name in WIDE and wanted is not None:
        wanted = float32
    elif wanted is None or op.name not in SHORT:
        return operands
    own = [getattr(data_of(x), "dtype", None) for x in operands]
    floats = [dtype for dtype in own if dtype is not None and is_floating(dtype)]
    if all(dtype == wanted for dtype in floats) or any(dtype.itemsize > 4 for dtype in floats):
        return operands
    return tuple(
        x if dtype is None or not is_floating(dtype) else as_tensor(x).astype(wanted)
        for x, dtype in zip(operands, own, strict=True)
    )
