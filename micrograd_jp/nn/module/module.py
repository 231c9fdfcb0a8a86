"""`Module`: パラメータを持つ部品の土台。

属性に置いた `Value`、`Parameter`、勾配を求める `Tensor`、ほかの `Module`、それらのリスト・
タプル・辞書を自分で見つける。`super().__init__()` を呼ぶ必要はない。

>>> import micrograd_jp as mg
>>> class Line(mg.nn.Module):
...     def __init__(self):
...         self.w, self.b = mg.nn.Parameter([1.0]), mg.nn.Parameter([0.0])
...
...     def forward(self, x):
...         return self.w * x + self.b
>>> [name for name, _ in Line().named_parameters()]
['w', 'b']
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Self

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all, require_function, undefined
from micrograd_jp.hooks import HookHandle
from micrograd_jp.nn.module import around, state, tree
from micrograd_jp.nn.module.around import AROUND, BEFORE, BEFORE_PULL, PULLED, called
from micrograd_jp.nn.module.describe import described
from micrograd_jp.nn.module.parameter import freeze
from micrograd_jp.nn.module.summary import Summary, summarize
from micrograd_jp.tensor import devices
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.creation import zeros_like
from micrograd_jp.tensor.dtypes import float16, float32, float64


class Module(tree.Part):
    """パラメータを持つ部品。派生クラスは `forward` を書き、`model(x)` と呼ぶ。

    Attributes:
        training: 訓練中か（`train()` と `eval()` で変わる）。
    """

    training: bool = True

    def __setattr__(self, name: str, x: Any) -> None:
        """属性に置く。パラメータ、バッファ、部品のあった所には、同じ種類のものか `None` だけを。

        Raises:
            TypeError: 種類の違うもの（登録が黙って外れてしまう）。
        """
        wanted = None if x is None else tree.kept(self, name, x)
        if wanted:
            raise TypeError(
                f"{name} に {type(x).__name__} は代入できません (cannot assign): "
                f"{wanted} か None を代入してください。"
            )
        object.__setattr__(self, name, x)

    # ---- 順伝播 ----

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """順伝播 (forward)。派生クラスが書く。"""
        raise undefined(self, "forward(self, x)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`forward` を呼ぶ。"""
        known = self.__dict__
        if AROUND in known:
            return called(self, args, kwargs, self._forwarded)
        if tree.HOOKS in known:
            return self._forwarded(*args, **kwargs)
        return self.forward(*args, **kwargs)

    def _forwarded(self, *args: Any, **kwargs: Any) -> Any:
        out = self.forward(*args, **kwargs)
        for hook in tuple(self.__dict__.get(tree.HOOKS, {}).values()):
            replaced = hook(self, args, kwargs, out)
            out = out if replaced is None else replaced
        return out

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """順伝播のたびに `hook(module, args, output)` を呼ぶ。`None` 以外を返せば出力を置き換える。

        Args:
            hook: 呼ばれる関数。
            prepend: 真なら、ほかのフックより先に呼ぶ。
            with_kwargs: 真なら、名前の付いた引数も渡す: `hook(module, args, kwargs, output)`。

        Returns:
            `remove()` で取り外せる取っ手。
        """
        require_function("hook", hook)
        called = hook if with_kwargs else partial(around.after, hook)
        return HookHandle(self, tree.HOOKS, called, bool(prepend))

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """順伝播の前に `hook(module, args)` を呼ぶ。`None` 以外を返せば入力を置き換える。

        Args:
            hook: 呼ばれる関数。
            prepend: 真なら、ほかのフックより先に呼ぶ。
            with_kwargs: 真なら、名前の付いた引数も渡す: `hook(module, args, kwargs)`。置き換える
                ときは、組 (args, kwargs) を返す。

        Returns:
            `remove()` で取り外せる取っ手。
        """
        require_function("hook", hook)
        called = partial(around.before_with_names if with_kwargs else around.before, hook)
        return self._around(BEFORE, called, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """逆伝播が通り抜けると `hook(module, grad_input, grad_output)` を呼ぶ（どちらも組）。

        `None` 以外を返せば、それが入力の勾配になる。勾配を求めない入力の勾配は `None`。

        Args:
            hook: 呼ばれる関数。
            prepend: 真なら、ほかのフックより先に呼ぶ。

        Returns:
            `remove()` で取り外せる取っ手。
        """
        return self._around(PULLED, hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> HookHandle:
        """逆伝播が届くと `hook(module, grad_output)` を呼ぶ。`None` 以外を返せば置き換える。

        Args:
            hook: 呼ばれる関数。
            prepend: 真なら、ほかのフックより先に呼ぶ。

        Returns:
            `remove()` で取り外せる取っ手。
        """
        return self._around(BEFORE_PULL, hook, prepend)

    def _around(self, kind: str, hook: Any, prepend: bool) -> HookHandle:
        require_function("hook", hook)
        pair: Any = (kind, hook)
        return HookHandle(self, AROUND, pair, bool(prepend))

    # ---- 部品とパラメータ ----

    def register_parameter(self, name: str, param: Any) -> None:
        """属性にパラメータを置く (PyTorch の名前)。`self.name = nn.Parameter(…)` と同じ。"""
        setattr(self, attribute_name(name), param)

    def add_module(self, name: str, module: Module | None) -> None:
        """属性に部品を置く (PyTorch の名前)。"""
        setattr(self, attribute_name(name), module)

    def register_module(self, name: str, module: Module | None) -> None:
        """`add_module` と同じ (PyTorch の名前)。"""
        self.add_module(name, module)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """バッファ (buffer) を置く: 学習はされないが、重みと一緒に保存される `Tensor`。

        Args:
            name: 属性の名前。
            tensor: `Tensor`（`None` なら、まだない）。
            persistent: 偽なら `state_dict` に入れない。

        Raises:
            TypeError: `Tensor` でない、または勾配を求める `Tensor`。
        """
        if tensor is not None and not (isinstance(tensor, Tensor) and not tensor.requires_grad):
            raise TypeError(
                "バッファは勾配を求めない Tensor です (expected a Tensor without gradient): "
                f"{name} に {type(tensor).__name__} が渡されました。"
                "学習するものは self.名前 = nn.Parameter(…) としてください。"
            )
        vars(self).setdefault(tree.BUFFERS, {})[attribute_name(name)] = persistent
        setattr(self, name, tensor)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """中の部品から順に、すべての部品で `fn` を呼ぶ（重みの初期化など）。"""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---- 保存 ----

    def state_dict(
        self,
        *,
        destination: MutableMapping[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> Any:
        """パラメータとバッファの値の写し。名前と形は PyTorch と同じ。

        `Tensor` は計算グラフから切り離した `Tensor`、`Value` は float になる。

        Args:
            destination: これに加えて返す辞書。`None` なら新しい辞書。
            prefix: 名前の前に付ける文字列（`"model."`）。
            keep_vars: 真なら、写しではなく、パラメータとバッファそのもの。

        Raises:
            TypeError: 文字列でない `prefix`。
        """
        prefix = tree.prefixed(prefix)
        found = state.entries(self) if keep_vars else state.state_dict(self)
        into = {} if destination is None else destination
        into.update({prefix + name: x for name, x in found.items()})
        return into

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> state.IncompatibleKeys:
        """`state_dict` の値を読み込む。型は自分の型に直される。

        Args:
            state_dict: 名前から `Tensor`、配列、数へ。
            strict: 偽なら、足りない名前と余分な名前を許す（形の違いは許さない）。

        Returns:
            足りなかった名前と、余分だった名前。

        Raises:
            ValueError: 名前か形が合わない。合わないものをすべて挙げ、何も変更しない。
            TypeError: 辞書でない。
        """
        return state.load(self, state_dict, strict)

    def _loading(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """What loads the state, once all of it is found to fit."""
        return state.loading(self, state_dict)[0]

    # ---- 状態を変える ----

    def train(self, mode: bool = True) -> Self:
        """訓練中にする（ドロップアウトとバッチ正規化が変わる）。"""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """推論中にする。"""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """すべてのパラメータの勾配を未計算に戻す。`set_to_none=False` なら 0 にする。"""
        for parameter in self.parameters():
            if set_to_none or not isinstance(parameter, Tensor):
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = zeros_like(parameter.grad)

    def __getattr__(self, name: str) -> Any:
        held = vars(self).get(tree.UNNAMED, {})
        if name in held:
            return held[name]
        raise tree.without(self, name)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """すべてのパラメータの勾配を求めるかどうかを変える（偽なら凍結する）。

        Raises:
            TypeError: `Value` は凍結できない。
        """
        freeze(self.parameters(), requires_grad)
        return self

    def to(self, *where: Any, dtype: Any = None, device: Any = None) -> Self:
        """型か場所を変える: `to(mg.float64)`、`to("cpu")`、`to(device, dtype)` (PyTorch の名前)。

        型が変わるのは小数のパラメータとバッファだけ。場所は `Tensor` のすべてで変わる。`Value` は
        変わらない。同じパラメータの中身が替わるので、最適化手法を作り直さなくてよい。

        Raises:
            TypeError: 小数の型でも装置でもない。
            RuntimeError: その装置がない（何も変わらない）。
        """
        for given in where:
            place = devices.meant(given)
            dtype, device = (given, device) if place is None else (dtype, place)
        wanted = None if dtype is None and device is not None else _floating_dtype(dtype)
        held = [x for x in (*self.parameters(), *self.buffers()) if isinstance(x, Tensor)]
        moved = [_moved(x, wanted, device) for x in held]  # all of them before any changes
        for x, (data, grad) in zip(held, moved):
            x.grad = None
            x.data = data
            x.grad = grad
        return self

    def cpu(self) -> Self:
        """CPU に置く。"""
        return self.to("cpu")

    def cuda(self, index: int | None = None) -> Self:
        """GPU に置く (JAX が使う)。

        Raises:
            RuntimeError: GPU がない。
        """
        return self.to(devices.device("cuda", index))

    def float(self) -> Self:
        """float32 にする。"""
        return self.to(float32)

    def double(self) -> Self:
        """float64 にする。"""
        return self.to(float64)

    def half(self) -> Self:
        """float16 にする。"""
        return self.to(float16)

    def bfloat16(self) -> Self:
        """bfloat16 にする（追加の依存 `accel` が要る）。"""
        return self.to("bfloat16")

    # ---- 見る ----

    def extra_repr(self) -> str:
        """表示の括弧の中。"""
        return ""

    def __repr__(self) -> str:
        return described(self)

    def summary(self, *inputs: Any) -> Summary:
        """層ごとの出力の形、パラメータの数、積和の数の表。`print(model.summary((1, 784)))`。

        推論中の状態で 1 度だけ順伝播する。重み、バッファ、乱数、訓練中かどうかは変わらない。

        Args:
            *inputs: 入力の形（整数の組）か、入力の例。

        Raises:
            TypeError: 入力がない。
        """
        return summarize(self, inputs)

    def multiply_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """この部品だけの（中の部品を除いた）積和 (multiply-add) の数。行列積と畳み込みを数える。"""
        return 0


def attribute_name(name: Any) -> str:
    """点を含まない名前であることを確かめる。

    Raises:
        ValueError: 空、点を含む、または文字列でない。
    """
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"名前は点を含まない文字列です (expected a name without dots): {name!r}。")
    return name


def _moved(x: Tensor, dtype: Any, device: Any) -> tuple[Any, Tensor | None]:
    """(data, grad) in another dtype and on another device."""

    def moved(data: Any) -> Any:
        if dtype is not None and namespace.is_floating(data.dtype):
            m = namespace.of(data)
            data = m.astype(data, m.dtype(dtype))
        return data if device is None else devices.placed(data, device)

    return moved(x._data), None if x.grad is None else Tensor(moved(x.grad._data))


def _floating_dtype(dtype: Any) -> Any:
    try:
        wanted = namespace.dtype_of(dtype)
    except TypeError:
        wanted = None
    if dtype is None or wanted is None or not namespace.is_floating(wanted):
        raise TypeError(
            "to は小数の型か装置を受け取ります (expected a floating dtype or a device): "
            f'{dtype!r}。mg.float32 や "cpu" などを渡してください。'
        )
    return wanted


explain_all(globals())
