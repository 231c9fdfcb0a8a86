"""更新式を、1 つの機械語で（extra `fast`）: どの配列も 1 度だけ読み、1 度だけ書く。

式を `Listed` で動かすと、「どの操作を、どの配列に、どの数で」の並びになる。数は更新のたびに変わるが
（Adam の偏りの補正）、操作と配列は変わらないので、機械語はその並びに 1 つあればよい。数も、何回目か
と学習率の式 (`Symbol`) になるなら、次からは式を動かさない。操作の 1 つ 1 つは `Kernels` の公式で、
積と和をまとめて丸めることもしないから、結果は `InPlace` と 1 ビットも違わない。
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp.native.call import address, in_parts, kernel, suits
from micrograd_jp.native.expressions import Number
from micrograd_jp.native.ir import Function, Pointer, Writer, from_list
from micrograd_jp.native.machine_code import enabled, in_use
from micrograd_jp.optim.kernels import (
    OPERATIONS,
    PLACES,
    Listed,
    Place,
    Scaled,
    Symbol,
    function_of,
    parameters_of,
)
from micrograd_jp.optim.rule import Rule, State, Turn

SMALL = 1 << 10
"""数がこれより少なければ、NumPy に任せる。"""

JOB = 1 << 17
"""1 つのスレッドに 1 度に渡す数の個数。"""

PATIENCE, CALL = 1 << 24, 1 << 13
"""機械語がまだ何もなければ、これだけの数を NumPy で更新するまで、機械語を作らない: 短い学習では、
LLVM を読む時間のほうが長い。1 度の更新の手間は、数 `CALL` 個ぶんとみる。
"""


def _list(rule: Rule, k: Listed, numbers: State, turn: Turn) -> list[Place]:
    """Runs the formula on a list, and gives what the arrays become."""
    state = {**k.arrays, **numbers}
    new = rule.advanced(k, PLACES[0], PLACES[1], state, turn)
    for slot in numbers:
        numbers[slot] = state[slot]
    return [new, PLACES[1], *map(state.__getitem__, k.arrays)]


@functools.cache
def _function(steps: tuple[Any, ...], after: tuple[Place, ...]) -> Function:
    return Function("update", "p" * len(after) + "pi", _body(steps, after), inline=False)


def _work(steps: tuple[Any, ...], after: tuple[Place, ...], dtype: Any) -> Callable[..., None]:
    return kernel(_function(steps, after), dtype)


@functools.cache
def _from_list(update: Function, dtype: Any) -> Callable[..., None]:
    return kernel(from_list(update, "update_from_list", range(len(update.arguments))), dtype)


def advanced(rule: Rule, p: Any, g: Any, arrays: State, numbers: State, turn: Turn) -> bool:
    """`rule.advanced` を機械語で。p と `arrays` の中身と、`numbers` を書き換える。

    Returns:
        行ったか。機械語にならない式と、その型や並びでない配列なら偽で、何も変わらない。
    """
    n = p.size
    if n < SMALL or rule.needs_whole or rule.unlisted:
        return False
    if not _begins(rule):  # even to ask whether LLVM is there takes time
        rule.updated += n + CALL
        return False
    xs = [p, g, *arrays.values()]
    if not suits(*xs) or not (g.flags.c_contiguous and g.flags.aligned):
        return False
    if not all(x.flags.carray for x in xs if x is not g):
        return False
    after = dict(numbers)
    try:
        listed = Listed([*arrays])
        places = _list(rule, listed, after, turn)
        work = _work(tuple(listed.steps), tuple(places), p.dtype)
        held = array(p.dtype.char, listed.numbers)
    except Exception:  # a formula that looks at the arrays themselves; its own errors come again
        rule.unlisted = True
        return False
    numbers.update(after)
    _updated(work, [address(x) for x in xs], held, n)
    return True


def _updated(work: Callable[..., None], at: Sequence[int], held: array[Any], n: int) -> None:
    """Runs the machine code on n numbers of the arrays at these addresses."""
    to, size = held.buffer_info()[0], held.itemsize
    if n <= JOB:
        work(*at, to, n)
    else:
        in_parts(lambda i, n: work(*[x + i * size for x in at], to, n), n, JOB)


def _begins(rule: Rule) -> bool:
    return rule.updated >= PATIENCE or in_use()


_OURS = __name__.rpartition(".")[0]


class _Formula(NamedTuple):
    """An update of which only the step and the learning rate are unknown.

    numbers: of both of them; none where the update is another one then.
    """

    numbers: Callable[[Any, float], Sequence[float]]
    work: Callable[..., None]
    function: Function


class Work(NamedTuple):
    """続けて行う更新: 機械語から呼ばれる関数と、その引数。

    Attributes:
        update: 引数の並び `arguments` の番地を受け取る関数。
        arguments: 引数の並び。
        numbers: そのうちの、更新の数の番地の場所（同じメモリ）。1 回ごとに `step` バイト進める。
        step: 1 回の数のバイト数。
        times: 回数。
        done: 終えた回数を書く場所。
        held: 番地のもの。
    """

    update: Callable[..., None]
    arguments: array[int]
    numbers: memoryview
    step: int
    times: int
    done: array[int]
    held: tuple[Any, ...]


class Plan:
    """同じ配列を、次も同じ式で更新するときのために: 変わりうるものだけを確かめる。"""

    def __init__(self, p: Any, slots: list[str], state: State) -> None:
        self._p, self._slots, self._char = p, slots, p.dtype.char
        self._listed = Listed(slots)
        self._options: Any = None  # those that were looked at last
        self._arrays = [state[slot] for slot in slots]
        self._at = [address(x) for x in self._arrays]
        self._of_p = address(p)
        self._steps: list[Any] = []
        self._after: list[Place] = []
        self._work: Callable[..., None] = print
        self._formula: _Formula | None = None
        self._is_asked = False  # for that formula

    def __reduce__(self) -> Any:  # a copy has arrays of its own
        return bool, ()

    @staticmethod
    def of(rule: Rule, p: Any, state: State, options: Any) -> Plan | bool | None:
        """いま更新した配列のもの。機械語に向かないものなら `None`、止められているなら `False`。"""
        if not _begins(rule) or not enabled():
            return False
        slots = rule.slots(options)
        if rule.unlisted or rule.needs_whole or rule.numbers:
            return None
        xs = [p, *[state[slot] for slot in slots]]
        good = p.__class__ is np.ndarray and suits(*xs) and all(x.flags.carray for x in xs)
        return Plan(p, slots, state) if good else None

    def run(self, rule: Rule, p: Any, g: Any, state: State, step: Any, options: Any) -> bool:
        """更新したか。前と同じ配列でなければ偽で、何も変わらない。"""
        return self.fits(rule, p, state, options) and self.repeat(rule, g, step, options)

    def fits(self, rule: Rule, p: Any, state: State, options: Any) -> bool:
        """前と同じ配列か。"""
        if p is not self._p or not p.flags.writeable or not enabled():
            return False
        for slot, x in zip(self._slots, self._arrays):
            if state.get(slot) is not x:
                return False
        if options != self._options:
            if rule.slots(options) != self._slots:
                return False
            if self._options is None or {**options, "lr": 0} != {**self._options, "lr": 0}:
                self._formula, self._is_asked = None, False
            self._options = dict(options)
        return True

    def repeat(self, rule: Rule, g: Any, step: Any, options: Any) -> bool:
        """更新したか。`fits` のあとで、勾配のほかの配列は、どれも同じままでなければならない。"""
        lr = options["lr"]
        if lr.__class__ is not float or not self._takes(g):
            return False
        try:
            formula = self._formula
            numbers = () if formula is None else formula.numbers(step, lr)
            if formula is None or not numbers:
                numbers, work = self._list(rule, step, options), self._work
            else:
                work = formula.work
            held = array(self._char, numbers)
        except Exception:  # said, or done otherwise, by the way that is always open
            return False
        _updated(work, [self._of_p, address(g), *self._at], held, self._p.size)
        return True

    def _takes(self, g: Any) -> bool:
        """Whether the machine code can read it."""
        p = self._p
        if g.__class__ is not np.ndarray or g.dtype is not p.dtype or g.shape != p.shape:
            return False
        flags = g.flags
        return bool(flags.c_contiguous and flags.aligned)

    def several(self, g: Any, first: int, rates: Sequence[Any]) -> Work | None:
        """`first` 回目から、学習率 `rates` で続く `repeat`: できるところまで。

        数が、何回目かと学習率の式になっていないか、はじめの回からできなければ `None`。
        """
        formula, held, count = self._formula, array(self._char), 0
        if formula is None or not self._takes(g) or self._p.size > JOB:  # more than one thread's
            return None
        with suppress(Exception):  # said by the way that is always open
            for step, lr in enumerate(rates, first):
                numbers = formula.numbers(step, lr)
                if not numbers or lr.__class__ is not float:
                    break
                held.extend(numbers)
                count += 1
        if not count:
            return None
        places = [self._of_p, address(g), *self._at, held.buffer_info()[0], self._p.size]
        arguments, at = array("q", places), len(places) - 2
        return Work(
            _from_list(formula.function, self._p.dtype), arguments,
            memoryview(arguments)[at : at + 1], len(held) // count * held.itemsize, count,
            array("q", [0]), (self._p, g, self._arrays, held),
        )  # fmt: skip

    def _list(self, rule: Rule, step: Any, options: Any) -> list[float]:
        """Runs the formula: its numbers. How they depend on the step is kept, if it can be said."""
        listed, dtype = self._listed, self._p.dtype
        # The formula of another class may look at what it likes.
        if not self._is_asked and type(rule).__module__.startswith(_OURS):
            self._is_asked = True
            with suppress(TypeError):
                listed.again()
                unknown = Turn(Symbol("step"), False, {**options, "lr": Symbol("lr")})
                after = _list(rule, listed, {}, unknown)
                steps, places = tuple(listed.steps), tuple(after)
                self._formula = _Formula(
                    function_of("step, lr", listed.numbers, listed.nonzero),
                    _work(steps, places, dtype),
                    _function(steps, places),
                )
        listed.again()
        after = _list(rule, listed, {}, Turn(step, False, options))
        if listed.steps != self._steps or after != self._after:
            self._work = _work(tuple(listed.steps), tuple(after), dtype)
            self._steps, self._after = listed.steps, after
        return listed.numbers


def _body(steps: Sequence[Any], after: Sequence[Place]) -> Callable[..., None]:
    """What writes the machine code. `after`: the places of what the arrays become."""

    def body(f: Writer, *given: Any) -> None:
        f.contracts = False
        arrays: Sequence[Pointer] = given[: len(after)]
        numbers, n = given[len(after) :]
        k = Scaled(f.m)
        operations: list[tuple[Callable[..., Any], dict[str, Any], dict[str, Place]]] = []
        rest, count = iter(steps), 0
        for name in rest:
            places = {
                x: place for x in OPERATIONS[name].split() if (place := next(rest)) is not None
            }
            others = {}
            for x in parameters_of(name):
                if x not in OPERATIONS[name].split():
                    others[x] = f.all((numbers + count).item())
                    count += 1
            operations.append((getattr(k, name), others, places))

        def some(i: Number, mask: Number | None) -> None:
            values = {place: (x + i).load(mask) for place, x in zip(PLACES, arrays)}
            for operation, others, places in operations:
                value = operation(**others, **{x: values[at] for x, at in places.items()})
                values[PLACES[len(values)]] = f.m.number(value)
            for x, before, now in zip(arrays, PLACES, after):
                if now is not before:
                    (x + i).store(values[now], mask)

        f.full_vectors(n, some)

    return body
