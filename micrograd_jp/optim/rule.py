"""`Rule`: 最適化手法の約束。設定の検査、状態の配列の名前とはじめの値、更新式。

派生クラスが書くのは、`state_names` と更新式 `update`、必要なら検査とはじめの値だけである。
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from micrograd_jp.arguments import undefined
from micrograd_jp.optim.checks import require_at_least, require_betas
from micrograd_jp.optim.kernels import InPlace, Kernels

Options = Mapping[str, Any]
State = dict[str, Any]

HINTS = ("foreach", "fused", "capturable", "differentiable")
"""PyTorch が更新をどう実行するかの設定。受け取り、保存し、式は変えない。"""

LATER = ("decoupled_weight_decay", "maximize")
"""あとから増えた設定。前に保存された状態にはない。"""

PROTOCOL = ("check", "first", "update")
"""派生クラスが書くメソッド。`Optimizer` が呼ぶ。"""


class Turn(NamedTuple):
    """更新の 1 回。

    Attributes:
        number: 何回目か (1 から)。
        fresh: 状態の配列が、いま作られたばかりか。
        options: グループの設定。
    """

    number: Any
    fresh: bool
    options: Options


def given(scope: Options) -> dict[str, Any]:
    """`__init__` の `locals()` から、最適化手法の設定だけを取り出す。"""
    return {name: x for name, x in scope.items() if name not in ("self", "params", "__class__")}


class Rule:
    """1 つの最適化手法の更新式。どのパラメータに使うかは知らない。"""

    defaults: dict[str, Any]
    """Every option of the formula, as given when the optimizer was made."""
    state_names: ClassVar[Mapping[str, str]] = {}
    """Every state array that the formula may have, and the option that it depends on, if any."""
    numbers: ClassVar[tuple[str, ...]] = ()
    """Those of them that are one number a parameter, as the count of its steps is."""
    nonnegative: ClassVar[tuple[str, ...]] = ()
    """The options that may not be negative."""
    counts_steps = True
    """Whether the formula looks at the number of steps (then it is part of the saved state)."""
    needs_whole = False
    """Whether the formula looks at the whole array at once, which then may not be cut in pieces."""
    unlisted = False
    """Whether the formula has been found to be more than operations of `Kernels`, one by one."""
    updated = 0
    """How many numbers have been updated that machine code would have been for."""
    decouples_decay = False
    """Whether weight decay is left to `update` instead of being added to the gradient."""

    def __init__(self) -> None:
        self._scratches: dict[Any, InPlace] = {}

    # ---- 派生クラスが書く -------------------------------------------------------------------

    def check(self, options: Options) -> None:
        """更新式が許さない設定を断る。"""
        require_at_least(0, options, *self.nonnegative)
        if "betas" in options:
            require_betas(options["betas"])

    def first(self, slot: str, options: Options) -> Any:
        """状態の配列 `slot` のはじめの値（数）。"""
        return 0.0

    def update(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """更新式: p とその勾配 g と状態から、k の操作で作った新しい p。"""
        raise undefined(self, "update(self, k, p, g, state, turn)")

    # ---- 更新の単位が呼ぶ -------------------------------------------------------------------

    def slots(self, options: Options) -> list[str]:
        """この設定の更新式が読み書きする状態の配列。"""
        return [name for name, option in self.state_names.items() if not option or options[option]]

    def _decouples(self, options: Options) -> bool:
        """荷重減衰を、勾配に足さずに、更新式が行うか。"""
        return self.decouples_decay or bool(options.get("decoupled_weight_decay"))

    def advanced(self, k: Kernels, p: Any, g: Any, state: State, turn: Turn) -> Any:
        """`update` を、従うべき勾配（符号と荷重減衰をつけたもの）で行う。"""
        options = turn.options
        if options["maximize"]:
            g = k.negative(g)
        decay = options.get("weight_decay", 0)
        if decay != 0 and not self._decouples(options):
            g = k.combined(g, 1, p, decay)
        return self.update(k, p, g, state, turn)

    def scratch(self, shape: Any, dtype: Any) -> InPlace:
        """この形の作業用の配列を使う `Kernels`。1 度だけ作られる。"""
        found = self._scratches.get((shape, dtype))
        if found is None:
            found = self._scratches[shape, dtype] = InPlace(shape, dtype)
        return found
