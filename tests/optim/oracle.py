"""どの手法でも同じ: 乱数の勾配で、こちらと PyTorch を並べて動かす。"""

import numpy as np

import micrograd_jp as mg
from micrograd_jp.engine import Value
from tests.reference import torch


def tensors(arrays):
    return [mg.tensor(a, requires_grad=True) for a in arrays]


def gradients(rng, shapes, dtype, missing=0.0):
    """One gradient a parameter, or None where it is missing."""
    return [
        None if rng.random() < missing else np.asarray(rng.normal(size=s)).astype(dtype)
        for s in shapes
    ]


def give(parameters, grads):
    """Set the gradients of Tensors."""
    for p, g in zip(parameters, grads, strict=True):
        p.grad = None if g is None else mg.tensor(g)


def give_torch(parameters, grads):
    """Set the gradients of PyTorch's tensors."""
    for p, g in zip(parameters, grads, strict=True):
        p.grad = None if g is None else torch.tensor(g)


def give_values(values, grads):
    """Set the gradients of Values; nan stands for a missing one."""
    for v, g in zip(values, grads, strict=True):
        v.grad = None if np.isnan(g) else float(g)


def values(numbers):
    return [Value(float(x)) for x in numbers]
