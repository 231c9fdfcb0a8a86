"""勾配確認 (gradient check): 誤差逆伝播法の勾配を数値微分と比べる。

甘い検査は誤った勾配を通す。そこで、次のどれかに当たる微分は合格にしない。

- 0 と答える規則でも合格してしまうほど小さい微分
- 1 % の違いを見分けられないほど不正確な数値微分
- 折れ点 (kink) や不連続点での微分
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.backward import backward
from micrograd_jp.graph.higher_order import pulled_back
from micrograd_jp.graph.leaves import clear_gradients, gradients_of, set_gradients
from micrograd_jp.graph.modes import enable_grad, no_grad
from micrograd_jp.graph.node import topological_order
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.functions.complexes import view_as_real
from micrograd_jp.testing.estimate import DISCERNIBLE, Estimate, Kind, estimate, searching
from micrograd_jp.testing.numerical import (
    along,
    call,
    check_callable,
    check_finite_output,
    checked_inputs,
    flat,
    paths,
)
from micrograd_jp.testing.pairs import of_pairs
from micrograd_jp.testing.recorded import recorded
from micrograd_jp.testing.report import GradcheckError, GradcheckReport, Row, Verdict
from micrograd_jp.transforms import leaves_of


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    *,
    order: Literal[1, 2] = 1,
    rtol: float = 1e-6,
    atol: float = 1e-10,
    seed: int = 0,
    allow_zero: bool = False,
    inconclusive: Literal["raise", "reject"] = "raise",
    raise_exception: bool = True,
) -> GradcheckReport:
    """`f` の勾配が正しいか、すべての入力について確かめる。

    `f` の出力（いくつあってもよい）を乱数で重みづけて足し、その微分を比べる。`order=2` では
    `create_graph=True` の勾配についても同じことをする。渡した `Value` は変わらない。
    数の入力が多いときは、`f` を 1 度だけ記録してまとめて計算する (`recorded.py`)。

        gradcheck(lambda x, y: x * y + mg.sin(x), (0.5, 2.0), order=2)

    Args:
        f: `Value` や `Tensor` を受け取り、`Value` か `Tensor`、またはその入れ子のリストを
            返す関数。
        inputs: `f` の引数のリストかタプル（1 つならそのままでもよい）。数・`Value`・
            `Tensor`・小数の ndarray、またはその入れ子。配列は float64 の `Tensor` として
            渡され、要素ごとに確かめられる。複素数の配列は、実部と虚部をそれぞれ動かす。
        order: 1 なら勾配、2 なら勾配とその微分（2 階微分）。
        rtol: 許す相対誤差。1 % の誤りを見分けるため、0.005 未満。
        atol: 許す絶対誤差。微分がこの 200 倍より小さいと判定できない。
        seed: 出力に掛ける乱数の種。
        allow_zero: 真なら、解析・数値の両方が 0 の微分（floor など）を合格とする。
        inconclusive: 判定できないとき、`"raise"` なら不合格、`"reject"` なら
            Hypothesis にその例を捨てさせる。
        raise_exception: 偽なら、不合格でも例外を出さずに報告を返す。

    Returns:
        真偽値として使える報告。`print` すると表になる。

    Raises:
        GradcheckError: 一致しない、または判定できない微分がある（`AssertionError` の一種）。
        TypeError: `f` が関数でない、入力が実数（の配列）でない、`f` が `Value` か float64 の
            `Tensor` を返さない。
        ValueError: 引数が範囲外、入力がない、入力や出力が nan・inf。
        RuntimeError: `f` が入力を書き換える、または呼ぶたびに違う値を返す。
    """
    check_callable(f, "gradcheck")
    _check_options(order, rtol, atol, inconclusive)
    reject = _hypothesis_reject() if inconclusive == "reject" else None
    args = tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)
    name = getattr(f, "__name__", None) or repr(f)
    f, args = of_pairs(f, args)
    point = flat(args, checked_inputs(args))
    outputs = _repeatable_outputs(f, args, point)
    problem = _Problem(f, args, len(point), outputs, random.Random(seed))

    compare = _Comparison(rtol, atol, allow_zero)
    tasks = [(1, problem.gradient(point), problem.value)]
    if order == 2:
        tasks.append((2, problem.second(point), problem.slope))
    rows = []
    for nth, analytic, value in tasks:
        with no_grad():
            y = value(point)
            check_finite_output(y)
            found = problem.estimates(point) if nth == 1 else None
            if found is None:
                found = [estimate(along(value, point, i), float(x), y) for i, x in enumerate(point)]
        for (number, index), slope, numeric in zip(_positions(args), analytic, found, strict=True):
            rows.append(compare.row(nth, number, index, slope, numeric))

    report = GradcheckReport.of(rows, name, order, seed)
    if not report and not report.mismatched and reject is not None:
        reject()
    if not report and raise_exception:
        raise GradcheckError(report)
    return report


def _positions(args: tuple[Any, ...]) -> list[tuple[int, str]]:
    """Argument number and place inside it, for every scalar input."""
    return [(n, index) for n, arg in enumerate(args) for index, _ in paths(arg)]


# ---- 比べるもの -------------------------------------------------------------------------------


class _Problem:
    """The outputs of f made into one number in a random way, and its derivatives.

    To first order that is Σ cₖzₖ. To second order L = Σ cₖzₖ + ½dₖzₖ² (so that a linear f, too,
    has something to check), of whose gradient a random projection is differentiated.
    """

    def __init__(
        self, f: Callable[..., Any], args: Any, inputs: int, outputs: int, rng: random.Random
    ) -> None:
        self.f, self.args = f, args
        self.c, self.d, self.v = (
            np.array([_weight(rng) for _ in range(n)]) for n in (outputs, outputs, inputs)
        )
        # One output keeps its own derivative in the table: its weight goes in as the upstream
        # gradient and comes out again.
        self.upstream = float(self.c[0]) if outputs == 1 else 1.0

    def value(self, at: Any) -> float:
        return float(self.weighted(self.outputs(at)))

    def outputs(self, at: Any) -> Any:
        numbers = _numbers(_call(self.f, self.args, at)[1])
        self._require_as_many(len(numbers))
        return numbers

    def weighted(self, outputs: Any) -> Any:
        return self.c @ outputs / self.upstream

    def estimates(self, point: Any) -> list[Estimate] | None:
        """The numerical derivatives of all inputs together, where f can be recorded."""
        recording = recorded(self.f, self.args, point, self.outputs)
        if recording is None:
            return None
        y = float(self.weighted(recording.outputs))
        return recording.answers(lambda x: searching(x, y), self.weighted)

    # No operation on arrays stands between f and the comparison: a wrong rule, used twice, could
    # be right again.

    def gradient(self, at: Any) -> list[float]:
        with enable_grad():
            leaves, outputs = self._outputs(at)
            total, roots = Value(0.0), []
            for z, c in zip(outputs, _parts(outputs, self.c), strict=True):
                if isinstance(z, Tensor):
                    roots.append((z, c))
                else:
                    total = total + z * (c / self.upstream)
            slopes = _backward([*roots, (total, self.upstream)], leaves)
            return [g / self.upstream for g in slopes]

    def slope(self, at: Any) -> float:
        return float(self.v @ _numbers(self._gradient(at)[1]))

    def second(self, at: Any) -> list[float]:
        with enable_grad():
            leaves, slopes = self._gradient(at)
            return _backward([*zip(slopes, _parts(slopes, self.v), strict=True)], leaves)

    def _gradient(self, at: Any) -> tuple[list[Any], list[Any]]:
        """The leaves, and the gradient of L, part of the graph."""
        with enable_grad():
            leaves, outputs = self._outputs(at)
            seeds = [
                (z, z * _constant(d) + _constant(c))
                for z, c, d in zip(
                    outputs, _parts(outputs, self.c), _parts(outputs, self.d), strict=True
                )
            ]
            total = pulled_back(seeds)
        return leaves, [total[x] if x in total else _constant(x._data * 0.0) for x in leaves]

    def _outputs(self, at: Any) -> tuple[list[Any], list[Any]]:
        leaves, outputs = _call(self.f, self.args, at)
        self._require_as_many(sum(map(_size, outputs)))
        return leaves, outputs

    def _require_as_many(self, outputs: int) -> None:
        if outputs != len(self.c):
            raise RuntimeError(
                "f は呼ぶたびに違う数の値を返しました (non-deterministic): "
                f"{len(self.c)} 個と {outputs} 個。入力が少し変わっても、出力の数は"
                "変えないでください。"
            )


def _weight(rng: random.Random) -> float:
    """Away from 0, so that nothing disappears; never 1, so that a forgotten factor shows."""
    return rng.uniform(0.5, 0.95) * rng.choice((-1, 1))


def _size(x: Any) -> int:
    return x.size if isinstance(x, Tensor) else 1


def _numbers(nodes: Sequence[Any]) -> Any:
    """All numbers of the nodes, in one array."""
    parts = [np.asarray(z._data, np.float64).reshape(-1) for z in nodes]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0), *parts])


def _parts(nodes: Sequence[Any], numbers: Any) -> list[Any]:
    """For each node its own: an array of its shape, or a float."""
    parts, place = [], 0
    for z in nodes:
        own, place = numbers[place : place + _size(z)], place + _size(z)
        parts.append(own.reshape(z.shape) if isinstance(z, Tensor) else float(own[0]))
    return parts


def _constant(x: Any) -> Any:
    return Value(x) if x.__class__ is float else Tensor(x)


def _backward(seeds: Sequence[tuple[Any, Any]], leaves: Sequence[Any]) -> list[float]:
    """`backward` of each root, without a trace on other nodes that f may have brought along."""
    seeds = [(root, seed) for root, seed in seeds if root.op is not None]
    order = topological_order(*[root for root, _ in seeds])
    others = [node for node in order if node.has_grad]
    before = gradients_of(others)
    try:
        for root, seed in seeds:
            backward(root, seed)
        found: list[float] = []
        for x in leaves:
            if not isinstance(x, Tensor):
                found.append(x.grad)
            elif x.has_grad:
                found += _numbers([x.grad]).tolist()
            else:
                found += [0.0] * x.size
        return found
    finally:
        clear_gradients(order)
        set_gradients(others, before)


def _call(f: Callable[..., Any], args: Any, at: Any) -> tuple[list[Any], list[Any]]:
    leaves, output = call(f, args, at)
    return leaves, [_output(z) for z in leaves_of(output)]


def _output(z: Any) -> Any:
    if isinstance(z, Value):
        return z
    if not isinstance(z, Tensor):
        raise TypeError(
            "f は Value か Tensor、そのリストを返す関数です (expected a Value): "
            f"{type(z).__name__} を返しました。return を忘れていないか、v.data のように"
            "数だけを取り出していないか確かめてください。"
        )
    if z.dtype == np.float64:
        return z
    if z.dtype == np.complex128:
        return view_as_real(z)
    if z.dtype.itemsize < {"f": 8, "c": 16}.get(z.dtype.kind, 0):
        raise TypeError(
            f"f は {z.dtype} の Tensor を返しました (precision too low): 勾配確認は float64 で"
            "行います。f の中で小さい型に変えないでください。"
        )
    return z.astype(np.float64)


def _repeatable_outputs(f: Callable[..., Any], args: Any, point: Any) -> int:
    """How many numbers f returns: finite ones, and the same each time."""
    with enable_grad():
        first, second = (_numbers(_call(f, args, point)[1]).tolist() for _ in range(2))
    if not first:
        raise ValueError("f が空の並びを返しました (no output): Value を 1 つ以上返してください。")
    for y in first:
        check_finite_output(y)
    if first != second:
        raise RuntimeError(
            f"f は同じ入力に違う値を返しました (non-deterministic): {first} と {second}。"
            "乱数を使うなら f の中で種を決め、外の状態を変えないようにしてください。"
        )
    return len(first)


# ---- 判定 ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Comparison:
    rtol: float
    atol: float
    allow_zero: bool

    def row(self, order: int, number: int, index: str, analytic: float, numeric: Estimate) -> Row:
        verdict, note = self._verdict(analytic, numeric)
        n = numeric.derivative
        return Row(order, number, index, analytic, n, numeric.error, verdict, note)

    def _verdict(self, analytic: float, numeric: Estimate) -> tuple[Verdict, str]:
        n, error = numeric.derivative, numeric.error
        if numeric.kind is not Kind.SMOOTH:
            slopes = f"左の傾き {numeric.left:.6g}、右の傾き {numeric.right:.6g}"
            return Verdict.NOT_SMOOTH, f"{numeric.kind.value}、{slopes}"
        tolerance = self.atol + self.rtol * abs(n) + error
        if not abs(analytic - n) <= tolerance:  # nan is a mismatch as well
            return Verdict.MISMATCH, ""
        if tolerance <= DISCERNIBLE * abs(n):
            return Verdict.OK, ""
        if self.allow_zero and abs(analytic) <= self.atol and abs(n) + error <= self.atol:
            return Verdict.ZERO, ""
        if error > DISCERNIBLE * abs(n) and error > self.atol:
            return Verdict.IMPRECISE, ""
        return Verdict.SMALL, "0 と答える規則でも合格してしまいます"


def _check_options(order: int, rtol: float, atol: float, inconclusive: str) -> None:
    if order not in (1, 2):
        raise ValueError(f"order は 1 か 2 です (order must be 1 or 2): {order!r}")
    if not 0 <= rtol < DISCERNIBLE:
        raise ValueError(
            f"rtol は 0 以上 {DISCERNIBLE} 未満です (rtol out of range): {rtol!r}。"
            "これより緩いと、1 % 違う規則が合格してしまいます。"
        )
    if not 0 <= atol < float("inf"):
        raise ValueError(f"atol は 0 以上の有限の数です (atol out of range): {atol!r}")
    if inconclusive not in ("raise", "reject"):
        raise ValueError(
            f'inconclusive は "raise" か "reject" です (unknown choice): {inconclusive!r}'
        )


def _hypothesis_reject() -> Callable[[], Any]:
    try:
        from hypothesis import reject
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'inconclusive="reject" には hypothesis が必要です (missing dependency): '
            'pip install "micrograd_jp[verify]"'
        ) from None
    return reject


explain_all(globals())
