"""Mutants of the package against its tests: `python tests/mutation/mutate.py` (`--help`).

Every mutant is a change of one place in a copy of the tree; a forked child imports it and runs the
tests that run that place, the quickest first. Without --sample it draws as many as mutants.toml
says; what nobody noticed is printed, and the exit status is 1 where mutants.toml does not know it.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import forked
from mutants import CONFIG, PACKAGE, Mutant, drawn, room

PLENTY = 20.0  # seconds of tests one mutant must survive, the nearest tests first
ALWAYS = [f"tests/{name}" for name in CONFIG["always"]]
STUCK = 20.0  # and as many more before it counts as one that never ends


def nearest(mutant: Mutant, known: dict[str, dict], kills: Counter) -> dict[str, list[str]]:
    """The tests that run the mutated line, by file: first where most fell for their price."""
    by_file, worth = {}, {}
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


def fallen(mutant: Mutant, tree: Path, files: dict[str, list[str] | None]) -> str:
    """The test of these that falls for the mutant, "timeout", or "" where none does."""
    import covering

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
    tree, kills = forked.copy(), defaultdict[str, Counter](Counter)
    with out.open("a", encoding="utf-8") as file:
        for mutant in mutants:
            start = time.monotonic()
            killers = kills[room(mutant.file)]
            files = within(nearest(mutant, known, killers), known, PLENTY)
            files |= {f: None for f in ALWAYS if f not in files}
            fell = fallen(mutant, tree, files)
            killers[fell.partition("::")[0]] += 1
            said = {"key": mutant.key, "file": mutant.file, "line": mutant.line, "fell": fell}
            said |= {"operator": mutant.operator, "seconds": round(time.monotonic() - start, 2)}
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
