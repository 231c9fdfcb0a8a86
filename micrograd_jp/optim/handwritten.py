"""自分で `step` を書いた最適化手法: 状態は、パラメータから、そこに書き込む dict へ。

class Plain(mg.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["steps"] = self.state[p].get("steps", 0) + 1
                p.data -= group["lr"] * p.grad
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from micrograd_jp.engine.value import Value
from micrograd_jp.tensor.array import Tensor


def kept() -> defaultdict[Any, dict[str, Any]]:
    """パラメータごとの、はじめは空の状態。"""
    return defaultdict(dict)


def counted(step: Callable[..., Any]) -> Callable[..., Any]:
    """書かれた `step` の後に、スケジューラの見る印を付け、フックを呼ぶようにしたもの。"""

    @functools.wraps(step)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = step(self, *args, **kwargs)
        self.stepped = True
        self._call_hooks(args)
        return out

    return call


def copied(x: Any) -> Any:
    """状態の写し: `Tensor` は計算グラフから切り離し、配列と入れ子は写す。"""
    if isinstance(x, Mapping):
        return {key: copied(item) for key, item in x.items()}
    if isinstance(x, list | tuple):
        return type(x)([copied(item) for item in x])
    if isinstance(x, Tensor):
        return x.detach().clone()
    if isinstance(x, Value):
        return x.detach()
    return x.copy() if isinstance(x, np.ndarray) else x


class Computed(dict[str, Any]):
    """更新式が持つ状態を、見せるための dict。書き込んでも届かないので、断る。"""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "この最適化手法の状態は、ここには書き込めません (read-only state): "
            "optimizer.load_state_dict() で入れるか、Optimizer を継承して step を書いてください。"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse
