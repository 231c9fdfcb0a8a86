"""更新の単位 (unit): 1 つの `Tensor`、または 1 つのグループの `Value` すべて。

`Value` は 1 つの配列に集められ、更新され、配られる。だから更新式が 1 つの数について動くことはない。
どちらの単位も、更新式の状態（モーメンタムなど）を `state` に、更新した回数を `step` に持つ。
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.hooks import hooks_of
from micrograd_jp.graph.leaves import clear_gradients, gradient_of, gradients_of
from micrograd_jp.graph.node import data_of
from micrograd_jp.graph.writes import writes
from micrograd_jp.locks import Lock
from micrograd_jp.ops.complex import is_complex
from micrograd_jp.optim import fused
from micrograd_jp.optim.kernels import Kernels
from micrograd_jp.optim.rule import Options, Rule, State, Turn
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import float32, float64, get_default_dtype

# A piece of this many numbers, with its gradient, its state and the work arrays, stays in the
# processor's cache while all the operations of a formula pass over it. Arrays of up to two
# pieces gain nothing from being cut.
PIECE = 1 << 16


class TensorUnit:
    """1 つの `Tensor` (`key`)。"""

    def __init__(self, parameter: Tensor) -> None:
        self.key = parameter
        self.state: State = {}
        self.step: Any = 0
        self._plan: Any = False  # not asked for yet; None: there is none

    @property
    def data(self) -> Any:
        """いまの値の配列。複素数は、最後の軸に実部と虚部をもつ実数（同じメモリ）。"""
        return of_reals(self.key._data)

    def clear_gradients(self) -> None:
        """勾配を未計算に戻す。"""
        clear_gradients((self.key,))

    def update(self, rule: Rule, options: Options) -> None:
        """勾配があれば、値と状態を更新する。"""
        g, p = gradient_of(self.key), self.key._data
        if g is None:
            return
        if g.__class__ is not np.ndarray:
            g = data_of(g)
        if is_complex(p):
            p, g = of_reals(p), of_reals(np.asarray(g, p.dtype))
        plan = self._plan
        if plan and plan.run(rule, p, g, self.state, self.step + 1, options):
            self.step += 1
            writes.note(p)
            return
        if g.shape != p.shape:
            raise _misshaped("勾配 (grad)", g.shape, p.shape)
        if p.__class__ is np.ndarray and g.__class__ is not np.ndarray:
            g = namespace.concrete(g, "NumPy の Tensor の更新")
        new = advance(rule, p, g, self.state, self.step + 1, options)
        self.step += 1
        if new is p:
            writes.note(p)
            if plan is not None:
                self._plan = fused.Plan.of(rule, p, self.state, options)
        else:
            self.key.data = new

    def repeated(self, rule: Rule, options: Options, turn: Lock, scheduler: Any) -> Repeated | None:
        """`update` を続けて行うもの (`Repeated`)。なければ `None`。"""
        plan, p = self._plan, self.key._data
        # Who is frozen gets no gradient, and a hook is to see each of them.
        plain = self.key.requires_grad and hooks_of(self.key) is None
        fits = plan and plain and plan.fits(rule, p, self.state, options)
        return Repeated(self, plan, rule, options, turn, scheduler) if fits else None

    def assign(self, x: Any) -> None:
        """値を取り替える（書き換えられる ndarray なら、その場で）。"""
        p = self.data
        if p.__class__ is np.ndarray and p.flags.writeable:
            np.copyto(p, x, casting="same_kind")
            writes.note(p)
        else:
            self.key.data = x


class Repeated:
    """`TensorUnit.update` を続けて行うもの: 値と状態の配列は、はじめに 1 度だけ確かめる。

    使うあいだに、学習率のほかは変えてはならない。

    Args:
        unit, plan, rule, options: 更新。
        turn: 更新のあいだ持つ鍵。
        scheduler: 更新のたびに `step()` する、先の学習率の分かるスケジューラ、または `None`。
    """

    def __init__(
        self, unit: TensorUnit, plan: fused.Plan, rule: Rule, options: Options, turn: Lock,
        scheduler: Any,
    ) -> None:  # fmt: skip
        self._unit, self._plan, self._rule, self._options = unit, plan, rule, options
        self._data, self._turn, self._scheduler = unit.key._data, turn, scheduler

    def update(self, g: Any) -> bool:
        """勾配の配列で更新し、行ったかを返す。"""
        unit = self._unit
        with self._turn:
            if not self._plan.repeat(self._rule, g, unit.step + 1, self._options):
                return False
            unit.step += 1
            writes.note(self._data)
        if self._scheduler is not None:
            self._scheduler.step()
        return True

    def several(self, g: Any, count: int, run: Callable[[fused.Work], None]) -> None:
        """`count` 回までの更新を `run` に任せる。`g` には、回ごとの勾配を入れさせる。"""
        with self._turn:
            first, scheduler, work = self._unit.step + 1, self._scheduler, None
            rates, done = [self._options["lr"]], _nothing
            if scheduler is None:
                rates *= count
            elif self._plan.several(g, first, rates) is None:  # cheaper than to look ahead
                return
            else:
                rates, done = scheduler.ahead(count)
            try:
                work = self._plan.several(g, first, rates)
                if work is not None:
                    run(work)
            finally:  # an interrupt comes when the machine code has ended
                times = 0 if work is None else work.done[0]
                done(times)
                self._unit.step += times
                writes.note(self._data)


def _nothing(times: int) -> None:
    """Nothing has been done ahead."""


def of_parameter(x: Any, parameter: Any) -> Any:
    """`of_reals` の逆: 複素数のパラメータの状態を、複素数の配列に。ほかの状態はそのまま。"""
    if not is_complex(parameter) or np.shape(x) != (*parameter.shape, 2):
        return x
    return np.ascontiguousarray(x).view(parameter.dtype)[..., 0]


def of_reals(x: Any) -> Any:
    """実数の式が更新する配列: 複素数なら、最後の軸に実部と虚部をもつ、同じメモリ。"""
    if not is_complex(x):
        return x
    return x[..., None].view(float32 if x.dtype == np.complex64 else float64)


class ValuesUnit:
    """1 つのグループの `Value` すべて (`key`)。配列にしたときの形は (個数,)、型は float64。"""

    def __init__(self, values: Sequence[Value]) -> None:
        self.key = tuple(values)
        self.state: State = {}
        # Each Value counts for itself: those without a gradient stand still.
        self.step: Any = np.zeros(len(self.key), dtype=np.int64)
        self._home: Any = None

    @property
    def home(self) -> Any:
        """どの `Value` の数も、コンパイラの平らなベクトルにあれば、まとめて読み書きするもの。"""
        if self._home is None:
            together = getattr(type(self.key[0]), "together", None)
            self._home = None if together is None else together(self.key)
        return self._home

    @property
    def data(self) -> Any:
        """いまの値の配列。"""
        p = None if self.home is None else self.home.data()
        return _gathered([v.data for v in self.key]) if p is None else p

    def clear_gradients(self) -> None:
        """勾配を未計算に戻す。"""
        if self.home is None or not self.home.clear():
            clear_gradients(self.key)

    def update(self, rule: Rule, options: Options) -> None:
        """勾配のある `Value` の値と状態を更新する。"""
        values, step, home = self.key, self.step, self.home
        g = None if home is None else home.grad()
        if g is not None and (step == step[0]).all():
            p = home.data()
            if p is not None:
                p = advance(rule, p, g, self.state, int(step[0]) + 1, options)
                step += 1
                home.assign(p)
                return
        grads = gradients_of(values)
        try:
            g, places = _gathered(grads), np.arange(len(values))
        except TypeError:  # a gradient is missing, or is a node (create_graph=True)
            places = np.array([i for i, g in enumerate(grads) if g is not None], dtype=np.intp)
            g = _gathered([data_of(g) for g in grads if g is not None])
        numbers = [self.state[s] for s in rule.numbers if s in self.state]
        if len(g) < len(values) or any((x != x[0]).any() for x in (step, *numbers)):
            self._update_at(rule, options, places, g, np.stack([step, *numbers], axis=1))
            return
        state = self.state
        if numbers:
            state = {s: np.asarray(x[0]) if s in rule.numbers else x for s, x in state.items()}
        p = advance(rule, self.data, g, state, int(step[0]) + 1, options)
        self.state = {s: np.full(len(step), x) if x.ndim == 0 else x for s, x in state.items()}
        step += 1
        self.assign(p)

    def _update_at(self, rule: Rule, options: Options, places: Any, g: Any, moments: Any) -> None:
        """Update the values at these places, those at the same moment together."""
        moments = moments[places]
        for moment in np.unique(moments, axis=0):
            chosen, step = (moments == moment).all(axis=1), int(moment[0])
            here = places[chosen]
            p = _gathered([self.key[i].data for i in here.tolist()])
            state = {s: x[here] for s, x in self.state.items()} if step else {}
            state = {s: np.asarray(x[0]) if s in rule.numbers else x for s, x in state.items()}
            p = advance(rule, p, g[chosen], state, step + 1, options)
            for slot, x in state.items():
                self.state.setdefault(slot, np.zeros(len(self.key), x.dtype))[here] = x
            self.step[here] += 1
            for i, number in zip(here.tolist(), p.tolist(), strict=True):
                self.key[i].data = number

    def assign(self, x: Any) -> None:
        """値を取り替える。"""
        for value, number in zip(self.key, x.tolist(), strict=True):
            value.data = number


def advance(rule: Rule, p: Any, g: Any, state: State, step: Any, options: Options) -> Any:
    """1 回の更新。書き換えられる ndarray なら p と state の中身をその場で、他は作り直す。

    2 バイトの小数 (float16, bfloat16) は float32 で計算し、状態も float32 で持つ。
    Adam の eps = 1e-8 は float16 では 0 になり、0/0 から nan ができるからである。

    Returns:
        新しい p（その場で書き換えたときは p 自身）。
    """
    m: Any = namespace.ieee
    if not p.__class__ is g.__class__ is np.ndarray or options["lr"].__class__ is not float:
        m = namespace.of(p, g, options["lr"])
    short = p.dtype.itemsize == 2
    dtype = float32 if short else p.dtype
    fresh = False
    for slot in rule.slots(options):
        if slot not in state:
            shape, kind = ((), number_dtype()) if slot in rule.numbers else (p.shape, dtype)
            state[slot] = m.full_like(p, rule.first(slot, options), dtype=kind, shape=shape)
            fresh = True
        elif slot in rule.numbers:
            continue
        elif state[slot].shape != p.shape:
            raise _misshaped(f"状態 (state) {slot!r} ", state[slot].shape, p.shape)
        elif m is namespace.ieee and p.flags.fnc and not state[slot].flags.f_contiguous:
            state[slot] = np.asfortranarray(state[slot])  # as loaded; from now on as p is
    turn = Turn(step, fresh, options)
    if m is not namespace.ieee:
        wide, wide_g = (m.astype(p, dtype), m.astype(g, dtype)) if short else (p, g)
        return m.astype(rule.advanced(Kernels(m), wide, wide_g, state, turn), p.dtype)
    if short:
        wide = p.astype(dtype)
        _advance_in_place(rule, wide, g.astype(dtype), state, turn)
        if not p.flags.writeable:
            return wide.astype(p.dtype)
        p[...] = wide
        return p
    if not p.flags.writeable:
        p = p.copy()
    _advance_in_place(rule, p, g, state, turn)
    return p


def number_dtype() -> Any:
    """1 つの数である状態の型: PyTorch と同じく、既定の型が float64 のときだけ float64。"""
    return float64 if get_default_dtype() == float64 else float32


def _advance_in_place(rule: Rule, p: Any, g: Any, state: State, turn: Turn) -> None:
    numbers: State = {}
    arrays = state
    if rule.numbers:
        numbers = {slot: x for slot, x in state.items() if slot in rule.numbers}
        arrays = {slot: x for slot, x in state.items() if slot not in numbers}
    if all(x.flags.fnc for x in (p, g, *arrays.values())):
        # The weights of nn.Linear: the same numbers, seen in the order in which they lie.
        p, g, arrays = p.T, g.T, {slot: x.T for slot, x in arrays.items()}
    if fused.advanced(rule, p, g, arrays, numbers, turn):
        state.update(numbers)
        return
    n = p.size
    whole = n <= 2 * PIECE or rule.needs_whole
    part = {**arrays, **numbers} if numbers else arrays
    if whole or not all(x.flags.c_contiguous for x in (p, g, *arrays.values())):
        rule.advanced(rule.scratch(p.shape, p.dtype), p, g, part, turn)
    else:
        p, g = p.reshape(-1), g.reshape(-1)
        flat = [(slot, x.reshape(-1)) for slot, x in arrays.items()]
        for start in range(0, n, PIECE):
            piece = slice(start, min(start + PIECE, n))
            k = rule.scratch((piece.stop - start,), p.dtype)
            part = {**{slot: x[piece] for slot, x in flat}, **numbers}
            rule.advanced(k, p[piece], g[piece], part, turn)
    if numbers:
        state.update({slot: part[slot] for slot in numbers})


def _gathered(numbers: list[float]) -> Any:
    # Unlike np.array and np.fromiter, which make nan of None, this raises TypeError.
    return np.frombuffer(array("d", numbers))


def _misshaped(what: str, shape: Any, wanted: Any) -> ValueError:
    return ValueError(
        f"{what}の形がパラメータと合いません (shape mismatch): {tuple(shape)}。"
        f"パラメータの形は {tuple(wanted)} です。data を別の形の配列に置き換えたら、"
        "zero_grad() して、最適化手法を作り直してください。"
    )
