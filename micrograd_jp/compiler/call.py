"""コンパイルした関数の呼び出し 1 回を、`Tensor` の計算グラフにつなぐ。"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.compiler.pipeline import Compilation
from micrograd_jp.compiler.record.inputs import Arguments, read, wanting
from micrograd_jp.compiler.record.outputs import Outputs, arranged, collected
from micrograd_jp.compiler.record.ragged import Bucket
from micrograd_jp.compiler.run.tensors import evaluated
from micrograd_jp.compiler.table.table import Array
from micrograd_jp.graph.leaves import receive
from micrograd_jp.graph.modes import is_grad_enabled, unusual
from micrograd_jp.graph.shares import overwritten
from micrograd_jp.graph.writes import writes
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops.primitive import ArrayOp
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.shape import concatenate

_DATA = operator.attrgetter("_data")

_Share = tuple[Tensor, Array]


class Call(NamedTuple):
    """What the reverse pass of one call needs.

    asking: which inputs want a gradient. held: the arrays of the parameters. moment: how many
    writes there had been. elsewhere: the results, where these carry the graph themselves.
    rows, sources: where only some of the samples came with this call, which, and the Tensors that
    they were taken from.
    """

    compilation: Compilation
    arguments: Arguments
    run: int
    asking: list[int]
    held: tuple[Any, ...]
    moment: tuple[int, ...]
    elsewhere: list[Tensor] | None = None
    rows: Array | None = None
    sources: Sequence[Tensor | None] = ()

    def __reduce__(self) -> NoReturn:
        _COMPILED.__reduce__()

    def gradients(self, seeds: Array) -> tuple[Array, list[Array]]:
        """The gradients of the flat parameters, and of the inputs that ask."""
        compilation, arrays = self.compilation, self.arguments.arrays
        with compilation.turn:
            again = self.run != compilation.runs
            if again or self.moment != compilation.moment():
                self._require_unwritten(again)
            if again:  # called again since: the buffers hold that call
                compilation.run(arrays, self.arguments.samples)
            gradient, of_inputs = compilation.executor.backward(seeds, bool(self.asking))
        if of_inputs is None:
            return gradient, []
        parts = compilation.input_parts(of_inputs, arrays)
        return gradient, [parts[i] for i in self.asking]

    def mean_gradients(self, samples: int) -> tuple[Array, list[_Share]]:
        """Of Σ values / samples: that of the flat parameters, and of each input that asks now."""
        own, call = self.arguments, self
        asking = own.asking if self.rows is None else wanting(self.sources)
        if asking != self.asking:
            call = self._replace(asking=asking)
        gradient, parts = call.gradients(self.compilation.mean_seeds(own.samples, samples))
        if not parts:
            return gradient, []
        if self.rows is None:
            return gradient, [(own.tensors[i], x) for i, x in zip(asking, parts, strict=True)]
        shares = []
        for i, part in zip(asking, parts, strict=True):
            x: Any = self.sources[i]
            whole = np.zeros(x.shape, part.dtype)
            whole[self.rows] = part
            shares.append((x, whole))
        return gradient, shares

    def _require_unwritten(self, again: bool) -> None:
        """Refuse where the numbers of then are gone. `again`: they are to be used once more."""
        made, *changes = self.moment
        tensors = self.compilation.binding.tensors
        replaced = again and any(t._data is not x for t, x in zip(tensors, self.held, strict=True))
        arrays = (x for x in (*self.held, *self.arguments.arrays) if x.__class__ is np.ndarray)
        changed = changes != [*self.compilation.moment()[1:]]
        if replaced or changed or any(writes.after(made, x) for x in arrays):
            raise overwritten("コンパイルした関数")


def called(compilation: Compilation, arguments: Arguments) -> tuple[list[Tensor], Call]:
    """Run it on whatever arrays: the results."""
    if arguments.in_memory or namespace.of(*arguments.arrays) is namespace.ieee:
        return _run(compilation, arguments)
    tensors = _run_elsewhere(compilation, arguments)
    return tensors, Call(compilation, arguments, 0, [], (), (), tensors)


def pull_mean(calls: Sequence[Call]) -> None:
    """Add the gradients of the mean of all values: when all are known, and once to each Tensor.

    calls: one, or one for each shape of the samples.
    """
    first, several = calls[0], len(calls) > 1
    samples = first.arguments.samples
    if several:
        samples = sum([call.arguments.samples for call in calls])
    if first.elsewhere is not None:
        sums = [call.elsewhere[0].sum() for call in calls if call.elsewhere is not None]
        (functools.reduce(operator.add, sums) / samples).backward(retain_graph=True)
        return
    gradient, shares = first.mean_gradients(samples)
    if not (several or shares):  # the usual case
        first.compilation.binding.receive(gradient)
        return
    every = [(gradient, shares), *[call.mean_gradients(samples) for call in calls[1:]]]
    parameters: dict[int, _Share] = {}
    inputs: dict[int, _Share] = {}
    for call, (gradient, shares) in zip(calls, every, strict=True):
        binding = call.compilation.binding
        for x, share in zip(binding.tensors, binding.split(gradient), strict=True):
            _add(parameters, x, share)
        for x, share in shares:
            _add(inputs, x, share)
    for x, share in inputs.values():
        if x.op is not None:  # and further, to what it was computed from, which may be refused
            x.backward(Tensor(share.astype(x.dtype)), retain_graph=True)
    for x, share in parameters.values():
        receive(x, share, fresh=True)
    for x, share in inputs.values():
        if x.op is None:
            receive(x, share)


def _add(found: dict[int, _Share], x: Tensor, share: Array) -> None:
    before = found.get(id(x))
    found[id(x)] = x, share if before is None else before[1] + share


def in_buckets(
    compilation_of: Callable[..., Compilation], parts: Sequence[Bucket]
) -> tuple[list[Call], Outputs, list[Tensor]]:
    """Run it on samples of different shapes: the results in the order of the samples.

    Raises:
        ValueError: 結果の形が、標本の形によって違う。
        IndexError: 番号が範囲の外（もとの標本の番号を言う）。
    """
    arguments = [read(part.args, part.kwargs) for part in parts]
    found = [
        compilation_of(part.args, part.kwargs, own)
        for part, own in zip(parts, arguments, strict=True)
    ]
    outputs = found[0].recorded.outputs
    for other in (compilation.recorded.outputs for compilation in found):
        if other != outputs:
            raise ValueError(
                "標本の長さによって結果の形が違うので、1 つの配列に並べられません (results of "
                f"different shapes): {outputs.shapes} と {other.shapes}。"
                "長さの同じ標本ごとに呼んでください。"
            )
    results = []
    for part, own, compilation in zip(parts, arguments, found, strict=True):
        try:
            results.append(called(compilation, own))
        except IndexError:
            require_indices(compilation, own, part)  # under their numbers in the call
            raise
    calls = [
        call._replace(rows=part.rows, sources=part.originals(call.arguments.tensors))
        for (_, call), part in zip(results, parts, strict=True)
    ]
    if len(parts) == 1:
        return calls, outputs, results[0][0]
    order = np.argsort(np.concatenate([part.rows for part in parts]))
    leaves = zip(*[tensors for tensors, _ in results], strict=True)
    return calls, outputs, [concatenate(leaf)[order] for leaf in leaves]


def require_indices(compilation: Compilation, own: Arguments, part: Bucket) -> None:
    """番号になる入力が範囲の中にあることを確かめる。

    Raises:
        IndexError: 範囲の外（もとの標本の番号を言う）。
    """
    for indices in compilation.indices:
        indices.require(own.arrays, part.rows)


def _run(compilation: Compilation, arguments: Arguments) -> tuple[list[Tensor], Call]:
    """Run it: each result is a node whose operands are the parameters, and the inputs that ask."""
    parents, asking = compilation.parents, arguments.asking
    flat, run = compilation.run(arguments.arrays, arguments.samples)
    held = (*map(_DATA, parents),)
    call = Call(compilation, arguments, run, asking, held, compilation.moment())
    parts = arranged(flat, compilation.recorded.outputs, arguments.batch is not None)
    tensors = [Tensor.of_array(part) for part in parts]
    if asking:
        inputs = [arguments.tensors[i] for i in asking]
        parents, held = (*parents, *inputs), (*held, *[x._data for x in inputs])
    receivers = tuple([x for x in parents if x.requires_grad])
    if receivers and (not unusual.contexts or is_grad_enabled()):
        for place, out in enumerate(tensors):
            out.record(_COMPILED, parents, receivers, held, {"call": call, "place": place})
    return tensors, call


def _pulled(m: Any, g: Any, z: Any, *_: Any, call: Call, place: int) -> tuple[Any, ...]:
    if m is on_graph:
        raise RuntimeError(
            "コンパイルした関数は 1 階だけ微分できます (no create_graph): 高階微分は、"
            "もとの関数を mg.grad などで微分してください。"
        )
    compilation, batch = call.compilation, call.arguments.samples
    outputs, dtype = compilation.recorded.outputs, compilation.dtype
    g = np.asarray(g, dtype=dtype)
    if outputs.is_scalar:
        gradient, parts = call.gradients(g.reshape(1, batch))
    else:
        seeds = [np.zeros((batch, *shape), dtype=dtype) for shape in outputs.shapes]
        seeds[place] = g
        gradient, parts = call.gradients(collected(seeds, batch))
    return (*compilation.binding.split(gradient), *parts)


class _CompiledOp(ArrayOp):
    """The operation "compiled": it belongs to one function, and no name leads back to it."""

    def __reduce__(self, *_: Any) -> NoReturn:
        raise TypeError(
            "コンパイルした関数の結果は、計算グラフごとは写せません (cannot copy or pickle a "
            "result of a compiled function): y.detach() を写してください。"
        )

    __copy__ = __deepcopy__ = __reduce__


_COMPILED = _CompiledOp(
    "compiled", "compiled", "コンパイルされた関数 (compiled function)", lambda m, *xs: xs, _pulled
)


def _run_elsewhere(compilation: Compilation, arguments: Arguments) -> list[Tensor]:
    """The same program on arrays of another library: its Tensors carry their own graph."""
    batch, dtype, recorded = arguments.samples, compilation.dtype, compilation.recorded
    for indices in compilation.indices:
        indices.require(arguments.arrays)
    inputs = []
    for x, tensor, group in zip(arguments.arrays, arguments.tensors, recorded.groups, strict=True):
        if x.__class__ is float:
            inputs.append(Tensor(np.full((1, batch), x, dtype=dtype)))
        else:
            tensor = Tensor(x) if tensor is None else tensor
            inputs.append(tensor.reshape(batch, group.size).T)
    flat = evaluated(compilation.program, compilation.binding.tensors, inputs, batch, dtype)
    parts = [flat[own].T.reshape(batch, *shape) for shape, own in recorded.outputs.leaves]
    return [part[0] for part in parts] if arguments.batch is None else parts
