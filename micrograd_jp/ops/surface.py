"""宣言から型スタブ `_surface.pyi` を書く。エディタの補完と mypy が、生成される名前を知るため。

    python -m micrograd_jp.ops.surface

演算を加えたら実行する（忘れると `tests/ops/test_surface.py` が教える）。
"""

from __future__ import annotations

import inspect
from pathlib import Path

from micrograd_jp.ops import elementwise as _elementwise  # noqa: F401  (fills the registry)
from micrograd_jp.ops.primitive import (
    OPERATOR_METHODS,
    UNARY_METHODS,
    Elementwise,
    elementwise_primitives,
)

PATH = Path(__file__).parent.parent / "_surface.pyi"


def _parameters(op: Elementwise, skip: int = 0) -> str:
    required = op.arity - len(op.defaults)
    optional = " | None = ..."
    return ", ".join(
        f"{name}: Operand{optional if i >= required else ''}"
        for i, name in enumerate(op.arguments)
        if i >= skip
    )


def _elementwise_methods(result: str) -> list[str]:
    methods = []
    for op in elementwise_primitives():
        doc = f'"""{op.summary}"""'
        if op.arguments[0] == "x":
            own = ", ".join(filter(None, ["self", _parameters(op, skip=1)]))
            own = own.replace("y: ", "other: ")
            names = [op.name, *([op.numpy_name] if op.numpy_name else [])]
            methods += [f"    def {name}({own}) -> {result}: {doc}" for name in names]
        if op.operator:
            dunder = OPERATOR_METHODS[op.operator]
            for name in (f"__{dunder}__", f"__r{dunder}__"):
                methods.append(f"    def {name}(self, other: Operand) -> {result}: ...")
    return methods + [f"    def {name}(self) -> {result}: ..." for name in UNARY_METHODS]


def _array_methods() -> list[str]:
    """The functions of arrays that are methods too, with their own signatures and docstrings."""
    from micrograd_jp.array_functions import METHODS

    methods = []
    for name, function in METHODS.items():
        signature = inspect.signature(function)
        first, *others = signature.parameters.values()
        own = signature.replace(parameters=[first.replace(name="self", annotation=first.empty)])
        own = own.replace(parameters=[*own.parameters.values(), *others])
        doc = (inspect.getdoc(function) or "").partition("\n")[0]
        text = str(own).replace("'", "").replace("Sorted", "Any").replace("Extremum", "Any")
        methods.append(f'    def {name}{text}: """{doc}"""')
    return methods


def _functions() -> list[str]:
    return [
        f'def {op.name}({_parameters(op)}) -> Any: """{op.summary}"""'
        for op in elementwise_primitives()
    ]


def stub() -> str:
    """スタブの全文。"""
    lines = [
        "# Written by python -m micrograd_jp.ops.surface; do not edit.",
        "from collections.abc import Sequence",
        "from typing import Any",
        "",
        "from micrograd_jp.engine import Value",
        "from micrograd_jp.tensor import Tensor",
        "",
        "Operand = Any",
        "",
        "class Methods:",
        *_elementwise_methods("Value"),
        "",
        "class TensorMethods:",
        *_elementwise_methods("Tensor"),
        *_array_methods(),
        "",
        *_functions(),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
