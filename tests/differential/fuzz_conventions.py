"""違ってよいところ。どれも README の表「PyTorch と違うところ」にある。

値の違いは、PyTorch を約束のとおりに直すと (`fuzz_amended`) 消えるときだけ、説明がつく。エラーの違い
は、文の中身ではなく、その行の引数を見て決める: 断る理由が、ほんとうにそこにあるか。
"""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import fuzz_amended_reductions as fuzz_amended_reductions
import fuzz_amended_values as fuzz_amended_values
import numpy as np
import torch
from fuzz_amended import AMENDED, Recorded, amended
from fuzz_program import TOLERANCE, Finding, Line, Side, run
from fuzz_refusals import permitted, without_past
from fuzz_rounding import is_rounding

import micrograd_jp as mg

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Case:
    """A finding, with what PyTorch holds before its line."""

    finding: Finding
    lines: list[Line]
    context: Callable[[], Any] = contextlib.nullcontext

    def side(self, context: Callable[[], Any] | None = None, upto: int = -1) -> Side:
        side = Side(torch, context or self.context)
        for line in self.lines[:upto] if upto else self.lines:
            side.run(line.theirs)
        return side

    def amended(self, conventions: Any) -> Callable[[], Any]:
        numbers = any(x.leaf and x.leaf.dtype == "Value" for x in self.lines)
        return partial(amended, conventions, numbers)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Those that the line names."""
        names = self.side().names
        used = re.findall(r"\bt\d+\b", self.text)
        return {n: names[n] for n in used if isinstance(names.get(n), torch.Tensor)}

    def agrees(self, conventions: Any, change: Callable[[Line], Line] = lambda x: x) -> bool:
        """Whether nothing differs from PyTorch with these conventions but what others explain."""
        lines = [change(x) for x in self.lines]
        for wanted in (conventions, EVERYTHING):
            context = self.amended(wanted)
            finding = run(lines, context)
            if finding is None or any(r(Case(finding, lines, context)) for _, r in OTHERS):
                return True
        return finding.kind == "value" and rounded(Case(finding, lines), EVERYTHING)

    def agrees_otherwise(self, change: Callable[[Line], Line]) -> bool:
        """Whether it is this that makes the difference: there is something to change, and then
        all agrees.
        """
        return any(change(x) != x for x in self.lines) and self.agrees((), change)

    def ours(self) -> Side:
        """What ours holds before the line."""
        side = Side(mg)
        for line in self.lines[:-1]:
            side.run(line.ours)
        return side

    def subject(self, names: dict[str, Any]) -> Any:
        """What differs, or that of which the gradient does."""
        return eval(self.finding.where.strip().removesuffix(".grad"), dict(names))

    def names(self) -> list[str]:
        return list(self.tensors())

    @property
    def text(self) -> str:
        return self.finding.line.theirs


# ---- ここだけが断る -----------------------------------------------------------------------------


def retained(case: Case) -> bool:
    """With retain_graph=True, as the sentence says, nothing is refused and nothing differs."""

    def kept(text: str) -> str:
        if "_graph" in text or "backward(" not in text:
            return text
        given = text.partition("backward(")[2][:-1]
        return text[:-1] + ", " * bool(given) + "retain_graph=True)"

    return case.agrees_otherwise(partial(both, kept))


def both(change: Callable[[str], str], line: Line) -> Line:
    """A line that is changed here and there."""
    return replace(line, ours=change(line.ours), theirs=change(line.theirs))


def unassigned(case: Case, sign: str) -> bool:
    """Whether without every `t.data = …` (or `-=`) all agrees."""
    assigned = rf"^(t\d+)\.data {sign} .*"
    return case.agrees_otherwise(partial(both, partial(re.sub, assigned, r"\1.detach()")))


def used_value_is_gone(case: Case) -> bool:
    """Some operation on the way has used a Tensor that was written afterwards."""
    recorded = Recorded()
    # Of a write to `data`, PyTorch keeps no count.
    counted = partial(re.sub, r"^(t\d+)\.data -=", r"with m.no_grad(): \1 -=")
    lines = [replace(x, theirs=counted(x.theirs)) for x in case.lines]
    replace(case, lines=lines).side(lambda: recorded)
    return recorded.stale() or used_data_is_another(case)


def used_data_is_another(case: Case) -> bool:
    """A graph of derivatives is made of the values of now: without `t.data = …` all agrees."""
    return "create_graph=True" in case.text and unassigned(case, "=")


def _target(text: str) -> str:
    """The name of what a line writes to."""
    named = re.search(r"\bt\d+\b", re.sub(r"^t\d+ = ", "", text))
    return named[0] if named else ""


def written_to_many(case: Case) -> bool:
    """What is written is spread, or part of what is: several elements are one memory location."""
    names = case.side().names
    t = names.get(_target(case.text))
    if not isinstance(t, torch.Tensor):
        return False
    if not t.numel():
        return any(re.search("expand|broadcast_to", line.theirs) for line in case.lines)
    place = t.untyped_storage().data_ptr()
    tensors = [x for x in names.values() if isinstance(x, torch.Tensor)]
    family = [x for x in tensors if x.numel() and x.untyped_storage().data_ptr() == place]
    return any(torch._debug_has_internal_overlap(x) == 1 for x in family)


def adds_zero(case: Case) -> bool:
    """PyTorch, too, goes back from a constant: no gradient changes."""
    if ".grad" not in case.text or "backward(" not in case.text:
        return False
    right = case.amended(EVERYTHING)  # not the nan of 0**y
    before, after = case.side(right), case.side(right, upto=0)
    for name, t in after.names.items():
        if isinstance(t, torch.Tensor) and t.is_leaf and t.grad is not None:
            old = before.names[name].grad
            if not torch.equal(t.grad.nan_to_num(), (torch.zeros_like(t) if old is None else old)
                               .nan_to_num()):  # fmt: skip
                return False
    return True


def tracked_into_integers(case: Case) -> bool:
    target = _target(case.text)
    t = case.tensors()[target]
    zero_d = "requires_grad=True" in case.text
    others = [x for n, x in case.tensors().items() if n != target]
    return not t.is_floating_point() and (zero_d or any(x.requires_grad for x in others))


LIMITS = {t: (torch.iinfo(t).min, torch.iinfo(t).max) for t in INTEGERS} | {
    torch.float16: (-65504.0, 65504.0), torch.float32: (-3.5e38, 3.5e38),
}  # fmt: skip


def numbers_in(case: Case) -> list[float]:
    text = re.sub(r"dtype=m\.\w+|\bt\d+\b|m\.\w+", " ", case.text)
    found = re.findall(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]?\d+)?|-?\binf\b|\bnan\b", text)
    held = [t.detach().double().flatten().tolist() for t in case.tensors().values()]
    return [*map(float, found), *(v for numbers in held for v in numbers)]


def does_not_fit(case: Case) -> bool:
    limits = [LIMITS[t.dtype] for t in case.tensors().values() if t.dtype in LIMITS]
    limits += [LIMITS[t] for t in LIMITS if f"dtype=m.{str(t)[6:]}" in case.text]
    return any(
        not math.isfinite(v) or math.floor(v) < low or v > high
        for low, high in limits for v in numbers_in(case)
    )  # fmt: skip


def negative_power(case: Case) -> bool:
    whole = all(not t.is_floating_point() for t in case.tensors().values())
    raised = re.search(r"\*\*|pow", case.text)
    return whole and bool(raised) and any(v < 0 for v in numbers_in(case))


def target_outside(case: Case) -> bool:
    found = re.search(r"binary_cross_entropy_with_logits\(t\d+, (t\d+)", case.text)
    t = case.tensors()[found[1]] if found else torch.zeros(1)
    return not bool(((t >= 0) & (t <= 1)).all())


def same_parameter_twice(case: Case) -> bool:
    listed = re.search(r"optim\.\w+\(\[(.*?)\]", case.text)
    own = case.tensors()
    ids = [id(own[n]) for n in listed[1].split(", ")] if listed else []
    return len(set(ids)) < len(ids)


def empty_output(case: Case) -> bool:
    side = case.side(upto=0)
    out = side.names.get(case.finding.line.gives)
    return "conv_transpose2d" in case.text and isinstance(out, torch.Tensor) and not out.numel()


def no_inverse(case: Case) -> bool:
    """Backward through log|det| of a matrix without an inverse: its sign is 0 in PyTorch, too."""
    signs = [x[0] for x in case.side().names.values() if "slogdet" in type(x).__name__]
    return "backward(" in case.text and any(bool((sign == 0).any()) for sign in signs)


REFUSED = [
    ("1 つのグラフに 1 度", "backward through the graph a second time", retained),
    ("書き換えの検査", "modified in place", used_value_is_gone),
    ("書き換えの検査", "to a single memory location", written_to_many),
    ("定数の勾配", "no graph", adds_zero),
    ("整数に勾配", "cannot cast", tracked_into_integers),
    ("型に入らない数", "integer out of range|without overflow", does_not_fit),
    ("整数の負のべき", "negative integer power", negative_power),
    ("正解は 0 以上 1 以下", "target out of range", target_outside),
    ("同じパラメータを 2 度", "appear more than once", same_parameter_twice),
    ("空の出力", "output would be empty", empty_output),
    ("逆行列のない行列", "singular matrix", no_inverse),
]
"""約束、ここの文にある英語、その理由がほんとうにあるか。"""

# ---- 値や型の違い -------------------------------------------------------------------------------


def other_view(case: Case) -> bool:
    """A view of what has just become tracked by a write: it says so when it is used."""
    f = case.finding
    if f.kind != "requires_grad" or not f.line.writes or f.ours != "False":
        return False
    names = case.side(upto=0).names
    view = case.subject(names)
    target = names[re.findall(r"\bt\d+\b", case.text)[0]]
    places = [t.untyped_storage().data_ptr() for t in (view, target)]
    return view is not target and places[0] == places[1]


def overwritten(case: Case) -> bool:
    """What was written over has no gradient: None, not zeros, and no 0·∞ on the way to it."""
    return case.finding.where.endswith(".grad") and case.agrees_otherwise(without_past)


def written_behind(case: Case) -> bool:
    """`t.data -= …`, unseen by PyTorch, changes what its rules read, and ours do not.

    Without it, all agrees. What is written is not explained, nor what is computed of it: only a
    gradient is.
    """
    if "backward(" not in case.text or not case.finding.where.endswith(".grad"):
        return False
    return unassigned(case, "-=")


def kept_middle(case: Case) -> bool:
    """The retained gradient of a middle node: after a second derivative, and of a written view.

    Everything that nobody asked to retain agrees.
    """
    f = case.finding
    if f.kind != "value" or not f.where.endswith(".grad") or "backward(" not in case.text:
        return False
    names = case.side(upto=0).names
    subject = case.subject(names)
    if f.theirs == "None":  # to PyTorch a view of a view is one of the Tensor behind both
        place = subject.untyped_storage().data_ptr()
        written = [x.theirs for x in case.lines if x.writes and "backward(" not in x.theirs]
        others = [t for t in map(names.get, map(_target, written)) if isinstance(t, torch.Tensor)]
        shared = (t for t in others if t.untyped_storage().data_ptr() == place)
        known = subject._is_view() and any(t is not subject for t in shared)
    else:
        again = any("create_graph=True" in x.theirs for x in case.lines[:-1])
        known = again and not subject.is_leaf
    asked = r"^(t\d+ = )?t\d+\.retain_grad\(\)$"
    unasked = lambda x: replace(x, theirs=re.sub(asked, r"\1None", x.theirs))
    return known and case.agrees_otherwise(unasked)


def _one_row(text: str) -> str:
    """With 1 for every number of an empty Tensor of the program's own."""
    empty = r"m\.zeros\((\((?:\d+, )*0\b[\d, ]*\))"
    return re.sub(empty, lambda s: "m.ones(" + re.sub(r"\b0\b", "1", s[1]), text)


def infinite_curve(case: Case) -> bool:
    """A second derivative under an infinite upstream: terms of a formula that are ∞ − ∞ or not."""
    f = case.finding
    if f.kind != "value" or not f.where.endswith(".grad") or "backward(" not in case.text:
        return False
    before = [t for t in case.side().names.values() if isinstance(t, torch.Tensor)]
    grads = [t.grad for t in before if t.is_leaf and t.grad is not None]
    curved = [g for g in grads if g.grad_fn is not None]
    got, sure = _ours(case), _answer(case, case.side(upto=0))
    if not curved or got is None or sure is None or got.shape != sure.shape:
        return False
    if all(g.isfinite().all() for g in curved):  # an empty sum of infinite slopes
        at = case.subject(case.side(upto=0).names).detach()
        known = (got == sure) | np.asarray((at == 0) | ~at.isfinite())
        return bool(known.all()) and case.agrees_otherwise(partial(both, _one_row))
    with np.errstate(all="ignore"):
        near = (got == sure) | (np.abs(got - sure) <= 1e-6 * np.maximum(1, np.abs(sure)))
    return bool((near | np.isnan(got) | np.isnan(sure)).all())


def layout(case: Case) -> bool:
    """Whether `reshape` views or copies, as its argument lies in memory: not alike in the two."""
    sides = case.ours(), case.side()

    def copied(x: Line) -> Line:
        shaped = re.match(r"(t\d+ = )(?:m\.\w+\()?(t\d+)\b.*\b(?:reshape|ravel|flatten)", x.theirs)
        mine, his = (s.names.get(shaped[2]) if shaped else None for s in sides)
        if (
            not isinstance(his, torch.Tensor)
            or mine._data.flags.c_contiguous == his.is_contiguous()
        ):
            return x
        return both(lambda text: f"{shaped[1]}({text[len(shaped[1]) :]}).clone()", x)

    return case.agrees_otherwise(copied)


OTHERS = [
    ("inf の 2 階微分", infinite_curve),
    ("ほかのビューの requires_grad", other_view),
    ("上書きした値の勾配", overwritten),
    ("retain_grad した途中の値", kept_middle),
    ("data への代入", written_behind),
    ("メモリの並び", layout),
]


EVERYTHING = (*AMENDED, "data への代入")
NAMES = {*EVERYTHING, *(r[0] for r in REFUSED + OTHERS), "PyTorch だけが断る"}


def explained(finding: Finding, lines: list[Line]) -> str | None:
    """The convention that says so; "丸め" for a difference that PyTorch has with itself."""
    case = Case(finding, lines)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if finding.kind == "only PyTorch raises":
            return "PyTorch だけが断る" if permitted(case) else None
        if finding.kind == "only ours raises":
            for name, said, reason in REFUSED:
                if re.search(said, finding.ours) and reason(case):
                    return name
            if "singular matrix" in finding.ours or "positive definite" in finding.ours:
                return "丸め" if rounded(case) else None
            return None
        if finding.kind == "raw error":
            return None
        for name, reason in OTHERS:
            if reason(case):
                return name
        for conventions in [*((name,) for name in EVERYTHING), EVERYTHING]:
            if run(lines, case.amended(conventions)) is None:
                return conventions[0] if len(conventions) == 1 else " と ".join(_needed(case))
        if finding.kind == "value" and (
            rounded(case) or rounded(case, EVERYTHING) or nearer_in_half(case)
        ):
            return "丸め"
        return None


def _needed(case: Case) -> list[str]:
    """The conventions without which the difference stays."""
    left = list(EVERYTHING)
    for name in list(left):
        fewer = [n for n in left if n != name]
        if run(case.lines, case.amended(fewer)) is None:
            left = fewer
    return left


def _answer(case: Case, side: Side) -> Any:
    """What differs, as numbers; None where it is something else."""
    try:
        with side.context():
            answer = eval(case.finding.where.strip() or case.finding.line.gives, side.names)
        if isinstance(answer, torch.Tensor):
            answer = answer.detach().double().numpy()
        return np.asarray(answer, float)
    except (TypeError, ValueError, SyntaxError):  # a line that gives nothing has no answer
        return None


def _ours(case: Case) -> Any:
    try:
        return np.asarray(eval(case.finding.ours, {"nan": math.nan, "inf": math.inf}), float)
    except (NameError, SyntaxError, TypeError, ValueError):
        return None


def nearer_in_half(case: Case) -> bool:
    """Whether ours is nearer than PyTorch's half precision to what its double precision says."""
    got = _ours(case)
    if got is None or not re.search(r"float16|\.half\(\)", str(case.lines)):
        return False
    half, double = (Side(torch, case.amended(EVERYTHING)) for _ in range(2))
    for line in case.lines:
        exactly = re.sub(r"(dtype=m\.float16\)|\.half\(\))", r"\1.double()", line.theirs)
        if half.run(line.theirs) or double.run(exactly):
            return False
    theirs, exact = _answer(case, half), _answer(case, double)
    if theirs is None or exact is None or got.shape != exact.shape:
        return False
    with np.errstate(all="ignore"):
        near = np.abs(got - exact) <= np.maximum(np.abs(theirs - exact), TOLERANCE["float16"])
        rounded = exact.astype(np.float16).astype(float)
        near |= (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        overflowed = np.isfinite(exact) & ~np.isfinite(got) & ~np.isfinite(theirs)
        return bool((near | overflowed).all())


def rounded(case: Case, conventions: Any = ()) -> bool:
    """Whether PyTorch itself says something as different when its roundings fall otherwise."""

    def again(mode: Any = None) -> Any:
        side = Side(torch, case.amended(conventions))
        for line in case.lines:
            with mode or contextlib.nullcontext():
                if mode:
                    mode.backward = "backward(" in line.theirs
                error = side.run(line.theirs)
            if error:  # amended, or singular after all
                return None
        return _answer(case, side)

    sure = again()
    if sure is None:
        return False
    if case.finding.kind == "only ours raises":  # singular here, a number there: of what worth?
        return is_rounding(1.01 * sure + (sure == 0), sure, again)
    got = _ours(case)
    return got is not None and got.shape == sure.shape and is_rounding(got, sure, again)
