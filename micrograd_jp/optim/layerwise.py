"""巨大ミニバッチの最適化手法: 更新の大きさを、層ごとに重みのノルムで決める LARS と LAMB。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.adaptive import Adam
from micrograd_jp.optim.checks import number
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.optim.rule import PROTOCOL, Options, State, Turn, given


class LARS(Optimizer):
    """LARS: 勾配とパラメータのノルムの比で、学習率を層（1 つの `Tensor`）ごとに決める SGD。

    λ = trust_coefficient·‖θ‖/(‖g‖ + weight_decay·‖θ‖)、
    v ← momentum·v + lr·λ·(g + weight_decay·θ)、θ ← θ − v。
    分子か分母が 0 なら λ = 1（0 から始まるバイアスも動く）。1 つのグループの `Value` は、まとめて
    1 つの層とみなす（勾配のないものや、更新の回数の違うものは別にして）。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 全体の学習率。SGD のものより大きい（1〜10 ほど）。
        momentum: モーメンタムの係数。
        weight_decay: 荷重減衰の係数。
        trust_coefficient: 1 歩で動く距離の、重みのノルムに対する割合。`None` のグループでは λ = 1
            （バイアスやバッチ正規化を、ふつうの SGD で更新するため）。
        maximize: 真なら、損失を大きくする向きに動かす。

    Raises:
        ValueError: 負の係数、空の並び、同じパラメータが 2 度。

    Source: You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks"
    (arXiv:1708.03888), Algorithm 1。論文は分子か分母が 0 の場合を決めていない。
    """

    state_names: ClassVar = {"momentum_buffer": "momentum"}
    nonnegative = ("lr", "momentum", "weight_decay")
    counts_steps = False
    decouples_decay = True
    needs_whole = True

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0,
        trust_coefficient: float | None = 1e-3,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def check(self, options: Options) -> None:
        """負の係数を断る。"""
        super().check(options)
        trust = options["trust_coefficient"]
        if trust is not None and not number("trust_coefficient", trust) > 0:
            raise ValueError(
                "trust_coefficient は 0 より大きい数か None です (invalid trust_coefficient): "
                f"{trust!r}。ふつうの SGD で更新するグループでは None とします。"
            )

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, decay = turn.options, turn.options["weight_decay"]
        rate = options["lr"]
        if options["trust_coefficient"] is not None:
            size = k.norm(p)
            trust = k.ratio(options["trust_coefficient"] * size, k.norm(g) + decay * size)
            rate = rate * trust
        if decay != 0:
            g = k.combined(g, 1, p, decay)
        if options["momentum"] == 0:
            return k.mix(p, 1, g, -rate)
        v = state["momentum_buffer"] = k.mix(state["momentum_buffer"], options["momentum"], g, rate)
        return k.mix(p, 1, v, -1)


class LAMB(Adam):
    """LAMB: Adam の 1 歩を、層（1 つの `Tensor`）ごとに、重みのノルムに合わせた長さにする。

    m と v は Adam と同じ。r = (m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + eps) + weight_decay·θ、
    θ ← θ − lr·(‖θ‖/‖r‖)·r。‖θ‖ か ‖r‖ が 0 なら、比は 1。1 つのグループの `Value` は、まとめて
    1 つの層とみなす（勾配のないものや、更新の回数の違うものは別にして）。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        betas: 移動平均の係数 (β₁, β₂)。
        eps: 0 で割らないための小さな数。
        weight_decay: 荷重減衰の係数（Adam のあとで足すので、AdamW と同じく勾配に混ざらない）。
        maximize: 真なら、損失を大きくする向きに動かす。

    Raises:
        ValueError: 負の係数、[0, 1) にない β、空の並び、同じパラメータが 2 度。

    Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76
    minutes" (ICLR 2020), Algorithm 2（φ は恒等関数）。
    """

    decouples_decay = True
    needs_whole = True

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)

    def _moved(self, k: Kernels, p: Any, m: Any, share: Any, root: Any, options: Options) -> Any:
        """θ の次の値。"""
        r = k.quotient(m, 1 / share, root)
        if options["weight_decay"] != 0:
            r = k.combined(r, 1, p, options["weight_decay"])
        return k.mix(p, 1, r, -options["lr"] * k.ratio(k.norm(p), k.norm(r)))


explain_all(globals(), but=PROTOCOL)
