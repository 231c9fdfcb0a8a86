"""Mutants of the package against its tests: `python tests/mutation/mutate.py` (`--help`).

Every mutant is a change of one place in a copy of the tree; a forked child imports it and runs the
tests that run that place, the quickest first. Without --sample it draws as many as mutants.toml
says; what nobody noticed is printed, and the exit status is 1 where mutants.toml does not know it.
"""

import argparse
import json
import shutil
import sys
import time
from collections import Counter, defaultdict
from functools import cache, partial
from pathlib import Path

import forked
from mutants import CONFIG, PACKAGE, Mutant, digest, drawn, room

PLENTY = 20.0  # seconds of tests one mutant must survive, the nearest tests first
ALWAYS = [f"tests/{name}" for name in CONFIG["always"]]
STUCK = 20.0  # and as many more before it counts as one that never ends


def nearest(mutant: Mutant, known: dict[str, dict], kills: Counter) -> dict[str, list[str]]:
    """The tests that run the mutated line, by file: first where most fell for their price."""
    sizes, spans = dict[str, dict[int, int]](), dict[str, set[int]]()
    for file, seen in known.items():
        own = [(i, a, b) for i, (f, a, b) in enumerate(seen["blocks"]) if f == mutant.file]
        spans[file] = {i for i, _, _ in own}
        if seen["of"].get(mutant.file) == digest(forked.ROOT / PACKAGE / mutant.file):
            sizes[file] = {i: b - a for i, a, b in own if a <= mutant.line <= b}
    # Who runs but the block around it, as the definition of a function, does not run the line.
    smallest = min((n for found in sizes.values() for n in found.values()), default=None)
    by_file, worth = {}, {}
    for file, seen in known.items():
        wanted = {i for i, n in sizes.get(file, {}).items() if n == smallest}
        if file not in sizes or smallest is None:  # measured with other lines, or run by nobody
            wanted = spans[file]
        tests = [t for t, ran in seen["ran"].items() if not wanted.isdisjoint(ran)]
        if smallest is None and not tests:  # a table that is read when it is imported
            tests = list(seen["ran"]) if spans[file] else []
        if tests:
            by_file[file] = sorted(tests, key=seen["seconds"].__getitem__)
            first = sum(seen["seconds"][t] for t in by_file[file][: len(tests) // 2 + 1])
            own = file.split("/")[1] in mutant.file or Path(mutant.file).stem in file
            hoped = kills[file] + (1.0 if own else 0.25)
            worth[file] = hoped / (0.1 + seen["collection"] + min(first, 1.5))
    return {f: by_file[f] for f in sorted(by_file, key=worth.__getitem__, reverse=True)}


def within(files: dict[str, list[str]], known: dict[str, dict], budget: float) -> dict:
    """The first of the tests, as many as fit into `budget` seconds, no file more than a third."""
    chosen = {}
    for file, tests in files.items():
        budget -= known[file]["collection"]
        if budget < 0:
            break
        share, kept = budget / 3, []
        for test in tests:
            share -= known[file]["seconds"][test]
            if share < 0 and kept:
                break
            budget -= known[file]["seconds"][test]
            kept.append(test)
        chosen[file] = kept
    return chosen


def fallen(
    mutant: Mutant, tree: Path, files: dict[str, list[str] | None], plenty: float = PLENTY
) -> str:
    """The test of these that falls for the mutant, "timeout", or "" where none does."""
    target = tree / PACKAGE / mutant.file
    kept = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    for compiled in target.parent.glob(f"__pycache__/{target.stem}.*"):
        compiled.unlink()
    try:
        return _asked(tree, files, plenty)
    finally:
        target.write_text(kept, encoding="utf-8")


def _asked(tree: Path, files: dict[str, list[str] | None], plenty: float) -> str:
    import covering

    said = forked.child(tree, lambda: {"fell": covering.fell(files)}, plenty + STUCK)
    return "timeout" if said is None else said["fell"] or ""


@cache
def falls_anyway(fell: str, tree: Path) -> bool:
    """Whether this test falls without a mutant, too: it passed when the package was another one."""
    return "::" in fell and bool(_asked(tree, {fell.partition("::")[0]: [fell]}, PLENTY))


def basis(mutant: Mutant, fell: str, known: dict[str, dict]) -> str:
    """The tests a verdict rests on, as they are now: the one that fell, or all that did not."""
    by = [f for f in known if fell.startswith(f)] or [*nearest(mutant, known, Counter()), *ALWAYS]
    return digest(*(forked.ROOT / f for f in sorted({*by})))


def verdicts(out: Path) -> dict[str, dict]:
    """Those of before, by the mutated source."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return {r["source"]: r for r in map(json.loads, lines)}


def judge(known: dict[str, dict], out: Path, plenty: float, mutants: list[Mutant]) -> None:
    """The verdicts, one JSON line each, appended to `out`."""
    tree, kills = forked.copy(), defaultdict[str, Counter](Counter)
    for said in verdicts(out).values():  # what has noticed others of the room is asked first
        kills[room(said["key"].partition(":")[0])][said["fell"].partition("::")[0]] += 1
    with out.open("a", encoding="utf-8") as file:
        for mutant in mutants:
            start = time.monotonic()
            killers = kills[room(mutant.file)]
            files = within(nearest(mutant, known, killers), known, plenty)
            files |= {f: [*known[f]["seconds"]] for f in ALWAYS if f in known}
            while falls_anyway(fell := fallen(mutant, tree, files, plenty), tree):
                files = {f: [t for t in tests if t != fell] for f, tests in files.items()}
            killers[fell.partition("::")[0]] += 1
            said = {"key": mutant.key, "source": mutant.digest, "line": mutant.line, "fell": fell}
            said |= {"operator": mutant.operator, "seconds": round(time.monotonic() - start, 2)}
            said |= {"basis": basis(mutant, fell, known), "plenty": plenty}
            file.write(json.dumps(said, ensure_ascii=False) + "\n")
            file.flush()
    shutil.rmtree(tree, ignore_errors=True)


def holes(tree: Path) -> list[str]:
    """Of the faults that once went unnoticed, those whose tests do not tell them from no fault."""
    unnoticed, unchanged = [], dict[str, str]()
    for file, faults in CONFIG["holes"].items():
        source = (tree / PACKAGE / file).read_text(encoding="utf-8")
        for was, now, test in faults:
            key, tests = f"{file}: {was} => {now}", {f"tests/{test}": None}
            if test not in unchanged:
                unchanged[test] = fallen(Mutant(file, 0, "", source, key), tree, tests)
            wrong = fallen(Mutant(file, 0, "", source.replace(was, now), key), tree, tests)
            if was not in source or unchanged[test] or wrong in ("", "timeout"):
                unnoticed.append(f"{key}: {unchanged[test] or 'passed'}, then {wrong or 'passed'}")
    return unnoticed


def report(mutants: list[Mutant], fell: dict[str, str]) -> list[str]:
    """Prints the rate of every room; gives what mutants.toml does not know, or calls equivalent."""
    equivalent, accepted = CONFIG["equivalent"], CONFIG["survivors"]
    rooms: dict[str, Counter] = defaultdict(Counter)
    said, wrong = [], []
    for m in mutants:
        by = fell.get(m.digest)
        kind = "fell" if by else "equivalent" if m.key in equivalent else "survived"
        rooms[room(m.file)][kind] += 1
        rooms["all"][kind] += 1
        if kind == "survived":
            said.append(f"survived: {m.key}\n    {accepted.get(m.key, 'not listed')}")
            wrong += [m.key] * (m.key not in accepted)
        elif by and m.key in equivalent:
            said.append(f"not equivalent: {m.key}\n    {by}")
            wrong.append(m.key)
    for name, n in rooms.items():
        judged = n["fell"] + n["survived"]
        rate = 100 * n["fell"] / judged if judged else 100.0
        equal = f"{n['equivalent']} equivalent"
        print(f"{name:24} {n['fell']:4} of {judged:4} fell ({rate:5.1f} %), {equal}")
    print("\n".join(said))
    return wrong


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=CONFIG["sample"], help="how many mutants")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", default="", help="mutants whose key holds this text")
    parser.add_argument("--tests", default="", help="only test files whose path holds this text")
    parser.add_argument("--again", action="store_true", help="also those judged before")
    parser.add_argument(
        "--plenty", type=float, default=PLENTY, help="seconds of tests a survivor has survived"
    )
    parser.add_argument(
        "--holes", action="store_true", help="only the faults that once went unnoticed"
    )
    options = parser.parse_args()
    forked.preload()
    if options.holes:
        tree = forked.copy()
        again = holes(tree)
        shutil.rmtree(tree, ignore_errors=True)
        print("\n".join([*again, f"{len(again)} unnoticed"]))
        return bool(again)
    import covering

    mutants = [m for m in drawn(options.sample) if options.only in m.key]
    files = [f for f in covering.test_files() if options.tests in f or f in ALWAYS]
    known = covering.covering(options.jobs, files)
    out = covering.CACHE / "verdicts.jsonl"
    if options.again:
        out.unlink(missing_ok=True)
    before = verdicts(out)
    run = []
    for m in mutants:
        again = options.again or m.key not in CONFIG["equivalent"]  # which is asked with all only
        if again and m.digest in before:
            said = before[m.digest]
            again = said["basis"] != basis(m, said["fell"], known)
            again |= not said["fell"] and said.get("plenty", PLENTY) < options.plenty
        run += [m] * again
    forked.spread(run, options.jobs, partial(judge, known, out, options.plenty))
    return bool(report(mutants, {d: r["fell"] for d, r in verdicts(out).items()}))


if __name__ == "__main__":
    sys.exit(main())
