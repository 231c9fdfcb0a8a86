"""実行のしかた `"tape"`: 機械語にできれば機械語で、できなければ NumPy で、同じテープを実行する。"""

from __future__ import annotations

from typing import Any

from micrograd_jp.compiler.executors import Executor, register
from micrograd_jp.compiler.native_cache import available
from micrograd_jp.compiler.tape import assembled
from micrograd_jp.compiler.tape_layout import has_machine_code
from micrograd_jp.compiler.tape_native import NativeTape
from micrograd_jp.compiler.trace import Trace


def executor(trace: Trace, dtype: Any) -> Executor:
    tape = assembled(trace)
    return NativeTape(tape, dtype)


register("tape", executor)
