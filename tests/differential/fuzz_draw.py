"""無作為なプログラムの材料: Tensor、数、軸、添字、形。どれも PyTorch の側の今を見て選ぶ。"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fuzz_program import Finding, Leaf, Line, Run

DTYPES = ("float64",) * 12 + ("float32",) * 3 + (
    "float16", "int64", "int64", "int32", "int16", "int8", "uint8", "bool",
)  # fmt: skip
FLOATS = ("float64",) * 8 + ("float32", "float16")
INTEGERS = ("int64",) * 4 + ("int32", "uint8")
NUMBERS = ("2", "3", "-1", "0", "1", "0.5", "1.5", "-2.0", "0.0", "2.0", "0.1", "True", "False")
ODD_NUMBERS = (
    "-0.0", "inf", "-inf", "nan", "np.float64(0.5)", "np.float32(0.5)", "np.int64(2)",
    "np.float64(0.0)", "300", "-129", "1e-30", "1e30", "100000",
)  # fmt: skip
ZERO_D = (
    "m.tensor(0.5)", "m.tensor(2)", "m.tensor(True)", "m.tensor(0.0)", "m.tensor(0)",
    "m.tensor(-1.5, dtype=m.float64)", "m.tensor(3, dtype=m.int32)",
    "m.tensor(0.5, dtype=m.float64, requires_grad=True)",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A text that the two libraries spell differently."""

    ours: str
    theirs: str


class Stop(Exception):
    """This call cannot be drawn here."""


class Found(Exception):
    def __init__(self, finding: Finding) -> None:
        self.finding = finding


class Draw:
    """Draws what a call needs, and runs every line that it writes on both sides."""

    def __init__(self, rng: random.Random, odd: float) -> None:
        self.rng, self.odd = rng, odd
        self.run = Run()
        self.count = 0

    # ---- 行を書く -------------------------------------------------------------------------------

    def write(self, line: Line) -> bool:
        finding = self.run.step(line)
        if finding:
            raise Found(finding)
        return not self.run.failed

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def of(self, name: str) -> torch.Tensor:
        return self.run.theirs.names[name]

    def names(self, fits: Callable[[torch.Tensor], bool] = lambda t: True) -> list[str]:
        names = self.run.theirs.names
        return [
            n for n in self.run.given
            if isinstance(names[n], torch.Tensor) and names[n].numel() <= 200
            and _usable(names[n]) and fits(names[n])
        ]  # fmt: skip

    # ---- いろいろ -------------------------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def one(self, choices: Sequence[Any]) -> Any:
        return choices[self.rng.randrange(len(choices))]

    def shape(self, low: int = 0, high: int = 3) -> tuple[int, ...]:
        ndim = self.one([n for n in (0, 1, 1, 2, 2, 2, 3) if low <= n <= high] or [low])
        return tuple(self.one((1, 2, 2, 3, 3, 0) if self.odd else (1, 2, 2, 3, 3))
                     for _ in range(ndim))  # fmt: skip

    # ---- Tensor ---------------------------------------------------------------------------------

    def tensor(
        self, dtypes: Sequence[str] = (), *, low: int = 0, high: int = 3, fresh: float = 0.25,
        shape: tuple[int, ...] | None = None, fits: Callable[[torch.Tensor], bool] | None = None,
        positive: bool = False, tracked: bool | None = None,
    ) -> str:  # fmt: skip
        """The name of a Tensor that is there already, or of a new one."""
        if not self.chance(fresh):
            there = self.names(
                lambda t: (
                    low <= t.ndim <= high
                    and (shape is None or tuple(t.shape) == shape)
                    and (not dtypes or str(t.dtype)[6:] in dtypes)
                    and (fits is None or fits(t))
                    and (tracked is None or t.requires_grad == tracked)
                )
            )
            if there and not positive:
                return there[-1] if self.chance(0.6) else self.one(there)
        if shape is None:
            shape = self.shape(low, high)
        if fits is not None and not fits(torch.empty(shape)):
            raise Stop
        return self.leaf(shape, self.one(dtypes or DTYPES), positive, tracked)

    def leaf(
        self, shape: tuple[int, ...], dtype: str, positive: bool = False,
        tracked: bool | None = None, plain: bool = False,
    ) -> str:  # fmt: skip
        layout, name = "", self.name()
        floating = dtype.startswith("float")
        tracked = floating and (self.chance(0.65) if tracked is None else tracked)
        stored = list(shape)
        if shape and not plain and self.chance(0.3):
            kind = self.one(("t", "step", "slice", "flip"))
            if kind == "t" and len(shape) > 1:
                stored[0], stored[-1] = stored[-1], stored[0]
                layout = ".transpose(0, -1)"
            elif kind == "step":
                stored[0] *= 2
                layout = "[::2]"
            elif kind == "slice":
                stored[-1] += 1
                layout = "[..., 1:]"
        if tracked and layout:  # a leaf is no view: PyTorch would lose gradients of its views
            stored, layout = (list(shape), "") if kind != "t" else (stored, layout + ".clone()")
        numbers = self._nested(stored, dtype, positive)
        empty = 0 in stored
        leaf = Leaf(name, None if empty else numbers, dtype, layout, tracked and floating,
                    tuple(stored) if empty else None)  # fmt: skip
        self.write(leaf.line)
        return name

    def _nested(self, shape: list[int], dtype: str, positive: bool) -> Any:
        if shape:
            return [self._nested(shape[1:], dtype, positive) for _ in range(shape[0])]
        return self.element(dtype, positive)

    def element(self, dtype: str, positive: bool = False) -> Any:
        if dtype == "bool":
            return self.chance(0.5)
        if not dtype.startswith("float"):
            if self.odd and self.chance(0.1):
                return {"uint8": 250, "int8": -128}.get(dtype, 1000)
            return self.rng.randint(0 if positive or dtype == "uint8" else -3, 4)
        if positive:
            return self.rng.randint(1, 16) / 4
        if self.chance(self.odd):
            return self.one(
                (0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-3, 300.0, 1.0, -1.0)
            )
        if self.chance(0.5):
            return self.rng.randint(-12, 12) / 4
        return round(self.rng.uniform(-2.5, 2.5), 3)

    # ---- 引数 -----------------------------------------------------------------------------------

    def number(self, odd: float = 0.15) -> str:
        return self.one(ODD_NUMBERS if self.chance(odd) else NUMBERS)

    def operand(self, x: str) -> str:
        """What may stand beside x: a Tensor that broadcasts, a number, a 0-d Tensor."""
        way = self.rng.random()
        if way < 0.3:
            return self.number()
        if way < 0.4:
            return self.one(ZERO_D)
        shape = self.of(x).shape
        if way < 0.5:
            return x
        if way < 0.8:
            there = self.names(lambda t: _broadcast(t.shape, shape))
            if there:
                return self.one(there)
        part = list(shape[self.rng.randint(0, len(shape)) :]) if shape else []
        part = [1 if self.chance(0.2) else n for n in part]
        if self.chance(0.02):
            part = [*part, 5]
        return self.leaf(tuple(part), self.one(DTYPES))

    def axis(self, x: str | int, wrong: float = 0.03) -> int:
        n = x if isinstance(x, int) else self.of(x).ndim
        if self.chance(wrong):
            return self.one((n, -n - 1, 7))
        return self.rng.randint(-n, n - 1) if n else self.one((0, -1))

    def axes_of(self, x: str) -> tuple[int, ...]:
        n = self.of(x).ndim
        chosen = self.rng.sample(range(n), self.rng.randint(1, n)) if n else []
        return tuple(a - n if self.chance(0.4) else a for a in chosen)

    def axis_argument(self, axis: Any) -> str:
        return self.one(("{}", "axis={}", "dim={}")).format(axis)

    def reduction(self, x: str, several: bool = True, none: bool = True) -> str:
        """The axes of a reduction, by position or by name, and whether they are kept."""
        if none and self.chance(0.3):
            return ""
        tuples = several and self.chance(0.4)
        axis = self.axis_argument(repr(self.axes_of(x)) if tuples else self.axis(x))
        flag = self.one(("True", "False"))
        kept = [f"keepdim={flag}", f"keepdims={flag}"] + [flag] * ("=" not in axis)
        return f"{axis}, {self.one(kept)}" if self.chance(0.4) else axis

    def indices(self, n: int, shape: tuple[int, ...], dtype: str = "int64") -> str:
        """A Tensor of places on an axis of length n."""
        if n == 0 and 0 not in shape:
            raise Stop

        def nested(rest: tuple[int, ...]) -> Any:
            if not rest:
                return self.rng.randrange(n) if n else 0
            return [nested(rest[1:]) for _ in range(rest[0])]

        if 0 in shape:
            return f"m.zeros({shape!r}, dtype=m.int64)"
        return f"m.tensor({nested(shape)!r}, dtype=m.{dtype})"

    def key(self, x: str) -> str:
        """What may stand in x[ ]."""
        shape = self.of(x).shape
        if self.chance(0.12):
            mask = [n for n in self.names(lambda t: t.dtype == torch.bool) if self.of(n).shape
                    == shape[: self.of(n).ndim]]  # fmt: skip
            if mask:
                return self.one(mask)
            if shape and shape[0]:
                return f"m.tensor({[self.chance(0.5) for _ in range(shape[0])]!r})"
        parts, rest = [], list(shape)
        for _ in range(self.rng.randint(1, max(len(shape), 1))):
            n = rest.pop(0) if rest else 0
            kind = self.rng.random()
            if kind < 0.3:
                parts.append(str(self.rng.randint(-n, n - 1) if n and self.chance(0.97) else n))
            elif kind < 0.65:
                parts.append(self.one((":", "1:", ":-1", "::2", ":1", "1:1", "-2:")))
            elif kind < 0.75:
                parts.append("None")
                rest.insert(0, n)
            elif kind < 0.82 and "..." not in parts:
                parts.append("...")
                rest = []
                break
            elif n:
                places = [self.rng.randint(-n, n - 1) for _ in range(self.one((1, 2, 3)))]
                parts.append(self.one(("{}", "m.tensor({})", "np.array({})")).format(places))
            else:
                parts.append(":")
        return ", ".join(parts) if len(parts) > 1 or self.chance(0.9) else f"({parts[0]},)" \
            if ":" not in parts[0] else parts[0]  # fmt: skip


def _usable(t: torch.Tensor) -> bool:
    try:
        return t.grad_fn is None or True
    except RuntimeError:  # a view of a split whose base was written: PyTorch gives it up
        return False


def _broadcast(a: Sequence[int], b: Sequence[int]) -> bool:
    return all(m == n or m == 1 or n == 1 for m, n in zip(reversed(a), reversed(b)))
