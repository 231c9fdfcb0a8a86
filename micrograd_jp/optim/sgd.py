"""`SGD`: 確率的勾配降下法。モーメンタム、Nesterov の加速勾配、荷重減衰。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.optim.rule import PROTOCOL, Options, State, Turn, given


class SGD(Optimizer):
    """確率的勾配降下法 (stochastic gradient descent)。

    θ ← θ − lr·v、v ← momentum·v + (1 − dampening)·g（はじめの v は g）。
    `nesterov` なら θ ← θ − lr·(g + momentum·v)。g は勾配 + weight_decay·θ。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率 (learning rate)。
        momentum: モーメンタムの係数。
        dampening: モーメンタムに足す勾配の弱め方。
        weight_decay: 荷重減衰（L2 正則化）の係数。
        nesterov: Nesterov の加速勾配を使うか。
        maximize: 真なら、損失を大きくする向きに動かす。
        foreach, differentiable, fused: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、空の並び、同じパラメータが 2 度、モーメンタムなしの `nesterov`。

    Source: Sutskever, Martens, Dahl & Hinton, "On the importance of initialization and
    momentum in deep learning" (ICML 2013)。モーメンタムの書き方は PyTorch と同じ。
    """

    state_names: ClassVar = {"momentum_buffer": "momentum"}
    nonnegative = ("lr", "momentum", "weight_decay")
    counts_steps = False

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, given(locals()))

    def check(self, options: Options) -> None:
        """負の係数と、モーメンタムなしの `nesterov` を断る。"""
        super().check(options)
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError(
                "nesterov=True には正の momentum と dampening=0 が必要です (Nesterov momentum "
                f"requires a momentum and zero dampening): momentum={options['momentum']}, "
                f"dampening={options['dampening']}。momentum=0.9 のように渡してください。"
            )

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, momentum = turn.options, turn.options["momentum"]
        if momentum != 0:
            # The first velocity is the gradient itself, not (1 − dampening) of it.
            old, new = (0, 1) if turn.fresh else (momentum, 1 - options["dampening"])
            v = state["momentum_buffer"] = k.mix(state["momentum_buffer"], old, g, new)
            g = k.combined(g, 1, v, momentum) if options["nesterov"] else v
        return k.mix(p, 1, g, -options["lr"])


explain_all(globals(), but=PROTOCOL)
