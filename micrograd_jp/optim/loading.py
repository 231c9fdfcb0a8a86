"""最適化手法の状態の検査: 何かを変える前に、すべてを確かめる。"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import Node
from micrograd_jp.tensor.dtypes import float32

if TYPE_CHECKING:
    from micrograd_jp.optim.optimizer import Optimizer

Loaded = tuple[list[dict[str, Any]], list[list[tuple[Any, dict[str, Any]]]]]


def checked_state(optimizer: Optimizer, state_dict: Any) -> Loaded:
    """新しいグループの設定と、単位ごとの (step, 状態の配列) を作る。`optimizer` は変えない。

    Raises:
        TypeError: `state_dict` の形でない。
        ValueError: グループの数、パラメータの数、状態の名前や形、設定が合わない。
    """
    if not (
        isinstance(state_dict, Mapping)
        and isinstance(state_dict.get("state"), Mapping)
        and isinstance(state_dict.get("param_groups"), list | tuple)
        and all(isinstance(g, Mapping) and "params" in g for g in state_dict["param_groups"])
    ):
        raise TypeError(
            '最適化手法の状態ではありません (expected {"state": {…}, "param_groups": […]}): '
            "optimizer.state_dict() の結果を渡してください。"
        )
    saved, state = state_dict["param_groups"], dict(state_dict["state"])
    if len(saved) != len(optimizer.param_groups):
        raise ValueError(
            f"グループの数が違います (different number of parameter groups): 保存された状態は "
            f"{len(saved)}、いまは {len(optimizer.param_groups)}。"
        )
    groups, states = [], []
    for i, (group, new, units) in enumerate(
        zip(optimizer.param_groups, saved, optimizer._units, strict=True)
    ):
        if len(new["params"]) != len(units):
            raise ValueError(
                f"グループ {i} のパラメータの数が違います (parameter group size mismatch): "
                f"保存された状態は {len(new['params'])}、いまは {len(units)}。"
            )
        groups.append(_checked_group(optimizer, i, group, new))
        states.append(
            [
                _checked_unit(optimizer, key, unit, state.pop(key, {}))
                for key, unit in zip(new["params"], units, strict=True)
            ]
        )
    if state:
        raise ValueError(
            "どのグループにもないパラメータの状態があります (state of unknown parameters): "
            f"{sorted(map(str, state))}。"
        )
    return groups, states


def _checked_group(
    optimizer: Optimizer, i: int, group: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
    missing = [key for key in optimizer.defaults if key not in new]
    if missing:
        raise ValueError(
            f"グループ {i} の設定が足りません (missing options): {missing}。"
            f"{type(optimizer).__name__} の state_dict() ですか。"
        )
    options = {key: x for key, x in new.items() if key != "params"}
    if "param_names" in group:  # the names are those of the parameters, which do not change
        options["param_names"] = group["param_names"]
    optimizer._check(options)
    return options


def _checked_unit(optimizer: Optimizer, key: Any, unit: Any, saved: Any) -> Any:
    if not isinstance(saved, Mapping):
        raise TypeError(f"パラメータ {key} の状態が dict ではありません (expected a dict)。")
    saved = {name: x for name, x in saved.items() if x is not None}
    unknown = sorted(set(saved) - {"step", *optimizer._names})
    if unknown:
        raise ValueError(
            f"パラメータ {key} に知らない状態があります (unexpected state): {unknown}。"
            f"{type(optimizer).__name__} の状態は {list(optimizer._names)} です。"
        )
    data = unit.data
    m = namespace.of(data)
    dtype = float32 if data.dtype.itemsize == 2 else data.dtype
    arrays = {}
    for name in optimizer._names:
        if name in saved:
            x = saved[name].data if isinstance(saved[name], Node) else saved[name]
            _require_shape(key, name, x, data.shape)
            arrays[name] = m.array(x, dtype=dtype)
    return _checked_step(key, saved.get("step", 0), unit), arrays


def _checked_step(key: Any, step: Any, unit: Any) -> Any:
    step = step.data if isinstance(step, Node) else step
    if namespace.is_traced(step):
        return step
    array = np.asarray(step)
    if unit.step_shape and array.size == 1:  # saved without counts
        array = np.broadcast_to(array.reshape(()), unit.step_shape)
    _require_shape(key, "step", array, unit.step_shape)
    if array.dtype.kind not in "iuf" or not (array >= 0).all() or (array % 1 != 0).any():
        raise ValueError(
            f"パラメータ {key} の step は 0 以上の整数です (expected a count): {step!r}。"
        )
    counts = array.astype(np.int64)
    return counts if unit.step_shape else int(counts)


def _require_shape(key: Any, name: str, x: Any, shape: tuple[int, ...]) -> None:
    if np.shape(x) != tuple(shape):
        raise ValueError(
            f"パラメータ {key} の {name} の形が違います (shape mismatch): 保存された状態は "
            f"{np.shape(x)}、いまは {tuple(shape)}。"
        )
