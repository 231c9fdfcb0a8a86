"""Hypothesis: nothing depends on the speed of a shared machine or on which examples are drawn; in
CI they are always the same. There the order of the tests is another one every time: nothing may
depend on it. TEST_ORDER=number repeats an order, TEST_ORDER=0 is the one in which they are written.
"""

import functools
import gc
import importlib.metadata
import importlib.util
import os
import random
import signal
import sys
import threading
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import HealthCheck, settings

from micrograd_jp.data import prefetch
from tests.browser import browser, page, pages  # noqa: F401
from tests.reference import session
from tests.reference.examples import FEW

# Compiled once and run on a few numbers: XLA's optimizer would cost more than it saves, and so
# would its newer way to write the code of fused operations (half of the time of a compilation).
# A flag that XLA does not know ends the process: the last two are given to the versions tried.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
QUICKER = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
if importlib.util.find_spec("jaxlib"):
    tried = importlib.metadata.version("jaxlib").startswith("0.10.")
    os.environ.setdefault("XLA_FLAGS", f"{QUICK} {QUICKER}" if tried else QUICK)

settings.register_profile(
    "shared",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,  # monkeypatch and tmp_path, which are only read
    ],
)
settings.load_profile("shared")
CALM = settings.default.suppress_health_check

# A background job of a shell ignores Ctrl-C, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What has been imported and collected stays: the collector need not look at it again and again.
gc.set_threshold(50_000, 20, 50)

# Tests and mutants replace parts of the compiler: what it then makes must not be found by others.
os.environ.setdefault("MICROGRAD_JP_REMEMBER", "0")

# The batches of tests are made so fast that a thread would never be begun.
prefetch.WORTH = 0

# Tests start Python some hundred times: where no bytecode may be written, as in many containers,
# each would compile the whole package again. Mutants change faster than bytecode can tell.
if os.environ.get("PYTHONDONTWRITEBYTECODE") != "mutants":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False

# The workers of pytest-xdist inherit both: they must all collect in the same order, and the order
# of their sets is another one every time, too.
ORDER = os.environ.setdefault(
    "TEST_ORDER", str(random.randrange(1, 10**6)) if os.environ.get("CI") else "0"
)
os.environ.setdefault("PYTHONHASHSEED", ORDER)

# So they do this: where several compute, the threads of BLAS wait for each other, and turn in
# circles meanwhile (two to three times the CPU seconds). CI runs the slow part with threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


CASES = Counter()  # of each test function


@functools.cache
def as_many(own, few):
    """The settings of a property, with so many examples at most."""
    return settings(
        own,
        deadline=None,
        max_examples=own.max_examples if few is None else min(own.max_examples, few),
        suppress_health_check={*CALM, *own.suppress_health_check},
    )


def choose_examples(item):
    """Only a few in the fast part; fewer of each of very many cases."""
    test = getattr(getattr(item, "obj", None), "__func__", getattr(item, "obj", None))
    own = getattr(test, "_hypothesis_internal_use_settings", None)
    if own is None:
        return
    # Its cases share it, slow ones with others: what the test says is kept as it was.
    own = vars(test).setdefault("_settings_that_it_names", own)
    slow = item.get_closest_marker("slow") is not None
    few = FEW // 3 if CASES[item.nodeid.partition("[")[0]] > FEW else FEW
    # Health checks that a test names would replace those of the profile.
    test._hypothesis_internal_use_settings = as_many(own, None if slow else few)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Files in random order, and the tests of each: together, for what they share is expensive."""
    session.tables.collected |= {item.nodeid for item in items}
    CASES.update(item.nodeid.partition("[")[0] for item in items)
    if ORDER != "0":
        rng = random.Random(ORDER)
        files = [list(tests) for _, tests in groupby(items, lambda item: item.path)]
        rng.shuffle(files)
        for tests in files:
            rng.shuffle(tests)
        items[:] = [item for tests in files for item in tests]


def pytest_collection_finish():
    share_contexts_of_mlir()
    gc.collect()
    gc.freeze()


def share_contexts_of_mlir():
    """JAX makes one for every program, and outside of jit every operation is a program of its own.

    They are a fifth of all the time that it takes; where JAX has moved them, it stays so.
    """
    mlir = sys.modules.get("jax._src.interpreters.mlir")
    if hasattr(mlir, "make_ir_context"):
        make, mine = mlir.make_ir_context, threading.local()

        def context_of_this_thread():
            if not hasattr(mine, "context"):
                mine.context = make()
            return mine.context

        mlir.make_ir_context = context_of_this_thread


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"テストの順序 (order): TEST_ORDER={ORDER}")


# ---- PyTorch: what a test asks it is compared with the kept tables, or answered by them ----------


def pytest_addoption(parser):
    parser.addoption(
        "--reference",
        choices=["write", "check", "read"],
        help="PyTorch の答えの表を: 書く、比べる (PyTorch があるときの既定)、読む (ないときの既定)",
    )


def pytest_configure(config):
    session.mode = config.getoption("--reference") or session.mode
    if session.mode != "read" and not session.installed:
        raise pytest.UsageError(
            "--reference=write と check には PyTorch が必要です (needs torch)。"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    choose_examples(item)
    session.begin(item.nodeid, slow=item.get_closest_marker("slow") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    out = yield
    session.finish()
    session.leave()
    return out


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item):
    session.leave()


def pytest_runtest_logreport(report):
    if report.failed:
        session.tables.failed.add(report.nodeid.partition("::")[0])


def pytest_sessionfinish():
    if session.mode == "write":
        session.tables.save()
