"""Adam の仲間: 最大値で割る Adamax、先を読む NAdam、はじめの分散を直す RAdam。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.optim.rule import PROTOCOL, Options, State, Turn, given


class Adamax(Optimizer):
    """Adamax: Adam の 2 乗の平均を、大きさの最大値 (L∞ ノルム) に替えたもの。

    m ← β₁m + (1 − β₁)g、u ← max(β₂u, |g| + eps)、θ ← θ − lr/(1 − β₁ᵗ)·m/u。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        betas: 移動平均の係数 (β₁, β₂)。
        eps: 0 で割らないための小さな数。
        weight_decay: 荷重減衰（L2 正則化）の係数。
        maximize: 真なら、損失を大きくする向きに動かす。
        foreach, differentiable, capturable: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、[0, 1) にない β、空の並び、同じパラメータが 2 度。

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization" (arXiv:1412.6980) §7.1。
    """

    state_names: ClassVar = {"exp_avg": "", "exp_inf": ""}
    nonnegative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options = turn.options
        beta1, beta2 = options["betas"]
        m = state["exp_avg"] = k.mix(state["exp_avg"], beta1, g, 1 - beta1)
        u = state["exp_inf"] = k.peak(state["exp_inf"], beta2, g, options["eps"])
        return k.mix(p, 1, m, -options["lr"] / (1 - beta1**turn.number), over=u)


class NAdam(Optimizer):
    """NAdam: Adam に Nesterov の加速勾配を加えたもの。

    μₜ = β₁(1 − ½·0.96^(t·ψ))、Mₜ = μ₁⋯μₜ、m と v は Adam と同じで、
    θ ← θ − lr·((1 − μₜ)/(1 − Mₜ)·g + μₜ₊₁/(1 − Mₜ₊₁)·m) / (√(v/(1 − β₂ᵗ)) + eps)。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        betas: 移動平均の係数 (β₁, β₂)。
        eps: 0 で割らないための小さな数。
        weight_decay: 荷重減衰の係数。
        momentum_decay: モーメンタムを増やす速さ ψ。
        decoupled_weight_decay: 真なら、荷重減衰を勾配と切り離す（AdamW のように）。
        maximize: 真なら、損失を大きくする向きに動かす。
        foreach, capturable, differentiable: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、[0, 1) にない β、空の並び、同じパラメータが 2 度。

    Source: Dozat, "Incorporating Nesterov Momentum into Adam" (ICLR 2016 Workshop)。
    """

    state_names: ClassVar = {"mu_product": "", "exp_avg": "", "exp_avg_sq": ""}
    numbers = ("mu_product",)
    nonnegative = ("lr", "eps", "weight_decay", "momentum_decay")

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def first(self, slot: str, options: Options) -> Any:
        """M は 1、ほかは 0。"""
        return 1.0 if slot == "mu_product" else 0.0

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, step, lr = turn.options, turn.number, turn.options["lr"]
        beta1, beta2 = options["betas"]
        mu, mu_next = (
            beta1 * (1 - 0.5 * 0.96 ** (t * options["momentum_decay"])) for t in (step, step + 1)
        )
        product = state["mu_product"]
        product = state["mu_product"] = k.renewed(product, product * mu)
        product = k.number(product)
        m = state["exp_avg"] = k.mix(state["exp_avg"], beta1, g, 1 - beta1)
        v = state["exp_avg_sq"] = k.mix_square(state["exp_avg_sq"], beta2, g, 1 - beta2)
        g = k.combined(g, (1 - mu) / (1 - product), m, mu_next / (1 - product * mu_next))
        decay = options["weight_decay"]
        kept = 1 - lr * decay if decay and self._decouples(options) else 1
        root = k.root(v, (1 - beta2**step) ** 0.5, options["eps"])
        return k.mix(p, kept, g, -lr, over=root)


class RAdam(Optimizer):
    """RAdam: 2 乗の平均がまだ少ない勾配からできているあいだ、Adam の歩幅を小さく直す。

    m と v は Adam と同じ。ρ∞ = 2/(1 − β₂) − 1、ρ = ρ∞ − 2t·β₂ᵗ/(1 − β₂ᵗ)。
    ρ > 5 なら θ ← θ − lr·r·(m/(1 − β₁ᵗ))·√(1 − β₂ᵗ)/(√v + eps)、
    r = √((ρ − 4)(ρ − 2)ρ∞/((ρ∞ − 4)(ρ∞ − 2)ρ))。そうでなければ θ ← θ − lr·m/(1 − β₁ᵗ)。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        betas: 移動平均の係数 (β₁, β₂)。
        eps: 0 で割らないための小さな数。
        weight_decay: 荷重減衰の係数。
        decoupled_weight_decay: 真なら、荷重減衰を勾配と切り離す（AdamW のように）。
        maximize: 真なら、損失を大きくする向きに動かす。
        foreach, capturable, differentiable: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、[0, 1) にない β、空の並び、同じパラメータが 2 度。

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (ICLR 2020)。
    """

    state_names: ClassVar = {"exp_avg": "", "exp_avg_sq": ""}
    nonnegative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, step, lr = turn.options, turn.number, turn.options["lr"]
        beta1, beta2 = options["betas"]
        m = state["exp_avg"] = k.mix(state["exp_avg"], beta1, g, 1 - beta1)
        v = state["exp_avg_sq"] = k.mix_square(state["exp_avg_sq"], beta2, g, 1 - beta2)
        decay = options["weight_decay"]
        kept = 1 - lr * decay if decay and self._decouples(options) else 1
        rate, share = lr / (1 - beta1**step), 1 - beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / share

        def rectified() -> Any:
            r2 = (length - 4) * (length - 2) * longest
            r2 = r2 / ((longest - 4) * (longest - 2) * length) * share
            return k.mix(p, kept, m, -rate * r2**0.5, over=k.root(v, 1, options["eps"]))

        return k.chosen(length > 5, rectified, lambda: k.mix(p, kept, m, -rate))


explain_all(globals(), but=PROTOCOL)
