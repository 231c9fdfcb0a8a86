"""損失を PyTorch と並べて計算する。"""

import numpy as np

import micrograd_jp as mg
from tests.reference import torch


def close(a, b):
    np.testing.assert_allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float),
                               rtol=1e-9, atol=1e-11)  # fmt: skip


def compare(ours, theirs, x, t):
    """Values and gradients (with respect to floating targets too) of the two libraries."""
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    learned = t.dtype.kind == "f"
    ta, tb = mg.tensor(t, requires_grad=learned), torch.tensor(t, requires_grad=learned)
    y, z = ours(a, ta), theirs(b, tb)
    close(y.data, z.detach())
    y.sum().backward()
    z.sum().backward()
    close(a.grad.data, b.grad)
    if learned:
        close(ta.grad.data, tb.grad)
