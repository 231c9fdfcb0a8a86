"""計算グラフの中の値を、どこにどう書き込んでも、勾配は PyTorch と同じように届く。"""

import random

import numpy as np
import pytest

import micrograd_jp as mg

torch = pytest.importorskip("torch", reason="PyTorch がないので比べない")

# ---- でたらめなプログラム: 写し、ビュー、書き込み、読み出しを続け、値と勾配を比べる --------------

VIEWS = [
    lambda t: t[0],
    lambda t: t[-1:],
    lambda t: t[..., 1],
    lambda t: t[:, None] if t.ndim else t.reshape(1),
    lambda t: t.T if t.ndim == 2 else t.reshape(-1),
    lambda t: t.reshape(-1),
    lambda t: t.reshape(1, *t.shape),
    lambda t: t.transpose(0, -1) if t.ndim else t[...],
    lambda t: t.diagonal(),
    lambda t: t.squeeze(),
    lambda t: t.flatten(),
    lambda t: t.unsqueeze(0),
    lambda t: t[1:, ::2],
]
WRITES = [
    lambda t, x: t.add_(x),
    lambda t, x: t.sub_(x, alpha=2),
    lambda t, x: t.mul_(x),
    lambda t, x: t.copy_(x),
    lambda t, x: t.__iadd__(x),
    lambda t, x: t.__imul__(x),
    lambda t, x: t.tanh_(),
    lambda t, x: t.sin_(),
    lambda t, x: t.zero_(),
    lambda t, x: t.fill_(0.5),
    lambda t, x: t.__setitem__(0, x),
    lambda t, x: t.__setitem__(..., x),
    lambda t, x: t.__setitem__((..., 0), x),
    lambda t, x: t.__setitem__(slice(1, None), x),
    lambda t, x: t.__setitem__(0, 0.25),
    lambda t, x: t.__setitem__(t > 0.3, x if not x.ndim else 0.125),
]
READS = [
    lambda a, b: a * b,
    lambda a, b: a + b,
    lambda a, b: (a * 1.5).sin(),
    lambda a, b: a.sum() * b,
    lambda a, b: a.tanh(),
    lambda a, b: a.clone(),
    lambda a, b: a.sum(0) if a.ndim else a * 2,
    lambda a, b: a.detach() * b,
]
STARTS = [((), True), ((), False), ((3,), False), ((3, 3), False), ((3, 3), True), ((3,), True)]


class Refused(Exception):
    """The other library refused: the program has no counterpart."""


def program(seed, steps=9):
    """Runs the same random program on both; the pairs (ours, PyTorch's) of all it made."""
    choose = random.Random(seed)
    pairs = []
    for shape, leaf in STARTS:
        data = np.array([choose.uniform(-1, 1) for _ in range(int(np.prod(shape)))]).reshape(shape)
        pairs.append((mg.tensor(data, requires_grad=leaf), torch.tensor(data, requires_grad=leaf)))
    pairs += [(x.clone(), y.clone()) for x, y in pairs[-2:]]
    log = []
    for _ in range(steps):
        kind = choose.choice(["view", "write", "write", "read"])
        i, j = choose.randrange(len(pairs)), choose.randrange(len(pairs))
        (ours, theirs), (x, y) = pairs[i], pairs[j]
        table = {"view": VIEWS, "write": WRITES, "read": READS}[kind]
        n = choose.randrange(len(table))
        log.append(f"{kind}{n}({i},{j})")
        try:
            want = table[n](theirs) if kind == "view" else table[n](theirs, y)
        except (RuntimeError, IndexError, ValueError, TypeError):
            continue  # not a program
        got = table[n](ours) if kind == "view" else table[n](ours, x)
        if kind != "write":
            pairs.append((got, want))
        for a, b in pairs:
            np.testing.assert_allclose(
                np.asarray(a.data), b.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=str(log)
            )
    return pairs, log


def gradients(pairs, log):
    """None where PyTorch refuses: it counts the writes to memory, not the places."""
    total, wanted = 0, 0
    for k, (a, b) in enumerate(pairs):
        total, wanted = total + (a * (k + 0.5)).sum(), wanted + (b * (k + 0.5)).sum()
    if not wanted.requires_grad:
        return None
    try:
        wanted.backward()
    except RuntimeError as error:
        assert "modified by an inplace" in str(error)
        return None
    total.backward()
    for a, b in pairs:
        if b.is_leaf and b.requires_grad:
            got = np.zeros(a.shape) if a.grad is None else a.grad.data
            want = np.zeros(a.shape) if b.grad is None else b.grad.numpy()
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12, err_msg=str(log))
    return True


def test_random_programs():
    compared = sum(bool(gradients(*program(seed))) for seed in range(400))
    assert compared > 200
