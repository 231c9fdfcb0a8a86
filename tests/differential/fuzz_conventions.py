"""違ってよいところ。どれも README の表「PyTorch と違うところ」にある。"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fuzz_program import Finding, Line


@dataclass(frozen=True)
class Convention:
    """A difference that is meant."""

    name: str
    covers: Callable[[Finding, list[Line]], bool]


def torch_refuses(pattern: str) -> Callable[[Finding, list[Line]], bool]:
    return lambda f, lines: f.kind == "only PyTorch raises" and bool(re.search(pattern, f.theirs))


def ours_refuses(pattern: str) -> Callable[[Finding, list[Line]], bool]:
    return lambda f, lines: f.kind == "only ours raises" and bool(re.search(pattern, f.ours))


PERMISSIVE = (
    "same dtype|Subtraction, the `-` operator, with a bool|"
    "could not infer output dtype|Negation, the `-` operator|expected scalar type|"
    "only support floating|must match|dtypes match|did not match|must be Tensor, not|"
    "refers? to a single memory location|has been modified by an inplace operation|"
    "is not differentiable with respect to|^TypeError|expected a matrix, but got|"
    "does not support bool|operator, on a bool tensor|INTERNAL ASSERT|returned an invalid gradient|"
    "Boolean alpha|a (view of a )?leaf Variable that requires grad is being used in an in-place|"
    "is a view and is being modified inplace|view was created in no_grad|"
    "view size is not compatible|not implemented|not supported for|not positive-definite|"
    "Autograd not support dtype|argument alpha must not be"
)


def in_trouble(pattern: str) -> Callable[[Finding, list[Line]], bool]:
    return lambda f, lines: f.kind == "requires_grad" and bool(re.search(pattern, f.line.ours))


def third_of(name: str) -> Callable[[Finding, list[Line]], bool]:
    return lambda f, lines: f.kind == "value" and any(name in line.ours for line in lines)


def third_derivative(name: str) -> Callable[[Finding, list[Line]], bool]:
    def covers(f: Finding, lines: list[Line]) -> bool:
        orders = sum(".grad" in line.ours and "backward(" in line.ours for line in lines)
        return f.kind == "value" and orders > 1 and any(name in line.ours for line in lines)

    return covers


def wraps(f: Finding, lines: list[Line]) -> bool:
    """A comparison with a number that the dtype cannot hold, which PyTorch wraps around."""
    compares = re.search(r"[<>]=?|[=!]=|\b(lt|le|gt|ge|eq|ne)\(", f.line.ours)
    return bool(f.kind == "value" and compares and re.search(r"300|-\d+|100000", f.line.ours))


CONVENTIONS = [
    Convention("PyTorch だけが断る", torch_refuses(PERMISSIVE)),
    Convention("1 つのグラフに 1 度", ours_refuses("backward through the graph a second time")),
    Convention("空の出力", ours_refuses("output would be empty")),
    Convention("定数の勾配", lambda f, lines: ours_refuses("no graph")(f, lines)
               and ".grad" in f.line.ours),
    Convention("切り捨ての割り算に勾配はない", in_trouble(r"//|floor_divide|slogdet|, \d+\]$")),
    Convention("書き換えの検査", ours_refuses("modified in place")),
    Convention("計算グラフの途中は書き換えない", ours_refuses("in-place on a tracked tensor")),
    Convention("1/6 の丸め", third_of("hard")),
    Convention("正規化の 3 階微分", third_derivative("_norm(")),
    Convention("同じパラメータを 2 度", ours_refuses("appear more than once")),
    Convention("型に入らない数との比較", wraps),
    Convention("正解は 0 以上 1 以下", ours_refuses("target out of range")),
]  # fmt: skip


def explained(finding: Finding, lines: list[Line]) -> str | None:
    """The convention that says so."""
    return next((c.name for c in CONVENTIONS if c.covers(finding, lines)), None)
