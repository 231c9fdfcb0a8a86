"""宣言から型スタブ `_surface.pyi` を書く。エディタの補完と mypy が、生成される名前を知るため。

    python -m micrograd_jp.ops.surface

演算を加えたら実行する（忘れると `tests/ops/test_surface.py` が教える）。
"""

from __future__ import annotations

from pathlib import Path

from micrograd_jp.ops import elementwise as _elementwise  # noqa: F401  (fills the registry)
from micrograd_jp.ops.primitive import Elementwise, elementwise_primitives

PATH = Path(__file__).parent.parent / "_surface.pyi"
_DUNDERS = {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "**": "pow"}
_ALIASES = {"__neg__": "", "__pos__": "", "__abs__": "", "__floor__": ""}


def _parameters(op: Elementwise, skip: int = 0) -> str:
    required = op.arity - len(op.defaults)
    optional = " | None = ..."
    return ", ".join(
        f"{name}: Operand{optional if i >= required else ''}"
        for i, name in enumerate(op.arguments)
        if i >= skip
    )


def stub() -> str:
    """スタブの全文。"""
    methods, functions = [], []
    for op in elementwise_primitives():
        doc = f'"""{op.summary}"""'
        functions.append(f"def {op.name}({_parameters(op)}) -> Value: {doc}")
        if op.arguments[0] == "x":
            own = ", ".join(filter(None, ["self", _parameters(op, skip=1)]))
            own = own.replace("y: ", "other: ")
            names = [op.name, *([op.numpy_name] if op.numpy_name else [])]
            methods += [f"    def {name}({own}) -> Value: {doc}" for name in names]
        if op.operator:
            dunder = _DUNDERS[op.operator]
            for name in (f"__{dunder}__", f"__r{dunder}__"):
                methods.append(f"    def {name}(self, other: Operand) -> Value: ...")
    methods += [f"    def {name}(self) -> Value: ..." for name in _ALIASES]
    head = [
        "# Written by python -m micrograd_jp.ops.surface; do not edit.",
        "from typing import Any",
        "",
        "from micrograd_jp.engine import Value",
        "",
        "Operand = Any",
        "",
        "class Methods:",
    ]
    return "\n".join([*head, *methods, "", *functions, ""])


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
