"""推論中の状態で使う区間。"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from micrograd_jp.tensor.random import generator


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """推論中にし、終わると、訓練中かどうかは部品ごとに元に戻る。`Module` でなければ何もしない。"""
    modules = model.modules() if hasattr(model, "modules") else []
    modes = [vars(module).get("training") for module in modules]
    if modules:
        model.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes):
            vars(module).pop("training", None)
            if mode is not None:
                module.training = mode


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """推論中の状態で使う区間。終わると、訓練中かどうか、バッファ、乱数は元に戻る。"""
    buffers = [(x, x.data.copy()) for x in model.buffers()]
    state, python_state = generator().bit_generator.state, random.getstate()
    try:
        with evaluating(model):
            yield
    finally:
        for x, data in buffers:
            if isinstance(x.data, np.ndarray) and isinstance(data, np.ndarray):
                np.copyto(x.data, data)
            else:
                x.data = data
        generator().bit_generator.state = state
        random.setstate(python_state)
