"""PyTorch と torchvision の公開する名前の表 (`pytorch_names.txt`)。

リファレンスの「対応する名前」が読む。書き直すには (PyTorch のあるところで):

    python demos/site/pytorch_names.py
"""

from __future__ import annotations

import inspect
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("pytorch_names.txt")
PLACES = """torch torch.nn torch.nn.functional torch.nn.init torch.nn.utils torch.nn.utils.rnn
    torch.optim torch.optim.lr_scheduler torch.optim.swa_utils torch.cuda torch.accelerator
    torch.utils.data torch.linalg torch.fft torch.autograd torch.autograd.functional
    torch.distributions torch.amp torch.distributed torch.func torch.testing torch.Tensor
    torch.nn.Module torch.nn.Sequential torch.nn.ModuleList torch.nn.ModuleDict
    torch.nn.ParameterList torch.nn.ParameterDict
    torchvision.models torchvision.datasets torchvision.transforms""".split()


def names() -> dict[str, list[str]]:
    """場所から、そこにある名前へ。"""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return {place: found for place, *found in map(str.split, lines)}


def of_pytorch() -> dict[str, list[str]]:
    """PyTorch に尋ねた `names()`: 公開する名前か、そこで定義された名前。C++ の核の型は除く。

    torchvision がなければ、その行は表のまま。
    """
    with warnings.catch_warnings(action="ignore"):  # some names are deprecated
        return {place: _listed(place) for place in PLACES}


def _listed(place: str) -> list[str]:
    if not find_spec(place.partition(".")[0]):
        return names()[place]
    home, _, name = place.rpartition(".")
    here = getattr(import_module(home), name) if name[0].isupper() else import_module(place)
    found = getattr(here, "__all__", None) or dir(here)
    core = vars(import_module("torch._C"))
    return sorted({n for n in found if _is_public(getattr(here, n), n, core)})


def _is_public(x: Any, name: str, core: dict[str, Any]) -> bool:
    home = getattr(x, "__module__", None) or "torch"
    if name[0] == "_" or inspect.ismodule(x) or not home.startswith("torch"):
        return False
    return not (inspect.isclass(x) and core.get(name) is x)


if __name__ == "__main__":
    lines = [" ".join([place, *found]) for place, found in of_pytorch().items()]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
