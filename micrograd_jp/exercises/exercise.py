"""演習問題 (exercise): 問い、3 段のヒント、解答、よくある間違い。採点は、乱数の入力で比べる。

解答は関数で、その docstring が問い、本体が教師用の解答になる。学習者の関数は同じ引数で呼ばれる。
正しい値は、`derivative_of` があれば、その関数の数値微分（解答の公式を信じない）、なければ解答の値。
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.exercises.correction import Comparison, as_array, fault, same
from micrograd_jp.testing.numerical import numerical_gradient

CASES = 4
"""比べる入力の数。"""

_EXERCISES: dict[str, Exercise] = {}


class Correction(NamedTuple):
    """採点の結果。真偽値として使え、ノートブックでは文になる。

    Attributes:
        right: 正しいか。
        text: 正しいと言う文か、何が違うかを言う文。
    """

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'○' if self.right else '×'} {self.text}"


@dataclass(frozen=True, repr=False)
class Exercise:
    """1 つの演習問題。`check` が採点し、`hint` と `answer` が助ける。

    Attributes:
        number: "4-2" のような番号（章と、その中の順）。
        title: 題。
        reference: 解答の関数。その docstring が問い。
        hints: 3 段のヒント。
        inputs: 乱数から、関数に渡す引数を作る関数。なければ、数を尋ねる問い。
        parts: 答えがいくつかあるとき、その名前。
        mistakes: よくある間違いを言う文から、その間違いをする関数（か数）へ。
        derivative_of: 勾配を求める問いなら、その関数。はじめの `parts` 個の引数で微分する。
        rtol: 許す相対誤差。
        why: 正解のときに添える文。
    """

    number: str
    title: str
    reference: Callable[..., Any]
    hints: Sequence[str]
    inputs: Callable[[np.random.Generator], tuple[Any, ...]] | None
    parts: Sequence[str]
    mistakes: Mapping[str, Any]
    derivative_of: Callable[..., Any] | None
    rtol: float
    why: str

    @property
    def question(self) -> str:
        """問い。"""
        return inspect.cleandoc(self.reference.__doc__ or "")

    @property
    def solution(self) -> Any:
        """解答: 関数か、数を尋ねる問いなら、その数。"""
        return self.reference() if self.inputs is None else self.reference

    def check(self, given: Any) -> Correction:
        """採点する (correct)。違えば、何が違うかを言う。

        Args:
            given: 関数を書く問いなら、その関数。数を尋ねる問いなら、数か、そのリストや配列。

        Returns:
            真偽値として使える、採点の結果。

        Raises:
            TypeError: 関数を書く問いに関数でないもの、数を尋ねる問いに関数が渡された。
        """
        wrong = self._wrong(given)
        if wrong:
            more = f"ヒントは mg.exercise({self.number!r}).hint() です。"
            return Correction(False, f"{wrong}{more}")
        return Correction(True, "正解です。" + self.why)

    def _wrong(self, given: Any) -> str:
        if callable(given) is (self.inputs is None):
            asked, english = (
                ("数（計算した結果）", "numbers") if self.inputs is None else ("関数", "a function")
            )
            raise TypeError(
                f"演習 {self.number} では、{asked}を check に渡してください (expected {english}): "
                f"{given!r} が渡されました。"
            )
        results = self._results(given)
        if isinstance(results, str):
            return results
        faults = {name: fault(them, self.rtol) for name, them in results.items()}
        wrong = next((name for name in faults if faults[name]), None)
        if wrong is None:
            return ""
        for text, mistake in self.mistakes.items():
            if self._equal(mistake, results):
                return text
        return f"{wrong}: {faults[wrong]}" if wrong else faults[wrong]

    def _results(self, given: Any) -> dict[str, list[Comparison]] | str:
        """What is compared, part by part; a sentence where there is nothing to compare."""
        out: dict[str, list[Comparison]] = {}
        for inputs in self._cases():
            got = given
            if self.inputs is not None:
                try:
                    got = given(*_copied(inputs))
                except Exception as error:  # what a learner's function raises is told, not ours
                    told = str(error).rstrip(" .。")
                    return f"関数が例外を出しました: {type(error).__name__}: {told}。"
            if got is None and self.inputs is None:
                return "None が渡されました。計算した数を渡してください。"
            if got is None:
                return "None が返りました。return を書き忘れていませんか。"
            want = self._right(inputs)
            gots = got if self.parts else [got]
            wants = want if self.parts else [want]
            names = self.parts or ("",)
            if self.parts and not isinstance(got, list | tuple):
                rows = as_array(got)  # an array of the parts is as good as a list of them
                gots = got = [] if rows is None or not rows.ndim else [*rows]
            if self.parts and len(got) != len(self.parts):
                listed = "、".join(self.parts)
                return f"{len(names)} 個の値を {listed} の順に並べて答えてください。"
            for name, one, right in zip(names, gots, wants, strict=True):
                array, expected = as_array(one), as_array(right)
                assert expected is not None, f"the answer of {self.number} is no number"
                if array is None:
                    return f"数か配列で答えてください: {one!r} になりました。"
                out.setdefault(name, []).append(Comparison(inputs, array, expected))
        return out

    def _cases(self) -> list[tuple[Any, ...]]:
        if self.inputs is None:
            return [()]
        rng = np.random.default_rng(0)
        return [self.inputs(rng) for _ in range(CASES)]

    def _right(self, inputs: tuple[Any, ...]) -> Any:
        if self.derivative_of is None:
            return self.reference(*_copied(inputs))
        count = max(1, len(self.parts))
        first, rest = inputs[:count], inputs[count:]
        f = self.derivative_of
        return numerical_gradient(lambda *xs: f(*xs, *rest), *first)

    def _equal(self, mistake: Any, pairs: Mapping[str, list[Comparison]]) -> bool:
        results = self._results(mistake)
        return not isinstance(results, str) and all(
            same(a.got, b.got, self.rtol)
            for name, comparisons in pairs.items()
            for a, b in zip(comparisons, results[name], strict=True)
        )

    def hint(self, level: int = 1) -> str:
        """ヒント。1 はどこを見るか、2 は考え方、3 はほとんど解答。

        Raises:
            ValueError: そのヒントがない。
        """
        if level not in range(1, len(self.hints) + 1):
            raise ValueError(
                f"ヒントは 1 から {len(self.hints)} までです (no such hint): {level!r} が"
                "渡されました。"
            )
        more = f"（次は hint({level + 1})）" if level < len(self.hints) else ""
        return f"ヒント {level}: {self.hints[level - 1]}{more}"

    def answer(self) -> str:
        """教師用の解答 (answer): 関数の本体か、計算のしかた。"""
        return body(self.reference)

    def __repr__(self) -> str:
        return f"演習 {self.number} {self.title}\n\n{self.question}"

    def _repr_markdown_(self) -> str:
        return f"**演習 {self.number} {self.title}**\n\n{self.question}"


def _copied(inputs: Sequence[Any]) -> list[Any]:
    """A learner's function may write into its arguments."""
    return [x.copy() if isinstance(x, np.ndarray | list) else x for x in inputs]


def body(function: Callable[..., Any]) -> str:
    """関数のソースから、デコレータと docstring を除いたもの。"""
    source = textwrap.dedent(inspect.getsource(function))
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    lines = source.splitlines()
    start, first = definition.lineno - 1, definition.body[0]
    signature = lines[start : first.lineno - 1]
    return "\n".join(signature + lines[first.end_lineno :]).rstrip() + "\n"


def declare(
    number: str,
    title: str,
    hints: Sequence[str],
    *,
    inputs: Callable[[np.random.Generator], tuple[Any, ...]] | None = None,
    parts: Sequence[str] = (),
    mistakes: Mapping[str, Any],
    derivative_of: Callable[..., Any] | None = None,
    rtol: float | None = None,
    why: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """解答の関数を、演習問題として載せる (decorator)。引数は `Exercise` の属性。

    `rtol` がなければ、関数は 1e-6、手で計算した数は 1e-3。
    """

    def keep(reference: Callable[..., Any]) -> Callable[..., Any]:
        assert number not in _EXERCISES and len(hints) == 3, number
        _EXERCISES[number] = Exercise(
            number, title, reference, hints, inputs, parts, mistakes, derivative_of,
            rtol or (1e-6 if inputs else 1e-3), why,
        )  # fmt: skip
        return reference

    return keep


def declared() -> dict[str, Exercise]:
    """番号から演習問題へ。"""
    return dict(_EXERCISES)
