"""コンパイルした関数をファイルに保存し、もとの Python の関数なしに動かす。

保存するのは、記録した表とパラメータの数である。読むときに、行列を見つけるところから作り直す。
"""

from __future__ import annotations

import math
import os
from typing import Any, NoReturn

import numpy as np

from micrograd_jp import saving
from micrograd_jp.arguments import explain_all
from micrograd_jp.compiler.compiled import Compiled
from micrograd_jp.compiler.pipeline import Compilation, Recorded
from micrograd_jp.compiler.record.inputs import Arguments, Group
from micrograd_jp.compiler.record.outputs import Outputs
from micrograd_jp.compiler.table.codes import (
    CONSTANT,
    FIRST_OPERATION,
    INPUT,
    PARAMETER,
    PRIMITIVES,
    arities,
    name_of,
)
from micrograd_jp.compiler.table.table import Array, Trace
from micrograd_jp.engine.value import Value
from micrograd_jp.saving import LoadError

_VERSION = 1
_TABLES = ("args", "offsets", "inputs", "parameters", "constants", "outputs")


def save(compiled: Compiled, path: str | os.PathLike[str]) -> None:
    """コンパイルした関数の、これまでに記録した構造とパラメータを保存する。

    Args:
        compiled: `mg.compile` した関数。少なくとも 1 度、呼ぶか `trace` したもの。
        path: `.safetensors`（extra `data` が要る）か `.npz` で終わるパス。

    Raises:
        TypeError: 引数に、保存できないもの（モデルなど）がある。
        RuntimeError: まだ 1 度も記録されていない。
    """
    compiled.vectors()  # refuses before the first trace
    values = {id(v): v for found in compiled.compilations for v in found.recorded.values}
    places = {name: i for i, name in enumerate(values)}
    state = {
        "micrograd_jp.compiled": _VERSION,
        "name": getattr(compiled, "__name__", "compiled"),
        "dtype": compiled.dtype.name,
        "executor": compiled.executor,
        "parameters": np.array([v.data for v in values.values()], dtype=np.float64),
        "labels": [v.label for v in values.values()],
        "compilations": [
            _state(key, found, [places[id(v)] for v in found.recorded.values])
            for key, found in compiled.keyed()
        ],
    }
    saving.save(state, path)


def _state(key: Any, compilation: Compilation, places: list[int]) -> dict[str, Any]:
    if compilation.kept:
        raise TypeError(
            "引数に、ファイルにできないものがあります (cannot save this argument): "
            f"{type(compilation.kept[0]).__name__}。配列、数、文字列、真偽値と、それらの並びを引数に"
            "する関数を保存してください。"
        )
    recorded, trace = compilation.recorded, compilation.recorded.trace
    names = [name_of(code) for code in range(len(PRIMITIVES))]
    used = np.unique(trace.codes)
    return {
        "key": key,
        "samples": compilation.choice.batch,
        "values": np.array(places, dtype=np.int64),
        "groups": [(group.name, group.shape) for group in recorded.groups],
        "shapes": recorded.outputs.shapes,
        "structure": recorded.outputs.structure,
        "operations": [names[code] if code >= FIRST_OPERATION else code for code in used.tolist()],
        "codes": np.searchsorted(used, trace.codes),
        "numbers": trace.values,
        "nodes": [(i, label) for i, label in trace.labels.items()],
        **{name: getattr(trace, name) for name in _TABLES},
    }


def load(path: str | os.PathLike[str]) -> Compiled:
    """`save` した関数を読む。保存した構造の引数で呼べ、続けて学習することもできる。

    Args:
        path: `save` に渡したパス。

    Raises:
        FileNotFoundError: ファイルがない。
        LoadError: 壊れているか、コンパイルした関数のファイルではない。
    """
    state = saving.load(path)
    if not isinstance(state, dict) or state.get("micrograd_jp.compiled") != _VERSION:
        raise LoadError(
            f"コンパイルした関数のファイルではありません (not a compiled function): {path}。"
            "mg.compiler.save(loss, path) で書いたものを渡してください。"
        )
    try:
        return _restored(state)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
        raise LoadError(
            f"{path} の中身が矛盾しています (inconsistent file): {type(error).__name__}: {error}"
        ) from error


def _restored(state: dict[str, Any]) -> Compiled:
    def unknown(*args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "この構造の引数は保存されていません (not saved with the function): 保存する前に、同じ"
            "形の引数で呼ぶか trace してください。"
        )

    unknown.__name__ = unknown.__qualname__ = state["name"]
    numbers = np.asarray(state["parameters"], dtype=np.float64)
    values = [Value(x, label) for x, label in zip(numbers.tolist(), state["labels"], strict=True)]
    found = Compiled(unknown, state["dtype"], state["executor"])
    for part in state["compilations"]:
        trace = _trace(part)
        _require((np.asarray(part["values"]) >= 0).all(), "values")
        own = [values[i] for i in part["values"].tolist()]
        groups = [Group(name, tuple(shape)) for name, shape in part["groups"]]
        _require(len(own) == len(trace.parameters), "parameters")
        _require(sum(group.size for group in groups) == len(trace.inputs), "inputs")
        outputs = Outputs([tuple(shape) for shape in part["shapes"]], part["structure"])
        _require(sum(map(math.prod, outputs.shapes)) == len(trace.outputs), "outputs")
        outputs.rebuild(outputs.shapes)  # as many leaves as the structure asks for
        recorded = Recorded(trace, own, groups, outputs)
        arguments = Arguments(part["key"], [], [], int(part["samples"]), [])
        compilation = Compilation(recorded, found.dtype, found.executor, arguments)
        found.add(part["key"], compilation)
    return found


def _trace(part: dict[str, Any]) -> Trace:
    """The table, after a look at everything that the passes rely on."""
    by_name = {name_of(code): code for code in range(FIRST_OPERATION, len(PRIMITIVES))}
    known = [x if x.__class__ is int else by_name[x] for x in part["operations"]]
    leaves = (x for x in part["operations"] if x.__class__ is int)
    _require(all(0 <= x < FIRST_OPERATION for x in leaves), "operations")
    _require((np.asarray(part["codes"]) >= 0).all(), "codes")
    codes = np.array(known, dtype=np.int64)[part["codes"]]
    tables: dict[str, Array] = {name: np.asarray(part[name], np.int64) for name in _TABLES}
    trace = Trace(
        codes=codes, values=np.asarray(part["numbers"], np.float64),
        labels={int(i): str(label) for i, label in part["nodes"]}, **tables,
    )  # fmt: skip
    n, counts = len(trace), np.diff(trace.offsets)
    arity = arities()[codes]
    _require(all(x.ndim == 1 for x in (codes, trace.values, *tables.values())), "shapes")
    _require(len(trace.offsets) == n + 1 and trace.offsets[0] == 0, "offsets")
    _require((counts >= 0).all() and trace.offsets[-1] == len(trace.args), "offsets")
    _require(((counts == arity) | ((arity < 0) & (codes >= FIRST_OPERATION))).all(), "arity")
    _require((trace.args >= 0).all() and (trace.args < trace.owners).all(), "order")
    for code, name in (INPUT, "inputs"), (PARAMETER, "parameters"), (CONSTANT, "constants"):
        _require(np.array_equal(np.sort(tables[name]), np.flatnonzero(codes == code)), name)
    _require(len(trace.values) == len(trace.constants), "numbers")
    _require(((trace.outputs >= 0) & (trace.outputs < n)).all(), "outputs")
    return trace


def _require(holds: Any, what: str) -> None:
    if not holds:
        raise ValueError(what)


explain_all(globals())
