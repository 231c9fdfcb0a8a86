"""PyTorch だけが断る行: ここの答えは、PyTorch に、断られない形で聞いた答えと同じか。

型で断られた行は、引数を float64 にして聞く。書き方で断られた行は、書き直して聞く。ビューや葉への
書き込みで断られた行は `no_grad` で、勾配で断られた行は、値を写して覚える PyTorch に聞く
(`fuzz_amended`)。どこにも当てはまらなければ、説明はつかない。
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from fuzz_program import TOLERANCE, Line, Side, run

import micrograd_jp as mg

TYPES = (
    "same dtype|Subtraction, the `-` operator, with|could not infer output dtype|"
    "Negation, the `-` operator|expected scalar type|support floating|dtypes match|did not match|"
    "does not support bool|operator, on a bool tensor|not implemented for |not supported for|"
    "assign a numpy|Boolean inputs not supported|negative integer powers|without overflow|"
    "Autograd not support dtype|"
    "lpha must not be|Boolean alpha|result type .* can't be cast|to have same dtype"
)
WRITES = (
    "refers? to a single memory location|view was created in no_grad|is a view and its base|"
    "a (view of a )?leaf Variable that requires grad is being used|"
    "is a view and is being modified inplace|INTERNAL ASSERT|copies whose requires_grad"
)
BASE = r"(= |pow\()(True|False)( \*\* |, )"
NO_RULE = (
    "derivative for .* is not implemented|Autograd not support dtype|ZeroTensors are immutable|"
    "returned an invalid gradient"
)
TRACE = (
    "trace: expected a matrix", r"m\.trace\((?:input=)?(t\d+)\)|(t\d+)\.trace\(\)",
    r"\1\2.diagonal().sum(-1)",
)  # fmt: skip
SPELLED = [
    ("view size is not compatible", r"\.view(_as)?\(", r".reshape\1("),
    ("Boolean alpha", r"alpha=True", "alpha=1"),
    ("Boolean alpha", r"alpha=False", "alpha=0"),
    ("with respect to argument '", r"weight=(\S+?)([,)])", r"weight=\1.detach()\2"),
    TRACE,
    ("must be a 2-tuple", r"m\.norm\((?:input=)?(t\d+), (.*)\)$|(t\d+)\.norm\((.*)\)$",
     r"m.sqrt(m.sum(\1\3 * \1\3, \2\4))"),
    ("invalid combination",
     r"(cl(?:ip|amp)_?\(.*)(?<==| |\()(?<!tensor\()(?<!requires_grad=)"
     r"(-?[\d.]+(?:e[-+]?\d+)?|-?inf|nan|True|False)(?=[,)])",
     r"\1m.tensor(\2)"),
    ("interpreted as an integer", r"np\.float\d+\((.*?)\)", r"\1"),
]  # fmt: skip


def permitted(case: Any) -> bool:
    """Whether PyTorch, asked in a way that it accepts, says the same."""
    said, text, backward = case.finding.theirs, case.text, "backward(" in case.text
    if "modified by an inplace operation" in said:
        by_value = run(case.lines, case.amended(("data への代入",)))
        no_rule = by_value is not None and re.search(NO_RULE, by_value.theirs)
        kept = ("data への代入",)
        agrees = bool(no_rule) or case.agrees(kept) or case.agrees(kept, without_past)
        return backward and agrees
    if "unknown ivalue tag" in said:  # True ** t: there is no rule for a bool
        return case.agrees((), lambda x: replace(x, theirs=re.sub(BASE, r"\1int(\2)\3", x.theirs)))
    limits = "match the broadcast shape" in said and re.search(r"clip|clamp", str(case.lines))
    if backward and (limits or re.search(NO_RULE, said)):
        return True
    endless = re.sub(r"(?<=[ (=])-?inf(?=[,)])", "None", text)  # no limit, to integers, too
    if "invalid combination" in said and re.search(r"cl(?:ip|amp)", text) and endless != text:
        return _agrees(case, endless)
    for why, pattern, instead in SPELLED:
        plain = _numpys(text) if why == "invalid combination" else text
        if why in said and re.search(pattern, plain):
            return _agrees(case, re.sub(pattern, instead, plain))
    if re.search(WRITES, said):
        apart = case.amended(("PyTorch の誤り", "no_grad"))
        return case.finding.line.writes and (
            _agrees(case, text, apart) or _agrees(case, _wide(text), apart, case.names())
        )
    if re.search(TYPES, said):
        text = _numbers(text) if "Subtraction" in said else text
        return _mixed(case) and (
            backward or _agrees(case, _wide(text), torch.no_grad, case.names())
        )
    return False


def without_past(line: Line) -> Line:
    """What is written over becomes, in PyTorch, a Tensor that has no past."""
    over = r"^(t\d+ = )?(t\d+)(\.(?:fill_|zero_|copy_)\(|\[\.\.\.\] = )"
    return replace(line, theirs=re.sub(over, r"\2 = \2.detach().clone(); \1\2\3", line.theirs))


def _mixed(case: Any) -> bool:
    """Whether there is anything to the dtypes: not all are the same float32 or float64."""
    dtypes = {t.dtype for n, t in case.side().names.items() if isinstance(t, torch.Tensor)}
    text = " ".join(x.theirs for x in case.lines if not x.leaf)
    named = re.search(r"m\.tensor|np\.|dtype=m\.|True|False", text)
    return len(dtypes) > 1 or not dtypes <= {torch.float64, torch.float32} or bool(named)


def _numbers(text: str) -> str:
    return re.sub(r"(?<!=)\bTrue\b", "1", re.sub(r"(?<!=)\bFalse\b", "0", text))


def _numpys(text: str) -> str:
    return re.sub(r"np\.(?:float32|float64|int64)\((.*?)\)", r"\1", text)


def _wide(text: str) -> str:
    text = re.sub(r"dtype=m\.\w+", "dtype=m.float64", text)
    text = re.sub(r"alpha=(True|False)", r"alpha=int(\1)", _numpys(text))
    text = re.sub(r"(t\d+)\[\1\]", r"\1[\1 != 0]", text)
    text = re.sub(r"\[(t\d+)\] (.?=) \1$", r"[\1] \2 \1.double()", text)
    text = re.sub(*TRACE[1:], text)
    return re.sub(r"(m\.tensor\((?:True|False|-?[\d.]+)\))", r"\1.double()", text)


def _agrees(case: Any, text: str, context: Any = None, wide: Any = ()) -> bool:
    ours, theirs = Side(mg), case.side()
    for line in case.lines:
        if ours.run(line.ours):
            return False
    for name in wide:
        t = theirs.names[name]
        keys = "index" in text or re.search(rf"\[.*\b{name}\b(?! != 0).*\]|where\({name}", text)
        if not keys or t.is_floating_point():
            theirs.names[name] = t.detach().double()
    theirs.context = context or theirs.context
    if theirs.run(text):
        return False
    name = case.finding.line.gives or re.findall(r"\bt\d+\b", text)[0]
    dtypes = {str(t.dtype)[6:] for t in case.tensors().values()}
    coarsest = max(TOLERANCE.get(t, 0) for t in {*dtypes, "float64"})
    return _same(ours.names[name], theirs.names[name], coarsest)


def _same(a: Any, b: Any, coarsest: float) -> bool:
    if isinstance(a, mg.Value):
        a = mg.tensor(a.data, dtype=mg.float64)
    if not isinstance(a, mg.Tensor) or not isinstance(b, torch.Tensor):
        return bool(a == b)
    x, y = np.asarray(a.data), b.detach().numpy()
    if x.shape != y.shape:
        return False
    tolerance = 10 * max(coarsest, TOLERANCE.get(str(x.dtype), 0))
    with np.errstate(all="ignore"):
        y = y.astype(x.dtype).astype(float)
        return bool(np.allclose(x.astype(float), y, tolerance, tolerance, equal_nan=True))
