"""NumPy の警告を止める: inf や nan は答えであって、間違いではない。

利用者の設定 (`np.seterr`) は変えない。NumPy 2 は設定を文脈変数 (context variable) に持つので、
その変数を直接入れ替えて戻す。演算のたびに `np.errstate` に入るのより、ずっと速い。
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import numpy as np


def _switches() -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """What silences NumPy, and what takes its result and makes NumPy speak again."""
    before = copy_context()
    with np.errstate(all="ignore"):
        inside = copy_context()
    changed = [v for v in inside if v not in before or inside[v] is not before[v]]
    if len(changed) != 1:  # another NumPy, with another place for its settings
        return partial(np.seterr, all="ignore"), lambda old: np.seterr(**old)
    variable = changed[0]
    return partial(variable.set, inside[variable]), variable.reset


silenced, restore = _switches()


@contextmanager
def silence() -> Iterator[None]:
    """NumPy の警告を止める区間。"""
    before = silenced()
    try:
        yield
    finally:
        restore(before)
