"""違ってよいところ。どれも README の表「PyTorch と違うところ」にある。"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fuzz_program import Finding, Line


@dataclass(frozen=True)
class Convention:
    """A difference that is meant."""

    name: str
    covers: Callable[[Finding, list[Line]], bool]


def either(*covers: Callable[[Finding, list[Line]], bool]) -> Any:
    return lambda f, lines: any(c(f, lines) for c in covers)


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
    "Boolean alpha|ZeroTensors are immutable|is a view and its base|"
    "a (view of a )?leaf Variable that requires grad is being used in an in-place|"
    "is a view and is being modified inplace|view was created in no_grad|"
    "view size is not compatible|not implemented|not supported for|not positive-definite|"
    "Autograd not support dtype|argument alpha must not be|must be a 2-tuple|"
    "negative integer powers are not|Half without overflow"
)


def value(f: Finding) -> bool:
    return f.kind == "value"


def orders(lines: list[Line]) -> int:
    """Of how high an order the last derivative is."""
    return 1 + sum(".grad" in line.ours and "backward(" in line.ours for line in lines)


def uses(lines: list[Line], pattern: str) -> bool:
    return any(re.search(pattern, line.ours) for line in lines)


def defined(f: Finding) -> bool:
    """A gradient with numbers here that are nan there."""
    return value(f) and ".grad" in f.where and f.theirs.count("nan") > f.ours.count("nan")


LOCALLY_CONSTANT = (
    r"relu|hardtanh|cl(ip|amp)|a?(max|min)\(|(max|min)imum|where|\*\*|pow|copy_|beta=0"
)


def pytorchs_fault(f: Finding, lines: list[Line]) -> bool:
    """Of the slope 1/6, of the third derivatives of normalizations, of 0**x, of gelu(inf)."""
    return value(f) and (
        uses(lines, "hard")
        or (orders(lines) > 2 and uses(lines, r"_norm\("))
        or (orders(lines) > 1 and uses(lines, r"\*\*|pow") and "nan" in f.theirs)
        or (orders(lines) > 2 and uses(lines, r"(t\d+) \*\* \1|pow"))
        or (orders(lines) > 1 and uses(lines, r"\*\* t\d+|pow\(t\d+, t\d+"))
        or (uses(lines, r"prod\(") and ".grad" in f.where and "nan" in f.theirs + f.ours)
        or (orders(lines) > 1 and uses(lines, r"norm\(|std\(") and "nan" in f.theirs)
        or (uses(lines, "gelu") and "inf" in f.ours and "nan" in f.theirs)
        or (uses(lines, "elu") and "nan" in f.theirs and "nan" not in f.ours)
        or (uses(lines, "half|float16") and uses(lines, r"\*\*|pow|std|var"))
        or overlaps(f, lines)
    )


def overlaps(f: Finding, lines: list[Line]) -> bool:
    """A Tensor changed in place by a view of itself: PyTorch reads what it has already written."""
    found = re.search(r"^(t\d+)(?: [-+*/%]+= |\.\w+_\()(t\d+)", f.line.ours)
    if re.search(r"^(t\d+)\[.*\] = \1\b", f.line.ours):
        return True
    made = rf"^{found[2]} = {found[1]}\b|^{found[1]} = {found[2]}\b" if found else "(?!)"
    return uses(lines, made)


def wraps(f: Finding, lines: list[Line]) -> bool:
    """A comparison with a number that the dtype cannot hold, which PyTorch wraps around."""
    compares = re.search(r"[<>]=?|[=!]=|\b(lt|le|gt|ge|eq|ne)\(", f.line.ours)
    return bool(value(f) and compares and re.search(r"300|-\d+|100000", f.line.ours))


def limits(f: Finding, lines: list[Line]) -> bool:
    kind = f.kind == "dtype" or "can't be cast" in f.theirs
    return kind and bool(re.search(r"cl(ip|amp)_?\(.*(inf|t\d+)", f.line.ours))


def odd(name: str, ours: str, theirs: str) -> Callable[[Finding, list[Line]], bool]:
    """Numbers with inf or nan in them, once a function of this name has been called."""
    return lambda f, lines: value(f) and uses(lines, name) and ours in f.ours and theirs in f.theirs


WRITES = r"_\(|\] =|[-+*/]= "

CONVENTIONS = [
    Convention("PyTorch だけが断る", torch_refuses(PERMISSIVE)),
    Convention("PyTorch の誤り", pytorchs_fault),
    Convention("1 つのグラフに 1 度", ours_refuses("backward through the graph a second time")),
    Convention("書き換えの検査", ours_refuses("modified in place|to a single memory location")),
    Convention("data への代入", lambda f, lines: value(f) and uses(lines, r"\.data =")),
    Convention("定数の勾配", lambda f, lines: ours_refuses("no graph")(f, lines)
               and ".grad" in f.line.ours),
    Convention("切り捨ての割り算", lambda f, lines: f.kind == "requires_grad"
               and bool(re.search(r"//|floor_divide|slogdet|, \d+\]$", f.line.ours))),
    Convention("整数に勾配", ours_refuses("cannot cast")),
    Convention("型に入らない数",
               either(wraps, ours_refuses("integer out of range|without overflow"))),
    Convention("整数の負のべき", ours_refuses("negative integer power")),
    Convention("clip の限り", limits),
    Convention("nan の符号", odd(r"sign|abs|trunc|l1_loss|norm\((t\d+, )?1\b", "nan", "")),
    Convention("0 の符号", lambda f, lines: value(f) and "inf" in f.ours
               and f.ours.replace("-", "") == f.theirs.replace("-", "")
               and uses(lines, r"cross_entropy| % |remainder|//|floor_divide|\*\*")),
    Convention("inf のソフトマックス", odd("softmax|cross_entropy|logsumexp", "", "nan")),
    Convention("閉じた門", lambda f, lines: defined(f) and uses(lines, LOCALLY_CONSTANT)),
    Convention("retain_grad した途中の値", lambda f, lines: f.where.endswith(".grad")
               and (f.theirs == "None" or orders(lines) > 1) and uses(lines, "retain_grad")),
    Convention("行列の並び", lambda f, lines: value(f)
               and uses(lines, "cholesky|solve|inv|svd|nonzero")
               and uses(lines, "reshape|view|flatten|ravel") and uses(lines, WRITES)),
    Convention("0.5 乗は平方根",
               either(odd(r"\*\*|pow", "nan", "inf"), odd(r"\*\* 0\.5", "inf", "nan"))),
    Convention("0 ノルムの勾配", lambda f, lines: f.where.endswith(".grad") and f.theirs == "None"
               and uses(lines, r"norm\((t\d+, )?0\b")),
    Convention("nan の最大値", lambda f, lines: value(f)
               and (uses(lines, "nan") or "nan" in f.ours + f.theirs)
               and uses(lines, r"\b(max|min|amax|amin|\w*max_pool2d|norm)\(")),
    Convention("ほかのビューの requires_grad", lambda f, lines: f.kind == "requires_grad"
               and f.line.writes),
    Convention("上書きした値の勾配", lambda f, lines: f.kind == "type" and ".grad" in f.where
               and f.ours == "NoneType" and uses(lines, r"_\(|\] =")),
    Convention("真偽値の符号", ours_refuses(r"sign_?.* \(not for bool\)")),
    Convention("正解は 0 以上 1 以下", ours_refuses("target out of range")),
    Convention("同じパラメータを 2 度", ours_refuses("appear more than once")),
    Convention("空の出力", ours_refuses("output would be empty")),
]  # fmt: skip


def explained(finding: Finding, lines: list[Line]) -> str | None:
    """The convention that says so."""
    return next((c.name for c in CONVENTIONS if c.covers(finding, lines)), None)
