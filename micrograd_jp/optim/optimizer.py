"""`Optimizer`: 最適化手法の土台。パラメータのグループ、更新の 1 手順、状態の保存と復元。

派生クラスが書くのは、`Rule` の約束だけである。PyTorch のように、`step` を自分で書いてもよい。
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.leaves import clear_gradients
from micrograd_jp.graph.modes import enable_grad
from micrograd_jp.hooks import HookHandle
from micrograd_jp.locks import Lock
from micrograd_jp.namespace import quiet
from micrograd_jp.optim import handwritten
from micrograd_jp.optim.checks import number
from micrograd_jp.optim.groups import (
    explain_hints,
    groups_of,
    parameters_in,
    plain_options,
    units_of,
)
from micrograd_jp.optim.loading import checked_state, handwritten_state
from micrograd_jp.optim.rule import Rule, State
from micrograd_jp.optim.units import Repeated, TensorUnit, ValuesUnit, of_parameter
from micrograd_jp.tensor.array import Tensor

_HOOKS = "_step_post_hooks"


class Optimizer(Rule):
    """最適化手法 (optimizer) の土台。`SGD` や `Adam` を使う。

    Attributes:
        param_groups: グループの並び。`group["lr"]` などは途中で変えてよい。
            `group["params"]` は組 (tuple) で、増やすには `add_param_group` を使う。
        defaults: グループが省いた設定の既定値。
    """

    _handwritten: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls) and not cls.state_names and cls.state is Optimizer.state:
            cls._handwritten = True
            cls.step = handwritten.counted(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        super().__init__()
        self._kept = handwritten.kept()
        self.defaults = plain_options(defaults)
        self.check(self.defaults)
        explain_hints(self.defaults, 6)
        self.param_groups: list[dict[str, Any]] = []
        self._units: list[list[TensorUnit | ValuesUnit]] = []
        self.stepped = False
        self._turn = Lock()  # the scratch arrays of the rule are for one step at a time
        for group in groups_of(params):
            self.add_param_group(group)

    # ---- 更新 -------------------------------------------------------------------------------

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """パラメータのグループを加える。

        Args:
            param_group: `{"params": 並び, "lr": …}`。省いた設定には既定値が入る。

        Raises:
            TypeError: dict でない、順序のない集合、パラメータでないもの。
            ValueError: 空、葉でない、同じパラメータが 2 度、範囲の外の設定、
                名前つきと名前なしの混在。
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(
                'グループは "params" を持つ dict です (expected a dict with "params"): '
                f'{param_group!r}。{{"params": model.parameters(), "lr": 0.1}} のように書きます。'
            )
        params, names = parameters_in(param_group["params"])
        given = {key: x for key, x in param_group.items() if key != "params"}
        group = {"params": params, **self.defaults, **plain_options(given)}
        if names:
            group["param_names"] = names
        for other in self.param_groups:
            if ("param_names" in other) != ("param_names" in group):
                raise ValueError(
                    "名前つきと名前なしのパラメータは混ぜられません (all parameter groups must be "
                    "with or without names)。"
                )
        every = [*parameters_of(self), *params]
        if len({id(p) for p in every}) != len(every):
            raise ValueError(
                "同じパラメータが 2 度あります (some parameters appear more than once): "
                "共有しているものは 1 つのグループに 1 度だけ入れてください。"
            )
        self.check(group)
        explain_hints(given, 4)
        self.param_groups.append(group)
        self._units.append(units_of(params))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """勾配のあるパラメータを 1 回更新する。勾配のないものには荷重減衰もかからない。

        Args:
            closure: 勾配を求め直して損失を返す関数。省略できる。

        Returns:
            `closure` の結果（なければ `None`）。

        Raises:
            ValueError: 値と勾配、または値と状態の形が違う。
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._advance()
        self._call_hooks(() if closure is None else (closure,))
        return loss

    def _advance(self) -> None:
        self.stepped = True
        with self._turn:
            before = quiet.silenced()
            try:
                for group, units in zip(self.param_groups, self._units, strict=True):
                    options = group
                    if group["lr"].__class__ is not float:
                        options = {**group, "lr": number("lr", group["lr"])}
                    for unit in units:
                        unit.update(self, options)
            finally:
                quiet.restore(before)

    def repeated(self, parameter: Any, scheduler: Any = None) -> Repeated | None:
        """`step` を続けて行うもの: 同じことを何度も確かめない (`Compiled.minimize`)。

        Args:
            parameter: ただ 1 つのパラメータでなければならない `Tensor`。
            scheduler: `step` のたびに `step()` する、先の学習率の分かるスケジューラ
                (`LRScheduler.foretells`)、または `None`。

        Returns:
            勾配の配列で更新するもの。フックがあるなど、`step` を呼ばなければならないときは `None`。
        """
        plain = type(self).step is Optimizer.step and "step" not in vars(self)
        if not plain or self.__dict__.get(_HOOKS) or len(self.param_groups) != 1:
            return None
        (group,), (units,) = self.param_groups, self._units
        unit = units[0]
        if len(units) != 1 or isinstance(unit, ValuesUnit) or unit.key is not parameter:
            return None
        return unit.repeated(self, group, self._turn, scheduler)

    def _call_hooks(self, args: tuple[Any, ...]) -> None:
        hooks = self.__dict__.get(_HOOKS)
        if hooks is not None:
            for hook in tuple(hooks.values()):
                hook(self, args, {})

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """`step` の終わりに `hook(optimizer, args, kwargs)` を呼ぶ（重みを範囲に収めるなど）。

        `args` と `kwargs` は `step` の引数。

        Returns:
            `remove()` で取り外せる取っ手。
        """
        require_function("register_step_post_hook", hook, "optimizer", "args", "kwargs")
        return HookHandle(self, _HOOKS, hook)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """すべてのパラメータの勾配を未計算に戻す。`set_to_none=False` なら 0 にする。"""
        if set_to_none:
            for group, units in zip(self.param_groups, self._units, strict=True):
                if len(units) == len(group["params"]):  # a unit each
                    clear_gradients(group["params"])
                    continue
                for unit in units:
                    unit.clear_gradients()
            return
        for p in parameters_of(self):
            if p.has_grad:
                p.grad = 0.0 if isinstance(p, Value) else namespace.of(p._data).zeros_like(p._data)

    # ---- 保存と復元 ----------------------------------------------------------------------------

    @property
    def state(self) -> dict[Any, State]:
        """`Tensor`（`Value` ならグループの `Value` の組）から、更新式の状態への dict。

        `step` を自分で書いた最適化手法では、パラメータから、`step` が書き込む dict へ。
        """
        if self._handwritten:
            return self._kept
        units = itertools.chain(*self._units)
        return {
            unit.key: handwritten.Computed({**self._step_of(unit), **unit.state}) for unit in units
        }

    def _step_of(self, unit: TensorUnit | ValuesUnit) -> State:
        counted = self.counts_steps or isinstance(unit, ValuesUnit)
        step = unit.step
        if np.ndim(step) == 0 and not namespace.is_traced(step):
            step = int(step)  # mg.jit leaves an array of JAX
        return {"step": step} if counted and unit.state else {}

    def state_dict(self) -> dict[str, Any]:
        """状態の写し。PyTorch と同じ形: `{"state": {番号: {名前: 配列}}, "param_groups": […]}`。

        番号は、グループをまたいで `Tensor` を順に数えたもの。1 つのグループの `Value` はまとめて
        1 つと数え、その状態は長さ (個数,) の配列になる。
        """
        state: dict[int, State] = {}
        groups, count = [], itertools.count()
        for group, members in zip(self.param_groups, self._members(), strict=True):
            packed = {key: handwritten.copied(x) for key, x in group.items() if key != "params"}
            packed["params"] = [next(count) for _ in members]
            for i, member in zip(packed["params"], members):
                if saved := self._saved(member):
                    state[i] = saved
            groups.append(packed)
        return {"state": state, "param_groups": groups}

    def _saved(self, member: Any) -> State:
        """A copy of the state of a parameter, or of a unit."""
        if self._handwritten:
            found: State = handwritten.copied(self._kept.get(member, {}))
            return found
        states = {slot: of_parameter(x, member.key) for slot, x in member.state.items()}
        arrays = {slot: Tensor(handwritten.copied(x)) for slot, x in states.items()}
        return {**handwritten.copied(self._step_of(member)), **arrays}

    def _members(self) -> list[Any]:
        """What the numbers of a saved state count, group by group."""
        return [g["params"] for g in self.param_groups] if self._handwritten else self._units

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """`state_dict()` の状態に戻す。値は写される。

        Raises:
            TypeError: `state_dict` の形でない。
            ValueError: グループの数、パラメータの数、状態の名前や形、設定が合わない。
                このとき何も変わらない。
        """
        self._loading(state_dict)()

    def _loading(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """What loads the state, once all of it is found to fit."""
        members = self._members()
        if self._handwritten:
            groups, kept = handwritten_state(self, self.param_groups, members, state_dict)
        else:
            groups, states = checked_state(self, self.param_groups, members, state_dict)

        def load() -> None:
            self.stepped = True
            for group, new in zip(self.param_groups, groups, strict=True):
                params = group["params"]
                group.clear()
                group.update({"params": params, **new})
            if self._handwritten:
                self._kept.clear()
                self._kept.update(zip(parameters_of(self), kept, strict=True))
            else:
                self.set_state_arrays(states)

        return load

    def state_arrays(self) -> list[tuple[Any, State]]:
        """更新の単位ごとの (step, 状態の配列)。`mg.jit` が関数の引数と結果にするもの。

        Raises:
            TypeError: `step` を自分で書いた最適化手法（状態の形が決まっていない）。
        """
        if self._handwritten:
            raise TypeError(
                f"{type(self).__name__} の step は自分で書かれたものなので、mg.jit や jit=True では"
                "使えません (handwritten step): jit なしで使うか、step の代わりに更新式 update を"
                "書いてください。"
            )
        return [(unit.step, dict(unit.state)) for unit in itertools.chain(*self._units)]

    def set_state_arrays(self, states: Iterable[tuple[Any, State]]) -> None:
        """`state_arrays()` の形の状態に、写さずに取り替える。"""
        for unit, state in zip(itertools.chain(*self._units), states, strict=True):
            unit.step, unit.state = state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i} ({len(group['params'])} 個のパラメータ)")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def parameters_of(optimizer: Any) -> list[Any]:
    """すべてのグループのパラメータ。"""
    return [p for group in optimizer.param_groups for p in group["params"]]


explain_all(globals())
