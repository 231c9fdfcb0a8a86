"""重みの初期値 (initialization): 渡された `Tensor` や `Value` の並びを、その場で埋める。

どの関数も受け取ったものを返す。`w.detach().numpy()` の ndarray を渡しても、w が埋まる。
乱数はこのパッケージの生成器 (`mg.manual_seed`)、または引数 `generator` の列から来る。
`Value` の並びは、重みの行列なら `[[w, …], …]`（出力の数 × 入力の数）、1 つのニューロンの重みなら
`[w, …]` と書く。

>>> import micrograd_jp as mg
>>> _ = mg.manual_seed(0)
>>> neuron = mg.nn.Neuron(3)
>>> _ = mg.nn.init.constant_(neuron.w, 0.5)
>>> [w.data for w in neuron.w]
[0.5, 0.5, 0.5]
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from math import ceil, prod, sqrt
from typing import Any, TypeVar, cast

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.engine.value import Value
from micrograd_jp.nn.module.parameter import put
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.generator import numbers_of

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Shape = tuple[int, ...]


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Any = None) -> T:
    """a 以上 b 未満の一様乱数。

    Raises:
        ValueError: a が b より大きい。
    """
    if not a <= b:
        raise ValueError(f"uniform_ の範囲が逆です (a > b): a={a}, b={b}。")
    return _filled(tensor, numbers_of(generator).uniform(a, b, _shape(tensor)))


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> T:
    """平均 `mean`、標準偏差 `std` の正規乱数。

    Raises:
        ValueError: `std` が負。
    """
    if not std >= 0:
        raise ValueError(f"normal_ の標準偏差は 0 以上です (negative std): {std}。")
    return _filled(tensor, numbers_of(generator).normal(mean, std, _shape(tensor)))


def constant_(tensor: T, val: float) -> T:
    """すべて同じ数。"""
    return _filled(tensor, np.full(_shape(tensor), float(val)))


def zeros_(tensor: T) -> T:
    """すべて 0。"""
    return constant_(tensor, 0.0)


def ones_(tensor: T) -> T:
    """すべて 1。"""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Any = None) -> T:
    """Xavier の初期値（一様）: [−a, a], a = gain·√(6 / (入力の数 + 出力の数))。

    Glorot & Bengio (2010) "Understanding the difficulty of training deep feedforward neural
    networks" 式 16。tanh やシグモイドに向く。

    Raises:
        ValueError: 重みの行列（2 次元以上）でない。
    """
    bound = gain * sqrt(6 / max(sum(_fans(tensor)), 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Any = None) -> T:
    """Xavier の初期値（正規）: 標準偏差 gain·√(2 / (入力の数 + 出力の数))。

    出典とエラーは `xavier_uniform_` と同じ。
    """
    return normal_(tensor, 0.0, gain * sqrt(2 / max(sum(_fans(tensor)), 1)), generator)


def kaiming_uniform_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> T:
    """He の初期値（一様）: [−b, b], b = gain·√(3 / 入力の数)。

    He et al. (2015) "Delving Deep into Rectifiers" 式 10（ReLU）と 14（負の傾き a）。

    Args:
        tensor: 重み。
        a: Leaky ReLU の負の側の傾き。
        mode: `"fan_in"` は順伝播の、`"fan_out"` は逆伝播の分散を保つ。
        nonlinearity: 活性化関数の名前 (`calculate_gain`)。
        generator: 乱数を引く生成器。`None` ならパッケージのもの。

    Raises:
        ValueError: 重みの行列（2 次元以上）でない、または知らない名前。
    """
    bound = sqrt(3) * _he_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> T:
    """He の初期値（正規）: 標準偏差 gain / √(入力の数)。出典と引数は `kaiming_uniform_` と同じ。"""
    return normal_(tensor, 0.0, _he_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: T, gain: float = 1.0, generator: Any = None) -> T:
    """直交行列（行か列が互いに直交する）に gain を掛けたもの。

    Saxe et al. (2013) "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks"。3 次元以上の重みは、出力の数 × 残り、の行列とみなす。

    Raises:
        ValueError: 重みの行列（2 次元以上）でない。
    """
    _fans(tensor)
    shape = _shape(tensor)
    rows, columns = shape[0] if len(shape) > 1 else 1, prod(shape[1:] or shape)
    drawn = numbers_of(generator).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # else q would not be uniformly distributed
    return _filled(tensor, gain * (q if rows >= columns else q.T).reshape(shape))


def trunc_normal_(
    tensor: T,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> T:
    """[a, b] の外を切り捨てた正規乱数: 外に出た数は、引き直す。

    Raises:
        ValueError: `std` が正でない、a が b より小さくない、区間に入る見込みがない。
    """
    if not std > 0 or not a < b or a > mean + 8 * std or b < mean - 8 * std:
        raise ValueError(
            f"trunc_normal_ の区間に正規乱数が入りません (invalid interval): mean={mean}、"
            f"std={std}、a={a}、b={b}。"
        )
    shape = _shape(tensor)
    drawn = numbers_of(generator).normal(mean, std, prod(shape))
    while (outside := np.flatnonzero((drawn < a) | (drawn > b))).size:
        drawn[outside] = numbers_of(generator).normal(mean, std, outside.size)
    return _filled(tensor, drawn.reshape(shape))


def sparse_(tensor: T, sparsity: float, std: float = 0.01, generator: Any = None) -> T:
    """列ごとに、割合 `sparsity` の要素が 0、残りが正規乱数の行列。

    Martens (2010) "Deep learning via Hessian-free optimization"。

    Raises:
        ValueError: 行列でない、割合が 0 以上 1 以下でない。
    """
    shape = _shape(tensor)
    if len(shape) != 2 or not 0 <= sparsity <= 1:
        raise ValueError(
            f"sparse_ は行列と、0 以上 1 以下の割合を受け取ります (expected a matrix): "
            f"形 {shape}、sparsity={sparsity!r}。"
        )
    drawn = numbers_of(generator).normal(0, std, shape)
    zeros = ceil(sparsity * shape[0])
    for column in range(shape[1]):
        drawn[numbers_of(generator).permutation(shape[0])[:zeros], column] = 0
    return _filled(tensor, drawn)


def eye_(tensor: T) -> T:
    """単位行列。

    Raises:
        ValueError: 行列でない。
    """
    shape = _shape(tensor)
    if len(shape) != 2:
        raise ValueError(f"eye_ は行列だけを受け取ります (expected a matrix): 形は {shape} です。")
    return _filled(tensor, np.eye(*shape))


def dirac_(tensor: T, groups: int = 1) -> T:
    """入力のチャネルをそのまま写す畳み込みの重み: 窓の中央だけが 1 (Dirac delta)。

    Args:
        tensor: (O, I, …) の重み。窓は 1、2、3 次元。
        groups: 出力のチャネルの組の数。組ごとに、はじめの I 個のチャネルが写される。

    Raises:
        ValueError: 3、4、5 次元でない、O が `groups` で割り切れない。
    """
    shape = _shape(tensor)
    if len(shape) not in (3, 4, 5) or groups < 1 or shape[0] % groups:
        raise ValueError(
            "dirac_ は (O, I, …) の 3、4、5 次元の重みを受け取り、O は groups で割り切れるように"
            f"します (3, 4, or 5 dimensions): 形は {shape}、groups は {groups} です。"
        )
    numbers = np.zeros(shape)
    middle = [n // 2 for n in shape[2:]]
    for o in range(shape[0]):
        i = o % (shape[0] // groups)
        if i < shape[1]:
            numbers[(o, i, *middle)] = 1.0
    return _filled(tensor, numbers)


_GAINS = {
    "linear": 1.0, "identity": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": sqrt(2), "selu": 3 / 4,
    **{f"conv{kind}{n}d": 1.0 for kind in ("", "_transpose") for n in (1, 2, 3)},
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """活性化関数ごとの、初期値に掛ける倍率 (gain)。値は PyTorch と同じ。

    Args:
        nonlinearity: `"linear"`, `"sigmoid"`, `"tanh"`, `"relu"`, `"leaky_relu"`, `"selu"`。
        param: Leaky ReLU の負の側の傾き（既定は 0.01）。

    Raises:
        ValueError: 知らない名前。
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"倍率の分からない活性化関数です (unknown nonlinearity): {nonlinearity!r}。"
            f"{sorted([*_GAINS, 'leaky_relu'])} のどれかを渡してください。"
        )
    return _GAINS[nonlinearity]


def _he_std(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode は 'fan_in' か 'fan_out' です (unknown mode): {mode!r}。")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / sqrt(max(fan, 1))


def _fans(tensor: Any) -> tuple[int, int]:
    """How many inputs reach an output, and how many outputs an input reaches."""
    shape = _shape(tensor)
    if len(shape) == 1 and not isinstance(tensor, Tensor | np.ndarray):  # the weights of one neuron
        return shape[0], 1
    if len(shape) < 2:
        raise ValueError(
            f"入力と出力の数が決まりません (fan in and fan out need 2 dimensions): 形は {shape} "
            "です。(出力の数, 入力の数) の重みを渡すか、normal_ などで埋めてください。"
        )
    field = prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _shape(tensor: Any) -> Shape:
    if isinstance(tensor, Tensor | np.ndarray):
        return tensor.shape
    if isinstance(tensor, Value):
        return ()
    if isinstance(tensor, Sequence) and not isinstance(tensor, str) and len(tensor):
        shapes = {_shape(x) for x in tensor}
        if len(shapes) == 1:
            return (len(tensor), *shapes.pop())
    raise TypeError(
        "初期値を入れるのは Tensor か、長さの揃った Value の並びです "
        f"(expected a Tensor or Values): {type(tensor).__name__} が渡されました。"
    )


def _filled(tensor: T, numbers: Any) -> T:
    if isinstance(tensor, Tensor | np.ndarray) and not namespace.is_floating(tensor.dtype):
        raise TypeError(
            f"{tensor.dtype} の Tensor は初期化できません (expected a floating dtype)。"
        )
    if isinstance(tensor, np.ndarray):
        if not tensor.flags.writeable:
            raise ValueError(
                "読み取り専用の ndarray は初期化できません (read-only array): "
                "Tensor を渡してください。"
            )
        put(Tensor(tensor), numbers)
    elif isinstance(tensor, Sequence):
        for x, row in zip(tensor, numbers, strict=True):
            _filled(x, row)
    else:
        put(tensor, numbers)
    return tensor


# ---- 古い名前 ----------------------------------------------------------------------------------


def _old(new: F) -> F:
    """The name of before PyTorch 0.4, without the underscore: it warns."""
    name = new.__name__.rstrip("_")

    @wraps(new)
    def old(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"nn.init.{name} は古い名前です (deprecated): nn.init.{name}_ と書いてください。",
            FutureWarning,
            stacklevel=3,  # past `explained`
        )
        return new(*args, **kwargs)

    old.__name__ = old.__qualname__ = name
    return cast(F, old)


uniform, normal, constant = _old(uniform_), _old(normal_), _old(constant_)
eye, dirac, orthogonal, sparse = _old(eye_), _old(dirac_), _old(orthogonal_), _old(sparse_)
xavier_uniform, xavier_normal = _old(xavier_uniform_), _old(xavier_normal_)
kaiming_uniform, kaiming_normal = _old(kaiming_uniform_), _old(kaiming_normal_)

explain_all(globals())
