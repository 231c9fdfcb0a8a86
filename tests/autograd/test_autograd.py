"""autograd: 同じプログラムが PyTorch と同じ数を出し、使えない引数は何かを変える前に断る。"""

import copy
import pickle

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp.testing import gradcheck
from tests.reference import pytorch_answers


def leaves(L):
    x = L.tensor([1.0, 2.0, 3.0], dtype=L.float64, requires_grad=True)
    w = L.tensor([2.0, 0.5, 1.0], dtype=L.float64, requires_grad=True)
    return x, w


def plain(x):
    return x.tolist() if hasattr(x, "tolist") else [plain(y) if y is not None else None for y in x]


def hooks(L):
    """Hooks of a leaf and of an intermediate value, each called once with the sum."""
    (x, w), log = leaves(L), []
    handle = x.register_hook(lambda g: log.append(plain(g)))
    y = x * w
    y.register_hook(lambda g: g * 2)
    w.register_post_accumulate_grad_hook(lambda t: log.append(["post", *plain(t.grad)]))
    ((y * x).sum() + x.sum() + (y * y).sum()).backward(retain_graph=True)
    handle.remove()
    (y * y).sum().backward()
    # the order in which two leaves get their gradients is not promised
    return sorted(log, key=str), plain(x.grad), plain(w.grad)


def wanted(L):
    (x, w), out = leaves(L), []
    first = L.autograd.grad((x**3 * w).sum(), [x, w], create_graph=True)
    out += [first, L.autograd.grad(first[0].sum(), [x, w])]
    mid = x * w
    out += [L.autograd.grad((mid * x).sum(), [mid, w], retain_graph=True)]
    out += [L.autograd.grad([mid, mid.sum()], x, [w.detach(), None], allow_unused=True)]
    out += [L.autograd.grad(x.sum(), [w, x], allow_unused=True)]
    (x * w).sum().backward(inputs=[w])
    out += [[x.grad, w.grad]]
    L.autograd.backward([x.sum(), (x * x)], [None, w.detach()])
    out += [[x.grad]]
    (x**3).sum().backward(inputs=x, create_graph=True)
    out += [[x.grad]]
    return plain(out)


def own_function(L):
    class Two(L.autograd.Function):
        @staticmethod
        def forward(ctx, a, b, k):
            ctx.k = k
            first = a.exp() * b
            where = a.argmax()
            ctx.save_for_backward(a, b, first)
            ctx.mark_non_differentiable(where)
            return first, a * k, where

        @staticmethod
        def backward(ctx, g, h, _):
            _, b, first = ctx.saved_tensors
            return g * first + h * ctx.k, g * first / b, None

    x, w = leaves(L)
    a, b, where = Two.apply(x, w, 3.0)
    (g,) = L.autograd.grad((a * a).sum() + b.sum(), x, create_graph=True)
    return plain([g, L.autograd.grad((g * g).sum(), [x, w])]), where.item(), where.requires_grad


def functional(L):
    F = L.autograd.functional
    a, b = (x.detach() for x in leaves(L))
    f = lambda a, b: (a * b).exp().sum()
    return plain([
        F.jacobian(lambda x: x**2, a), F.jacobian(lambda a, b: (a * b, a.sum()), (a, b)),
        F.hessian(f, (a, b)), F.hessian(lambda x: (x**3).sum(), a),
        F.vjp(lambda x: x**2, a, b), F.vjp(f, (a, b)), F.jvp(lambda x: x**2, a, b),
        F.hvp(lambda x: (x**3).sum(), a, b), F.hvp(f, (a, b), (b, a)),
    ])  # fmt: skip


def module_hooks(L):
    log, nn = [], L.nn
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh()).double()
    with L.no_grad():
        model[0].weight.copy_(L.tensor([[1.0, 2.0], [3.0, 4.0]]))
        model[0].bias.zero_()
    model[0].register_full_backward_hook(lambda m, gi, go: log.append(plain([gi[0], go[0]])))
    model[1].register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,))
    model[1].register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
    model.register_forward_pre_hook(lambda m, args: (args[0] * 0.1,))
    for tracked in (False, True):
        x = L.tensor([[1.0, -2.0]], dtype=L.float64, requires_grad=tracked)
        model(x).sum().backward()
        log.append(plain([x.grad, model[0].weight.grad]))
    return log


def names(L):
    (x, w), out = leaves(L), []
    m = L.ones(2, 2, requires_grad=True)
    for y in (x + w, x * w, x - w, x / w, -x, x.exp(), x.log(), x.sqrt(), x.tanh(),
              x.sigmoid(), x.relu(), x.sum(), x.mean(), m @ m, x.pow(2), x.clone()):  # fmt: skip
        out.append(y.grad_fn.name())
    y = (x * w).sum()
    leaf = lambda f: f.name().removeprefix("torch::autograd::")
    out.append([f.name() for f, _ in y.grad_fn.next_functions])
    out.append([leaf(f) for f, _ in y.grad_fn.next_functions[0][0].next_functions])
    return [*out, x.grad_fn is None, bool(y.grad_fn), x.is_leaf, y.is_leaf]


PROGRAMS = [hooks, wanted, own_function, functional, module_hooks, names]


@pytorch_answers
def of_pytorch(torch, name):
    return globals()[name](torch)


def agree(a, b):
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b):
            agree(one, other)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-12, abs=1e-12)
    else:
        assert a == b


@pytest.mark.filterwarnings("ignore:Full backward hook", "ignore:Using backward")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_the_numbers_are_pytorchs(program):
    agree(program(mg), of_pytorch(program.__name__))


# ---- Function ----


class Cube(mg.autograd.Function):
    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class Wrong(Cube):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x


class Once(Cube):
    @staticmethod
    @mg.autograd.function.once_differentiable
    def backward(ctx, g):
        return Cube.backward(ctx, g)


def test_a_function_is_checked_by_gradcheck_to_second_order():
    x = np.array([0.7, -1.2])
    assert gradcheck(Cube.apply, x, order=2)
    assert not gradcheck(Wrong.apply, x, raise_exception=False)
    np.testing.assert_allclose(mg.jacobian(Cube.apply)(x).detach(), np.diag(3 * x**2))
    v = mg.Value(2.0)
    out = Cube.apply(v) * 2
    out.backward()
    assert (out.data, v.grad, type(out)) == (16.0, 24.0, mg.Value)


def test_a_function_works_on_jax_and_in_jit():
    jax = pytest.importorskip("jax")
    x = mg.tensor(jax.numpy.array([1.0, 2.0]), requires_grad=True)
    Cube.apply(x).sum().backward()
    np.testing.assert_allclose(np.asarray(x.grad.numpy()), [3.0, 12.0])
    step = mg.jit(lambda t: mg.grad(lambda u: Cube.apply(u).sum())(t))
    np.testing.assert_allclose(np.asarray(step(x.detach()).numpy()), [3.0, 12.0])


def test_once_differentiable_is_an_error_the_second_time():
    x = mg.tensor([2.0], requires_grad=True)
    Once.apply(x).sum().backward()
    assert x.grad.tolist() == [12.0]
    (g,) = mg.autograd.grad(Once.apply(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_what_was_saved_and_then_written_is_refused():
    x = mg.tensor([2.0], requires_grad=True)
    y = Cube.apply(x)
    with mg.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="書き換えられて"):
        y.sum().backward()


def returning(*found):
    class Bad(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return found if len(found) != 1 else found[0]

    return Bad


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        ((None,), RuntimeError, "2 個の勾配"),
        ((None, None, 1.0), RuntimeError, "2 個の勾配"),
        ((mg.ones(3), None), RuntimeError, "形が違います"),
        ((1.0, None), TypeError, "Tensor か None"),
    ],
)
def test_a_wrong_backward_says_so(found, kind, words):
    x = mg.ones(2, requires_grad=True)
    with pytest.raises(kind, match=words):
        returning(*found).apply(x, mg.ones(2)).sum().backward()


def test_what_is_missing_says_so():
    class Nothing(mg.autograd.Function):
        pass

    class Number(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(1.0)

    class Two(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 1.0

    x = mg.ones(2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="forward"):
        Nothing.apply(x)
    with pytest.raises(TypeError, match="save_for_backward"):
        Number.apply(x)
    with pytest.raises(TypeError, match="Tensor かその組"):
        Two.apply(x)


# ---- 断るもの、写し ----


def test_refused_before_anything_is_changed():
    x, w = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    grad = mg.autograd.grad
    for call, kind, words in [
        (lambda: grad(x.sum(), w), RuntimeError, "allow_unused"),
        (lambda: grad(x * 1, x), RuntimeError, "gradient required"),
        (lambda: grad(x.sum(), mg.ones(2)), RuntimeError, "does not require grad"),
        (lambda: grad(mg.ones(2).sum(), x), RuntimeError, "no graph"),
        (lambda: grad(x.sum(), x, [1.0, 2.0]), ValueError, "数が合いません"),
        (lambda: grad(x.sum(), []), ValueError, "inputs"),
        (lambda: grad(1.0, x), TypeError, "outputs"),
        (lambda: grad(x.sum(), x, is_grads_batched=True), ValueError, "jacobian"),
        (lambda: mg.ones(2).register_hook(print), RuntimeError, "requires_grad"),
        (lambda: x.register_hook(1), TypeError, "関数"),
        (lambda: (x * 1).register_post_accumulate_grad_hook(print), RuntimeError, "not a leaf"),
        (lambda: mg.autograd.functional.vjp(lambda x: x, x), RuntimeError, "v がありません"),
        (lambda: mg.autograd.functional.jvp(lambda x: x, x), RuntimeError, "v がありません"),
        (lambda: mg.autograd.functional.hessian(abs, x, strict=True), ValueError, "strict"),
        (lambda: mg.autograd.set_detect_anomaly(True, False), ValueError, "check_nan"),
    ]:
        with pytest.raises(kind, match=words):
            call()
    with pytest.raises(RuntimeError, match="second time"):
        y = (x * w).sum()
        grad(y, x)
        y.backward()
    assert x.grad is None and w.grad is None


@pytest.mark.parametrize(("found", "kind"), [(1.0, TypeError), (mg.ones(3), ValueError)])
def test_a_hook_that_returns_something_else(found, kind):
    x = mg.ones(2, requires_grad=True)
    x.register_hook(lambda g: found)
    with pytest.raises(kind):
        x.sum().backward()
    with pytest.raises(kind):
        mg.autograd.grad(x.sum(), x, create_graph=True)


def test_an_old_argument_of_grad_warns():
    x = mg.ones(2, requires_grad=True)
    with pytest.warns(FutureWarning, match="only_inputs") as caught:
        (g,) = mg.autograd.grad((x * x).sum(), x, None, None, False, False)
    assert g.tolist() == [2.0, 2.0] and caught[0].filename == __file__


def test_a_failed_backward_leaves_nothing_for_the_next():
    x, seen = mg.ones(2, requires_grad=True), []
    x.register_hook(lambda g: seen.append(g.tolist()))
    y = x * 2
    fail = y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ((y * 1).sum() + x.sum()).backward()
    fail.remove()
    x.sum().backward()
    assert seen == [[1.0, 1.0]] == [x.grad.tolist()]


def test_a_copy_has_no_hooks():
    layer = mg.nn.Linear(2, 1)
    layer.weight.register_hook(lambda g: g * 0)
    assert type(layer.weight).__name__ == "Parameter"
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other(mg.ones(1, 2)).sum().backward()
        assert other.weight.grad.tolist() == [[1.0, 1.0]]
    layer(mg.ones(1, 2)).sum().backward()
    assert layer.weight.grad.tolist() == [[0.0, 0.0]]


def test_hooks_keep_nothing_alive():
    import weakref

    x = mg.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: None)
    gone = weakref.ref(y)
    del y
    assert gone() is None


def test_variable_and_anomaly():
    x = mg.autograd.Variable(mg.tensor([1.0]), requires_grad=True)
    assert isinstance(x, mg.Tensor) and x.requires_grad
    assert not mg.autograd.Variable(mg.tensor([1.0]), volatile=True).requires_grad
    with mg.autograd.set_detect_anomaly(True), pytest.raises(mg.AnomalyError):
        (x * 0).log()
    (x * 0).log()
