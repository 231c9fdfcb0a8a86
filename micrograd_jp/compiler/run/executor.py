"""実行のしかたの約束 (executor): 表 (`Trace`) から作られ (`pipeline.py`)、値と勾配を計算する。"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from micrograd_jp.compiler.table.table import Array


class Executor(Protocol):
    """同じ表を、いろいろな標本数 N で何度でも実行する。"""

    def forward(self, parameters: Array, inputs: Sequence[Array]) -> Array:
        """出力を計算する。逆伝播に要る途中の値は、次の `forward` まで覚えておく。

        Args:
            parameters: 形 (P,)。`trace.parameters` の順。計算の型 (dtype) の連続した配列。
                呼ぶたびに中身が変わってよい（同じメモリとは限らない）。
            inputs: 形 (kᵢ, N) の配列の並び。つなげると `trace.inputs` の順の (I, N) になる。
                型は計算の型だが、メモリの並びは何でもよい（転置されていることが多い）。
                入力が 1 つもなければ、形 (0, N) の配列が 1 つ渡される。

        Returns:
            形 (O, N)。`trace.outputs` の順。呼び手のもので、次の実行で上書きされない。
        """

    def backward(self, seeds: Array, of_inputs: bool) -> tuple[Array, Array | None]:
        """直前の `forward` の勾配 Σ seeds·∂outputs。

        Args:
            seeds: 形 (O, N)。各出力の、各標本の上流の勾配。
            of_inputs: 真なら、入力の勾配も求める。

        Returns:
            パラメータの勾配 (P,)（標本について足したもの）と、入力の勾配 (I, N) か `None`。
            呼び手のもので、次の実行で上書きされない。
        """
