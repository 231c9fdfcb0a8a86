"""この機械にあるもの: 任意の依存 (extras)、キャッシュのフォルダ、並んで働くプロセス。

任意の依存は使うところで読み込み、なければ入れ方を伝える。
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any


def require(module: str, extra: str) -> Any:
    """任意の依存を読み込む。

    Raises:
        ImportError: 入っていない。入れ方を 1 文で伝える。
    """
    random = None if module in sys.modules else sys.modules.get("numpy.random")
    state = random and random.get_state()  # loading JAX draws from the user's stream
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(
            f"{module} が必要です (missing dependency)。"
            f'pip install "micrograd_jp[{extra}]" で入ります。'
        ) from None
    finally:
        if random:
            random.set_state(state)


def progress_bar() -> Any:
    """進み具合の棒 (tqdm のクラス)。ノートブックでは、赤い文字にならないもの。

    Raises:
        ImportError: tqdm がない。
    """
    bar = require("tqdm", "data").tqdm
    if "ipykernel.zmqshell" not in sys.modules:
        return bar
    with warnings.catch_warnings(action="ignore"):  # no ipywidgets: lines of text will do
        found = importlib.import_module("tqdm.auto").tqdm
    console = importlib.import_module("tqdm.asyncio").tqdm
    return partial(bar, file=sys.stdout) if found is console else found


class _Processes:
    """並んで働くプロセスのうちの、何番目か。"""

    rank = 0
    count = 1


processes = _Processes()
"""`mg.distributed.init_process_group()` が決める。それまでは、1 つだけ。"""


def require_joined() -> None:
    """ほかのプロセスと一緒に始められたのに、まだつながっていなければ断る。

    Raises:
        RuntimeError: `mg.distributed.init_process_group()` がまだ呼ばれていない。
    """
    if processes.count == 1 and os.environ.get("WORLD_SIZE", "1") != "1":
        raise RuntimeError(
            f"{os.environ['WORLD_SIZE']} 個のプロセスの 1 つとして始められましたが、まだつながって"
            "いません (process group is not initialized): プログラムのはじめに "
            "mg.distributed.init_process_group() と書いてください。"
        )


def cache_folder() -> Path | None:
    """このパッケージのキャッシュのフォルダ（まだないこともある）。ホームがなければ `None`。

    `XDG_CACHE_HOME` があればその下、なければ `~/.cache` (Linux)、`~/Library/Caches` (macOS)、
    `%LOCALAPPDATA%` (Windows) の下の `micrograd_jp`。
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if not base and sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    if not base:
        base = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    folder = expanded(base)
    return None if folder is None else folder / "micrograd_jp"


def expanded(path: str) -> Path | None:
    """`~` をホームに替えたパス。ホームのない利用者（コンテナの中など）なら `None`。"""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return None
