"""リファレンスのページを、演算の宣言と docstring から書く: 公開する名前のすべて。

要素ごとの演算の docstring は、微分の式も折れ点も、宣言から書かれている。それに、グラフと、ほかの
ライブラリで対応する名前を添える。
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import pytorch_names

import micrograd_jp as mg
from micrograd_jp.columns import display_width
from micrograd_jp.ops.primitive import Elementwise, elementwise_primitives
from micrograd_jp.tensor.functions.aliases import SAME
from micrograd_jp.viz import figures

ROOMS = """engine tensor nn nn.functional nn.init nn.utils nn.models optim optim.lr_scheduler
    optim.swa_utils data data.datasets data.transforms training autograd autograd.functional
    compiler linalg fft distributions amp distributed saving xla testing testing.strategies viz
    viz.figures exercises graph native transforms""".split()
"""ページになる部屋。どれも `micrograd_jp` の下の名前。"""


def module_of(room: str) -> ModuleType:
    """`micrograd_jp` の下の部屋。`mg.linalg` のように、別の場所にあるものもある。"""
    found: ModuleType = mg
    for name in filter(None, room.split(".")):
        try:
            found = import_module(f"{found.__name__}.{name}")
        except ModuleNotFoundError:
            found = getattr(found, name)
    return found


def public(room: str) -> dict[str, Any]:
    """部屋の公開する名前から、それの指すものへ。下の部屋は除く。"""
    module = module_of(room)
    listed = getattr(module, "__all__", None)
    found = {n: getattr(module, n) for n in listed or dir(module) if not n.startswith("_")}
    return {
        n: x
        for n, x in found.items()
        if not isinstance(x, ModuleType | TypeVar)
        and (listed or getattr(x, "__module__", "").startswith(module.__name__))
    }


def pages(figures_folder: Path) -> dict[str, str]:
    """ファイルの名前から、そのページ (reStructuredText) へ。図は `figures_folder` に描く。

    同じものの 2 つめの名前には、1 つめへのリンクを書く。
    """
    said: dict[int, str] = {}
    operations = {op.name: op for op in elementwise_primitives()}
    top = public("")
    elementwise = {n: x for n, x in top.items() if n in operations}
    found = {
        "elementwise": _page(
            "要素ごとの演算",
            "`Value`、`Tensor`、数、配列のどれにも使える演算。`mg.tanh(x)` とも `x.tanh()` とも"
            "書けます。微分の式、グラフ、折れ点は、演算の宣言から作ったものです。",
            [
                _entry("", name, x, said) + _plot(operations[name], figures_folder)
                for name, x in sorted(elementwise.items())
            ],
        ),
        "functions": _page(
            "関数と型",
            "`mg.` のあとに書く名前。多くは `Tensor` のメソッドでもあります。",
            list(_by_home({n: x for n, x in top.items() if n not in elementwise}, said)),
        ),
    }
    for room in ROOMS:
        first = (module_of(room).__doc__ or room).strip().splitlines()[0]
        entries = [_entry(room, n, x, said) for n, x in sorted(public(room).items())]
        found[room] = _page(f"micrograd_jp.{room}", first, entries)
    listed = "\n".join(f"   {name}" for name in found)
    found["index"] = _page(
        "リファレンス (reference)", "すべての公開する名前。", [f".. toctree::\n\n{listed}\n"]
    )
    return found


def escaped(text: str) -> str:
    """Markdown の 1 行を reStructuredText に: `code` のほかに、印になる文字はない。"""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        f"`{part}`" if k % 2 else re.sub(r"[*|_\\`]", r"\\\g<0>", part)
        for k, part in enumerate(parts)
    )


def _title(text: str, rule: str) -> str:
    title = escaped(text)
    return f"{title}\n{rule * display_width(title)}\n"


def _page(title: str, text: str, parts: list[str]) -> str:
    return f"{_title(title, '=')}\n{escaped(text)}\n\n" + "\n".join(parts)


def _by_home(names: dict[str, Any], said: dict[int, str]) -> Iterator[str]:
    """A heading for every file, with what that file says it is."""
    homes: dict[str, list[str]] = {}
    for name, x in sorted(names.items()):
        homes.setdefault(getattr(x, "__module__", None) or "", []).append(name)
    for home in sorted(homes, key=lambda home: (home == "", home)):
        text = import_module(home).__doc__ if home else "定数と型 (dtype)。"
        yield _title((text or home).strip().splitlines()[0], "-")
        yield from (_entry("", name, names[name], said) for name in homes[home])


def _entry(room: str, name: str, x: Any, said: dict[int, str]) -> str:
    """`said`: the name under which an object is described already."""
    module = f"micrograd_jp.{room}".rstrip(".")
    also = "、".join(f"``{full}``" for full in counterparts(room, name)) or "なし"
    also = f"\n   対応する名前 (counterparts): {also}\n"
    ours = callable(x) and (getattr(x, "__module__", None) or "").startswith("micrograd_jp")
    if ours:
        first = said.setdefault(id(x), f"{module}.{name}")
        if first != f"{module}.{name}":
            return f".. py:data:: {module}.{name}\n\n   = :py:obj:`{first}`\n"
    if ours and inspect.isclass(x):
        members = "   :members:\n" if _with_members(x) else ""
        return f".. autoclass:: {module}.{name}\n{members}{also}"
    if ours:
        return f".. autofunction:: {module}.{name}{_signature(name, x)}\n{also}"
    return f".. py:data:: {module}.{name}\n\n   ``{x!r}``\n{also}"


PYTORCH = {place: {*names} for place, names in pytorch_names.names().items()}
ELSEWHERE = {
    "": """torch torch.func torch.nn.functional torch.nn.utils torch.utils.data torch.autograd
        torch.autograd.functional torch.Tensor numpy""",
    "tensor": "torch", "saving": "torch",
    "linalg": "torch.linalg numpy.linalg",
    "fft": "torch.fft numpy.fft",
    "graph": "torch torch.autograd",
    "testing": "torch.autograd",
    "transforms": "torch.func torch.autograd.functional",
    "optim": "torch.optim torch.nn.utils",
    "data": "torch.utils.data",
    "nn.models": "torchvision.models",
    "data.datasets": "torchvision.datasets",
    "data.transforms": "torchvision.transforms",
}  # fmt: skip
"""部屋の名前を探すところ。ここにない部屋は、PyTorch の同じ名前のところを探す。"""

OTHER_NAMES = {
    "Value": "micrograd.engine.Value", "Neuron": "micrograd.nn.Neuron",
    "Layer": "micrograd.nn.Layer", "MLP": "micrograd.nn.MLP", "jit": "jax.jit",
    "value_and_grad": "jax.value_and_grad", "numerical_gradient": "scipy.optimize.approx_fprime",
    "Generator": "torch.Generator", "Size": "torch.Size", "device": "torch.device",
    "inv": "torch.linalg.inv",
}  # fmt: skip
"""表にない、対応する名前。"""


def counterparts(room: str, name: str) -> list[str]:
    """PyTorch、NumPy などで対応する名前。はじめに見つかった PyTorch のものと、NumPy のもの。"""
    if name in OTHER_NAMES:
        return [OTHER_NAMES[name]]
    places = ELSEWHERE.get(room, f"torch.{room}").split()
    found = [f"{place}.{name}" for place in places if name in PYTORCH.get(place, ())][:1]
    spellings = [name, *(other for other, ours in SAME.items() if ours == name)]
    for place in places:
        if place.startswith("numpy"):
            numpy = import_module(place)
            found += [f"{place}.{n}" for n in spellings if hasattr(numpy, n)][:1]
    return found


def _with_members(x: type) -> bool:
    """Layers and losses are called; what they inherit stands at `Module`."""
    return x is mg.nn.Module or not issubclass(x, mg.nn.Module)


def _signature(name: str, x: Any) -> str:
    """That of an operation is its declaration's; Python sees only (*args, **kwargs)."""
    if "args" not in inspect.signature(x).parameters:
        return ""
    op = next((op for op in elementwise_primitives() if op.name == name), None)
    if op is None:
        return ""
    plain = op.arity - len(op.defaults)
    given = [*op.arguments[:plain]]
    given += [f"{a}={d:g}" for a, d in zip(op.arguments[plain:], op.defaults, strict=True)]
    return f"({', '.join(given)})"


# ---- 要素ごとの演算 -----------------------------------------------------------------------------


def _plot(op: Elementwise, folder: Path) -> str:
    """The formulas and the kinks are in the docstring: the declaration wrote it."""
    if op.arity > 1:
        return ""
    draw(op, folder / f"{op.name}.svg")
    return f"\n   .. image:: figures/{op.name}.svg\n      :alt: {op.name} の値と傾き\n"


def draw(op: Elementwise, path: Path) -> None:
    """1 つの引数の演算の、定義域での値と傾きのグラフ。"""
    x = np.linspace(*op.domain[0], 401)
    t = mg.tensor(x, requires_grad=True)
    y = getattr(mg, op.name)(t)
    slopes = np.zeros_like(x)
    if y.requires_grad:
        y.sum().backward()
        slopes = t.grad.numpy()
    figure, axes = figures.subplots(size=(4.2, 2.4))
    axes.plot(x, y.detach().numpy(), label=f"{op.name}(x)")
    axes.plot(x, slopes, "--", label="傾き")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path)
