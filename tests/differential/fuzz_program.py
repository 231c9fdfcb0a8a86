"""1 つのプログラムを、micrograd_jp と PyTorch で 1 行ずつ実行して比べる。

どの行も Python の文で、`m` がそれぞれのライブラリ、`F` がその `nn.functional` である。だから、
失敗したプログラムは、そのまま動くスクリプトとして印字できる。
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

import micrograd_jp as mg

TOLERANCE = {"float64": 1e-9, "float32": 3e-5, "float16": 2e-2}
SCRIPT = """import numpy as np
from math import inf, nan
import {package} as m
from {package}.nn import functional as F
"""


@dataclass(frozen=True)
class Leaf:
    """A new Tensor (or Value): kept in parts, so that it can be made simpler."""

    name: str
    numbers: Any
    dtype: str = "float64"
    layout: str = ""
    tracked: bool = False
    shape: tuple[int, ...] | None = None  # of an empty one, which a nested list cannot say

    @property
    def line(self) -> Line:
        if self.dtype == "Value":
            ours = f"m.Value({self.numbers!r})"
            theirs = f"m.tensor(float({self.numbers!r}), dtype=m.float64, requires_grad=True)"
            return Line(f"{self.name} = {ours}", f"{self.name} = {theirs}", self.name, leaf=self)
        text = f"m.tensor({self.numbers!r}, dtype=m.{self.dtype})"
        if self.shape is not None:
            text = f"m.zeros({self.shape!r}, dtype=m.{self.dtype})"
        text = f"{self.name} = {text}{self.layout}{'.requires_grad_()' if self.tracked else ''}"
        return Line(text, text, self.name, leaf=self)


@dataclass(frozen=True)
class Line:
    """A statement, in our spelling and in theirs; which name it gives; whether it may write."""

    ours: str
    theirs: str
    gives: str = ""
    writes: bool = False
    leaf: Leaf | None = None


@dataclass(frozen=True)
class Finding:
    """A difference: of which kind, in which line, what came and what PyTorch says."""

    kind: str
    line: Line
    ours: str
    theirs: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind}{self.where}: {self.ours} （PyTorch: {self.theirs}）"


@functools.lru_cache(4096)
def _code(text: str) -> Any:
    return compile(text, "<program>", "exec")


class Side:
    """The names of one library, and the lines that it runs, each in a context of its own."""

    def __init__(self, m: Any, context: Callable[[], Any] = contextlib.nullcontext) -> None:
        self.names = {"m": m, "F": m.nn.functional, "np": np, "inf": math.inf, "nan": math.nan}
        self.context = context

    def run(self, text: str) -> Exception | None:
        try:
            with self.context():
                exec(_code(text), self.names)
        except Exception as error:
            wrong = isinstance(error, TypeError) and self.names["m"] is torch
            other = respelled(text) if wrong else ""
            return self.run(other) if other else error
        return None


@dataclass
class Run:
    """Both sides, after the lines so far."""

    ours: Side = field(default_factory=lambda: Side(mg))
    theirs: Side = field(default_factory=lambda: Side(torch))
    lines: list[Line] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    failed: bool = False
    coarsest: str = "float64"

    def step(self, line: Line) -> Finding | None:
        """Run one line on both sides, and compare what it gave or wrote."""
        self.lines.append(line)
        mine, his = self.ours.run(line.ours), self.theirs.run(line.theirs)
        self.failed = bool(mine or his)
        if mine or his:
            return _errors(line, mine, his)
        if line.gives and line.gives not in self.given:
            self.given.append(line.gives)
        for name in self.given if line.writes else filter(None, [line.gives]):
            a, b = self.ours.names[name], self.theirs.names[name]
            finding = self._compared(line, name, a, b)
            if finding is None and line.writes and isinstance(b, torch.Tensor) and b.requires_grad:
                finding = self._gradients(line, name, a, b)
            if finding:
                return finding
        return None

    def _gradients(self, line: Line, name: str, a: Any, b: Any) -> Finding | None:
        try:
            same = sum(self.theirs.names[n] is b for n in self.given) > 1
            if same or not (b.is_leaf or b.retains_grad):
                return None
        except RuntimeError:  # a view of a split whose base was written: PyTorch gives it up
            return None
        if isinstance(a, mg.Value):
            theirs = torch.zeros(()) if b.grad is None else b.grad
            return self._compared(line, f"{name}.grad", mg.Value(0.0) + a.grad, theirs)
        return self._compared(line, f"{name}.grad", a.grad, b.grad)

    def _compared(self, line: Line, name: str, a: Any, b: Any) -> Finding | None:
        def differs(kind: str, a: Any, b: Any) -> Finding:
            return Finding(kind, line, str(a), str(b), f" {name}")

        if isinstance(b, torch.Tensor):
            if isinstance(a, mg.Value):
                return self._numbers(differs, np.asarray(a.data, float), b.detach().numpy())
            if not isinstance(a, mg.Tensor):
                return differs("type", type(a).__name__, "Tensor")
            dtype = str(b.dtype)[6:]
            if str(a.dtype) != dtype:
                return differs("dtype", a.dtype, dtype)
            if a.shape != tuple(b.shape):
                return differs("shape", a.shape, tuple(b.shape))
            if dtype in TOLERANCE and TOLERANCE[dtype] > TOLERANCE[self.coarsest]:
                self.coarsest = dtype
            finding = self._numbers(differs, a.detach().numpy(), b.detach().numpy())
            # Of a gradient, PyTorch says so also where it is a constant.
            own = not name.endswith(".grad")
            if finding is None and own and a.requires_grad != b.requires_grad:
                return differs("requires_grad", a.requires_grad, b.requires_grad)
            return finding
        if isinstance(b, tuple | list):
            if not isinstance(a, tuple | list) or len(a) != len(b):
                return differs("type", a, b)
            each = (self._compared(line, f"{name}[{i}]", *ab) for i, ab in enumerate(zip(a, b)))
            return next(filter(None, each), None)
        if isinstance(b, float) and isinstance(a, float):
            return self._numbers(differs, np.float64(a), np.float64(b))
        if isinstance(a, mg.Value) and b.__class__ is not a.__class__:
            return differs("type", type(a).__name__, type(b).__name__)
        same = (type(a) is type(b) and a == b) or (
            isinstance(b, torch.dtype) and str(b)[6:] == str(a)
        )
        return None if same else differs("value", repr(a), repr(b))

    def _numbers(self, differs: Any, a: Any, b: Any) -> Finding | None:
        if a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            return None
        x, y = a.astype(float), b.astype(float)
        finite = np.isfinite(y)
        scale = np.abs(y[finite]).max(initial=1.0)
        with np.errstate(all="ignore"):
            near = np.where(finite, np.abs(x - y) <= TOLERANCE[self.coarsest] * scale, x == y)
        if (near | (np.isnan(x) & np.isnan(y))).all():
            return None
        return differs("value", a.tolist(), b.tolist())


NUMBER = r"(?:np\.\w+\()?(-?inf|nan|-?[\d.]+(?:e[-+]?\d+)?|True|False)\)?"


def respelled(text: str) -> str:
    """The same call as PyTorch spells it: dim, a tuple of axes, a Tensor of a number."""
    out = re.sub(r"\baxis=", "dim=", re.sub(r"\bkeepdims=", "keepdim=", text))
    two = r"((?:logical_(?:and|or|xor)|maximum|minimum)_?)"
    weak = r"m.full((), \3, dtype=\2.dtype if m.result_type(\2, \3) == \2.dtype else None)"
    out = re.sub(rf"m\.{two}\((t\d+), {NUMBER}\)$", rf"m.\1(\2, {weak})", out)
    weak = weak.replace(r"\2", r"\1")
    out = re.sub(rf"(t\d+)\.{two}\({NUMBER}\)$", rf"\1.\2({weak})", out)
    numbers = r"(t\d+), (-?\d[-\d, ]*)"
    out = re.sub(rf"m\.(permute|reshape|tile)\({numbers}\)", r"m.\1(\2, (\3,))", out)
    return out if out != text else ""


JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")
SIGNATURE = re.compile(r"positional argument|unexpected keyword argument|required keyword-only")


def _errors(line: Line, mine: Exception | None, his: Exception | None) -> Finding | None:
    def said(error: Exception | None) -> str:
        return "" if error is None else f"{type(error).__name__}: {str(error).splitlines()[:1]}"

    if mine is None:
        return Finding("only PyTorch raises", line, "", said(his))
    sentence = JAPANESE.search(str(mine)) and not isinstance(mine, Warning)
    if his and str(his) == str(mine) == "tuple index out of range":  # the program's own tuple
        return None
    if not sentence and not (his and SIGNATURE.search(str(mine))) and "NoneType" not in said(mine):
        return Finding("raw error", line, said(mine), said(his))
    return None if his else Finding("only ours raises", line, said(mine), "")


def run(lines: list[Line], context: Callable[[], Any] = contextlib.nullcontext) -> Finding | None:
    """The first difference of a program; `context` is where PyTorch runs its lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        both = Run(theirs=Side(torch, context))
        for line in lines:
            finding = both.step(line)
            if finding or both.failed:
                return None if finding and "NameError" in finding.theirs else finding
    return None


# ---- 小さくする ---------------------------------------------------------------------------------


def _simpler(leaf: Leaf) -> Any:
    if leaf.layout:
        yield replace(leaf, layout="")
    if leaf.tracked:
        yield replace(leaf, tracked=False)
    if leaf.shape is None and leaf.dtype not in ("Value", "bool"):
        for number in (1, 2, 0.5):
            if leaf.dtype.startswith("float") or number != 0.5:
                yield replace(leaf, numbers=_filled(leaf.numbers, number))
        if leaf.dtype != "float64":
            yield replace(leaf, dtype="float64")
        yield replace(leaf, numbers=_filled(leaf.numbers, None))
    if leaf.dtype == "Value":
        for number in (1.0, 2.0, 0.5):
            yield replace(leaf, numbers=number)


def _filled(numbers: Any, number: Any) -> Any:
    if isinstance(numbers, list):
        return [_filled(x, number) for x in numbers]
    return numbers if number is None and not math.isfinite(numbers) else (
        round(numbers) if number is None else number
    )  # fmt: skip


def smaller(lines: list[Line], fails: Any) -> list[Line]:
    """The same failure with fewer lines and simpler numbers. `fails` says whether it is one."""
    again = True
    while again:
        again = False
        for i in reversed(range(len(lines))):
            shorter = lines[:i] + lines[i + 1 :]
            if fails(shorter):
                lines, again = shorter, True
        for i, line in enumerate(lines):
            for leaf in _simpler(line.leaf) if line.leaf else ():
                if leaf != line.leaf and fails(changed := [*lines[:i], leaf.line, *lines[i + 1 :]]):
                    if len(repr(leaf)) < len(repr(line.leaf)) or leaf.numbers != line.leaf.numbers:
                        again = len(repr(leaf)) < len(repr(line.leaf))
                    lines = changed
                    break
    return lines


def script(lines: list[Line], package: str) -> str:
    """The program as a script of its own."""
    text = [line.ours if package == "micrograd_jp" else line.theirs for line in lines]
    return "\n".join([SCRIPT.format(package=package), *text])
