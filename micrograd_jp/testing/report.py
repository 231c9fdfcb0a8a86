"""勾配確認の結果と、その表。"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from micrograd_jp.arguments import explain_all
from micrograd_jp.columns import display_width, left_aligned

_SHOWN = 10


class Verdict(Enum):
    """1 つの微分についての判定。値は表に書かれる言葉。よい順。"""

    OK = "一致 (ok)"
    ZERO = "どちらも 0 (both zero)"
    SMALL = "微分が許容誤差より小さい (below tolerance)"
    IMPRECISE = "数値微分の精度が足りない (imprecise)"
    NOT_SMOOTH = "微分できない点 (not differentiable)"
    MISMATCH = "不一致 (mismatch)"


@dataclass(frozen=True)
class Row:
    """1 つの入力についての、解析的な微分と数値微分。

    Attributes:
        order: 1 なら勾配、2 なら勾配の微分。
        input: 何番目の引数か。
        index: 引数が入れ子のとき、その中での位置 (`"[0]['w']"`)。
        analytic: 誤差逆伝播法による微分。
        numeric: 数値微分。
        error: 数値微分の誤差の見積もり。
        verdict: 判定。
        note: 折れ点での左右の傾きなど、判定の理由。
    """

    order: int
    input: int
    index: str
    analytic: float
    numeric: float
    error: float
    verdict: Verdict
    note: str = ""

    @property
    def relative_error(self) -> float:
        """|解析 − 数値| / max(|解析|, |数値|)。"""
        scale = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / scale if scale else 0.0

    @property
    def passed(self) -> bool:
        """合格か。"""
        return self.verdict in (Verdict.OK, Verdict.ZERO)

    @property
    def _badness(self) -> tuple[int, float]:
        relative = self.relative_error
        return list(Verdict).index(self.verdict), relative if relative == relative else float("inf")


@dataclass(frozen=True)
class GradcheckReport:
    """`gradcheck` の結果。合格なら真。`str()` は悪い順に並べた表。

    Attributes:
        rows: 微分 1 つにつき 1 行、悪い順。
        name: 確かめた関数の名前。
        order: 確かめた階数。
        seed: 出力に掛けた乱数の種。同じ種なら同じ結果になる。
    """

    rows: tuple[Row, ...]
    name: str
    order: int
    seed: int

    @staticmethod
    def of(rows: Sequence[Row], name: str, order: int, seed: int) -> GradcheckReport:
        """行を悪い順に並べた報告。"""
        worst_first = sorted(rows, key=lambda row: row._badness, reverse=True)
        return GradcheckReport(tuple(worst_first), name, order, seed)

    @property
    def mismatched(self) -> bool:
        """1 つでも一致しないか。"""
        return any(row.verdict is Verdict.MISMATCH for row in self.rows)

    def __bool__(self) -> bool:
        return all(row.passed for row in self.rows)

    def __str__(self) -> str:
        lines = [self._headline(), "", *_table(self.rows[:_SHOWN])]
        if len(self.rows) > _SHOWN:
            lines.append(f"  …ほか {len(self.rows) - _SHOWN} 個")
        again = f"gradcheck(…, order={self.order}, seed={self.seed})"
        return "\n".join([*lines, "", f"再現するには (to reproduce): {again}"])

    def _headline(self) -> str:
        failed = [row for row in self.rows if not row.passed]
        title = f"勾配確認 (gradient check) {self.name}"
        if not failed:
            return f"{title}: 合格 (passed)。{len(self.rows)} 個の微分がすべて一致しました。"
        if self.mismatched:
            wrong = sum(row.verdict is Verdict.MISMATCH for row in failed)
            return (
                f"{title}: 不合格 (failed)。{len(self.rows)} 個の微分のうち {wrong} 個が、"
                "数値微分と一致しません。"
            )
        return (
            f"{title}: 判定できません (inconclusive)。{len(self.rows)} 個の微分のうち "
            f"{len(failed)} 個は、この点では正しいとも誤りとも言えません。入力を変えてください。"
        )


class GradcheckError(AssertionError):
    """勾配確認に合格しなかった。

    Attributes:
        report: 結果の全体。
    """

    def __init__(self, report: GradcheckReport) -> None:
        super().__init__(str(report))
        self.report = report


_HEADER = (
    "階", "入力 (input)", "解析 (analytic)", "数値 (numeric)", "± 誤差", "相対誤差 (rel. error)",
    "判定 (verdict)",
)  # fmt: skip


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [
        (
            str(row.order), f"{row.input}{row.index}", f"{row.analytic:.10g}",
            f"{row.numeric:.10g}", f"{row.error:.1e}", f"{row.relative_error:.2e}",
            row.verdict.value + (f": {row.note}" if row.note else ""),
        )
        for row in rows
    ]  # fmt: skip
    widths = [
        max(display_width(line[i]) for line in [_HEADER, *cells]) for i in range(len(_HEADER) - 1)
    ]
    return [
        "  ".join([*(left_aligned(cell, w) for cell, w in zip(line, widths)), line[-1]])
        for line in [_HEADER, *cells]
    ]


explain_all(globals())
