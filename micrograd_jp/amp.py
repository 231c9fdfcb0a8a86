"""混合精度の学習: `autocast` と、損失スケーリング (loss scaling) をする `GradScaler`。

float16 の最も小さい数は 2⁻²⁴ で、それより小さい勾配は 0 になる。損失を 65536 倍すれば、どの勾配も
65536 倍になり、重みを更新する前に割り戻せばよい。オーバーフローしたら、その更新はとばして
倍率を半分にする。
Micikevicius et al. (2018) "Mixed Precision Training" §3.2。

>>> import micrograd_jp as mg
>>> model = mg.nn.Linear(2, 1)
>>> optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
>>> scaler = mg.amp.GradScaler()
>>> with mg.autocast(mg.float16):
...     loss = mg.mse_loss(model(mg.ones(4, 2)), mg.zeros(4, 1))
>>> scaler.scale(loss).backward()
>>> scaler.step(optimizer)
>>> scaler.update()
>>> scaler.get_scale()
65536.0
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.leaves import gradients_of, set_gradients
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace import quiet
from micrograd_jp.optim.checks import number, require_alike
from micrograd_jp.optim.optimizer import Optimizer, parameters_of
from micrograd_jp.optim.skipping import step_unless
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.autocast import autocast as autocast
from micrograd_jp.tensor.devices import device as _device
from micrograd_jp.tensor.dtypes import float16, float32

UNSCALED, STEPPED = "unscale_", "step"
"""What has been done to an optimizer since the last `update()`."""


class GradScaler:
    """損失を `scale` 倍して逆伝播し、勾配を割り戻して更新する。名前と決まりは PyTorch のもの。

    1 更新は `scaler.scale(loss).backward()`、（クリッピングするなら）`scaler.unscale_(optimizer)`
    してクリッピング、`scaler.step(optimizer)`、`scaler.update()` の順に書く。`mg.jit(関数, model,
    optimizer, scaler)` と渡せば、jit した関数の中でも使える。

    Args:
        device: PyTorch の引数。計算する場所は変わらない。
        init_scale: はじめの倍率。
        growth_factor: オーバーフローしない更新が続いたときに、倍率にかける数（1 より大きい）。
        backoff_factor: オーバーフローしたときに、倍率にかける数（1 より小さい）。
        growth_interval: 続く更新の数。
        enabled: 偽なら何もせず、`step` は `optimizer.step()` と同じ。

    Raises:
        ValueError: 範囲の外の設定。
    """

    def __init__(
        self, device: Any = None, init_scale: float = 2.0**16, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        if device is not None:
            _device(device)
        self._enabled = bool(enabled)
        # Arrays, as XLA leaves them: a program of mg.jit is not compiled anew when they change.
        self._scale: Any = _scale("init_scale", init_scale)
        self._growth_tracker: Any = np.asarray(0, np.int32)
        self.set_growth_factor(growth_factor)
        self.set_backoff_factor(backoff_factor)
        self.set_growth_interval(growth_interval)
        self._clear()

    def _clear(self) -> None:
        self._stages: dict[int, str] = {}
        self._found: dict[int, Any] = {}  # whether the gradients of an optimizer overflowed

    # ---- 1 更新 ------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """損失（か、その並び）を `scale` 倍する。"""
        if not self._enabled:
            return outputs
        if isinstance(outputs, list | tuple):
            return type(outputs)([self.scale(x) for x in outputs])
        if isinstance(outputs, Tensor):
            return outputs * Tensor(namespace.of(outputs._data, self._scale).asarray(self._scale))
        if isinstance(outputs, Value):
            return outputs * float(self._scale)
        raise TypeError(
            "scale は損失の Tensor か、その並びを受け取ります (expected a Tensor): "
            f"{type(outputs).__name__} が渡されました。"
        )

    def unscale_(self, optimizer: Optimizer) -> None:
        """勾配を `scale` で割り、オーバーフローした (inf か nan になった) かを覚える。

        Raises:
            RuntimeError: `update()` のあと、もう `unscale_` か `step` を呼んだ。
            ValueError: float16 の勾配（重みが float16）。
            TypeError: `Value` のパラメータ。
        """
        if not self._enabled:
            return
        self._require_before(UNSCALED, optimizer)
        leaves = parameters_of(optimizer)
        if any(isinstance(p, Value) for p in leaves):
            raise TypeError(
                "Value の勾配は float64 で、スケーリングは要りません (expected Tensors): "
                "Tensor の層を使うか、optimizer.step() と書いてください。"
            )
        leaves = [p for p in leaves if p.has_grad]
        grads = [data_of(g) for g in gradients_of(leaves)]
        if any(g.dtype == float16 for g in grads):
            raise ValueError(
                "float16 の勾配は割り戻せません (attempting to unscale FP16 gradients): 割ると、"
                "また 0 に丸められます。重みは float32 のままにして、"
                "with mg.autocast(mg.float16): の中で順伝播を計算してください。"
            )
        m = namespace.of(*grads, self._scale)
        with quiet.silence():
            found = [~m.isfinite(g).all() for g in grads]
            set_gradients(leaves, [(g * (1 / self._scale)).astype(g.dtype) for g in grads])
        self._stages[id(optimizer)] = UNSCALED
        if found:
            self._found[id(optimizer)] = functools.reduce(operator.or_, found)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """勾配がどれも有限なら `optimizer.step()`、オーバーフローしていたら何もしない。

        まだなら、はじめに `unscale_` を呼ぶ。

        Returns:
            `optimizer.step()` の結果（とばしたら `None`）。

        Raises:
            RuntimeError: 2 度目の呼び出し、closure、勾配が 1 つもない。
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or kwargs:
            raise RuntimeError(
                "GradScaler.step は closure を受け取りません (closure is not supported): 勾配を"
                "求めてから scaler.step(optimizer) と書いてください。"
            )
        if self._stages.get(id(optimizer)) != UNSCALED:
            self._require_before(STEPPED, optimizer)
            self.unscale_(optimizer)
        found = self._found.get(id(optimizer))
        if found is None:
            raise RuntimeError(
                "勾配のあるパラメータがありません (no inf checks were recorded): "
                "scaler.scale(loss).backward() の後に呼んでください。"
            )
        self._stages[id(optimizer)] = STEPPED
        return step_unless(optimizer, found)

    def update(self, new_scale: Any = None) -> None:
        """倍率を変える: オーバーフローなら小さく、`growth_interval` 回続けて有限なら大きく。

        Args:
            new_scale: 代わりに使う倍率。

        Raises:
            RuntimeError: まだ `step` も `unscale_` も呼ばれていない。
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = _scale("new_scale", new_scale)
            self._clear()
            return
        if not self._found:
            raise RuntimeError(
                "更新がまだありません (no inf checks were recorded prior to update): "
                "scaler.step(optimizer) の後に呼んでください。"
            )
        found = functools.reduce(operator.or_, self._found.values())
        m = namespace.of(found, self._scale)
        finite_in_a_row = self._growth_tracker + 1
        due = finite_in_a_row == self._growth_interval
        with quiet.silence():
            now = m.astype(self._scale, m.available(np.float64))  # PyTorch rounds the product once
            grown = m.astype(now * self._growth_factor, float32)
            grown = m.where(due & m.isfinite(grown), grown, self._scale)
            smaller = m.astype(now * self._backoff_factor, float32)
            self._scale = m.asarray(m.where(found, smaller, grown))
        tracker = m.where(found | due, 0, finite_in_a_row)
        self._growth_tracker = m.astype(tracker, np.int32)
        self._clear()

    def _require_before(self, what: str, optimizer: Optimizer) -> None:
        done = self._stages.get(id(optimizer))
        if done is not None:
            raise RuntimeError(
                f"この optimizer には、update() のあと、もう {done}() を呼びました "
                f"({done}() has already been called): {what}() は scaler.update() の後に"
                "もう一度呼べます。"
            )

    # ---- 設定と状態 ---------------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """スケーリングをするか。"""
        return self._enabled

    def get_scale(self) -> float:
        """いまの倍率（しないなら 1）。"""
        if not self._enabled:
            return 1.0
        return float(namespace.concrete(self._scale, "get_scale()"))

    def get_growth_factor(self) -> float:
        """続けて有限だったときに、倍率にかける数。"""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """続けて有限だったときに、倍率にかける数を変える。"""
        self._growth_factor = _above(1, "growth_factor", new_factor)

    def get_backoff_factor(self) -> float:
        """オーバーフローしたときに、倍率にかける数。"""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """オーバーフローしたときに、倍率にかける数を変える。"""
        factor = _above(0, "backoff_factor", new_factor)
        if factor >= 1:
            raise ValueError(
                f"backoff_factor は 0 と 1 の間の数です (invalid backoff_factor): {factor}。"
            )
        self._backoff_factor = factor

    def get_growth_interval(self) -> int:
        """倍率を大きくするまでの、続けて有限な更新の数。"""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """倍率を大きくするまでの、続けて有限な更新の数を変える。"""
        if int(new_interval) != new_interval or new_interval < 1:
            raise ValueError(
                f"growth_interval は 1 以上の整数です (expected an int): {new_interval!r}。"
            )
        self._growth_interval = int(new_interval)

    def state_dict(self) -> dict[str, Any]:
        """いまの状態。名前は PyTorch と同じ（スケーリングをしないなら、空）。"""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": int(self._growth_tracker),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """`state_dict()` の状態に戻す。

        Raises:
            TypeError: dict でない。
            ValueError: 項目が足りない、または範囲の外。このとき何も変わらない。
            RuntimeError: スケーリングをしない `GradScaler` の、空の状態。
        """
        self._loading(state_dict)()

    def _loading(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """What loads the state, once all of it is found to fit."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                "GradScaler の state_dict は dict です (expected a dict): "
                f"{type(state_dict).__name__} が渡されました。"
            )
        if not self._enabled:
            return lambda: None
        if not state_dict:
            raise RuntimeError(
                "GradScaler の状態が空です (source state dict is empty): enabled=False の "
                "GradScaler から保存したものは、読み込めません。"
            )
        own = self.state_dict()
        if set(state_dict) != set(own):
            raise ValueError(
                "GradScaler の状態ではありません (not the state of a GradScaler): "
                f"{sorted(set(own) ^ set(state_dict))} が余分か、足りません。"
            )
        for name, now in own.items():
            require_alike(name, state_dict[name], now)
        made = GradScaler(
            init_scale=state_dict["scale"],
            **{name: state_dict[name] for name in own if name.startswith(("gr", "back"))},
        )
        tracker = state_dict["_growth_tracker"]
        if tracker < 0:
            raise ValueError(
                f"_growth_tracker は 0 以上の整数です (invalid _growth_tracker): {tracker}。"
            )
        made._growth_tracker = np.asarray(tracker, np.int32)
        return lambda: vars(self).update(vars(made))

    def state_arrays(self) -> Any:
        """`mg.jit` が関数の引数と結果にする状態。"""
        return self._scale, self._growth_tracker

    def set_state_arrays(self, state: Any) -> None:
        """`state_arrays()` の形の状態に、写さずに取り替える。"""
        self._scale, self._growth_tracker = state
        self._clear()

    def __repr__(self) -> str:
        return f"GradScaler({self.state_dict() if self._enabled else 'enabled=False'})"


def _above(low: float, name: str, x: Any) -> float:
    given = float(number(name, x))
    if not low < given < float("inf"):
        raise ValueError(f"{name} は {low} より大きい有限の数です (invalid {name}): {given}。")
    return given


def _scale(name: str, x: Any) -> Any:
    with quiet.silence():  # what float32 cannot hold becomes inf or 0, and is refused
        scale = np.asarray(float(number(name, x)), float32)
    _above(0, name, scale)
    return scale


explain_all(globals())
