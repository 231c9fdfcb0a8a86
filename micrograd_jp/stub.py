"""型スタブを書く。生成される名前と、あとから読み込まれる名前を、エディタの補完と mypy が知るため。

`_surface.pyi` は宣言から、`__init__.pyi` は公開する名前の表 (`names.py`) から作る。

    python -m micrograd_jp.stub

演算を加えたら実行する（忘れると `tests/ops/test_source.py` が教える）。
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Any

from micrograd_jp import functions
from micrograd_jp.names import MODULES, SINGLE, WHOLE
from micrograd_jp.ops.primitive import (
    OPERATOR_METHODS,
    UNARY_METHODS,
    Elementwise,
    elementwise_primitives,
)
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions import FUNCTIONS, METHODS, to
from micrograd_jp.tensor.inplace import IN_PLACE
from micrograd_jp.tensor.operations import FUNCTIONS as FUNCTIONS_OF_ELEMENTS

_CONSTANT_OPERATORS = [
    *(
        f"    def __{name}__(self, other: Operand) -> Tensor: ..."
        for name in "lt le gt ge and or xor rand ror rxor floordiv rfloordiv mod rmod".split()
    ),
    *(
        f"    def __{name}__(self, other: Operand) -> Tensor: ...  # type: ignore[override]"
        for name in ("eq", "ne")
    ),
    "    def __invert__(self) -> Tensor: ...",
    "    def __setitem__(self, key: Any, value: Any) -> None: ...",
]
_ELEMENTWISE = {FUNCTIONS_OF_ELEMENTS[op.name]: op for op in elementwise_primitives()}
FOLDER = Path(__file__).parent
_FIRST_LINE = "# Written by python -m micrograd_jp.stub; do not edit."


def _parameters(op: Elementwise) -> list[str]:
    required = op.arity - len(op.defaults)
    optional = [f"{name}: Operand | None = ..." for name in op.arguments[required:]]
    return [*(f"{name}: Operand" for name in op.arguments[:required]), *optional]


def _own(op: Elementwise) -> str:
    """The parameters of a method."""
    return ", ".join(["self", *_parameters(op)[1:]]).replace("y: ", "other: ")


def _elementwise_methods(result: str) -> list[str]:
    methods = []
    for op in elementwise_primitives():
        doc = f'"""{op.summary}"""'
        if op.arguments[0] == "x":
            for name in [
                op.name,
                *([op.numpy_name] if op.numpy_name and result == "Value" else []),
            ]:
                methods.append(f"    def {name}({_own(op)}) -> {result}: {doc}")
        if op.operator:
            dunder = OPERATOR_METHODS[op.operator]
            for name in (f"__{dunder}__", f"__r{dunder}__"):
                methods.append(f"    def {name}(self, other: Operand) -> {result}: ...")
    return methods + [f"    def {name}(self) -> {result}: ..." for name in UNARY_METHODS]


def _declared(name: str, function: Callable[..., Any], method: bool) -> str:
    """A function of arrays with its own signature, PyTorch's names of the arguments and its doc."""
    if op := _ELEMENTWISE.get(function):  # another name of an elementwise function
        own = _own(op) if method else ", ".join(_parameters(op))
        return f'def {name}({own}) -> {"Tensor" if method else "Any"}: """{op.summary}"""'
    signature = inspect.signature(function)
    parameters = [
        p
        if p.default is p.empty or isinstance(p.default, int | float | None)
        else p.replace(default=...)
        for p in signature.parameters.values()
    ]
    for theirs, ours in getattr(function, "torch_names", {}).items():
        if theirs != ours != parameters[0].name:
            parameters.append(
                Parameter(theirs, Parameter.KEYWORD_ONLY, default=..., annotation="Any")
            )
    if method:
        parameters[0] = parameters[0].replace(name="self", annotation=Parameter.empty)
    doc = (inspect.getdoc(function) or "").partition("\n")[0]
    own = str(signature.replace(parameters=parameters)).replace("'", "").replace("Ellipsis", "...")
    own = re.sub(r"\b(Sorted|Extremum|Histogram|Shape|OldSVD|QR|MinMax)\b", "Any", own)
    return f'def {name}{own}: """{doc}"""'


def _in_place_methods() -> list[str]:
    operators = [
        f"    def __i{OPERATOR_METHODS[op.operator]}__(self, other: Operand) -> Tensor: ..."
        for op in elementwise_primitives()
        if op.operator
    ]
    elementwise = {f"{op.name}_": op for op in elementwise_primitives()}
    methods = []
    file = FOLDER / "_surface.pyi"
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    # In the order that the file has, what it lacks (−1) last: a diff shows only what changed.
    for name in sorted(IN_PLACE, key=lambda x: before.find(f"def {x}(") % (len(before) + 1)):
        new = IN_PLACE[name]
        if name in elementwise and "args" in inspect.signature(new).parameters:
            text = f"def {name}({_own(elementwise[name])}) -> Tensor"
        else:
            text = re.sub(r" -> .*", " -> Tensor", _declared(name, new, method=True))
        methods.append(f'    {text}: """{getattr(Tensor, name).__doc__}"""')
    return operators + methods


def _array_methods() -> list[str]:
    """Those that are functions, too, and then the others."""
    names = [name for name, f in METHODS.items() if f.__module__ != to.__name__]
    names.sort(key=lambda name: name not in FUNCTIONS)
    return [f"    {_declared(name, METHODS[name], method=True)}" for name in names]


def _kind_methods() -> list[str]:
    """Apart from the others: `bool` and `int` must not hide Python's types in their signatures."""
    names = sorted(name for name, f in METHODS.items() if f.__module__ == to.__name__)
    return [f"    {_declared(name, METHODS[name], method=True)}" for name in names]


def _functions() -> list[str]:
    """By their files, and in these by name."""
    elementwise = [
        f'def {op.name}({", ".join(_parameters(op))}) -> Any: """{op.summary}"""'
        for op in elementwise_primitives()
    ]
    files = list(dict.fromkeys(f.__module__ for f in FUNCTIONS.values()))
    return elementwise + [
        _declared(name, f, method=False)
        for name, f in sorted(FUNCTIONS.items(), key=lambda x: (files.index(x[1].__module__), x[0]))
        if getattr(functions, name) is f  # the others stand in functions.py
    ]


def surface() -> str:
    """`_surface.pyi` の全文。"""
    lines = [
        _FIRST_LINE,
        "from collections.abc import Sequence",
        "from typing import Any",
        "",
        "from micrograd_jp.tensor.devices import device",
        "from micrograd_jp.engine import Value",
        "from micrograd_jp.tensor import Tensor",
        "",
        "Operand = Any",
        "",
        "class Methods:",
        *_elementwise_methods("Value"),
        "",
        "class KindMethods:",
        *_kind_methods(),
        "    @property",
        "    def device(self) -> device: ...",
        *(
            line
            for name in ("real", "imag", "H", "mH")
            for line in ("    @property", f"    def {name}(self) -> Tensor: ...")
        ),
        "",
        "class TensorMethods(KindMethods):",
        *_elementwise_methods("Tensor"),
        *_CONSTANT_OPERATORS,
        *_array_methods(),
        *_in_place_methods(),
        "",
        *_functions(),
        "",
    ]
    return "\n".join(lines)


def root() -> str:
    """`__init__.pyi` の全文。"""
    singles = [(where, f"{name} as {public}") for public, (where, name) in SINGLE.items()]
    names = [*singles, *((where, "*") for where in WHOLE)]
    return "\n".join([
        _FIRST_LINE,
        *(f"from micrograd_jp import {name} as {name}" for name in MODULES),
        *(f"from micrograd_jp.{where} import {name}" for where, name in names),
        "",
        "__version__: str",
        "",
    ])  # fmt: skip


FILES = {"_surface.pyi": surface, "__init__.pyi": root}

if __name__ == "__main__":
    for name, text in FILES.items():
        (FOLDER / name).write_text(text(), encoding="utf-8")
