"""最適化手法の状態の検査: 何かを変える前に、すべてを確かめる。"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.node import Node
from micrograd_jp.optim.checks import require_alike
from micrograd_jp.optim.handwritten import copied
from micrograd_jp.optim.rule import HINTS, LATER, Rule
from micrograd_jp.optim.units import number_dtype, of_reals
from micrograd_jp.tensor.dtypes import float32

_MOST_STEPS = 2**53  # which a float still counts

Loaded = tuple[list[dict[str, Any]], list[tuple[Any, dict[str, Any]]]]


def checked_state(
    rule: Rule, now: list[dict[str, Any]], units: list[list[Any]], state_dict: Any
) -> Loaded:
    """新しいグループの設定と、単位ごとの (step, 状態の配列) を作る。渡されたものは変えない。

    Args:
        rule: 最適化手法。
        now: いまのグループ。
        units: グループごとの更新の単位。
        state_dict: 保存された状態。

    Raises:
        TypeError: `state_dict` の形でない。
        ValueError: グループの数、パラメータの数、状態の名前や形、設定が合わない。
    """
    groups, found = _checked(rule, now, units, state_dict)
    return groups, [_checked_unit(rule, key, unit, saved) for key, unit, saved in found]


def handwritten_state(
    rule: Rule, now: list[dict[str, Any]], members: list[Any], state_dict: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """`checked_state` と同じく、ただし状態は、パラメータごとの dict の写し。"""
    groups, found = _checked(rule, now, members, state_dict)
    return groups, [dict(copied(saved)) for _, _, saved in found]


def _checked(
    rule: Rule, now: list[dict[str, Any]], units: list[Any], state_dict: Any
) -> tuple[list[dict[str, Any]], list[tuple[Any, Any, Mapping[str, Any]]]]:
    """The options of the groups, and (number, member, what was saved of it)."""
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
    if len(saved) != len(now):
        raise ValueError(
            f"グループの数が違います (different number of parameter groups): 保存された状態は "
            f"{len(saved)}、いまは {len(now)}。"
        )
    groups: list[dict[str, Any]] = []
    states: list[tuple[Any, Any, Mapping[str, Any]]] = []
    for i, (group, new, its_units) in enumerate(zip(now, saved, units, strict=True)):
        if len(new["params"]) != len(its_units):
            raise ValueError(
                f"グループ {i} のパラメータの数が違います (parameter group size mismatch): "
                f"保存された状態は {len(new['params'])}、いまは {len(its_units)}。"
            )
        groups.append(_checked_group(rule, i, group, new))
        pairs = zip(new["params"], its_units, strict=True)
        states += [(key, unit, _mapping(key, state.pop(key, {}))) for key, unit in pairs]
    if state:
        raise ValueError(
            "どのグループにもないパラメータの状態があります (state of unknown parameters): "
            f"{sorted(map(str, state))}。"
        )
    return groups, states


def _checked_group(
    rule: Rule, i: int, group: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
    # What PyTorch and this package did not always write.
    new = {
        **new,
        **{key: group[key] for key in (*HINTS, *LATER) if key in group and key not in new},
    }
    missing = [key for key in rule.defaults if key not in new]
    if missing:
        raise ValueError(
            f"グループ {i} の設定が足りません (missing options): {missing}。"
            f"{type(rule).__name__} の state_dict() ですか。"
        )
    options = {key: x for key, x in new.items() if key != "params"}
    if "param_names" in group:  # the names are those of the parameters, which do not change
        options["param_names"] = group["param_names"]
    for key, x in options.items():
        if key in group and key not in HINTS:
            require_alike(f"グループ {i} の {key}", x, group[key])
    rule.check(options)
    return options


def _mapping(key: Any, saved: Any) -> Mapping[str, Any]:
    if not isinstance(saved, Mapping):
        raise TypeError(f"パラメータ {key} の状態が dict ではありません (expected a dict)。")
    return saved


def _checked_unit(rule: Rule, key: Any, unit: Any, saved: Mapping[str, Any]) -> Any:
    saved = {name: x for name, x in saved.items() if x is not None}
    unknown = sorted(set(saved) - {"step", *rule.state_names})
    if unknown:
        raise ValueError(
            f"パラメータ {key} に知らない状態があります (unexpected state): {unknown}。"
            f"{type(rule).__name__} の状態は {list(rule.state_names)} です。"
        )
    data = unit.data
    m = namespace.of(data)
    dtype = float32 if data.dtype.itemsize == 2 else data.dtype
    arrays = {}
    for name in rule.state_names:
        if name in saved:
            x = saved[name]._data if isinstance(saved[name], Node) else saved[name]
            one = name in rule.numbers
            x = of_reals(x)
            _require_shape(key, name, x, np.shape(unit.step) if one else data.shape)
            arrays[name] = m.array(x, dtype=number_dtype() if one else dtype)
    return _checked_step(key, saved.get("step", 0), unit), arrays


def _checked_step(key: Any, step: Any, unit: Any) -> Any:
    step, shape = step._data if isinstance(step, Node) else step, np.shape(unit.step)
    if namespace.is_traced(step):
        return step
    array = np.asarray(step)
    if shape and array.size == 1:  # saved without counts
        array = np.broadcast_to(array.reshape(()), shape)
    _require_shape(key, "step", array, shape)
    counts = array.dtype.kind in "iuf" and ((array >= 0) & (array < _MOST_STEPS)).all()
    if not counts or (array % 1 != 0).any():
        raise ValueError(
            f"パラメータ {key} の step は 0 以上の整数です (expected a count): {step!r}。"
        )
    steps = array.astype(np.int64)
    return steps if shape else int(steps)


def _require_shape(key: Any, name: str, x: Any, shape: tuple[int, ...]) -> None:
    if np.shape(x) != tuple(shape):
        raise ValueError(
            f"パラメータ {key} の {name} の形が違います (shape mismatch): 保存された状態は "
            f"{np.shape(x)}、いまは {tuple(shape)}。"
        )
