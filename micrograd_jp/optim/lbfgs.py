"""`LBFGS`: 勾配の差から曲率を見積もる準ニュートン法。"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all, require_function
from micrograd_jp.engine.numbers import require_count
from micrograd_jp.graph.leaves import gradient_of, gradients_of
from micrograd_jp.graph.modes import enable_grad
from micrograd_jp.graph.node import data_of
from micrograd_jp.optim.checks import number
from micrograd_jp.optim.line_search import Trial, strong_wolfe
from micrograd_jp.optim.optimizer import Optimizer
from micrograd_jp.optim.rule import PROTOCOL, Options, State, given
from micrograd_jp.optim.units import TensorUnit, ValuesUnit, of_reals
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import float32

_COUNTS = ("func_evals", "n_iter")
_NUMBERS = ("t", "H_diag", "prev_loss")
_VECTORS = ("d", "prev_flat_grad")
_LISTS = ("old_dirs", "old_stps")
_SCRATCH = "al"  # which PyTorch saves, too


class LBFGS(Optimizer):
    """記憶制限つき BFGS 法 (L-BFGS): 最近の勾配と位置の差から、ニュートン法の向きを見積もる。

    データすべての損失に使う。`step(closure)` は、損失と勾配を何度も求め直しながら、
    `max_iter` 回まで反復する:

        def closure():
            optimizer.zero_grad()
            loss = f()
            loss.backward()
            return loss

        optimizer.step(closure)

    グループは 1 つだけで、値を見て進むので `mg.jit` の中では使えない。

    Args:
        params: パラメータの並び。
        lr: 歩幅。
        max_iter: 1 回の `step` の反復の上限。
        max_eval: 1 回の `step` で損失を求める回数の上限（省けば `max_iter` の 1.25 倍）。
        tolerance_grad: 勾配の最大の大きさがこれ以下なら止める。
        tolerance_change: 値か損失の変化がこれより小さければ止める。
        history_size: 覚えておく差の数。
        line_search_fn: `"strong_wolfe"` なら歩幅を直線探索で決める。`None` なら `lr`。

    Raises:
        ValueError: 2 つ以上のグループ、負の `lr`、知らない `line_search_fn`。
        TypeError: `step` に closure がない。

    Source: Liu & Nocedal, "On the limited memory BFGS method for large scale optimization"
    (Mathematical Programming, 1989)。止め方は PyTorch と同じ。
    """

    nonnegative = ("lr", "tolerance_grad", "tolerance_change")

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        self._memory: State = {}
        super().__init__(params, given(locals()))

    def check(self, options: Options) -> None:
        """負の係数と、知らない `line_search_fn` を断る。"""
        super().check(options)
        for name in ("max_iter", "history_size"):
            require_count(name, options[name])
        if options["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                "line_search_fn は 'strong_wolfe' か None です (only 'strong_wolfe' is supported): "
                f"{options['line_search_fn']!r} が渡されました。"
            )

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """パラメータのグループを加える（1 つだけ）。

        Raises:
            ValueError: 2 つめ。
        """
        if self.param_groups:
            raise ValueError(
                "LBFGS のグループは 1 つだけです (LBFGS doesn't support parameter groups): "
                "すべてのパラメータを 1 つの並びで渡してください。"
            )
        super().add_param_group(param_group)

    # ---- 更新 -------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """`max_iter` 回まで反復する。

        Args:
            closure: 勾配を 0 に戻し、求め直して、損失を返す関数。

        Returns:
            はじめの損失（`closure` の 1 度目の結果）。

        Raises:
            TypeError: `closure` がない。
        """
        if closure is None:
            raise TypeError(
                "LBFGS の step には closure が必要です (closure is required): 勾配を 0 に戻し、"
                "損失を求め、backward() して、損失を返す関数を渡してください。"
            )
        require_function("LBFGS.step", closure)
        self.stepped = True
        with enable_grad():
            first = closure()
        self._iterate(closure, float(number("closure の結果", first)))
        self._call_hooks((closure,))
        return first

    def _iterate(self, closure: Callable[[], Any], loss: float) -> None:
        options, memory = self.param_groups[0], self._memory
        units = self._units[0]
        evaluations = 1
        memory.update({name: memory.get(name, 0) for name in _COUNTS})
        memory["func_evals"] += 1
        g = _flat_gradient(units)
        if _largest(g) <= options["tolerance_grad"]:
            return
        lr = number("lr", options["lr"])

        def evaluated(t: float) -> Trial:
            _move(units, places, t, d)
            with enable_grad():
                loss = float(number("closure の結果", closure()))
            gradient = _flat_gradient(units)
            return Trial(t, loss, float(gradient @ d), gradient)

        for turn in range(1, options["max_iter"] + 1):
            memory["n_iter"] += 1
            if memory["n_iter"] == 1:
                memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
                d, t = -g, min(1.0, 1.0 / float(abs(g).sum())) * lr
            else:
                _remember(memory, g, options["history_size"])
                d, t = _direction(memory, g), lr
            memory.update(d=d, t=t, prev_flat_grad=g, prev_loss=loss)
            start = Trial(0.0, loss, float(g @ d), g)
            if start.slope > -options["tolerance_change"]:
                break
            places = [namespace.of(unit.data).array(unit.data) for unit in units]
            tried = 0
            if options["line_search_fn"] is not None:
                most = options["max_eval"] - evaluations
                found, tried = strong_wolfe(evaluated, start, t, _largest(d), most)
                _move(units, places, found.t, d)
                memory["t"], loss, g = found.t, found.loss, found.gradient
            elif turn < options["max_iter"]:
                found, tried = evaluated(t), 1
                loss, g = found.loss, found.gradient
            else:
                _move(units, places, t, d)
            evaluations += tried
            memory["func_evals"] += tried
            if (
                evaluations >= options["max_eval"]
                or _largest(g) <= options["tolerance_grad"]
                or _largest(d * memory["t"]) <= options["tolerance_change"]
                or abs(loss - memory["prev_loss"]) < options["tolerance_change"]
            ):
                break

    # ---- 保存と復元 ----------------------------------------------------------------------------

    @property
    def state(self) -> dict[Any, State]:
        """はじめのパラメータから、すべてのパラメータについての状態への dict (PyTorch と同じ)。"""
        return {self.param_groups[0]["params"][0]: self._memory} if self._memory else {}

    def state_dict(self) -> dict[str, Any]:
        """状態の写し。PyTorch と同じ形で、状態はどれも番号 0 にある。"""
        saved: dict[str, Any] = super().state_dict()
        if self._memory:
            saved["state"] = {0: {name: _written(x) for name, x in self._memory.items()}}
        return saved

    def _loading(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        everything = state_dict if isinstance(state_dict, Mapping) else {}
        states = everything.get("state")
        own = dict(states) if isinstance(states, Mapping) else {}
        memory = self._checked_memory(own.pop(0, {}))
        rest = {**everything, "state": own} if "state" in everything else state_dict
        load_groups = super()._loading(rest)

        def load() -> None:
            load_groups()
            self._memory = memory

        return load

    def _checked_memory(self, saved: Any) -> State:
        if not isinstance(saved, Mapping):
            raise TypeError("LBFGS の状態が dict ではありません (expected a dict)。")
        saved = {name: x for name, x in saved.items() if name != _SCRATCH and x is not None}
        known = {*_COUNTS, *_NUMBERS, *_VECTORS, *_LISTS, "ro"}
        if saved and not set(_COUNTS) <= saved.keys() <= known:
            raise ValueError(f"LBFGS の状態ではありません (unexpected state): {sorted(saved)}。")
        wanted = _flat_gradient(self._units[0])
        memory: State = {}
        for name, x in saved.items():
            if name in _COUNTS:
                memory[name] = int(number(name, x))
            elif name in _NUMBERS:
                memory[name] = float(number(name, x))
            elif name == "ro":
                memory[name] = [float(number(name, r)) for r in x]
            elif name in _LISTS:
                memory[name] = [_vector(name, v, wanted) for v in x]
            else:
                memory[name] = _vector(name, x, wanted)
        if len({len(memory.get(name, ())) for name in (*_LISTS, "ro")}) > 1:
            raise ValueError("LBFGS の状態の old_dirs、old_stps、ro の長さが違います (mismatch)。")
        return memory


# ---- 公式 ---------------------------------------------------------------------------------------


def _remember(memory: State, g: Any, history_size: int) -> None:
    """Keep the last difference of gradients and of positions, if it shows a valley."""
    y, s = g - memory["prev_flat_grad"], memory["d"] * memory["t"]
    curvature = float(y @ s)
    if curvature <= 1e-10:
        return
    new = {"old_dirs": y, "old_stps": s, "ro": 1.0 / curvature}
    for name, x in new.items():
        memory[name] = [*memory[name], x][-history_size:]
    memory["H_diag"] = curvature / float(y @ y)


def _direction(memory: State, g: Any) -> Any:
    """−H·g by the two loops (Nocedal & Wright, Algorithm 7.4)."""
    history = list(zip(memory["old_dirs"], memory["old_stps"], memory["ro"], strict=True))
    q, shares = -g, []
    for y, s, ro in reversed(history):
        shares.append(float(s @ q) * ro)
        q = q - shares[-1] * y
    d = q * memory["H_diag"]
    for (y, s, ro), share in zip(history, reversed(shares), strict=True):
        d = d + (share - float(y @ d) * ro) * s
    return d


# ---- 1 列に並べた配列 ---------------------------------------------------------------------------


def _flat_gradient(units: list[TensorUnit | ValuesUnit]) -> Any:
    """Of all parameters in one array; 0 where there is none."""
    parts = []
    for unit in units:
        p = unit.data
        m = namespace.of(p)
        if isinstance(unit, ValuesUnit):
            grads = [0.0 if g is None else float(data_of(g)) for g in gradients_of(unit.key)]
            g: Any = np.array(grads)
        else:
            g = gradient_of(unit.key)
            g = m.zeros_like(p) if g is None else of_reals(data_of(g))
        wide = float32 if p.dtype.itemsize == 2 else p.dtype
        parts.append(m.reshape(m.astype(m.asarray(g), wide), -1))
    return namespace.of(*parts).concatenate(parts)


def _move(units: list[TensorUnit | ValuesUnit], places: list[Any], t: float, d: Any) -> None:
    """Put every parameter at its place + t·d."""
    start = 0
    for unit, x in zip(units, places, strict=True):
        step = d[start : start + x.size].reshape(x.shape)
        unit.assign((x + t * step).astype(x.dtype))
        start += x.size


def _largest(x: Any) -> float:
    return float(abs(x).max()) if x.size else 0.0


def _written(x: Any) -> Any:
    if isinstance(x, list):
        return [_written(y) for y in x]
    return Tensor(x.copy()) if namespace.is_array(x) else x


def _vector(name: str, x: Any, wanted: Any) -> Any:
    x = data_of(x)
    if np.shape(x) != wanted.shape:
        raise ValueError(
            f"LBFGS の状態 {name} の形が違います (shape mismatch): 保存された状態は {np.shape(x)}、"
            f"いまのパラメータは全部で {wanted.shape}。"
        )
    return namespace.of(wanted).array(x, dtype=wanted.dtype)


explain_all(globals(), but=PROTOCOL)
