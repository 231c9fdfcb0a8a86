"""差分ファザー: すべての公開名が表にあり、説明のつかない違いがない（陰性対照は test_planted）。"""
# ruff: noqa: E402

import random

import pytest

torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")
import fuzz
import fuzz_calls
from fuzz_draw import Draw, Found, Stop
from fuzz_program import script

import micrograd_jp as mg
from micrograd_jp.nn.losses import elements
from micrograd_jp.ops.primitive import elementwise_primitives
from micrograd_jp.tensor import creation
from micrograd_jp.tensor import random as random_numbers
from micrograd_jp.tensor.functions import FUNCTIONS, IN_PLACE, METHODS
from tests.tensor.composed_rows import composed
from tests.together import together


def public_names():
    """Every function of arrays that can be called, by whatever name."""
    functional = {
        n for n in vars(mg.nn.functional) if callable(getattr(mg.nn.functional, n))
        and hasattr(torch.nn.functional, n) and not n.startswith("_") and n[0].islower()
    }  # fmt: skip
    in_place = {n for n in IN_PLACE if n.rstrip("_") not in fuzz_calls.CALLS}
    return (
        FUNCTIONS.keys() | METHODS.keys() | in_place | functional
        | {op.name for op in elementwise_primitives()}
        | {*creation.__all__, *random_numbers.__all__, *elements.__all__}
    )  # fmt: skip


def test_every_public_function_is_in_the_table():
    there = fuzz_calls.CALLS.keys() | fuzz_calls.WITHOUT.keys()
    assert public_names() - there - composed(FUNCTIONS, METHODS) == set()
    assert not fuzz_calls.CALLS.keys() & fuzz_calls.WITHOUT.keys()


@together([*fuzz_calls.CALLS, *fuzz_calls.OTHERS])
def test_every_row_can_be_drawn(name):
    """At least once in a while, a row writes a line that both libraries can run."""
    draw = fuzz_calls.CALLS.get(name) or fuzz_calls.OTHERS[name]
    for number in range(200):
        d = Draw(random.Random(number), odd=0.0)
        try:
            if name in ("backward", "update", "optim"):
                fuzz_calls.CALLS["exp"](d)
            if name == "update" and not d.run.failed:
                fuzz_calls.backward(d)
            draw(d)
        except (Stop, Found):
            continue
        if not d.run.failed and any(line.leaf is None for line in d.run.lines):
            return
    pytest.fail(f"{name}: 200 回のうち 1 度も、両方で動く行にならない")


@pytest.mark.slow
def test_random_programs_agree_with_pytorch():
    """A fair share of `python tests/differential/fuzz.py 20000`, the same in every run."""
    report = fuzz.fuzz(4000, seed=0)
    assert not report.failures, "\n".join(map(str, [*report.failures, report]))
    assert report.conventions.total() < 0.15 * report.programs


def test_a_failure_becomes_small_scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mg.Tensor, "__getitem__", lambda t, key: t)
        report = fuzz.fuzz(300, seed=2, stop=1)
        assert len(report.failures) == 1
        assert 1 < len(report.failures[0].lines) <= 4
        text = str(report.failures[0])
    assert "import micrograd_jp as m" in text
    assert "import torch as m" in text
    exec(script(report.failures[0].lines, "torch"), {})


def test_the_same_seed_draws_the_same_programs():
    first, again = (fuzz.drawn(3, 7)[0] for _ in range(2))
    assert first == again != fuzz.drawn(3, 8)[0]
