"""Which tests run which blocks, how long each takes, and running some of them."""

import hashlib
import json
import shutil
import time
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from blocks import Blocks
from forked import ROOT, child, copy, spread
from mutants import CACHE, CONFIG, PACKAGE, digest

OPTIONS = [*"-x -q --assert=plain -p no:cacheprovider -p no:xdist -m".split(), "not slow"]
EXAMPLES = 30  # of a property
LONGEST = 15.0  # seconds of one file of tests: of what takes longer, a part drawn by hash


class Chosen:
    """The pytest plugin that runs these tests (None: all) in this order, and says which fell."""

    def __init__(self, names: list[str] | None, examples: int = EXAMPLES) -> None:
        self.order = None if names is None else {n: i for i, n in enumerate(names)}
        self.examples = examples
        self.fell: str | None = None
        self.seconds: dict[str, float] = {}
        self.passed: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        from hypothesis import Phase, settings

        if self.order is not None:
            items[:] = sorted(
                (i for i in items if i.nodeid in self.order), key=lambda i: self.order[i.nodeid]
            )
        for item in items:
            test = getattr(item.obj, "__func__", item.obj)
            own = getattr(test, "_hypothesis_internal_use_settings", None)
            if own is not None:  # an example that falls is enough: nobody reads a smaller one
                test._hypothesis_internal_use_settings = settings(
                    own,
                    max_examples=min(own.max_examples, self.examples),
                    phases=[Phase.explicit, Phase.generate],
                )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        start = time.process_time()
        result = yield
        self.seconds[item.nodeid] = round(time.process_time() - start, 4)
        return result

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.fell = self.fell or report.nodeid
        elif report.passed and report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.fell = self.fell or report.nodeid


def fell(files: dict[str, list[str] | None], examples: int = EXAMPLES) -> str | None:
    """The first of the tests that falls, in the process this is called in."""
    for file, names in files.items():
        chosen = Chosen(names, examples)
        code = pytest.main([*OPTIONS, file], plugins=[chosen])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return chosen.fell or f"{file} ({code!r})"
    return None


def _measured(tree: Path, file: str) -> dict:
    """The tests of one file that pass: their seconds, and the blocks of the package they run."""
    blocks, ran = Blocks(tree / PACKAGE), dict[str, list[int]]()

    class Flags(Chosen):
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item):
            blocks.taken()
            result = yield from Chosen.pytest_runtest_protocol(self, item)
            ran[item.nodeid] = blocks.taken()
            return result

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, session, items):
            super().pytest_collection_modifyitems(items)
            items.sort(key=lambda i: hashlib.sha256(i.nodeid.encode()).digest())
            self.session = session

        def pytest_runtest_logfinish(self):
            if sum(self.seconds.values()) > LONGEST:
                self.session.shouldstop = "long enough"

    plugin = Flags(None)
    for module in walk_packages(__import__(PACKAGE).__path__, f"{PACKAGE}."):
        with suppress(ImportError):  # of an extra
            if not module.name.endswith("__main__"):  # what all files import is the cost of none
                import_module(module.name)
    start = time.process_time()
    pytest.main([*OPTIONS[1:], file], plugins=[plugin])
    spent = time.process_time() - start
    return {
        "collection": spent - sum(plugin.seconds.values()),
        "fell": plugin.fell,
        "seconds": {t: s for t, s in plugin.seconds.items() if t in plugin.passed},
        "blocks": blocks.all,
        "ran": {t: r for t, r in ran.items() if t in plugin.passed},
        "of": {f: digest(tree / PACKAGE / f) for f in {f for f, _, _ in blocks.all}},
    }


def test_files() -> list[str]:
    """The files of the configured tests, from the root."""
    paths = [ROOT / "tests" / t for t in CONFIG["tests"]]
    found = (f for p in paths for f in (p.rglob("test_*.py") if p.is_dir() else [p]))
    return sorted(str(f.relative_to(ROOT)) for f in found)


def covering(jobs: int = 1, files: list[str] | None = None) -> dict[str, dict]:
    """For each file of tests what `_measured` says; measured again where the file changed."""
    CACHE.mkdir(exist_ok=True)
    kept = {
        f: CACHE / f"{f.replace('/', '.')}.{digest(ROOT / f)}.json" for f in files or test_files()
    }
    spread([f for f, path in kept.items() if not path.exists()], jobs, partial(_measure, kept))
    return {f: json.loads(path.read_text()) for f, path in kept.items() if path.exists()}


def _measure(kept: dict[str, Path], files: list[str]) -> None:
    tree = copy()
    for file in files:
        start = time.monotonic()
        found = child(tree, lambda file=file: _measured(tree, file), 4 * LONGEST)
        print(f"covered {file}: {time.monotonic() - start:.0f} s", flush=True)
        if found is not None:
            if found["fell"]:
                print(f"falls without a mutant, and is left out: {found['fell']}", flush=True)
            kept[file].write_text(json.dumps(found))
        else:  # such a test would fall for every mutant
            said = (tree / "output.txt").read_text(encoding="utf-8", errors="replace")
            print(f"{file} did not end, and is left out:\n{said[-2000:]}", flush=True)
    shutil.rmtree(tree, ignore_errors=True)
