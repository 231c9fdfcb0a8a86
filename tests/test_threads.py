"""スレッド: 8 つのスレッドから同時に呼ばれても、1 つのスレッドのときと同じ答えになる。"""

import copy
import io
import sys
import threading

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.compiler import pipeline
from micrograd_jp.locks import Lock
from micrograd_jp.nn.module import evaluating
from micrograd_jp.viz import figures

THREADS = 8


@pytest.fixture(autouse=True)
def threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(work, count=THREADS):
    """`work(0) … work(count − 1)`, each in a thread of its own, started together."""
    results, errors, start = [None] * count, [], threading.Barrier(count)

    def run(i):
        try:
            start.wait(60)
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a thread waits for ever"
    if errors:
        raise errors[0]
    return results


def same(a, b):
    """Nested answers, to the last bit."""
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    return a == b


def picture(number):
    x, y = mg.Value(float(number), label="x"), mg.Value(2.0, label="y")
    z = mg.tanh(x * y) + x
    z.backward()
    return mg.draw(z)


def network():
    mg.manual_seed(0)
    model = mg.nn.Sequential(
        mg.nn.Conv2d(1, 4, 3), mg.nn.BatchNorm2d(4), mg.nn.ReLU(), mg.nn.Flatten(),
        mg.nn.Dropout(0.5), mg.nn.Linear(4 * 6 * 6, 3),
    )  # fmt: skip
    images = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype(np.float32)
    return model, mg.tensor(images)


# ---- 何を呼ぶか: どれも、番号から答えへの関数を作る ------------------------------------------


def compiled(executor):
    def make():
        mg.manual_seed(0)
        model = mg.nn.MLP(4, [8, 1])
        loss = mg.compile(lambda x, t: (model(x) - t[0]) ** 2, dtype="float64", executor=executor)
        xs = [np.random.default_rng(i).normal(size=(5 + i % 3, 5)) for i in range(20)]

        def work(number):
            out = []
            for i in range(20):
                x = xs[(number * 7 + i) % 20]
                inputs = mg.tensor(x[:, :4], requires_grad=True)
                y = loss(inputs, x[:, 4:])
                y.sum().backward()
                value, gradients = loss.value_and_grad(x[:, :4], x[:, 4:])
                out += [y.detach().numpy(), inputs.grad.numpy(), value.detach().numpy()]
                out += gradients.parameters + gradients.inputs
            return out

        return work

    return make


def drawing(format):
    return lambda: lambda number: picture(number).pipe(format)


def figure():
    def work(number):
        fig, axes = figures.subplots()
        axes.plot([0, number, 1])
        axes.set_title(f"損失 {number}")
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=30, metadata={"Software": None})
        return buffer.getvalue()

    return work


def modes():
    shared, x = mg.no_grad(), mg.Value(2.0)

    def work(number):
        out = []
        for _ in range(300):
            with shared, mg.no_grad():
                out.append((x * 3).is_leaf)
                with mg.enable_grad():
                    out.append((x * 3).is_leaf)
            out += [(x * 3).is_leaf, mg.is_grad_enabled()]
        return out

    return work


def evaluation():
    model, x = network()
    data = mg.data.TensorDataset(x, np.arange(6) % 3)
    model.train()

    def work(number):
        out = []
        for _ in range(5):
            found = mg.training.evaluate(model, data, mg.cross_entropy)
            out += [found.loss, found.metric]
        return out

    return work


def looking_inside():
    model, x = network()
    names = ["0", "2"]

    def work(number):
        y = x[number % 6 : number % 6 + 1]
        maps = mg.viz.feature_maps(model, y, names[number % 2])
        heat = mg.viz.grad_cam(model, y, names[number % 2])
        return [
            *(m.detach().numpy() for m in maps.values()),
            heat.numpy(),
            str(model.summary(tuple(y.shape))),
        ]

    return work


def inference():
    """Plain calls of a model that others look into meanwhile."""
    model, x = network()
    model.eval()

    def work(number):
        out = []
        for _ in range(10):
            if number % 2:
                model.summary((1, 1, 8, 8))
            with mg.no_grad():
                out.append(model(x).numpy())
        return out

    return work


def training():
    """Eight models, eight optimizers: nothing of one run is in another."""
    x, t = mg.data.datasets.spiral(60, seed=0)[:]

    def work(number):
        rng = np.random.default_rng(number)
        model = mg.nn.Sequential(mg.nn.Linear(2, 16), mg.nn.Tanh(), mg.nn.Linear(16, 3))
        for p in model.parameters():
            p.data = rng.normal(size=p.shape).astype(np.float32)
        loader = mg.data.DataLoader(mg.data.TensorDataset(x, t), 16, shuffle=True, seed=number,
                                    prefetch=number % 3)  # fmt: skip
        optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
        history = mg.fit(model, loader, mg.cross_entropy, optimizer, 3, progress=False)
        return [history.losses, [p.detach().numpy() for p in model.parameters()]]

    return work


def kernels():
    rng = np.random.default_rng(0)
    w = mg.tensor(rng.normal(size=(4, 2, 3, 3)))

    def work(number):
        x = mg.tensor(rng_of(number).normal(size=(3, 2, 9 + number, 9)), requires_grad=True)
        y = mg.nn.functional.max_pool2d(mg.relu(mg.nn.functional.conv2d(x, w)), 2)
        y.sum().backward()
        return [y.detach().numpy(), x.grad.numpy()]

    return work


def rng_of(number):
    return np.random.default_rng(number)


STATEFUL = {
    **{f"mg.compile ({name})": compiled(name) for name in (None, *pipeline.EXECUTORS)},
    "draw svg": drawing("svg"),
    "draw png": drawing("png"),
    "figures": figure,
    "no_grad": modes,
    "evaluate": evaluation,
    "feature_maps, grad_cam, summary": looking_inside,
    "a model, called": inference,
    "fit": training,
    "native kernels": kernels,
}


# A picture is drawn by eight threads in tests/viz, too; the executors differ in what they keep.
LONG = {"draw png", "figures", *(f"mg.compile ({how})" for how in ("native", "levels", "python"))}


@pytest.mark.parametrize(
    "make",
    [pytest.param(m, marks=[pytest.mark.slow] if n in LONG else []) for n, m in STATEFUL.items()],
    ids=STATEFUL,
)
def test_the_answers_of_eight_threads_are_those_of_one(make):
    alone = [*map(make(), range(THREADS))]  # first those: the threads begin from the same state
    assert same(at_once(make()), alone)


# ---- 順序によるもの: 何が約束されているか -----------------------------------------------------


def test_gradients_of_a_compiled_function_add_up():
    """`loss(X); loss.backward()` in every thread: each is about its own call, none is lost."""
    w = mg.Value(1.5)
    loss = mg.compile(lambda x: (w * x[0]) ** 2, dtype="float64")
    loss.trace(np.ones((1, 1)))

    def work(number):
        for i in range(50):
            loss(np.full((2 + number % 2, 1), float(number * 50 + i)))
            loss.backward()

    at_once(work)
    assert w.grad == 2 * 1.5 * sum(float(i) ** 2 for i in range(50 * THREADS))
    loss(np.ones((1, 1)))
    with pytest.raises(RuntimeError, match="このスレッドでは"):
        at_once(lambda number: loss.backward(), 1)


def test_parameters_are_captured_once_whoever_compiles_first():
    for _ in range(5):
        mg.manual_seed(0)
        model = mg.nn.MLP(3, [4, 1])
        functions = [mg.compile(lambda x, k=k: model(x) * k, dtype="float64") for k in range(8)]
        x = np.ones((2, 3))
        with mg.no_grad():
            y = model([1.0, 1.0, 1.0]).data
        got = at_once(lambda number: functions[number](x).detach().numpy())
        assert np.allclose(got, [[y * k] * 2 for k in range(8)], rtol=1e-12)
        assert {id(t) for f in functions for t in f.parameters()} == {
            id(t) for t in functions[0].parameters()
        }


def test_steps_of_one_optimizer_follow_one_another():
    def run(go):
        p = mg.tensor(np.ones(20_000), requires_grad=True)
        p.grad = mg.tensor(np.linspace(-1.0, 1.0, 20_000))
        optimizer = mg.optim.Adam([p], lr=0.01)
        go(lambda number: [optimizer.step() for _ in range(20)])
        return p.detach().numpy()

    assert np.array_equal(run(at_once), run(lambda work: [*map(work, range(THREADS))]))


def test_each_loop_over_one_loader_is_an_epoch_of_its_own():
    data = mg.data.TensorDataset(np.arange(40))

    def orders(go, prefetch):
        loader = mg.data.DataLoader(data, 8, shuffle=True, seed=3, prefetch=prefetch)
        found = go(lambda number: [int(i) for (x,) in loader for i in x.numpy()])
        return sorted(found), loader.state_dict()["epoch"] <= THREADS

    for prefetch in (0, 2):
        assert orders(at_once, prefetch) == orders(lambda w: [*map(w, range(THREADS))], prefetch)


def test_no_random_number_is_drawn_twice():
    def drawn(go):
        mg.manual_seed(5)
        parts = go(lambda number: [mg.rand(100).numpy() for _ in range(20)])
        return np.sort(np.ravel(parts))

    assert np.array_equal(drawn(at_once), drawn(lambda work: [*map(work, range(THREADS))]))


# ---- 途中で出会う: 1 つのスレッドが順伝播の途中にいる間に、ほかのスレッドが ----------------------


class Gate(mg.nn.Module):
    """Who comes first waits here for the others."""

    def __init__(self):
        self.inside, self.go_on, self.modes = threading.Event(), threading.Event(), []

    def forward(self, x):
        if not self.inside.is_set():
            self.inside.set()
            assert self.go_on.wait(60)
        self.modes.append(self.training)
        return x


def gated():
    model, x = network()
    model.insert(2, Gate())
    return model, model[2], x


def meanwhile(first, gate, then):
    """`then()` while another thread is in the gate on its way through `first()`: both answers."""
    results = []
    thread = threading.Thread(target=lambda: results.append(first()), daemon=True)
    thread.start()
    assert gate.inside.wait(60)
    between = then()
    gate.go_on.set()
    thread.join(60)
    return results[0], between


def test_an_evaluation_goes_on_in_its_mode_when_another_ends():
    model, first, x = gated()
    second = Gate()
    model.append(second)
    model[1].eval()
    before = [m.training for m in model.modules()]
    data = mg.data.TensorDataset(x, np.arange(6) % 3)

    def evaluated():
        return mg.training.evaluate(model, data, mg.cross_entropy).loss

    def another():  # comes to the second gate, and stays there until the first thread has ended
        thread = threading.Thread(target=lambda: losses.append(evaluated()), daemon=True)
        thread.start()
        assert second.inside.wait(60)
        return thread

    losses = []
    losses_of_first, thread = meanwhile(evaluated, first, another)
    second.go_on.set()
    thread.join(60)
    assert second.modes == [False] * 2 and losses == [losses_of_first]
    assert [m.training for m in model.modules()] == before and not evaluating._held


def test_who_looks_into_a_model_sees_his_own_forward_pass():
    model, gate, x = gated()

    def look(n, layer):
        heat = mg.viz.grad_cam(model, x[n : n + 1], layer)
        return [mg.viz.feature_maps(model, x[n : n + 1], layer)[layer].numpy(), heat.numpy()]

    for inner in (lambda: look(1, "1"), lambda: model(x), lambda: str(model.summary(x.shape))):
        gate.inside.clear()
        gate.go_on.clear()
        first, _ = meanwhile(lambda: look(0, "1"), gate, inner)
        assert same(first, look(0, "1"))
    gate.inside.clear()
    gate.go_on.clear()
    shown, _ = meanwhile(lambda: str(model.summary((1, 1, 8, 8))), gate, lambda: look(1, "1"))
    assert shown == str(model.summary((1, 1, 8, 8)))


def test_who_looks_into_a_model_repeats_no_random_numbers():
    model, gate, _ = gated()
    mg.manual_seed(1)
    whole = mg.rand(10).tolist()
    mg.manual_seed(1)
    _, before = meanwhile(lambda: model.summary((1, 1, 8, 8)), gate, lambda: mg.rand(5).tolist())
    assert before + mg.rand(5).tolist() == whole


def test_one_no_grad_object_may_be_entered_by_two_threads():
    shared, inside, left = mg.no_grad(), threading.Event(), threading.Event()
    x, answers = mg.Value(1.0), []

    def other():
        with shared:
            inside.set()
            assert left.wait(60)
            answers.append((x * 2).is_leaf)
        answers.append((x * 2).is_leaf)

    thread = threading.Thread(target=other, daemon=True)
    with shared:
        thread.start()
        assert inside.wait(60)
    answers.append((x * 2).is_leaf)
    left.set()
    thread.join(60)
    assert answers == [False, True, False]


def test_jit_calls_follow_one_another():
    pytest.importorskip("jax.numpy")
    model = mg.nn.Linear(3, 1)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)

    def step(x):
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    fast = mg.jit(step, model, optimizer)
    model.load_state_dict({"weight": np.zeros((1, 3)), "bias": np.zeros(1)})
    at_once(lambda number: [fast(mg.ones(2, 3)) for _ in range(10)])
    assert np.allclose(model.weight.detach().numpy(), -0.01 * 2 * 10 * THREADS, rtol=1e-4)


# ---- 錠を外すと、試験は気づく -------------------------------------------------------------------


def test_negative_control_without_its_lock_a_compiled_function_is_wrong(monkeypatch):
    """Another call comes between the forward and the backward pass of value_and_grad."""

    class Open:
        def __init__(self, owner=None):
            pass

        def __enter__(self):
            return True

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(pipeline, "Lock", Open)
    w = mg.Value(3.0)
    loss = mg.compile(lambda x: (w * x[0]) ** 2, dtype="float64", executor="levels")
    ones, twos = np.full((1, 1), 1.0), np.full((1, 1), 2.0)
    right = loss.value_and_grad(ones)[1].inputs[0].item()
    executor = loss.compilations[0].executor
    inside, go_on, usual = threading.Event(), threading.Event(), executor.backward

    def backward(*args):
        inside.set()
        assert go_on.wait(60)
        return usual(*args)

    executor.backward = backward
    found = []
    thread = threading.Thread(target=lambda: found.append(loss.value_and_grad(ones)), daemon=True)
    thread.start()
    assert inside.wait(60)
    loss(twos)
    go_on.set()
    thread.join(60)
    assert right == 18.0 and found[0][1].inputs[0].item() == 36.0


def test_a_copy_has_a_lock_of_its_own():
    lock = Lock()
    assert copy.copy(lock) is not lock and copy.deepcopy(lock) is not lock
    w = mg.Value(2.0)
    loss = mg.compile(lambda x: w * x[0])
    assert loss(np.ones((1, 1))).tolist() == copy.deepcopy(loss)(np.ones((1, 1))).tolist()
    copy.deepcopy(mg.optim.SGD([mg.tensor([1.0], requires_grad=True)], lr=1.0)).step()
