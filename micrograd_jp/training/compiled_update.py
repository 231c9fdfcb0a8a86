"""1 更新を 1 つの XLA のプログラムで: 有限かどうかもその中で調べ、損失は 1 更新遅れて読む。

読むまで待つのは 1 つ前の更新なので、装置は休まない。勾配は装置の外に出ない。有限でなかった更新は、
プログラムの中で取り消される。そのあとに始めてしまった更新も、何も変えない。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.graph.leaves import gradients_of
from micrograd_jp.graph.node import data_of
from micrograd_jp.namespace.jax import jax_namespace
from micrograd_jp.namespace.numpy_kernels import computed_in
from micrograd_jp.nn.module.calling import number_of
from micrograd_jp.nn.module.module import Module
from micrograd_jp.optim.optimizer import parameters_of
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.devices import device_of
from micrograd_jp.tensor.generator import generator, keyed
from micrograd_jp.training.checkpoint import Session
from micrograd_jp.training.precision import LEAST_SCALE, Precision
from micrograd_jp.training.update import Update, Window, shares
from micrograd_jp.transforms import map_structure
from micrograd_jp.xla.held import Look
from micrograd_jp.xla.jit import compiled, next_seed
from micrograd_jp.xla.outside import stateful_around


def on_accelerator(optimizer: Any) -> bool:
    """パラメータが CPU の外か、いくつもの装置にあるか。"""
    places = [device_of(p._data) for p in parameters_of(optimizer) if isinstance(p, Tensor)]
    return any(p.type not in ("cpu", "jax") or p.sharding is not None for p in places)


class _Health:
    """Whether every update so far was finite. Once one was not, nothing changes any more."""

    def __init__(self) -> None:
        self.good: Any = np.True_

    def state_arrays(self) -> Any:
        return self.good

    def set_state_arrays(self, state: Any) -> None:
        self.good = state


class CompiledUpdate(Update):
    """1 更新。コンパイルした 1 つのプログラムで動かす。"""

    def __init__(
        self, session: Session, loss: Any, clip_norm: float | None, precision: Precision
    ) -> None:
        super().__init__(session, loss, clip_norm, precision)
        self.health = _Health()
        self.held: list[Any] = [x for x in (session.model, loss) if isinstance(x, Module)]
        self.held += [session.optimizer, self.scaler]
        for f in (session.model, loss):
            self.held += stateful_around(f, self.held)
        self.begun: tuple[Window, Any, Tensor] | None = None
        self.program = compiled(self._traced, [*self.held, self.health], (session.model, loss))
        look = Look(self.held)
        self._at_first = [(t, t.dtype) for t in look.tensors if _is_numpy(t._data)]
        for t, dtype in self._at_first:
            _require_available(t, dtype)
        look.set_state(map_structure(_on_jax, look.state()))

    def __call__(self, window: Window, first: bool) -> None:
        """1 更新を始めて、その前の更新の損失を記録に加える。

        Raises:
            NonFiniteError: 前の更新の損失か勾配が nan か inf。重みはその更新の前のまま。
            TypeError: コンパイルできないモデルや損失。
        """
        random = generator().bit_generator.state
        try:
            found = self.program(window)
        except TypeError as error:
            error.add_note(
                "mg.fit(…, jit=True) が 1 更新をコンパイルしているときのエラーです。値を見る if や "
                "float(…)、.numpy() をやめるか、jit=False と書いてください。"
            )
            raise
        self.finish()
        self.begun = window, random, found

    def finish(self) -> None:
        """始めた更新の損失を記録に加える。"""
        if self.begun is None:
            return
        (window, random, found), self.begun = self.begun, None
        number, finite, skipped = namespace.concrete(found._data, "fit").tolist()
        self.session.history.skipped += int(skipped)
        if finite:
            self.losses.append(number)
            return
        # The state of a parameter that was never updated: as before there was one.
        states = self.optimizer.state_arrays()
        self.optimizer.set_state_arrays([(step, s if np.any(step) else {}) for step, s in states])
        self.moment = _Random(random)
        raise self.explained(self.fault(number, self.scaler.get_scale()), window)

    def again(self, window: Window) -> None:
        """もう一度、同じ乱数で、1 つの演算ずつ。"""
        with keyed(next_seed()):
            super().again(window)

    def close(self) -> None:
        """NumPy の配列だったものを、NumPy の配列に戻す。"""
        for t, dtype in self._at_first:
            t.data = namespace.concrete(t._data, "fit").astype(dtype, copy=False)
        states = zip(self.optimizer.state, self.optimizer.state_arrays(), strict=True)
        self.optimizer.set_state_arrays([
            (int(step), {slot: namespace.concrete(x, "fit") for slot, x in state.items()})
            if _is_numpy(key._data) else (step, state)
            for key, (step, state) in states
        ])  # fmt: skip

    def _traced(self, window: Window) -> Tensor:
        """The whole update: the loss, whether all is finite, and whether it was skipped."""
        m = namespace.of(self.health.good)
        before = Look(self.held).state()
        self.optimizer.zero_grad()
        total: Any = 0.0
        for batch, share in shares(window):
            loss = self.step(batch)
            if not isinstance(loss, Tensor) or loss.size != 1:
                number_of(loss)  # says what is wrong
            self.backward(loss, share)
            number = m.reshape(loss._data, ())
            total = total + share * m.astype(number, computed_in(number.dtype))
        skipped, finite = m.asarray(False), m.isfinite(total)
        if self.scaler.is_enabled():
            scale, _ = self.scaler.state_arrays()
            self.scaler.unscale_(self.optimizer)
            self.apply()
            self.scaler.update()
            skipped = self.scaler.state_arrays()[0] < scale
            finite = ~(skipped & (scale < LEAST_SCALE))
        else:
            for g in gradients_of(self.tensors):
                if g is not None:
                    finite = finite & m.all(m.isfinite(data_of(g)))
            self.apply()
        good = self.health.good = self.health.good & finite
        after = Look(self.held)
        after.set_state(_chosen(m, good, after.state(), before))
        return Tensor(m.stack([total, *(m.astype(x, total.dtype) for x in (finite, skipped))]))


class _Random:
    """更新を始めるときの乱数の状態。ほかは、プログラムが元に戻している。"""

    def __init__(self, state: Any) -> None:
        self._state = state

    def restore(self) -> None:
        generator().bit_generator.state = self._state


def _chosen(m: Any, good: Any, new: Any, old: Any) -> Any:
    """The new state if good, else the old one, array by array. What is new remains."""
    if isinstance(new, dict):
        return {k: _chosen(m, good, x, old[k]) if k in old else x for k, x in new.items()}
    if isinstance(new, list | tuple):
        return [_chosen(m, good, x, y) for x, y in zip(new, old, strict=True)]
    return m.where(good, new, old)


def _is_numpy(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def _on_jax(x: Any) -> Any:
    return jax_namespace().array(x) if _is_numpy(x) else x


def _require_available(t: Tensor, dtype: Any) -> None:
    """Whole numbers count updates; but a weight would lose half of its digits silently."""
    if namespace.is_floating(dtype) and jax_namespace().available(dtype) != dtype:
        raise ValueError(
            f"JAX では {dtype} のパラメータは使えません (jax_enable_x64 is off): "
            "model.float() で float32 にするか、はじめに "
            'jax.config.update("jax_enable_x64", True) と書いてください。'
        )
