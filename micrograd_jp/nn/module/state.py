"""`state_dict` と `load_state_dict`: 重みを名前つきで取り出し、すべてを検査してから入れる。"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.node import data_of
from micrograd_jp.nn.module import tree
from micrograd_jp.nn.module.parameter import put
from micrograd_jp.ops.complex import is_complex
from micrograd_jp.tensor.array import Tensor

_MOST_LISTED = 20


class IncompatibleKeys(NamedTuple):
    """合わなかった名前 (PyTorch の `load_state_dict` の返り値と同じ)。"""

    missing_keys: list[str]
    unexpected_keys: list[str]


def entries(module: tree.Part) -> dict[str, Any]:
    """保存されるもの: パラメータと、保存されるバッファ。部品ごとに、パラメータが先。

    Raises:
        ValueError: 違うものが同じ名前になる（点を含む辞書の鍵など）。
    """
    found: dict[str, Any] = {}
    for pairs in (tree.parameters(module), tree.buffers(module, only_persistent=True)):
        for name, x in pairs:
            if found.setdefault(name, x) is not x:
                raise ValueError(
                    f"2 つのパラメータが同じ名前 {name!r} になります (duplicate key): "
                    "辞書の鍵を、点を含まない、別々のものにしてください。"
                )
    return _in_order_of_modules(module, found)


def _in_order_of_modules(module: tree.Part, found: dict[str, Any]) -> dict[str, Any]:
    """PyTorch's order: a module's parameters, its buffers, then the modules inside it."""
    if not any(tree.BUFFERS in vars(m) for _, m in tree.modules(module)):
        return found
    places = {prefix: i for i, (prefix, _) in enumerate(tree.modules(module))}

    def place(name: str) -> int:
        while name not in places:  # the longest prefix that is a module
            name = name.rpartition(".")[0]
        return places[name]

    owners = {name: place(name.rpartition(".")[0]) for name in found}
    return dict(sorted(found.items(), key=lambda pair: owners[pair[0]]))


def state_dict(module: tree.Part) -> dict[str, Any]:
    """名前から値の写しへ。`Tensor` は切り離した `Tensor`、`Value` は float。"""
    return {
        name: Tensor(namespace.of(x._data).array(x._data)) if isinstance(x, Tensor) else x._data
        for name, x in entries(module).items()
    }


def load(module: tree.Part, state: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """`state` の値を入れる。合わないものが 1 つでもあれば、何も変えずに断る。"""
    put_in, keys = loading(module, state, strict)
    put_in()
    return keys


def loading(
    module: tree.Part, state: Mapping[str, Any], strict: bool = True
) -> tuple[Callable[[], None], IncompatibleKeys]:
    """すべてを確かめて、`state` の値を入れる関数にする。まだ何も変えない。"""
    if not isinstance(state, Mapping):
        raise TypeError(
            "load_state_dict は名前から値への辞書を受け取ります (expected a dict): "
            f"{type(state).__name__} が渡されました。"
        )
    own = entries(module)
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    known = {name: x for name, x in own.items() if name in state}
    bad = [text for name, x in known.items() if (text := _objection(name, x, state[name]))]
    bad += _disagreements(known, state)
    if bad or (strict and (missing or unexpected)):
        raise _not_loadable(module, *((missing, unexpected) if strict else ([], [])), bad)

    def put_in() -> None:
        for name, x in known.items():
            put(x, data_of(state[name]))

    return put_in, IncompatibleKeys(missing, unexpected)


def _objection(name: str, x: Any, given: Any) -> str:
    """Why this value cannot be loaded, or nothing."""
    data = data_of(given)
    if not (is_number(data) or (namespace.is_array(data) and data.dtype.kind in "fciubV")):
        return f"{name}: 数の配列ではなく {type(given).__name__} です"
    have, want = tuple(np.shape(data)), () if isinstance(x, Value) else x.shape
    if have != want:
        return f"{name}: 渡された形 {have}、必要な形 {want}"
    if is_complex(data) and not is_complex(x):
        return f"{name}: 実数のところに複素数が渡されました"
    if isinstance(x, Tensor) and not namespace.is_differentiable(x.dtype) and _is_floating(data):
        return f"{name}: 整数 ({x.dtype}) のところに小数が渡されました"
    if isinstance(data, int):
        try:
            float(data) if isinstance(x, Value) else np.array(data, x.dtype)
        except OverflowError:
            return f"{name}: 数が大きすぎます"
    return ""


def _is_floating(data: Any) -> bool:
    return isinstance(data, float) or (hasattr(data, "dtype") and namespace.is_floating(data.dtype))


def _disagreements(known: dict[str, Any], state: Mapping[str, Any]) -> list[str]:
    """One parameter under two names must get one value."""
    first: dict[int, str] = {}
    bad = []
    for name, x in known.items():
        other = first.setdefault(id(x), name)
        if other != name:
            a, b = (np.asarray(data_of(state[key])) for key in (other, name))
            if a.shape == b.shape and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                bad.append(f"{name}: {other} と共有されているのに、値が違います")
    return bad


def _not_loadable(
    module: tree.Part, missing: list[str], unexpected: list[str], bad: list[str]
) -> ValueError:
    parts = [
        f"  {title}: {_listed(names)}"
        for title, names in (
            ("足りない名前 (missing keys)", missing),
            ("余分な名前 (unexpected keys)", unexpected),
            ("合わない値 (shape or type mismatch)", bad),
        )
        if names
    ]
    advice = "同じ構造のモデルに読み込んでください。"
    if missing or unexpected:
        advice += "一部だけ読み込むときは strict=False とします。"
    return ValueError(
        f"{type(module).__name__} に state_dict を読み込めません (何も変更していません):\n"
        + "\n".join(parts)
        + f"\n{advice}"
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_LISTED])
    hidden = len(names) - _MOST_LISTED
    return f"{shown} …ほか {hidden} 個" if hidden > 0 else shown
