"""`Module`: パラメータの順序と名前、共有、モード、型、表示。"""

import copy
import pickle
import random
from functools import partial

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.tensor import devices
from tests.reference import pytorch_answers, torch


class Block(nn.Module):
    """Parameters after a module, in lists, tuples and dictionaries, of both kinds."""

    def __init__(self):
        self.inner = nn.Linear(2, 3)
        self.scale = nn.Parameter([1.0, 2.0])
        self.list = [mg.Value(1.0), nn.Linear(3, 1), (mg.Value(2.0),)]
        self.dict = {"head": nn.Linear(1, 1, bias=False), "gain": nn.Parameter(3.0)}
        self.constant = mg.tensor([5.0])
        self.result = self.scale * 2
        self.register_buffer("mean", mg.zeros(2))

    def forward(self, x):
        return self.inner(x * self.scale)


NAMES = [
    "scale", "list.0", "list.2.0", "dict.gain", "inner.weight", "inner.bias",
    "list.1.weight", "list.1.bias", "dict.head.weight",
]  # fmt: skip


def names(pairs):
    return [name for name, _ in pairs]


def test_names_in_the_order_of_attributes_a_modules_own_before_those_inside():
    block = Block()
    assert names(block.named_parameters()) == NAMES
    assert [id(p) for p in block.parameters()] == [id(p) for _, p in block.named_parameters()]
    assert names(block.named_buffers()) == ["mean"]
    assert names(block.named_children()) == ["inner", "list.1", "dict.head"]
    assert names(block.named_modules(prefix="block")) == [
        "block", "block.inner", "block.list.1", "block.dict.head",
    ]  # fmt: skip


def test_no_call_of_super_init_is_needed_and_plain_results_are_no_parameters():
    block = Block()
    found = set(map(id, block.parameters()))
    assert id(block.constant) not in found
    assert id(block.result) not in found
    assert id(block.mean) not in found


def test_what_is_shared_appears_once_under_its_first_name_but_is_saved_under_each():
    linear = nn.Linear(2, 2)
    model = nn.Sequential(linear, nn.ReLU(), linear)
    model.tied = linear.weight
    assert names(model.named_parameters()) == ["tied", "0.bias"]
    assert len(model.parameters()) == 2
    assert names(model.named_modules()) == ["", "0", "1"]
    assert list(model.state_dict()) == [
        "tied", "0.weight", "0.bias", "2.weight", "2.bias",
    ]  # fmt: skip


def test_what_is_inside_is_found_by_its_name():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)))
    assert model.get_submodule("1.0") is model[1][0] and model.get_submodule("") is model
    assert model.get_parameter("1.1.weight") is model[1][1].weight
    assert model.get_buffer("1.0.running_mean") is model[1][0].running_mean
    for get in (model.get_submodule, model.get_parameter, model.get_buffer):
        with pytest.raises(AttributeError, match=r"'1\.2' という.+\(no such"):
            get("1.2")
    assert [n for n, _ in model[1].named_parameters("net", recurse=False)] == []
    own = [n for n, _ in model[0].named_parameters("net", recurse=False)]
    assert own == ["net.weight", "net.bias"]
    assert model.parameters(recurse=False) == [] == model.buffers(recurse=False)
    assert next(n for n, _ in model[1].named_buffers("net")) == "net.0.running_mean"
    shared = nn.ModuleList([model[0], model[0]])
    assert len(list(shared.named_parameters(remove_duplicate=False))) == 4
    assert len(list(shared.named_modules(remove_duplicate=False))) == 3


def test_a_name_that_pytorch_has_says_what_to_write():
    with pytest.raises(AttributeError, match="register_full_backward_hook"):
        nn.Linear(1, 1).register_backward_hook(print)
    with pytest.raises(AttributeError, match=r"mg\.jit"):
        nn.ModuleList().compile()
    with pytest.raises(AttributeError, match="object has no attribute 'wieght'"):
        nn.Linear(1, 1).wieght


def test_gradients_become_zeros_or_nothing():
    layer = nn.Linear(2, 1)
    layer(mg.ones(1, 2)).sum().backward()
    layer.zero_grad(set_to_none=False)
    assert not layer.weight.grad.any() and not layer.bias.grad.any()
    layer.zero_grad()
    assert layer.weight.grad is None


def test_containers_give_back_what_they_drop():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    for container in (nn.Sequential(a, b, c), nn.ModuleList([a, b, c])):
        assert container.pop(0) is a and list(container) == [b, c] and container.pop() is c
        assert [n for n, _ in container.named_children()] == ["0"]
        with pytest.raises(IndexError, match="out of range"):
            container.pop(5)
    by_name = nn.ModuleDict({"a": a, "b": b})
    assert by_name.pop("a") is a and list(by_name) == ["b"]
    with pytest.raises(KeyError, match="no such module"):
        by_name.pop("a")
    by_name.clear()
    assert len(by_name) == 0
    by_name.register_module("c", c)
    assert by_name["c"] is c


def test_a_module_that_contains_itself_is_named():
    class Child(nn.Module):
        def __init__(self, parent):
            self.parent = parent

    class Parent(nn.Module):
        def __init__(self):
            self.child = Child(self)

    for act in (Parent().parameters, Parent().state_dict, Parent().train):
        with pytest.raises(ValueError, match=r"contains itself.*'child.parent'"):
            act()
    endless = [nn.Linear(1, 1)]
    endless.append(endless)
    model = nn.Module()
    model.list = endless
    with pytest.raises(ValueError, match="contains itself"):
        model.parameters()


def test_modules_of_micrograds_style_override_parameters_and_call():
    class Pair(nn.Module):
        def __init__(self):
            self.a, self.b, self.unused = mg.Value(1.0), mg.Value(2.0), mg.Value(3.0)

        def __call__(self, x):
            return self.a * x + self.b

        def parameters(self):
            return [self.b, self.a]

    class Both(nn.Module):
        def __init__(self):
            self.pairs = [Pair(), Pair()]

        def parameters(self):
            return [*super().parameters(), *self.pairs[0].parameters()]

    both = Both()
    assert names(Pair().named_parameters()) == ["b", "a"]
    assert names(both.named_parameters()) == ["pairs.0.b", "pairs.0.a", "pairs.1.b", "pairs.1.a"]
    outside = mg.Value(1.0)
    Pair.parameters = lambda self: [outside]
    assert names(Pair().named_parameters()) == ["parameters.0"]


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="forward is not defined"):
        nn.Module()(1)


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(nn.Dropout(), nn.Residual(nn.Dropout()))
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    model[1].train()
    assert [module.training for module in model.modules()] == [False, False, True, True]


def test_apply_goes_from_the_inside_out():
    seen = []
    model = nn.Sequential(nn.Residual(nn.ReLU()), nn.Tanh())
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["ReLU", "Residual", "Tanh", "Sequential"]


def test_freezing_keeps_parameters_and_stops_gradients():
    class Model(nn.Module):
        def __init__(self):
            self.plain = mg.tensor([2.0], requires_grad=True)
            self.linear = nn.Linear(1, 1)

        def forward(self, x):
            return self.linear(self.plain * x)

    model = Model()
    before = names(model.named_parameters())
    assert model.requires_grad_(False) is model
    assert names(model.named_parameters()) == before == list(model.state_dict())
    assert not model(mg.tensor([1.0])).requires_grad
    model.linear.requires_grad_()
    model(mg.tensor([1.0])).sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True, False, False]


def test_values_cannot_be_frozen_and_nothing_changes():
    block = Block()
    with pytest.raises(TypeError, match="always has a gradient"):
        block.requires_grad_(False)
    assert block.scale.requires_grad


def test_to_changes_floating_parameters_buffers_and_gradients():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Neuron(2))
    model[:2](mg.randn(4, 2)).sum().backward()
    held = model[0].weight
    assert model.double() is model
    assert model[0].weight is held
    assert {p.dtype for p in model[:2].parameters()} == {mg.float64}
    assert held.grad.dtype == model[1].running_var.dtype == mg.float64
    assert model[1].num_batches_tracked.dtype == mg.int64
    assert isinstance(model[2].b.data, float)
    assert model.to("float16")[0].weight.dtype == mg.float16
    assert model.float()[0].weight.dtype == model.half().float()[0].bias.dtype == mg.float32


@pytest.mark.parametrize("dtype", [mg.int64, None, "many", bool])
def test_to_refuses_other_dtypes(dtype):
    with pytest.raises(TypeError, match="expected a floating dtype"):
        nn.Linear(1, 1).to(dtype)


def test_to_a_device():
    model = nn.Sequential(nn.Linear(2, 3), nn.Neuron(2))
    weight, data = model[0].weight, model[0].weight.detach().numpy()
    assert model.to(mg.device("cpu")) is model.to("cpu:0") is model.cpu() is model
    assert model[0].weight is weight and weight.detach().numpy() is data
    assert model.to("cpu", mg.float64)[0].weight.dtype == mg.float64
    assert model.to(mg.float32, device="cpu")[0].weight.dtype == mg.float32
    assert model.to(device="cpu", dtype="float16")[0].weight.dtype == mg.float16
    with pytest.raises(TypeError, match="expected a floating dtype or a device"):
        model.to()


def test_a_device_that_nobody_has_changes_nothing():
    model = nn.Linear(2, 3)
    data = model.weight.detach().numpy()
    for call in (lambda: model.to("tpu:99", mg.float64), lambda: model.cuda(99)):
        with pytest.raises(RuntimeError, match="no such device"):
            call()
    assert model.weight.detach().numpy() is data


def test_everything_is_moved_to_another_device(monkeypatch):
    jax = pytest.importorskip("jax", reason="extra の accel")
    # The array of JAX stands for another device: there may be only one here.
    monkeypatch.setattr(devices, "placed", lambda data, place: jax.numpy.asarray(data))
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Neuron(2))
    optimizer = mg.optim.SGD(model[:2].parameters(), lr=0.1)
    model[:2](mg.randn(4, 2)).sum().backward()
    model.to("cuda")
    held = [*model[:2].parameters(), *model.buffers(), *(p.grad for p in model[:2].parameters())]
    assert len(held) == 11 and all(isinstance(x._data, jax.Array) for x in held)
    assert isinstance(model[2].b.data, float)
    before = model[1].bias.detach().numpy().copy()
    optimizer.step()  # it still holds the parameters
    assert not np.array_equal(model[1].bias.detach().numpy(), before)


def test_buffers_stay_buffers_when_assigned_anew():
    block = Block()
    block.mean = mg.ones(2)
    block.register_buffer("scratch", mg.zeros(1), persistent=False)
    block.register_buffer("later", None)
    assert names(block.named_buffers()) == ["mean", "scratch"]
    assert "mean" in block.state_dict()
    assert "scratch" not in block.state_dict()
    for bad in (np.zeros(2), mg.zeros(2, requires_grad=True), 1.0):
        with pytest.raises(TypeError, match="Tensor without gradient"):
            block.register_buffer("bad", bad)
    with pytest.raises(ValueError, match="without dots"):
        block.register_buffer("a.b", mg.zeros(1))
    assert not hasattr(block, "bad")


def test_parameter():
    source = np.ones(2)
    p = nn.Parameter(source)
    source[:] = 0
    assert (p.detach().numpy() == 1).all()
    assert isinstance(p, mg.Tensor)
    assert p.requires_grad
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert type(p * 2) is mg.Tensor
    with pytest.raises(TypeError, match="only floating and complex dtypes"):
        nn.Parameter([1, 2])


def test_hooks_see_and_replace_outputs_until_removed():
    model, seen = nn.Linear(2, 2), []
    first = model.register_forward_hook(lambda m, args, out: seen.append((m, args, out)))
    second = model.register_forward_hook(lambda m, args, out: out * 0)
    x = mg.ones(1, 2)
    assert (model(x).detach().numpy() == 0).all()
    assert seen[0][0] is model
    assert seen[0][1] == (x,)
    for handle in (first, second, second):
        handle.remove()
    assert (model(x).detach().numpy() == (x @ model.weight.T + model.bias).detach().numpy()).all()
    assert len(seen) == 1
    assert "_forward_hooks" not in vars(model)


@pytorch_answers
def hooked_by_pytorch(torch):
    return hooked(torch)


def hooked(L):
    """Who was called when, with what, and what came of it."""

    class Scaled(L.nn.Module):
        def forward(self, x, by=1.0, shift=0.0):
            return x * by + shift

    model, seen = Scaled(), []

    def hook(name, *result):
        def call(module, *what):
            kwargs = [dict(x) for x in what if isinstance(x, dict)]
            seen.append([name, len(what), kwargs])
            return result[0](*what) if result else None

        return call

    model.register_forward_hook(hook("late"))
    model.register_forward_hook(hook("early", lambda args, out: out + 1), prepend=True)
    model.register_forward_hook(hook("named", lambda a, k, out: out * k["by"]), with_kwargs=True)
    model.register_forward_pre_hook(hook("before", lambda args: args[0] + 1))
    model.register_forward_pre_hook(
        hook("all", lambda a, k: (a, {**k, "shift": 10.0})), prepend=True, with_kwargs=True
    )
    model.register_full_backward_hook(hook("pulled"))
    model.register_full_backward_hook(hook("first pulled"), prepend=True)
    model.register_full_backward_pre_hook(hook("pulling"))
    model.register_full_backward_pre_hook(hook("first pulling"), prepend=True)
    x = L.tensor([1.0, 2.0], requires_grad=True)
    out = model(x, by=3.0)
    out.sum().backward()
    return seen, out.tolist(), x.grad.tolist()


def test_hooks_are_called_in_pytorchs_order_with_what_they_ask_for():
    ours = hooked(mg)
    assert ours == hooked_by_pytorch()
    assert [name for name, *_ in ours[0]][:2] == ["all", "before"]


def test_what_a_hook_must_return_and_take():
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="hook"):
        model.register_forward_hook(3)
    handle = model.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    with pytest.raises(TypeError, match=r"expected \(args, kwargs\)"):
        model(mg.ones(1, 2))
    handle.remove()
    model.register_forward_hook(_doubled)
    twice = pickle.loads(pickle.dumps(model))
    assert twice(mg.ones(1, 2)).tolist() == model(mg.ones(1, 2)).tolist()


def _doubled(module, args, out):
    return out * 2


@pytorch_answers
def named_by_pytorch(torch):
    return named(torch)


def named(L):
    shared = L.nn.Linear(2, 2)
    model = L.nn.Sequential(shared, L.nn.Sequential(shared), L.nn.BatchNorm1d(2))
    memo = {shared}
    into = {"mine": 0}
    state = model.state_dict(destination=into, prefix="net.", keep_vars=True)
    return [
        [name for name, _ in model.named_modules(memo, "top")],
        len(memo),
        [name for name, _ in model.named_modules(prefix="p", remove_duplicate=False)],
        len(list(model.modules())),
        list(state),
        state is into,
        state["net.0.weight"] is shared.weight,
        state["net.0.weight"].requires_grad,
    ]


def test_names_of_parts_and_states_are_pytorchs():
    assert named(mg) == named_by_pytorch()
    with pytest.raises(TypeError, match="expected a set"):
        nn.Linear(1, 1).named_modules("prefix")
    with pytest.raises(TypeError, match="expected str"):
        nn.Linear(1, 1).state_dict(prefix=1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent(copied):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.MLP(2, [2]))
    other = copied(model)
    assert list(other.state_dict()) == list(model.state_dict())
    other[0].weight.detach().numpy()[:] = 0
    other[2].layers[0].neurons[0].b.data = 9.0
    assert (model[0].weight.detach().numpy() != 0).all()
    assert model[2].layers[0].neurons[0].b.data == 0.0
    assert [type(p) for p in other.parameters()] == [type(p) for p in model.parameters()]


def test_repr_is_nested_and_counts_equal_neighbours():
    class Model(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)]
            self.out = nn.Sequential(nn.ReLU(), nn.Softmax(dim=1))

    assert (
        repr(Model())
        == """\
Model(
  (layers.0-1): 2 x Linear(in_features=2, out_features=2, bias=True)
  (layers.2): Linear(in_features=2, out_features=1, bias=True)
  (out): Sequential(
    (0): ReLU()
    (1): Softmax(dim=1)
  )
)"""
    )
    assert repr(nn.Sequential()) == "Sequential()"


def test_repr_is_pytorchs():

    def model(nn):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3, momentum=None),
            nn.ModuleList([nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(), nn.Tanh(), nn.Tanh()]),
            nn.ModuleDict({"a": nn.LayerNorm(3), "b": nn.Embedding(5, 2, padding_idx=-1)}),
            nn.Sequential(nn.Softmax(dim=1), nn.Identity(), nn.Unflatten(1, (3, 1))),
        )  # fmt: skip

    theirs = repr(model(torch.nn))
    # An option that newer versions of PyTorch have.
    theirs = theirs.replace("affine=True, bias=True, track", "affine=True, track")
    theirs = theirs.replace("elementwise_affine=True, bias=True)", "elementwise_affine=True)")
    assert repr(model(nn)) == theirs


class TestContainers:
    def test_sequential(self):
        a, b, c = nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)
        model = nn.Sequential(a, b).append(c)
        assert [*model] == [model[0], model["1"], model[-1]] == [a, b, c]
        assert len(model[1:]) == 2
        assert isinstance(model[:2], nn.Sequential)
        assert model[1:][0] is b
        model[1] = tanh = nn.Tanh()
        del model[0]
        assert [*model] == [tanh, c]
        assert names(model.named_children()) == ["0", "1"]
        model.insert(0, a)
        x = mg.tensor([[0.5]])
        assert model(x).item() == c(tanh(a(x))).item()

    def test_named_sequential(self):
        model = nn.Sequential({"first": nn.Linear(1, 1), "second": nn.ReLU()})
        assert names(model.named_parameters()) == ["first.weight", "first.bias"]
        assert names(model[1:].named_children()) == ["second"]
        assert model["first"] is model[0]
        assert nn.Sequential()(3) == 3

    def test_module_list_and_dict(self):
        layers = nn.ModuleList(nn.Linear(i, i + 1) for i in range(1, 4))
        layers.extend([nn.ReLU()]).insert(1, nn.Tanh())
        assert len(layers) == 5
        assert isinstance(layers[1], nn.Tanh)
        assert names(layers.named_children()) == ["0", "1", "2", "3", "4"]
        table = nn.ModuleDict({"a": nn.ReLU()})
        table["b"] = nn.Linear(1, 1)
        assert list(table) == list(table.keys()) == ["a", "b"]
        assert "b" in table
        assert names(table.named_parameters()) == ["b.weight", "b.bias"]
        del table["a"]
        assert [*table.values()] == [table["b"]]
        assert bool(nn.ModuleList())

    @pytest.mark.parametrize(
        ("call", "error", "match"),
        [
            (lambda: nn.Sequential(nn.ReLU), TypeError, "expected a Module.*ReLU"),
            (lambda: nn.Sequential(mg.relu), TypeError, "expected a Module"),
            (lambda: nn.ModuleList([1]), TypeError, "expected a Module"),
            (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), ValueError, "without dots"),
            (lambda: nn.ModuleDict({"": nn.ReLU()}), ValueError, "without dots"),
            (lambda: nn.Sequential(nn.ReLU())[1], IndexError, "out of range"),
            (lambda: nn.Sequential(nn.ReLU())["x"], IndexError, "out of range"),
            (lambda: nn.ModuleDict()["x"], KeyError, "no such module"),
        ],
    )
    def test_bad_input(self, call, error, match):
        with pytest.raises(error, match=match):
            call()


def test_residual_adds_the_input_and_its_gradient():
    block = nn.Residual(nn.Linear(3, 3), nn.Tanh())
    x = mg.randn(2, 3, requires_grad=True)
    out = block(x)
    np.testing.assert_allclose(out.detach().numpy(), (x + mg.tanh(block[0](x))).detach().numpy())
    for p in block.parameters():
        nn.init.zeros_(p)
    block(x).sum().backward()
    assert (x.grad.numpy() == 1).all(), "∂L/∂x = ∂L/∂H where F is 0"
    with pytest.raises(ValueError, match=r"shape mismatch.*\(2, 3\).*\(2, 1\)"):
        nn.Residual(nn.Linear(3, 1))(x)


def test_a_thousand_residual_layers():
    mg.manual_seed(0)
    model = nn.Sequential(*[nn.Residual(nn.Linear(4, 4), nn.Tanh()) for _ in range(1000)])
    for p in model.parameters():
        p.data *= 0.01
    x = mg.randn(2, 4, requires_grad=True)
    model(x).sum().backward()
    assert len(model.parameters()) == 2000
    assert 0.1 < np.abs(x.grad.numpy()).mean() < 10


class TestSummary:
    def test_counts_by_hand(self):
        model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
        summary = model.summary((5, 2, 3))
        rows = [(r.kind, r.output, r.parameters, r.multiply_adds) for r in summary.model]
        assert rows == [
            ("Sequential", (5, 2), 0, 0), ("Flatten", (5, 6), 0, 0),
            ("Linear", (5, 4), 28, 5 * 6 * 4), ("ReLU", (5, 4), 0, 0),
            ("Linear", (5, 2), 8, 5 * 4 * 2),
        ]  # fmt: skip
        assert (summary.parameters, summary.multiply_adds) == (36, 160)
        model[1].requires_grad_(False)
        assert model.summary((5, 2, 3)).trainable == 8

    def test_lines_are_aligned_with_full_width_text(self):
        from unicodedata import east_asian_width

        model = nn.Sequential(*[nn.Residual(nn.Linear(2, 2)) for _ in range(12)], nn.Linear(2, 10))
        lines = str(model.summary((1, 2))).splitlines()
        table = [line for line in lines[:-2] if not line.startswith("─")]
        widths = {sum(2 if east_asian_width(c) in "WF" else 1 for c in line) for line in table}
        assert len(widths) == 1
        assert sum("12 x Residual" in line for line in table) == 1
        assert sum(line.split()[-2] == "72" for line in table) == 1, "the sum of the twelve"

    def test_shared_modules_count_their_parameters_once_and_their_work_twice(self):
        linear = nn.Linear(3, 3)
        summary = nn.Sequential(linear, linear).summary((1, 3))
        assert (summary.parameters, summary.multiply_adds) == (12, 18)
        assert [row.shared for row in summary.model] == [False, False, True]
        assert "共有" in str(summary)

    def test_scalar_models_and_examples(self):
        summary = nn.MLP(2, [3, 1]).summary((2,))
        assert (summary.parameters, summary.multiply_adds) == (13, 9)
        assert [row.output for row in summary.model if row.kind != "Neuron"] == [(), (3,), ()]
        embedding = nn.Embedding(5, 3)
        assert embedding.summary(mg.tensor([1, 2])).model.output == (2, 3)

    def test_leaves_everything_as_it_was(self):
        class Noisy(nn.Module):
            def forward(self, x):
                random.random()
                return x + mg.randn(*x.shape)

        model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), Noisy(), nn.Linear(3, 2))
        model[1].eval()
        mg.manual_seed(3)
        random.seed(3)
        expected = mg.rand(1).item(), random.random()
        before = model.state_dict()
        mg.manual_seed(3)
        random.seed(3)
        model.summary((4, 3))
        assert (mg.rand(1).item(), random.random()) == expected
        after = model.state_dict()
        assert all((before[k].numpy() == after[k].numpy()).all() for k in before)
        assert [m.training for m in model.modules()] == [True, True, False, True, True]
        assert not any("_forward_hooks" in vars(m) for m in model.modules())

    def test_also_when_the_model_fails(self):
        model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
        with pytest.raises(ValueError, match="shape mismatch"):
            model.summary((1, 4))
        assert model.training
        assert not any("_forward_hooks" in vars(m) for m in model.modules())
        with pytest.raises(TypeError, match="expected an input shape"):
            model.summary()


@pytest.mark.parametrize("prefix", [None, 3, np.ones(2)], ids=["None", "int", "array"])
def test_a_prefix_that_is_no_text_is_refused_before_the_first_name(prefix):
    model = nn.Sequential(nn.Linear(2, 2))
    for named in (model.named_parameters, partial(model.named_modules, None)):
        with pytest.raises(TypeError, match="expected str"):
            named(prefix)
    assert [name for name, _ in model.named_parameters("net")] == ["net.0.weight", "net.0.bias"]
