"""`Rprop`: 勾配の符号だけを使う最適化手法。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.checks import number
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.optim.rule import PROTOCOL, Options, State, Turn, given


class Rprop(Optimizer):
    """Rprop: 要素ごとの歩幅を、勾配の符号が続けば大きく、変われば小さくする。

    前の勾配と同じ符号なら歩幅 Δ ← η₊Δ、反対なら Δ ← η₋Δ（そして、この回は動かず、次の回も前の勾配を
    0 とみなす）。Δ は `step_sizes` の範囲に収める。θ ← θ − Δ·sign(g)。全データの勾配に使う
    （ミニバッチでは符号が偶然に変わる）。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: はじめの歩幅。
        etas: 歩幅に掛ける数 (η₋, η₊)。0 < η₋ < 1 < η₊。
        step_sizes: 歩幅の最小と最大。
        maximize: 真なら、損失を大きくする向きに動かす。
        capturable, foreach, differentiable: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の `lr`、範囲の外の `etas`、空の並び、同じパラメータが 2 度。

    Source: Riedmiller & Braun, "A direct adaptive method for faster backpropagation learning:
    the RPROP algorithm" (ICNN 1993)。
    """

    state_names: ClassVar = {"prev": "", "step_size": ""}
    nonnegative = ("lr",)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def check(self, options: Options) -> None:
        """負の `lr` と、範囲の外の `etas` を断る。"""
        super().check(options)
        for name in ("etas", "step_sizes"):
            pair = options[name]
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError(f"{name} は 2 つの数の組です (expected a pair): {pair!r}。")
        minus, plus = (number("etas", x) for x in options["etas"])
        if not 0 < minus < 1 < plus:
            raise ValueError(
                "etas は 0 < η₋ < 1 < η₊ の組です (invalid etas): "
                f"{options['etas']} が渡されました。etas=(0.5, 1.2) のように渡してください。"
            )

    def first(self, slot: str, options: Options) -> Any:
        """はじめの歩幅は `lr`。"""
        return number("lr", options["lr"]) if slot == "step_size" else 0.0

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        (minus, plus), (low, high) = turn.options["etas"], turn.options["step_sizes"]
        factor = k.by_sign(k.times(g, state["prev"]), minus, 1, plus)
        size = state["step_size"] = k.scaled_within(state["step_size"], factor, low, high)
        g = k.unless_opposed(g, state["prev"])
        state["prev"] = k.mix(state["prev"], 0, g, 1)
        return k.mix(p, 1, k.times(k.by_sign(g, -1, 0, 1), size), -1)


explain_all(globals(), but=PROTOCOL)
