"""学習率をパラメータごとに調整する最適化手法: Adagrad、Adadelta、RMSprop、Adam、AdamW。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.optim.rule import PROTOCOL, Options, State, Turn, given


class Adagrad(Optimizer):
    """Adagrad: 勾配の 2 乗の和の平方根で割る。

    s ← s + g²、θ ← θ − lr/(1 + (t − 1)·lr_decay)·g/(√s + eps)。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        lr_decay: 学習率を反復ごとに減らす係数。
        weight_decay: 荷重減衰（L2 正則化）の係数。
        initial_accumulator_value: s のはじめの値。
        eps: 0 で割らないための小さな数。
        maximize: 真なら、損失を大きくする向きに動かす。
        foreach, differentiable, fused: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、空の並び、同じパラメータが 2 度。

    Source: Duchi, Hazan & Singer, "Adaptive Subgradient Methods for Online Learning and
    Stochastic Optimization" (JMLR 2011)。
    """

    state_names: ClassVar = {"sum": ""}
    nonnegative = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, given(locals()))

    def first(self, slot: str, options: Options) -> float:
        """`initial_accumulator_value`。"""
        return float(options["initial_accumulator_value"])

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options = turn.options
        s = state["sum"] = k.mix_square(state["sum"], 1, g, 1)
        rate = options["lr"] / (1 + (turn.number - 1) * options["lr_decay"])
        return k.mix(p, 1, g, -rate, over=k.root(s, 1, options["eps"]))


class Adadelta(Optimizer):
    """Adadelta: 勾配の大きさを、これまでの歩幅の大きさに合わせる。学習率の単位がそろう。

    v ← ρ·v + (1 − ρ)·g²、Δ = g·√(u + eps)/√(v + eps)、u ← ρ·u + (1 − ρ)·Δ²、θ ← θ − lr·Δ。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: Δ に掛ける係数。
        rho: 移動平均の係数 ρ。
        eps: 0 で割らないための小さな数。
        weight_decay: 荷重減衰（L2 正則化）の係数。
        maximize: 真なら、損失を大きくする向きに動かす。
        foreach, capturable, differentiable: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、1 より大きい ρ、空の並び、同じパラメータが 2 度。

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (arXiv:1212.5701)。
    """

    state_names: ClassVar = {"square_avg": "", "acc_delta": ""}
    nonnegative = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def check(self, options: Options) -> None:
        """負の係数と、1 より大きい ρ を断る。"""
        super().check(options)
        if options["rho"] > 1:
            raise ValueError(
                f"rho は 0 以上 1 以下の数です (invalid rho): {options['rho']} が渡されました。"
            )

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, rho = turn.options, turn.options["rho"]
        v = state["square_avg"] = k.mix_square(state["square_avg"], rho, g, 1 - rho)
        step = k.balanced(g, state["acc_delta"], v, options["eps"])
        state["acc_delta"] = k.mix_square(state["acc_delta"], rho, step, 1 - rho)
        return k.mix(p, 1, step, -options["lr"])


class RMSprop(Optimizer):
    """RMSprop: 勾配の 2 乗の移動平均の平方根で割る。

    v ← α·v + (1 − α)·g²、θ ← θ − lr·g/(√v + eps)。`centered` なら v から勾配の移動平均の 2 乗を
    引く（分散）。`momentum` があれば b ← momentum·b + g/(√v + eps)、θ ← θ − lr·b。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        alpha: 移動平均の係数。
        eps: 0 で割らないための小さな数。
        weight_decay: 荷重減衰（L2 正則化）の係数。
        momentum: モーメンタムの係数。
        centered: 真なら、分散で正規化する。
        maximize: 真なら、損失を大きくする向きに動かす。
        capturable, foreach, differentiable: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、空の並び、同じパラメータが 2 度。

    Source: Tieleman & Hinton, "Lecture 6.5 – RMSProp" (COURSERA: Neural Networks for Machine
    Learning, 2012)。`centered` は Graves, "Generating Sequences With Recurrent Neural Networks"
    (arXiv:1308.0850)。
    """

    state_names: ClassVar = {
        "square_avg": "", "grad_avg": "centered", "momentum_buffer": "momentum",
    }  # fmt: skip
    nonnegative = ("lr", "eps", "momentum", "weight_decay", "alpha")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, lr, alpha = turn.options, turn.options["lr"], turn.options["alpha"]
        v = state["square_avg"] = k.mix_square(state["square_avg"], alpha, g, 1 - alpha)
        if options["centered"]:
            mean = state["grad_avg"] = k.mix(state["grad_avg"], alpha, g, 1 - alpha)
            v = k.deviation(v, mean)
        root = k.root(v, 1, options["eps"])
        if options["momentum"] > 0:
            b = state["momentum_buffer"]
            b = state["momentum_buffer"] = k.mix(b, options["momentum"], g, 1, over=root)
            return k.mix(p, 1, b, -lr)
        return k.mix(p, 1, g, -lr, over=root)


class Adam(Optimizer):
    """Adam: 勾配の移動平均を、勾配の 2 乗の移動平均の平方根で割る。

    m ← β₁m + (1 − β₁)g、v ← β₂v + (1 − β₂)g²、
    θ ← θ − lr·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + eps)。
    `amsgrad` なら v の代わりに、これまでの v の最大値を使う。

    Args:
        params: パラメータの並び、名前つきの並び、またはグループ (dict) の並び。
        lr: 学習率。
        betas: 移動平均の係数 (β₁, β₂)。
        eps: 0 で割らないための小さな数。
        weight_decay: 荷重減衰（L2 正則化）の係数。
        amsgrad: AMSGrad を使うか。
        maximize: 真なら、損失を大きくする向きに動かす。
        decoupled_weight_decay: 真なら、荷重減衰を勾配と切り離す (`AdamW`)。
        foreach, capturable, differentiable, fused: PyTorch での実行のしかた。ここでは何も変えない
            （真なら、そう警告する）。

    Raises:
        ValueError: 負の係数、[0, 1) にない β、空の並び、同じパラメータが 2 度。

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization" (arXiv:1412.6980)。
    AMSGrad は Reddi, Kale & Kumar, "On the Convergence of Adam and Beyond" (ICLR 2018)。
    """

    state_names: ClassVar = {"exp_avg": "", "exp_avg_sq": "", "max_exp_avg_sq": "amsgrad"}
    nonnegative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, given(locals()))

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """θ の次の値。"""
        options, step = turn.options, turn.number
        beta1, beta2 = options["betas"]
        m = state["exp_avg"] = k.mix(state["exp_avg"], beta1, g, 1 - beta1)
        v = state["exp_avg_sq"] = k.mix_square(state["exp_avg_sq"], beta2, g, 1 - beta2)
        if options["amsgrad"]:
            v = state["max_exp_avg_sq"] = k.maximum(state["max_exp_avg_sq"], v)
        root = k.root(v, (1 - beta2**step) ** 0.5, options["eps"])
        return self._moved(k, p, m, 1 - beta1**step, root, options)

    def _moved(self, k: Kernels, p: Any, m: Any, share: Any, root: Any, options: Options) -> Any:
        """θ の次の値。1 歩は (m/share)/root。"""
        lr = options["lr"]
        decay = options["weight_decay"]
        kept = 1 - lr * decay if decay and self._decouples(options) else 1
        return k.mix(p, kept, m, -lr / share, over=root)


class AdamW(Adam):
    """AdamW: Adam に、勾配と切り離した荷重減衰 θ ← (1 − lr·weight_decay)·θ を加えたもの。

    引数と例外は `Adam` と同じで、`weight_decay` の既定値だけが 0.01。

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (ICLR 2019)。
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, **given(locals()), decoupled_weight_decay=True)


explain_all(globals(), but=PROTOCOL)
