"""入れ子の状態を、名前つきの配列と、その他を書いた JSON に分け、元に戻す。"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.value import Value
from micrograd_jp.saving import npz, safetensors
from micrograd_jp.tensor.array import Tensor

# Deeper than any state, and far from what Python's recursion allows.
_DEEPEST = 64


def flattened(state: Any) -> tuple[dict[str, Any], str | None]:
    """名前つきの ndarray と、入れ子の JSON。平らな dict なら名前はキーそのもので、JSON は `None`。

    Raises:
        TypeError: 保存できないもの。
    """
    arrays: dict[str, Any] = {}
    if isinstance(state, dict) and all(
        isinstance(key, str) and _is_array(x) for key, x in state.items()
    ):
        return {key: on_host(x, [key]) for key, x in state.items()}, None
    tree = _split(state, [], arrays)
    return arrays, json.dumps(tree)


def _split(x: Any, path: list[str], arrays: dict[str, Any]) -> Any:
    if len(path) > _DEEPEST:
        raise TypeError(
            f"状態の入れ子が深すぎます (nested too deeply): {_where(path[:3])} の中で "
            f"{_DEEPEST} 段を超えました。自分自身を含んでいませんか。"
        )
    if x is None or isinstance(x, bool | str):
        return x
    if isinstance(x, Value):
        raise TypeError(
            f"{_where(path)} の Value は保存できません (cannot save a Value): "
            "数 v.data にするか、model.state_dict() を保存してください。"
        )
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, int | float):
        return float(x) if isinstance(x, float) else int(x)
    if _is_array(x):
        name = _free_name(".".join(path) or "state", arrays)
        arrays[name] = on_host(x, path)
        return {"array" if isinstance(x, np.ndarray) else "tensor": name}
    if isinstance(x, list | tuple):
        kind = "list" if isinstance(x, list) else "tuple"
        return {kind: [_split(item, [*path, str(i)], arrays) for i, item in enumerate(x)]}
    if isinstance(x, dict):
        for key in x:
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise TypeError(
                    f"{_where(path)} の dict のキーは文字列か整数にします (expected str or int "
                    f"keys): {key!r}。"
                )
        return {"dict": [[k, _split(v, [*path, str(k)], arrays)] for k, v in x.items()]}
    raise TypeError(
        f"{_where(path)} の {type(x).__name__} は保存できません (cannot save this type): "
        "配列、数、文字列、真偽値、None と、それらの list・tuple・dict にしてください。"
    )


def _is_array(x: Any) -> bool:
    return isinstance(x, Tensor) or namespace.is_array(x)


def on_host(x: Any, path: list[str]) -> Any:
    """配列の数を、ndarray ならそのまま、ほかなら ndarray にする。

    Raises:
        TypeError: 保存できない型。
    """
    array = namespace.concrete(x._data if isinstance(x, Tensor) else x, "mg.save")
    if array.dtype.kind not in "fciub" and array.dtype.name != "bfloat16":
        raise TypeError(
            f"{_where(path)} の型は保存できません (cannot save this dtype): {array.dtype}。"
        )
    return array


def moved(state: Any, place: Any) -> Any:
    """入れ子の中の `Tensor` を装置に移す。"""
    if isinstance(state, Tensor):
        return state.to(place)
    if isinstance(state, list | tuple):
        return type(state)([moved(x, place) for x in state])
    return {k: moved(x, place) for k, x in state.items()} if isinstance(state, dict) else state


def _where(path: list[str]) -> str:
    return "状態" + "".join(f"[{key!r}]" for key in path)


_RESERVED = {npz.TREE, safetensors.METADATA}


def _free_name(name: str, arrays: dict[str, Any]) -> str:
    """The name, or one with a number where two paths read the same ("a.b" and "a", "b"), or where a
    format has no such name.
    """
    candidate, n = (name := name.replace("\0", "_")), 1
    while candidate in arrays or candidate in _RESERVED or candidate.endswith("/"):
        n += 1
        candidate = f"{name}#{n}"
    return candidate


def rebuilt(arrays: dict[str, Any], tree: str | None) -> Any:
    """`flattened` の逆。

    Raises:
        ValueError: JSON が `flattened` の作るものでない。
        KeyError: JSON にある名前の配列がない。
    """
    if tree is None:
        return {name: Tensor(array) for name, array in arrays.items()}
    return _joined(json.loads(tree), arrays, 0)


def _joined(node: Any, arrays: dict[str, Any], depth: int) -> Any:
    if depth > _DEEPEST + 1:
        raise ValueError("入れ子が深すぎます (nested too deeply)")
    if not isinstance(node, dict):
        if isinstance(node, list):
            raise ValueError("知らない構造 (unknown structure)")
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return Tensor(arrays[content])
    if kind == "array":
        return arrays[content]
    if kind == "list":
        return [_joined(item, arrays, depth + 1) for item in content]
    if kind == "tuple":
        return tuple([_joined(item, arrays, depth + 1) for item in content])
    if kind == "dict":
        return {key: _joined(item, arrays, depth + 1) for key, item in content}
    raise ValueError(f"知らない構造 (unknown structure) {kind!r}")
