"""`Tensor`: 数の配列と、それがどう計算されたか。`Value` と同じ計算グラフ、同じ規則。

>>> import micrograd_jp as mg
>>> W = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
>>> x = mg.tensor([1.0, -1.0])
>>> y = mg.relu(W @ x).sum()
>>> y.backward()
>>> W.grad.numpy().tolist()
[[0.0, 0.0], [0.0, 0.0]]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explained
from micrograd_jp.engine.value import Value
from micrograd_jp.graph.backward import backward
from micrograd_jp.graph.higher_order import gradients
from micrograd_jp.graph.modes import is_grad_enabled, unusual
from micrograd_jp.graph.node import Node
from micrograd_jp.graph.shares import hand_on
from micrograd_jp.graph.spent import LABEL, spent_graph
from micrograd_jp.graph.writes import latest, writes
from micrograd_jp.namespace.graph import on_graph
from micrograd_jp.ops import arrays as ops
from micrograd_jp.tensor.conversions import Conversions, require_gradients
from micrograd_jp.tensor.devices import placed
from micrograd_jp.tensor.dtypes import require_held
from micrograd_jp.tensor.hooked import Hookable
from micrograd_jp.tensor.reading import array_of, floats_of
from micrograd_jp.tensor.versions import Versions
from micrograd_jp.tensor.wanted import gradients_of

if TYPE_CHECKING:
    from micrograd_jp._surface import TensorMethods
else:
    TensorMethods = object


_NO_PARAMS: dict[str, Any] = {}


class Tensor(Conversions, Hookable, Versions, TensorMethods):
    """計算グラフの中の 1 つの配列。`mg.tensor(…)` で作る。

    Attributes:
        data: 値 (numpy.ndarray か jax.Array)。
        grad: 勾配の `Tensor`。`backward()` の前と、葉でないノードでは `None`。
        requires_grad: 勾配を求めるか。
        label: 計算グラフに描く名前。
    """

    __slots__ = (
        "__weakref__", "_base", "_made", "_now", "_params", "_retained", "_xs", "requires_grad",
        "spent",
    )  # fmt: skip

    _params: dict[str, Any]
    _xs: tuple[Any, ...]  # the arrays that an operation computed this one from
    _made: int  # how many writes into arrays there had been before
    _retained: Any  # False, or True and then what backward passes have added up

    def __init__(self, data: Any, requires_grad: bool = False, label: str = "") -> None:
        if not isinstance(requires_grad, bool):
            raise TypeError(
                "mg.Tensor の 2 番目の引数は requires_grad です (expected a bool): "
                f"{requires_grad!r} が渡されました。形からは mg.zeros(2, 3) と書いてください。"
            )
        if data.__class__ is not np.ndarray:
            data = namespace.automatic(data) if namespace.is_array(data) else floats_of(data)
        self._data = data
        self.op = None
        self._a = self._b = self._da = self._db = self._mark = self._grad = None
        self._base = self._now = None
        self._label, self._params, self._made = label, {}, writes.count
        self.spent = self._retained = False
        self.requires_grad = False
        if requires_grad:
            self.requires_grad_(requires_grad)

    @staticmethod
    def of_array(data: Any) -> Tensor:
        """配列そのものから、検査なしに葉を作る（演算の結果のため）。"""
        out: Tensor = object.__new__(Tensor)
        out._data = data
        out.op = out._a = out._b = out._da = out._db = out._mark = out._grad = None
        out._base = out._now = None  # a slot that is empty is asked for again and again
        out._params, out._label = _NO_PARAMS, ""
        out.spent = out._retained = out.requires_grad = False
        return out

    @staticmethod
    def node(data: Any) -> Tensor:
        """計算グラフの中だけの、誰のビューでもない `Tensor`。"""
        out = Tensor.of_array(data)
        out._base = ()
        return out

    def record(
        self, op: Any, operands: tuple[Any, ...], parents: tuple[Node, ...], xs: tuple[Any, ...],
        params: dict[str, Any],
    ) -> None:  # fmt: skip
        """計算グラフに記録する。

        Args:
            op: 自分を計算した演算。
            operands: その引数。
            parents: 引数のうち、勾配を求めるもの。
            xs: 計算に使った配列と数。
            params: 勾配のない引数（軸や形）。
        """
        self.op, self._a, self._xs, self.requires_grad = op, parents, xs, True
        self._made = writes.count
        if params:
            self._params = params
        if len(parents) < len(operands):
            self._db = operands

    # ---- 見る（形や型は `Conversions` にある） ----

    def to_value(self) -> Value:
        """要素が 1 つの `Tensor` を、同じ計算グラフの `Value` にする。

        Raises:
            ValueError: 要素が 1 つでない。
        """
        self._require_one("to_value")
        out = Value(namespace.concrete(self._data, "to_value()").item())
        if is_recorded(self):
            out.op, out._a = ops.item, (latest(self),)
        return out

    @Node.label.setter  # type: ignore[attr-defined, untyped-decorator]
    def label(self, label: str) -> None:
        """計算グラフに描く名前。"""
        self._label = label
        if self.spent.__class__ is list:
            self.spent[LABEL] = self._label

    # ---- 勾配 ----

    @property
    def grad(self) -> Tensor | None:
        """勾配。まだなければ `None`。"""
        grad = self._grad
        if grad is None and writes.tracked and self.latest is not self:
            return self.latest.grad
        if grad is None or isinstance(grad, Tensor):
            return grad
        if isinstance(grad, np.generic):  # a sum of two numbers: from now on in memory of its own
            grad = self._grad = np.array(grad)
        if grad.__class__ is np.ndarray:
            return Tensor.of_array(grad)
        out = Tensor(grad)
        out._params["gradient_of"] = self  # `w.grad.zero_()` makes a new array, here too
        return out

    @grad.setter
    def grad(self, grad: Any) -> None:
        if grad is not None:
            grad = grad if isinstance(grad, Tensor) else as_tensor(grad)
            if grad.shape != self.shape:
                raise ValueError(
                    f"勾配の形が合いません (grad shape mismatch): {grad.shape}。"
                    f"値と同じ {self.shape} にしてください。"
                )
            require_held(grad._data, self.dtype)
            # A gradient that can be differentiated again stays what it is, as in PyTorch.
            grad = grad if grad.requires_grad else grad._data.copy()
        self._grad = grad
        if self._retained is not False:
            self._retained = True if grad is None else grad

    def reach_owner(self) -> None:
        """自分が `w.grad` として作られたのなら、自分の配列を w の勾配にする。"""
        owner = self._params.get("gradient_of")
        if owner is not None:
            owner._grad = self._data

    @explained
    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """勾配を求めるかどうかを変え、自分を返す。

        Raises:
            TypeError: 小数でない配列の勾配は求められない。
            RuntimeError: 計算の結果を、勾配を求めないものに変えようとした。
        """
        if self.op is not None and not requires_grad:
            raise RuntimeError(
                "計算の結果の requires_grad は変えられません (not a leaf): 勾配を流さないなら、"
                "t.detach() の結果を使ってください。"
            )
        if requires_grad:
            require_gradients(self.dtype)
        self.requires_grad = bool(requires_grad)
        return self

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
        inputs: Any = None,
    ) -> None:  # fmt: skip
        """誤差逆伝播法: このノードに至る、勾配を求める葉すべての `grad` に足し込む。

        Args:
            gradient: 出力の勾配。要素が 1 つなら省略でき、1 とする。
            retain_graph: 真なら、同じグラフでもう一度 `backward` できる。
            create_graph: 真なら、勾配も計算グラフの一部になり、さらに微分できる。
            inputs: あれば、これらの `Tensor` の `grad` にだけ足し込む。

        順伝播のあとで `t.data = 新しい配列` としても、勾配は変わらない。使われた `Tensor` の
        書き換え（`t.add_(1)`、`t[0] = 5`、`t.data -= 1`、`optimizer.step()`）は、ここで
        エラーになる。ndarray `t.detach().numpy()` への代入は検出されず、新しい値で計算される。

        Raises:
            RuntimeError: 計算グラフがない、要素が 1 つでないのに `gradient` がない、
                既に逆伝播したグラフ、または順伝播のあとで使われた値が書き換えられた。
            ValueError: `gradient` の形が違う。
        """
        if writes.tracked and self.latest is not self:
            self.latest.backward(gradient, retain_graph, create_graph, inputs)
            return
        if not self.requires_grad:
            raise RuntimeError(
                "この Tensor には計算グラフがありません (no graph): requires_grad=True の "
                "Tensor から計算した結果に対して backward() を呼んでください。"
            )
        seed = self._seed(gradient)
        if inputs is not None:
            chosen = inputs if isinstance(inputs, list | tuple) else [inputs]
            for node, grad in zip(
                chosen, gradients_of([(self, seed)], chosen, bool(retain_graph), create_graph)
            ):
                if grad is not None:
                    _added(latest(node), grad)
            return
        if create_graph:
            for node, grad in gradients(self, seed).items():
                if node.op is None or getattr(node, "_retained", False) is not False:
                    _added(node, grad)
            return
        backward(self, seed._data, keep=bool(retain_graph))

    def _seed(self, gradient: Any) -> Tensor:
        if gradient is None:
            if self._data.size != 1:
                raise RuntimeError(
                    "要素が 1 つでない Tensor の backward には gradient が必要です "
                    f"(gradient required): 形は {self.shape} です。"
                    "y.sum().backward() のように 1 つにまとめるか、同じ形の gradient を渡します。"
                )
            if self.dtype.kind == "c":
                raise RuntimeError(
                    "複素数の出力の backward には gradient が必要です (grad can be created only "
                    "for real outputs): y.abs() や y.real のような実数の損失にするか、gradient を"
                    "渡してください。"
                )
            return Tensor.of_array(
                namespace.of(self._data).ones(self._data.shape, self._data.dtype)
            )
        seed = as_tensor(gradient)
        if seed.shape != self.shape:
            raise ValueError(
                f"gradient の形が合いません (gradient shape mismatch): {seed.shape}。"
                f"出力と同じ {self.shape} にしてください。"
            )
        if seed._data.dtype != self._data.dtype:
            require_held(seed._data, self.dtype)
            seed = seed.astype(self.dtype)
        if seed.requires_grad or seed._data.__class__ is self._data.__class__:
            return seed
        return Tensor(namespace.of(self._data, seed._data).asarray(seed._data))

    def accumulate(self, share: Any, fresh: bool = False) -> None:
        """勾配に、子 1 つ分を足し込む。`fresh` は、ほかの誰も持っていない配列であること。"""
        grad = self._grad
        if grad is not None:
            # After create_graph=True it is a Tensor, and stays in its graph.
            if grad.__class__ is Tensor and not grad.requires_grad:
                grad = grad._data
            self._grad = grad + share
        elif self.op is None and not (fresh and _owns_its_memory(share)):
            # A copy: never the memory of anything else.
            self._grad = namespace.of(self._data, share).array(share, dtype=self.dtype)
        else:
            self._grad = share

    def pull(self) -> None:
        """上流の勾配から親の勾配を作って渡す。"""
        if self.spent:
            raise spent_graph()
        hand_on(self)
        if self._retained is False:  # as in PyTorch, only leaves keep their gradients
            self._grad = None
        else:
            if self._retained is not True:
                self._grad = self._retained + self._grad
            self._retained = self._grad

    @property
    def retains_grad(self) -> bool:
        """葉でないのに、逆伝播のあとに `grad` を残すか (PyTorch の名前)。"""
        node = latest(self)
        return node.op is not None and node._retained is not False

    def retain_grad(self) -> None:
        """葉でなくても、逆伝播のあとに `grad` を残す。

        Raises:
            RuntimeError: 勾配を求めない Tensor。
        """
        if not self.requires_grad:
            raise RuntimeError(
                "勾配を求めない Tensor の勾配は残せません (requires_grad is False): "
                "requires_grad=True の Tensor から計算してください。"
            )
        node = latest(self)
        if node._retained is False:
            node._retained = True

    def detach(self) -> Tensor:
        """同じ値の、計算グラフから切り離した `Tensor`（メモリは共有する）。"""
        out = Tensor(self._data, label=self.label)
        in_memory = self._data.__class__ is np.ndarray
        if not in_memory or not self._data.flags.writeable:
            # What is written to it is written to this one. The same view of what is detached, too,
            # shows the same memory, and keeps no graph.
            base = self.base if in_memory else None
            out._base = (base[0].detach(), *base[1:]) if base else (self, None, {})
        return out

    __hash__ = object.__hash__

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # ---- 計算: 関数は `functions/` にあり、`on_graph` の表を通して呼ぶ ----

    def __getitem__(self, key: Any) -> Tensor:
        t: Tensor = on_graph.getitem(self, key)
        return t

    def __matmul__(self, other: Any) -> Tensor:
        return self.matmul(other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return as_tensor(other).matmul(self)


def _added(node: Any, grad: Any) -> None:
    before = node.grad if node.has_grad else None
    # A copy, as in accumulate; `grad` may be shared or a read-only broadcast.
    node._grad = grad.clone() if before is None else before + grad
    if getattr(node, "_retained", False) is not False:
        node._retained = node._grad


def is_recorded(*operands: Any) -> bool:
    """これらの引数をもつ演算を、いま計算グラフに記録するか。"""
    tracked = any(isinstance(x, Node) and x.requires_grad for x in operands)
    return tracked and (not unusual.contexts or is_grad_enabled())


def _owns_its_memory(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.base is None and x.flags.writeable


@explained
def tensor(
    data: Any,
    *,
    requires_grad: bool = False,
    dtype: Any = None,
    device: Any = None,
    label: str = "",
) -> Tensor:
    """数・リスト・配列から `Tensor` を作る（値は写される）。

    Python の小数は float32（`set_default_dtype` で変わる）、整数は int64、真偽値は bool、
    NumPy の数と ndarray、JAX の配列は自分の型になる。JAX の配列からは、JAX で計算する `Tensor` が
    できる。

    Raises:
        TypeError: 数でないもの、`Value`（`mg.stack([…])` を使う）、勾配を求める整数。
        ValueError: 長さの揃わない入れ子。
    """
    array = array_of(data, dtype)
    if device is not None:
        array = placed(array, device)
    return Tensor(array, requires_grad, label)


def as_tensor(x: Any) -> Tensor:
    """`Tensor` にする。`Value` は同じ計算グラフの 0 次元の `Tensor` になる。"""
    if isinstance(x, Tensor):
        return x
    return on_graph.stack([x]).reshape(()) if isinstance(x, Node) else tensor(x)
