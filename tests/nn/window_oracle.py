"""PyTorch との比較: 値、1 階微分、2 階微分（勾配のでたらめな射影の勾配）。"""

import numpy as np

import micrograd_jp as mg
from micrograd_jp.graph import gradients
from tests.reference import torch

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def numbers(*shapes):
    """Arrays of normal numbers, the same for the same shapes."""
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [rng.normal(size=shape) for shape in shapes]


def require_same(ours, theirs, arrays):
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*xs), theirs(*ts)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.data, z.detach().numpy(), **CLOSE)
    (seed,) = numbers(y.shape)
    y.backward(seed, retain_graph=True)
    total = gradients(y, mg.tensor(seed))
    first = torch.autograd.grad(z, ts, torch.tensor(seed), create_graph=True)
    for x, want in zip(xs, first):
        np.testing.assert_allclose(x.grad.data, want.detach().numpy(), **CLOSE)
        np.testing.assert_allclose(total[x].data, want.detach().numpy(), **CLOSE)
        x.grad = None
    weights = [a + 0.5 for a in numbers(*(x.shape for x in xs))]
    p = sum((total[x] * w).sum() for x, w in zip(xs, weights))
    q = sum((a * torch.tensor(w)).sum() for a, w in zip(first, weights))
    if not q.requires_grad:
        return
    if p.requires_grad:  # else our second derivatives are 0
        p.backward()
    second = torch.autograd.grad(q, ts, allow_unused=True, materialize_grads=True)
    for x, want in zip(xs, second):
        got = np.zeros(x.shape) if x.grad is None else x.grad.data
        np.testing.assert_allclose(got, want.numpy(), **CLOSE)
