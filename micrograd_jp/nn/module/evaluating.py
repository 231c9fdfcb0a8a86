"""推論中の状態で使う区間、このスレッドの順伝播だけを見るフック。"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import numpy as np

from micrograd_jp.locks import Lock, in_child
from micrograd_jp.tensor.generator import own_generator


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """推論中にし、終わると、訓練中かどうかは部品ごとに元に戻る。`Module` でなければ何もしない。"""
    modules = model.modules() if hasattr(model, "modules") else []
    with _lock:
        for module in modules:
            mode = vars(module).get("training")
            _held.setdefault(id(module), (mode, []))[1].append(get_ident())
        if modules:
            model.eval()
    try:
        yield
    finally:
        with _lock:
            for module in modules:
                mode, threads = _held[id(module)]
                threads.remove(get_ident())
                if not threads:  # the last one puts it back as the first one found it
                    del _held[id(module)]
                    if mode is None:
                        vars(module).pop("training", None)
                    else:  # never without a mode: other threads may be calling it
                        vars(module)["training"] = mode


_lock = Lock()
_held: dict[int, tuple[bool | None, list[int]]] = {}
"""いま推論中にしている部品から、もとの状態と、使っているスレッドへ。"""


@in_child
def _left_alone() -> None:
    for _, threads in _held.values():
        threads[:] = [thread for thread in threads if thread == get_ident()]


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """推論中の状態で使う区間。終わると、訓練中かどうか、バッファ、乱数は元に戻る。"""
    buffers = [(x, x._data.copy()) for x in model.buffers()]
    python_state = random.getstate()
    try:
        with evaluating(model), own_generator():
            yield
    finally:
        for x, data in buffers:
            if isinstance(x._data, np.ndarray) and isinstance(data, np.ndarray):
                np.copyto(x._data, data)
            else:
                x.data = data
        if random.getstate() != python_state:
            random.setstate(python_state)


@contextmanager
def watching(module: Any, hook: Callable[..., Any]) -> Iterator[None]:
    """この区間の、このスレッドの順伝播で `hook` を呼ぶ。ほかのスレッドの順伝播は見ない。"""
    ours = get_ident()
    handle = module.register_forward_hook(
        lambda *args: hook(*args) if get_ident() == ours else None
    )
    try:
        yield
    finally:
        handle.remove()
