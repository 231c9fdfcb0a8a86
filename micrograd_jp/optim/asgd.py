"""`ASGD`: 通った点を平均する確率的勾配降下法。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.checks import number
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.optim.rule import PROTOCOL, Options, State, Turn, given


class ASGD(Optimizer):
    """平均化した確率的勾配降下法 (averaged stochastic gradient descent)。

    θ ← (1 − λη)θ − ηg、a ← a + μ(θ − a)、η ← lr/(1 + λ·lr·t)^α、μ ← 1/max(1, t − t₀)。
    平均 a は、状態 `optimizer.state[p]["ax"]` にある。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        lambd: 減衰の係数 λ。
        alpha: 学習率を下げる指数 α。
        t0: 平均を始める回 t₀。
        weight_decay: 荷重減衰（L2 正則化）の係数。
        maximize: 真なら、損失を大きくする向きに動かす。
        foreach, differentiable, capturable: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、空の並び、同じパラメータが 2 度。

    Source: Polyak & Juditsky, "Acceleration of stochastic approximation by averaging" (SIAM J.
    Control and Optimization, 1992)。η と μ は Bottou の SGD 2.0 から。
    """

    state_names: ClassVar = {"eta": "", "mu": "", "ax": ""}
    numbers = ("eta", "mu")
    nonnegative = ("lr", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def first(self, slot: str, options: Options) -> Any:
        """η は `lr`、μ は 1、平均は 0。"""
        return {"eta": number("lr", options["lr"]), "mu": 1.0}.get(slot, 0.0)

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, step, lr = turn.options, turn.number, turn.options["lr"]
        eta, mu = k.number(state["eta"]), k.number(state["mu"])
        p = k.mix(p, 1 - options["lambd"] * eta, g, -eta)
        state["ax"] = k.mix(state["ax"], 1 - mu, p, mu)
        rate, late = (
            lr / (1 + options["lambd"] * lr * step) ** options["alpha"],
            step - options["t0"],
        )
        state["eta"] = k.renewed(state["eta"], rate)
        state["mu"] = k.renewed(state["mu"], k.chosen(late > 1, lambda: 1 / late, lambda: 1.0))
        return p


explain_all(globals(), but=PROTOCOL)
