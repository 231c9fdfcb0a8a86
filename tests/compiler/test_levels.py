"""Levels, the plainest way to run a table, and the namespace of stacked lists that it uses."""

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import namespace
from micrograd_jp.compiler.pipeline import EXECUTORS
from micrograd_jp.compiler.table.levels import Levels
from micrograd_jp.engine.operations import reduce
from micrograd_jp.namespace.stacked import stacked
from micrograd_jp.ops.primitive import Reduction, reductions


@pytest.mark.parametrize("op", reductions(), ids=lambda op: op.name)
@pytest.mark.parametrize("n", [2, 4])
def test_stacked_lists_give_what_each_list_gives(op, n):
    lists = np.random.default_rng(n).choice([-np.inf, -3.0, 0.0, 0.5, 2.0, np.inf], (n, 50))
    with np.errstate(all="ignore"):
        got = op.value(stacked, lists)
    wanted = [op.value(namespace.scalar, column) for column in lists.T.tolist()]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_equal_operations_of_a_level_are_one_step():
    f = mg.compile(lambda x: mg.sum([mg.tanh(a * 2) for a in x]), executor="levels")
    (compilation,) = f.trace(np.ones((1, 7))).compilations
    assert isinstance(compilation.executor, Levels)
    every = np.arange(len(compilation.trace))
    steps = [(op.name, len(every[nodes])) for op, nodes, _ in compilation.executor.steps]
    assert steps == [("mul", 7), ("tanh", 7), ("sum", 1)]


def test_every_way_to_run_is_offered_by_name():
    assert list(EXECUTORS) == ["lift", "native", "tape", "levels", "python"]
    with pytest.raises(ValueError, match="levels, lift, native, python, tape"):
        mg.compile(lambda x: x, executor="tape-numpy")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_reduction_that_nobody_knows_runs_every_way(executor):
    squares = Reduction(
        "squares", "Σx²", "平方和", lambda m, xs: m.dot(xs, xs),
        lambda m, z, xs: [2 * x for x in xs],
    )  # fmt: skip
    f = mg.compile(lambda x: reduce(squares, x), executor=executor, dtype=np.float64)
    values, gradients = f.value_and_grad(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert values.tolist() == [5.0, 25.0]
    assert gradients.inputs[0].tolist() == [[2.0, 4.0], [6.0, 8.0]]
