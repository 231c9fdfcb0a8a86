"""でたらめな順に作り、逆伝播し、消す機械: エンジンを、素朴なモデルと照らし合わせる。"""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

import micrograd_jp as mg

SHAPES = [(), (2,), (2, 1), (2, 2)]


class Model:
    """One array and a recipe for its differential: forward mode, by dual numbers.

    The engine goes backward and shares; the model carries, for every element of every leaf, the
    whole derivative along. The two have nothing in common.
    """

    def __init__(self, data, slopes):
        self.data, self.slopes = np.asarray(data, float), slopes  # {leaf: ∂data/∂leaf}

    @staticmethod
    def leaf(data, key):
        n = data.size
        return Model(data, {key: np.eye(n).reshape(*data.shape, n)})

    def then(self, data, *parts):
        """`data`, moving by d·(slope of x) for every (x, d), with d broadcast."""
        slopes = {}
        for x, d in parts:
            for key, slope in x.slopes.items():
                grown = slope.reshape((1,) * (np.ndim(data) - x.data.ndim) + slope.shape)
                moved = np.broadcast_to(
                    grown * np.asarray(d)[..., None], (*np.shape(data), slope.shape[-1])
                )
                slopes[key] = slopes.get(key, 0) + moved
        return Model(data, slopes)

    def pulled(self, seed):
        """The gradient of Σ seed·data for every leaf, flat."""
        n = self.data.ndim
        return {k: np.tensordot(seed, s, n) for k, s in self.slopes.items()}


BINARY = {
    "add": lambda a, b: a.then(a.data + b.data, (a, 1.0), (b, 1.0)),
    "sub": lambda a, b: a.then(a.data - b.data, (a, 1.0), (b, -1.0)),
    "mul": lambda a, b: a.then(a.data * b.data, (a, b.data), (b, a.data)),
}
UNARY = {
    "tanh": lambda a: a.then(np.tanh(a.data), (a, 1 - np.tanh(a.data) ** 2)),
    "sin": lambda a: a.then(np.sin(a.data), (a, np.cos(a.data))),
    "neg": lambda a: a.then(-a.data, (a, -1.0)),
    "clone": lambda a: a.then(a.data, (a, 1.0)),
}


def summed(a):
    axes = tuple(range(a.data.ndim))
    return Model(a.data.sum(), {k: s.sum(axis=axes) for k, s in a.slopes.items()})


def transposed(a):
    n = a.data.ndim
    return Model(a.data.T, {k: s.transpose(*reversed(range(n)), n) for k, s in a.slopes.items()})


def first(a):
    return Model(a.data[0], {k: s[0] for k, s in a.slopes.items()})


def stacked(a, b):
    slopes = {
        k: np.stack([x.slopes.get(k, np.zeros((*x.data.shape, n))) for x in (a, b)])
        for k, n in {k: s.shape[-1] for x in (a, b) for k, s in x.slopes.items()}.items()
    }
    return Model(np.stack([a.data, b.data]), slopes)


class Engine(RuleBasedStateMachine):
    """Every node comes with its model; leaves also with the gradient that is expected in them."""

    nodes = Bundle("nodes")

    def __init__(self):
        super().__init__()
        self.leaves = {}  # key: (node, expected gradient or None)
        self.spent = set()  # ids of the tensors whose graph has been used up
        self.kept = []  # every node, so that no id is given twice

    def made(self, node, model, recorded=True):
        self.kept.append(node)
        np.testing.assert_allclose(node.data, model.data, rtol=1e-9, atol=1e-9)
        assert np.shape(node.data) == model.data.shape
        if isinstance(node, mg.Tensor):
            assert node.requires_grad == bool(model.slopes and recorded)
        return node, (model if recorded else Model(model.data, {}))

    @initialize(target=nodes)
    def one_leaf(self):
        return self.leaf((2,), 0.5, False)

    @rule(target=nodes, shape=st.sampled_from(SHAPES), x=st.integers(-4, 4), value=st.booleans())
    def leaf(self, shape, x, value):
        key = len(self.leaves)
        data = x / 4 + np.arange(int(np.prod(shape))).reshape(shape) / 8
        if value and shape == ():
            node = mg.Value(float(data))
        else:
            node = mg.tensor(data, requires_grad=True)
        self.leaves[key] = [node, None]
        return self.made(node, Model.leaf(data, key))

    @rule(target=nodes, shape=st.sampled_from(SHAPES), x=st.integers(-4, 4))
    def constant(self, shape, x):
        return self.made(mg.tensor(np.full(shape, x / 4)), Model(np.full(shape, x / 4), {}))

    @rule(target=nodes, a=nodes, b=nodes, name=st.sampled_from(sorted(BINARY)), grad=st.booleans())
    def binary(self, a, b, name, grad):
        if a[1].data.size * b[1].data.size > 64 or max(np.abs(a[1].data).max(), 1) > 1e3:
            return a
        if grad:
            return self.made(getattr(mg, name)(a[0], b[0]), BINARY[name](a[1], b[1]))
        with mg.no_grad():
            out = getattr(mg, name)(a[0], b[0])
        assert out.is_leaf
        if isinstance(out, mg.Value):
            return a  # a Value of its own, always tracked
        return self.made(out, BINARY[name](a[1], b[1]), recorded=False)

    @rule(target=nodes, a=nodes, name=st.sampled_from(sorted(UNARY)))
    def unary(self, a, name):
        return self.made(getattr(mg, name)(a[0]), UNARY[name](a[1]))

    @rule(target=nodes, a=nodes)
    def reshaped(self, a):
        node, model = a
        if isinstance(node, mg.Value):
            return self.made(mg.stack([node, node])[0], model)
        if node.ndim == 0:
            return (
                self.made(mg.stack([node.to_value(), node]), stacked(model, model))
                if (model.slopes)
                else a
            )
        if node.ndim == 1:
            return self.made(node.sum(), summed(model))
        return (
            self.made(node.T, transposed(model))
            if node.shape[0] > 1
            else (self.made(node[0], first(model)))
        )

    @rule(target=nodes, a=nodes)
    def detached(self, a):
        if isinstance(a[0], mg.Value):
            return a
        return self.made(a[0].detach(), Model(a[1].data, {}))

    def graph_of(self, node):
        todo, seen = [node], {}
        while todo:
            x = todo.pop()
            if id(x) not in seen:
                seen[id(x)] = x
                todo += x.parents
        return seen

    @rule(a=nodes, retain=st.booleans(), create=st.booleans(), salt=st.integers(1, 3))
    def backward(self, a, retain, create, salt):
        node, model = a
        if not model.slopes or node.is_leaf:
            return
        seed = salt * np.cos(np.arange(model.data.size)).reshape(model.data.shape)
        graph = self.graph_of(node)
        options = {"create_graph": create}
        if isinstance(node, mg.Tensor):
            options["retain_graph"] = retain
        given = seed if isinstance(node, mg.Tensor) else float(seed)
        if self.spent & set(graph):
            try:
                node.backward(given, **options)
            except RuntimeError as error:
                assert "second time" in str(error)
                self.zero_grad()
            else:
                raise AssertionError("a graph that was used up went backward again")
        else:
            node.backward(given, **options)
            if isinstance(node, mg.Tensor) and not retain and not create:
                self.spent |= {
                    i for i, x in graph.items() if isinstance(x, mg.Tensor) and not x.is_leaf
                }
            for key, g in model.pulled(seed).items():
                leaf, before = self.leaves[key]
                g = g.reshape(np.shape(leaf.data))
                self.leaves[key][1] = g if before is None else before + g

    @rule()
    def zero_grad(self):
        for entry in self.leaves.values():
            entry[0].grad = None
            entry[1] = None

    @invariant()
    def gradients_are_the_models(self):
        for leaf, want in self.leaves.values():
            if want is None:
                assert not leaf.has_grad
                continue
            got = leaf.grad.data if hasattr(leaf.grad, "data") else leaf.grad
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)


Engine.TestCase.settings = settings(max_examples=50, stateful_step_count=40)
TestEngine = Engine.TestCase
