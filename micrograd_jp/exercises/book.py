"""演習問題の一覧: 章のファイルを読み込み、番号で引く。"""

from __future__ import annotations

from micrograd_jp.exercises import chapter01 as chapter01
from micrograd_jp.exercises import chapter02 as chapter02
from micrograd_jp.exercises import chapter03 as chapter03
from micrograd_jp.exercises import chapter04 as chapter04
from micrograd_jp.exercises import chapter05 as chapter05
from micrograd_jp.exercises import chapter06 as chapter06
from micrograd_jp.exercises import chapter07 as chapter07
from micrograd_jp.exercises import chapter08 as chapter08
from micrograd_jp.exercises import chapter09 as chapter09
from micrograd_jp.exercises import chapter10 as chapter10
from micrograd_jp.exercises.exercise import Exercise, declared


def exercise(number: str) -> Exercise:
    """演習問題を番号で引く: `mg.exercise("4-2")`。

        mg.exercise("4-2").check(my_gradient)  # 採点する。違えば、何が違うかを言う
        mg.exercise("4-2").hint(1)  # ヒントは 3 段
        print(mg.exercise("4-2").answer())  # 解答

    Args:
        number: 章と、その中の順。"4-2" は第 4 章の 2 番。

    Raises:
        ValueError: その番号の演習問題がない。
    """
    found = declared()
    if not isinstance(number, str) or number not in found:
        chapter = str(number).partition("-")[0]
        near = [n for n in found if n.startswith(f"{chapter}-")] or list(found)
        raise ValueError(
            f"演習 {number!r} はありません (no such exercise): {near[0]} から {near[-1]} まで"
            'です。mg.exercise("4-2") のように書いてください。'
        )
    return found[number]


def exercises(chapter: int | None = None) -> list[Exercise]:
    """すべての演習問題か、1 つの章のもの。"""
    return [e for n, e in declared().items() if chapter is None or n.startswith(f"{chapter}-")]
