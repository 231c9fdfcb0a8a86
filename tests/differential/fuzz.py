"""差分ファザー: 無作為なプログラムを micrograd_jp と PyTorch で実行して比べる。

    python tests/differential/fuzz.py 20000 --seed 0

同じ種と番号からは、いつも同じプログラムができる（`--only 番号` でその 1 つを見る）。説明のつかない
違いは、小さくして、2 つのライブラリのスクリプトとして印字する。
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_calls
import torch
from fuzz_conventions import explained
from fuzz_draw import Draw, Found, Stop
from fuzz_program import Finding, Line, run, script, smaller

OTHERS = (
    ("infix", 14), ("prefix", 2), ("augmented", 5), ("@", 2), ("[ ]", 6), ("[ ] =", 6), ("view", 6),
    ("look", 3), ("backward", 8), ("update", 3), ("optim", 1),
)  # fmt: skip
TABLE = [None] * 44 + [name for name, times in OTHERS for _ in range(times)]
NAMES = list(fuzz_calls.CALLS)


@dataclass
class Failure:
    """What one program came to, made small."""

    number: int
    finding: Finding
    lines: list[Line]

    def __str__(self) -> str:
        ours, theirs = (script(self.lines, package) for package in ("micrograd_jp", "torch"))
        return f"#{self.number}: {self.finding}\n--- micrograd_jp\n{ours}\n--- PyTorch\n{theirs}\n"


@dataclass
class Report:
    """How many programs, how long, what was explained by which convention, what was not."""

    programs: int = 0
    calls: int = 0
    seconds: float = 0.0
    conventions: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [f"  {n:6}  {name}" for name, n in self.conventions.most_common()]
        head = (
            f"{self.programs} programs, {self.calls} lines, {self.seconds:.1f} s "
            f"({self.programs / max(self.seconds, 1e-9):.0f}/s), {len(self.failures)} failures"
        )
        return "\n".join([head, "explained:", *rows])


def drawn(
    seed: int, number: int, names: Counter[str] | None = None, focus: Sequence[str] = ()
) -> tuple[list[Line], Finding | None]:
    """One program: its lines and the first difference, if there is one.

    Args:
        seed: Of the programs, of which this is one.
        number: Which.
        names: Counts what was called.
        focus: What most lines are about, by the names of the table.
    """
    rng = random.Random(f"{seed}:{number}")
    d = Draw(rng, odd=0.25 if rng.random() < 0.15 else 0.0)
    scalar, steps = rng.random() < 0.12 and not focus, rng.randint(1, 6)
    try:
        for i in range(steps):
            last = i == steps - 1 and rng.random() < 0.5
            if d.run.failed:
                break
            try:
                if scalar:
                    (fuzz_calls.values_backward if last else fuzz_calls.values)(d)
                    continue
                kind = "backward" if last else TABLE[rng.randrange(len(TABLE))]
                name = kind or NAMES[rng.randrange(len(NAMES))]
                if focus and not last:
                    name = focus[rng.randrange(len(focus))]
                (fuzz_calls.OTHERS.get(name) or fuzz_calls.CALLS[name])(d)
                if names is not None:
                    names[name] += 1
            except Stop:
                continue
    except Found as found:
        return d.run.lines, found.finding
    return d.run.lines, None


def fuzz(
    programs: int, seed: int = 0, first: int = 0, stop: int = 5, shrink: bool = True
) -> Report:
    """Draw and compare; end after `stop` unexplained differences."""
    report, start = Report(), time.perf_counter()
    torch.set_num_threads(1)
    gc.freeze()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        for number in range(first, first + programs):
            lines, finding = drawn(seed, number, report.names)
            report.programs += 1
            report.calls += len(lines)
            if finding is None:
                continue
            reason = explained(finding, lines)
            if reason is not None:
                report.conventions[reason] += 1
                continue
            if shrink:
                lines, finding = made_small(lines, finding)
            report.failures.append(Failure(number, finding, lines))
            if len(report.failures) >= stop:
                break
    report.seconds = time.perf_counter() - start
    return report


def made_small(lines: list[Line], finding: Finding) -> tuple[list[Line], Finding]:
    """A smaller program with an unexplained difference of the same kind in the same call."""

    def fails(lines: list[Line]) -> bool:
        again = run(lines)
        return (
            again is not None
            and again.kind == finding.kind
            and again.line.ours == finding.line.ours
            and explained(again, lines) is None
        )

    lines = smaller(lines, fails)
    return lines, run(lines) or finding


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=int, nargs="?", default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--stop", type=int, default=20)
    parser.add_argument("--brief", action="store_true", help="1 行ずつ")
    parser.add_argument("--names", action="store_true", help="呼んだ回数")
    args = parser.parse_args()
    if args.only is not None:
        lines, finding = drawn(args.seed, args.only)
        print(script(lines, "torch"), finding, sep="\n")
        return 0
    report = fuzz(args.programs, args.seed, stop=args.stop)
    for failure in report.failures:
        if args.brief:
            ours = "; ".join(line.ours for line in failure.lines)
            print(f"#{failure.number} {ours}\n      {failure.finding}"[:600])
        else:
            print(failure)
    print(report)
    if args.names:
        print(report.names.most_common())
    return bool(report.failures)


if __name__ == "__main__":
    sys.exit(main())
