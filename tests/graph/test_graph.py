"""計算グラフ: 順序、逆伝播の意味、深さ、メモリ、高階微分、スレッド。"""

import gc
import math
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.engine import Value
from micrograd_jp.graph import topological_order


def test_order_is_parents_first_and_repeatable():
    a, b = Value(1.0), Value(2.0)
    c = a * b
    root = c + mg.dot([a, c], [b, 3.0]) + a
    order = topological_order(root)
    position = {id(node): i for i, node in enumerate(order)}
    assert len(position) == len(order)
    assert order[-1] is root
    for node in order:
        assert all(position[id(p)] < position[id(node)] for p in node.parents)
    assert [id(n) for n in topological_order(root)] == [id(n) for n in order]


class TestBackward:
    def test_leaves_accumulate_and_other_nodes_hold_the_last_pass(self):
        x = Value(3.0)
        y = x * x
        z = y * 2
        z.backward()
        z.backward()
        assert (x.grad, y.grad, z.grad) == (24.0, 2.0, 1.0)

    def test_shared_subgraphs(self):
        x = Value(2.0)
        y = x * x
        (y + y * y).backward()
        assert x.grad == 2 * 2 + 4 * 2**3

    def test_two_roots_over_one_subgraph(self):
        x = Value(2.0)
        y = x * x
        (y * 3).backward()
        (y * 5).backward()
        assert x.grad == 8 * 4

    def test_x_plus_x(self):
        x = Value(1.0)
        y = x + x
        assert y.parents == (x, x) and y.partials == (1.0, 1.0)
        y.backward()
        assert x.grad == 2.0

    def test_constants_on_either_side(self):
        x = Value(4.0)
        for y, operands, partial in (
            (x - 3, (x, 3.0), 1.0),
            (3 - x, (3.0, x), -1.0),
            (2 / x, (2.0, x), -1 / 8),
            (x**3, (x, 3.0), 48.0),
            (2**x, (2.0, x), 16 * math.log(2)),
        ):
            assert y.operands == operands
            assert y.parents == (x,)
            assert y.partials == pytest.approx((partial,))

    @given(st.floats(-3, 3))
    def test_seed_scales_the_gradient(self, seed):
        x = Value(0.7)
        x.sin().backward(seed)
        assert x.grad == pytest.approx(seed * math.cos(0.7))

    def test_nothing_to_differentiate(self):
        x = Value(1.0)
        with mg.no_grad():
            y = x * 2
        for leaf in (x, y, y.detach()):
            with pytest.raises(RuntimeError, match="no graph"):
                leaf.backward()
        assert not x.has_grad

    def test_a_bad_seed_changes_nothing(self):
        x = Value(1.0)
        with pytest.raises(TypeError, match="expected a real number"):
            (x * 2).backward("1")
        assert not x.has_grad

    def test_parameters_shared_by_threads(self):
        w = Value(1.0)

        def work():
            for _ in range(50):
                mg.sum([w * float(i) for i in range(20)]).backward()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert w.grad == 6 * 50 * 190


class TestDepthAndMemory:
    @pytest.mark.slow
    def test_a_chain_of_a_million_nodes(self):
        x = y = Value(1.0)
        for _ in range(1_000_000):
            y = y + 1.0
        y.backward()
        assert x.grad == 1.0 and y.data == 1_000_001

    def test_a_dropped_graph_is_freed_at_once_without_the_collector(self):
        gc.collect()
        gc.disable()
        try:
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            y = Value(1.0)
            for _ in range(20_000):
                y = y * 1.0001 + y
            y.backward()
            at_peak = tracemalloc.get_traced_memory()[0] - before
            del y
            left = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
            gc.enable()
        assert at_peak > 40_000 * 100
        assert left < 0.01 * at_peak


class TestHigherOrder:
    def test_third_derivative_of_tanh(self):
        assert mg.grad(mg.grad(mg.grad(mg.tanh)))(0.0).data == -2.0

    def test_backward_with_create_graph(self):
        x = Value(2.0)
        (x**3).backward(create_graph=True)
        first = x.grad
        assert isinstance(first, Value) and first.data == 12.0
        x.grad = None
        first.backward()
        assert x.grad == 12.0

    def test_create_graph_accumulates_into_leaves(self):
        x = Value(2.0)
        y = x * x
        y.backward()
        y.backward(create_graph=True)
        assert x.grad.data == 8.0

    def test_gradient_penalty(self):
        x = Value(3.0)
        y = x * x
        y.backward(create_graph=True)
        penalty = x.grad**2  # (2x)²
        x.grad = None
        penalty.backward()
        assert x.grad == 8 * 3.0

    def test_data_changed_after_the_forward_pass_is_noticed(self):
        w, x = Value(2.0), Value(3.0)
        y = w * x
        w.data = 5.0
        with pytest.raises(RuntimeError, match="modified in place"):
            y.backward(create_graph=True)
        assert not w.has_grad and not x.has_grad

    def test_the_recorded_partials_do_not_change_with_the_data(self):
        w, x = Value(2.0), Value(3.0)
        y = w * x
        w.data = 5.0
        y.backward()
        assert x.grad == 2.0

    @pytest.mark.parametrize("x", [0.0, 1000.0, -1000.0])
    def test_branches_not_taken_bring_no_nan(self, x):
        second = mg.grad(mg.grad(mg.elu))(x)
        assert math.isfinite(second.data)
        assert mg.grad(mg.grad(lambda x: x**0))(x).data == 0.0


# ---- 順伝播のあとで書き換えられた data -------------------------------------------------------


@pytest.mark.parametrize("change", [1.5, 0.5, 1 + 1e-6, math.nan, math.inf])
@pytest.mark.parametrize(
    "f", [lambda x: x * x, lambda x: mg.log(x) * 2, lambda x: mg.dot([x], [x])]
)
def test_a_slope_that_changed_since_is_refused(f, change):
    x = Value(1.25)
    y = f(x)
    x.data *= change
    with pytest.raises(RuntimeError, match="modified in place"):
        y.backward(create_graph=True)


@pytest.mark.parametrize(
    "start, then", [(1.25, 1.25 * (1 + 1e-12)), (math.nan, math.nan), (0.0, -0.0)]
)
def test_the_same_slope_is_not(start, then):
    x = Value(start)
    y = x * x * 3
    x.data = then
    y.backward(create_graph=True)
    assert x.grad.data == pytest.approx(6 * start, nan_ok=True)


@pytest.mark.parametrize("of", [mg.Value, lambda x: mg.tensor([x, x])])
def test_an_output_that_is_given_twice_counts_twice(of):
    def f(x):
        y = x * x
        return y, y.sin(), y

    x, seeds = of(0.7), [of(2.0), of(3.0), of(5.0)]
    _, pullback = mg.vjp(f, x)
    (got,) = pullback(tuple(seeds))
    y = np.square(getattr(x, "_data", x))
    np.testing.assert_allclose(got.data, (2 + 5 + 3 * np.cos(y)) * 2 * x.data, rtol=1e-12)


def by_recursion(*roots):
    """The order as its definition says: parents from left to right, each node once."""
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for parent in node.parents:
                visit(parent)
            order.append(node)

    for root in roots:
        visit(root)
    return order


@given(st.data())
def test_the_order_is_that_of_the_definition(data):
    """For every mixture of nodes with one, two and many parents, the same parent twice, too."""
    nodes = [mg.Value(float(i)) for i in range(3)]
    pick = lambda: data.draw(st.sampled_from(nodes))
    for _ in range(data.draw(st.integers(1, 25))):
        kind = data.draw(st.sampled_from(["one", "two", "left", "right", "many", "tensor"]))
        if kind == "many":
            nodes.append(mg.sum([pick() for _ in range(data.draw(st.integers(1, 5)))]))
        elif kind == "tensor":
            nodes.append(mg.stack([pick(), pick()]).sum().to_value())
        else:
            a, b = pick(), pick()
            nodes.append({"one": a.tanh(), "two": a * b, "left": a * 2, "right": 2 - b}[kind])
    roots = [pick() for _ in range(data.draw(st.integers(1, 3)))]
    found, expected = topological_order(*roots), by_recursion(*roots)
    assert [id(x) for x in found] == [id(x) for x in expected]
