"""Mutants of the package against its tests: `python tests/mutation/mutate.py` (`--help`).

Every mutant is a change of one place in a copy of the tree; a forked child imports it and runs the
tests that run that place, the quickest first. Without --sample it draws as many as mutants.toml
says; what nobody noticed is printed, and the exit status is 1 where mutants.toml does not know it.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import forked
from mutants import CONFIG, PACKAGE, Mutant, drawn, room

PLENTY = 10.0  # seconds of tests one mutant must survive, the nearest tests first
STUCK = 10.0  # and as many more before it counts as one that never ends


def nearest(mutant: Mutant, known: dict[str, dict]) -> dict[str, list[str]]:
    """The tests that run the mutated line, by file: the nearest and quickest files first."""
    by_file, cost = {}, {}
    for file, seen in known.items():
        spans = [(i, a, b) for i, (f, a, b) in enumerate(seen["blocks"]) if f == mutant.file]
        inside = [s for s in spans if s[1] <= mutant.line <= s[2]]
        smallest = min((b - a for _, a, b in inside), default=None)
        wanted = {i for i, a, b in inside if b - a == smallest} or {i for i, _, _ in spans}
        tests = [t for t, ran in seen["ran"].items() if not wanted.isdisjoint(ran)]
        if not inside and not tests:  # a table that is read when it is imported
            tests = list(seen["ran"]) if spans else []
        if tests:
            by_file[file] = sorted(tests, key=seen["seconds"].__getitem__)
            first = sum(sorted(seen["seconds"][t] for t in tests)[: len(tests) // 2 + 1])
            own = file.split("/")[1] in mutant.file or Path(mutant.file).stem in file
            cost[file] = (seen["collection"] + first) / (4 if own else 1)
    return {f: by_file[f] for f in sorted(by_file, key=cost.__getitem__)}


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


def verdict(mutant: Mutant, tree: Path, known: dict[str, dict]) -> str:
    """The test that fell, "timeout", or "" where none did."""
    import covering

    files = within(nearest(mutant, known), known, PLENTY)
    target = tree / PACKAGE / mutant.file
    kept = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    for compiled in target.parent.glob(f"__pycache__/{target.stem}.*"):
        compiled.unlink()
    try:
        said = forked.child(tree, lambda: {"fell": covering.fell(files)}, PLENTY + STUCK)
    finally:
        target.write_text(kept, encoding="utf-8")
    return "timeout" if said is None else said["fell"] or ""


def judge(mutants: list[Mutant], known: dict[str, dict], out: Path) -> None:
    """The verdicts, one JSON line each, appended to `out`."""
    tree = forked.copy()
    with out.open("a", encoding="utf-8") as file:
        for mutant in mutants:
            start = time.monotonic()
            fell = verdict(mutant, tree, known)
            said = {"key": mutant.key, "file": mutant.file, "line": mutant.line, "fell": fell}
            said |= {"operator": mutant.operator, "seconds": round(time.monotonic() - start, 2)}
            file.write(json.dumps(said, ensure_ascii=False) + "\n")
            file.flush()


def report(results: list[dict]) -> list[str]:
    """Prints the rate of every room; gives the survivors that mutants.toml does not know."""
    equivalent, accepted = CONFIG["equivalent"], CONFIG["survivors"]
    rooms: dict[str, Counter] = defaultdict(Counter)
    for r in results:
        kind = "fell" if r["fell"] else "equivalent" if r["key"] in equivalent else "survived"
        rooms[room(r["file"])][kind] += 1
        rooms["all"][kind] += 1
    for name, n in rooms.items():
        mutants = n["fell"] + n["survived"]
        rate = 100 * n["fell"] / mutants if mutants else 100.0
        equal = f"{n['equivalent']} equivalent"
        print(f"{name:24} {n['fell']:4} of {mutants:4} fell ({rate:5.1f} %), {equal}")
    survivors = [r["key"] for r in results if not r["fell"] and r["key"] not in equivalent]
    for key in survivors:
        print(f"survived: {key}" + (f"\n    {accepted[key]}" if key in accepted else ""))
    return [key for key in survivors if key not in accepted]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=CONFIG["sample"], help="how many mutants")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", default="", help="mutants whose key holds this text")
    parser.add_argument("--tests", default="", help="only test files whose path holds this text")
    parser.add_argument("--again", action="store_true", help="also those judged before")
    options = parser.parse_args()
    forked.preload()
    import covering

    mutants = [m for m in drawn(options.sample) if options.only in m.key]
    known = covering.covering([f for f in covering.test_files() if options.tests in f])
    out = covering.CACHE / "verdicts.jsonl"
    if options.again:
        out.unlink(missing_ok=True)
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    before = {r["key"]: r for r in map(json.loads, lines)}
    todo = [m for m in mutants if m.key not in before or not before[m.key]["fell"]]
    workers = []
    for i in range(options.jobs):
        pid = os.fork()
        if pid == 0:
            judge(todo[i :: options.jobs], known, out)
            os._exit(0)
        workers.append(pid)
    for pid in workers:
        os.waitpid(pid, 0)
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    results = {r["key"]: r for r in map(json.loads, lines)}
    return bool(report([results[m.key] for m in mutants]))


if __name__ == "__main__":
    sys.exit(main())
