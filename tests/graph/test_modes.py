"""no_grad, enable_grad, detect_anomaly。"""

import asyncio
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import micrograd_jp as mg
from micrograd_jp.engine import Value
from micrograd_jp.graph.modes import unusual


@pytest.fixture(autouse=True)
def everything_is_back_to_normal():
    yield
    assert unusual.contexts == 0 and mg.is_grad_enabled()


class TestNoGrad:
    def test_results_are_leaves_without_parents(self):
        x = Value(2.0)
        with mg.no_grad():
            for y in (x * 3, 3 * x, x.exp(), mg.dot([x], [x]), mg.clip(x, 0, 1)):
                assert y.is_leaf and y.parents == () and y.operands == () and not y.has_grad
        assert (x * 3).parents == (x,)

    def test_nests_and_survives_exceptions(self):
        with pytest.raises(ZeroDivisionError), mg.no_grad(), mg.no_grad():
            1 / 0
        assert mg.is_grad_enabled()
        with mg.no_grad():
            with mg.no_grad():
                pass
            assert not mg.is_grad_enabled()
            with mg.enable_grad():
                assert not (Value(1.0) * 2).is_leaf
            assert (Value(1.0) * 2).is_leaf

    def test_one_object_may_be_entered_twice(self):
        quiet = mg.no_grad()
        with quiet, quiet:
            assert not mg.is_grad_enabled()

    def test_decorates(self):
        @mg.no_grad()
        def factorial_node(n):
            """Recursive, so that the calls nest."""
            return Value(1.0) if n == 0 else factorial_node(n - 1) * n

        assert factorial_node(5).is_leaf and factorial_node(5).data == 120
        assert factorial_node.__name__ == "factorial_node"

    def test_generators_are_refused(self):
        with pytest.raises(TypeError, match="with"):

            @mg.no_grad()
            def numbers():
                yield Value(1.0)

    def test_other_threads_are_not_affected(self):
        inside, done = threading.Event(), threading.Event()
        recorded = []

        def other():
            inside.wait(10)
            recorded.append(not (Value(1.0) * 2).is_leaf)
            done.set()

        thread = threading.Thread(target=other)
        thread.start()
        with mg.no_grad():
            inside.set()
            assert done.wait(10)
        thread.join()
        assert recorded == [True]

    def test_other_tasks_are_not_affected(self):
        async def quiet(started):
            with mg.no_grad():
                started.set()
                await asyncio.sleep(0.01)
                return (Value(1.0) * 2).is_leaf

        async def usual(started):
            await started.wait()
            return (Value(1.0) * 2).is_leaf

        async def both():
            started = asyncio.Event()
            return await asyncio.gather(quiet(started), usual(started))

        with ThreadPoolExecutor(1) as pool:  # an open browser (tests/browser.py) has a loop here
            assert pool.submit(asyncio.run, both()).result() == [True, False]


class TestDetectAnomaly:
    def test_forward(self):
        x = Value(0.0)
        with mg.detect_anomaly(), pytest.raises(mg.AnomalyError) as caught:
            y = x + 1.0
            z = x.log()  # the culprit
            y * z
        assert "log(0) = -inf" in str(caught.value)
        assert "test_modes.py" in caught.value.where and "test_forward" in caught.value.where
        assert caught.value.node.op.name == "log"

    def test_reductions(self):
        with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="dot"):
            mg.dot([Value(1e200)], [Value(1e200)])

    def test_backward(self):
        x = Value(0.0)
        with mg.detect_anomaly():
            y = x.sqrt()
            z = y * 2
            with pytest.raises(mg.AnomalyError, match="backward") as caught:
                z.backward()
        assert "sqrt" in str(caught.value) and "test_backward" in caught.value.where

    def test_backward_of_a_graph_made_outside(self):
        z = Value(0.0).sqrt()
        with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="の外"):
            z.backward()

    def test_nan_from_outside_is_named(self):
        x = Value(math.nan)
        with mg.detect_anomaly(), pytest.raises(mg.AnomalyError, match="既に nan"):
            x * 2

    def test_deliberate_infinities_pass(self):
        mask = Value(-math.inf)
        with mg.detect_anomaly():
            assert mg.softmax([mask, Value(0.0)])[1].data == 1.0

    def test_sound_programs_pass(self):
        x = Value(0.5)
        with mg.detect_anomaly():
            mg.tanh(x * 2 + mg.sum([x, x])).backward()
        assert x.has_grad

    def test_silent_without_it(self):
        z = Value(0.0).log() * 0.0
        assert math.isnan(z.data)
        z.backward()


class TestSetGradEnabled:
    def test_a_phase_decides(self):
        x = Value(2.0)
        for phase in (True, False, True):
            with mg.set_grad_enabled(phase):
                assert mg.is_grad_enabled() == phase == (not (x * 2).is_leaf)
            assert mg.is_grad_enabled()

    def test_inside_of_others_what_was_before_comes_back(self):
        with mg.no_grad():
            with mg.set_grad_enabled(True):
                assert mg.is_grad_enabled()
                with mg.set_grad_enabled(False), mg.set_grad_enabled(False):
                    assert not mg.is_grad_enabled()
                assert mg.is_grad_enabled()
            assert not mg.is_grad_enabled()

    def test_one_object_may_be_entered_again(self):
        mode = mg.set_grad_enabled(False)
        with mode, mode:
            assert not mg.is_grad_enabled()
        assert mg.is_grad_enabled()
        with mode:
            assert not mg.is_grad_enabled()

    def test_a_decorator_changes_nothing_outside(self):
        @mg.set_grad_enabled(False)
        def twice(x):
            return x * 2

        assert mg.is_grad_enabled() and twice(Value(1.0)).is_leaf and mg.is_grad_enabled()

    def test_as_a_statement_it_stays(self):
        """In a thread of its own, where nobody has to put it back; other threads go on."""
        seen = []

        def statements():
            mg.set_grad_enabled(False)
            seen.append((Value(1.0) * 2).is_leaf)
            with mg.no_grad():
                mg.set_grad_enabled(True)
                seen.append(not (Value(1.0) * 2).is_leaf)
            seen.append((Value(1.0) * 2).is_leaf)  # as before the `with`, as in PyTorch
            mg.set_grad_enabled(True)
            seen.append(not (Value(1.0) * 2).is_leaf)

        before = unusual.contexts
        thread = threading.Thread(target=statements)
        thread.start()
        thread.join()
        assert seen == [True] * 4 and not (Value(1.0) * 2).is_leaf
        unusual.change(before - unusual.contexts)  # what the statements left behind

    @pytest.mark.parametrize("mode", ["no", None, 2, [], math.nan])
    def test_what_is_no_bool_is_refused(self, mode):
        for make in (mg.set_grad_enabled, mg.inference_mode):
            with pytest.raises(TypeError, match="expected a bool"):
                make(mode)
        assert mg.is_grad_enabled()


def test_inference_mode():
    x = Value(2.0)

    @mg.inference_mode()
    def predicted():
        return x * 3

    assert predicted().is_leaf and not (x * 3).is_leaf
    with mg.inference_mode():
        assert (x * 3).is_leaf
        with mg.inference_mode(False):
            assert not (x * 3).is_leaf
    with pytest.raises(TypeError, match=r"@mg\.inference_mode"):
        mg.inference_mode(predicted)
