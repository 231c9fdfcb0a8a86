"""`mg.compile`: 1 つずつの数で書かれた関数を、標本の配列にまとめて動かす。"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from micrograd_jp import viz
from micrograd_jp.arguments import at_least, explain_all
from micrograd_jp.compiler.call import called, in_buckets, pull_mean
from micrograd_jp.compiler.lift.program import Program
from micrograd_jp.compiler.minimize import Update, minimized
from micrograd_jp.compiler.picture import drawn, drawn_table
from micrograd_jp.compiler.pipeline import EXECUTORS, Compilation, outside, record
from micrograd_jp.compiler.record.inputs import Again, Arguments, contains_traced, read
from micrograd_jp.compiler.record.ragged import buckets
from micrograd_jp.locks import Lock, OfThread
from micrograd_jp.tensor.array import Tensor
from micrograd_jp.tensor.dtypes import get_default_dtype

_recording = Lock()
"""記録は 1 度に 1 つ: 同じ `Value` を、2 つの置き場に捕まえないように。"""


class Gradients(NamedTuple):
    """標本ごとの勾配。

    Attributes:
        parameters: `parameters()` と同じ順の配列。形は (N, パラメータの数)。
        inputs: 入力（配列か数）ごとの配列を、引数に現れる順に。形は入力と同じで、数の入力では
            (N,)。標本が 1 つのときは、どれも先頭の軸がない。
    """

    parameters: list[Any]
    inputs: list[Any]


class Compiled:
    """コンパイルされた関数。`mg.compile` が作る。

    呼ぶと、標本ごとの値の `Tensor` を返す。はじめての構造と形の入力では、関数を記号で 1 度動かして
    記録し、行列を見つけ、実行のしかたを選ぶ。次からは記録したものだけが動く。
    """

    def __init__(self, function: Callable[..., Any], dtype: Any, executor: str | None) -> None:
        if not callable(function):
            raise TypeError(
                "mg.compile は関数を受け取ります (expected a callable): "
                f"{type(function).__name__} が渡されました。"
            )
        self._function, self._executor = function, executor
        self._dtype = np.dtype(get_default_dtype() if dtype is None else dtype)
        if self._dtype not in (np.float32, np.float64):
            raise TypeError(
                "コンパイルした関数は float32 か float64 で計算します (unsupported dtype): "
                f"{self._dtype}。"
            )
        if executor is not None and executor not in EXECUTORS:
            raise ValueError(
                f"{executor!r} という実行のしかたはありません (unknown executor): "
                f"{', '.join(sorted(EXECUTORS))} のどれかか、省略してください。"
            )
        self._compilations: dict[Any, Compilation] = {}
        self._given: set[int] = set()  # the vectors that parameters() has handed out
        # The calls that backward() is about: one, or one for each length of the samples.
        self._last = OfThread()
        self._arrays_alone = Again()
        functools.update_wrapper(self, function, updated=())

    # ---- 呼ぶ ----

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """値を計算する。

        Args:
            *args: 関数の引数。配列は先頭の軸が標本、リスト・タプル・辞書は構造、数は共通の入力。
                長さの違う標本は、並びを要素とする配列 (`np.array(documents, dtype=object)`)。
                写さずに使うので、ndarray の中身は、逆伝播が終わるまで書き換えない（`Tensor` と
                パラメータは、書き換えると逆伝播が断る）。
            **kwargs: 同じ。

        Returns:
            関数が 1 つの `Value` を返すなら形 (N,) の `Tensor`。リストを返すなら形 (N, 長さ, …)、
            組と辞書はその構造のまま。配列の引数がなければ、先頭の軸 N がない。

        Raises:
            TraceError: 記録できない計算（値による分岐など）。利用者のコードの行を含む。
            ValueError: 標本の数が配列ごとに違う、標本の長さによって結果の形が違う。
        """
        arguments = self._arrays_alone(args, kwargs)
        if arguments is None:
            if contains_traced(args, kwargs):  # called by a function that is being recorded
                return self._function(*args, **kwargs)
            parts = buckets(args, kwargs)
            if parts is not None:
                self._last.calls, outputs, tensors = in_buckets(self.compilation_of, parts)
                return outputs.rebuild(tensors)
            arguments = read(args, kwargs)
        compilation = self._compilations.get(arguments.key)
        if compilation is None:
            compilation = self.compilation_of(args, kwargs, arguments)
        tensors, last = called(compilation, arguments)
        self._last.calls = (last,)
        outputs = compilation.recorded.outputs
        return tensors[0] if outputs.is_scalar else outputs.rebuild(tensors)

    def compilation_of(self, args: Any, kwargs: Any, arguments: Arguments) -> Compilation:
        """この引数 (`arguments` に読んだもの) の記録とコンパイル。なければ、いま行う。"""
        found = self._compilations.get(arguments.key)
        if found is not None:
            return found
        with _recording:  # another thread may have been faster
            found = self._compilations.get(arguments.key)
            if found is not None:
                return found
            recorded = record(self._function, args, kwargs, arguments.batch)
            found = Compilation(recorded, self._dtype, self._executor, arguments)
            self._compilations[arguments.key] = found
            new = [x.size for x in found.binding.tensors if id(x) not in self._given]
            if self._given and new:
                warnings.warn(
                    f"はじめて使われたパラメータが {sum(new):,} 個あります (new parameters): "
                    "前に parameters() を渡した最適化手法は、それを更新しません。どのパラメータも"
                    "使う入力で loss.trace(…) としてから、最適化手法を作ってください。",
                    stacklevel=outside(),
                )
            return found

    def trace(self, *args: Any, **kwargs: Any) -> Compiled:
        """実行せずに、この引数の構造と形について記録とコンパイルを済ませ、自分を返す。"""
        parts = buckets(args, kwargs)
        given = [(args, kwargs)] if parts is None else [(x.args, x.kwargs) for x in parts]
        for one in given:
            self.compilation_of(*one, read(*one))
        return self

    def forget(self) -> None:
        """記録をすべて捨てる。モデルの `Value` を別のものに置き換えたあとなどに使う。"""
        self._compilations.clear()
        self._given.clear()
        self._last = OfThread()

    # ---- 微分 ----

    def backward(self) -> None:
        """このスレッドの直前の呼び出しの、値の平均の勾配を、パラメータの `grad` に足し込む。

        Raises:
            RuntimeError: このスレッドではまだ呼ばれていない。
            TypeError: 関数の返すものが 1 つの値でない。
        """
        calls = getattr(self._last, "calls", None)
        if calls is None:
            raise RuntimeError(
                "このスレッドではまだ呼ばれていません (backward before any call): "
                "loss(X, T) のように呼んでから backward() してください。"
            )
        if not calls[0].compilation.recorded.outputs.is_scalar:
            raise TypeError(
                "backward() は 1 つの Value を返す関数に使います (expected a scalar output): "
                "損失を返す関数をコンパイルするか、返された Tensor の和や平均に対して backward() を"
                "呼んでください。"
            )
        pull_mean(calls)

    def minimize(
        self, optimizer: Any, *args: Any, batch_size: int = 1, epochs: int = 1,
        scheduler: Any = None, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        """標本を `batch_size` 個ずつ先頭から使い、そのたびに `optimizer` で 1 回更新する。

        標本の長さは違ってよい（呼び出しと同じく、並びを要素とする配列で渡す）。

        次の繰り返しと同じことを、呼び出しの手間を省いて行う:

            for _ in range(epochs):
                for start in range(0, len(X), batch_size):
                    values = loss(X[start : start + batch_size], T[start : start + batch_size])
                    loss.zero_grad()
                    loss.backward()
                    optimizer.step()
                    scheduler.step()                # あれば

        Args:
            optimizer: `loss.parameters()` を更新する最適化手法。
            *args: 関数の引数。配列は先頭の軸が標本。
            batch_size: 1 回の更新に使う標本の数。終わりの 1 回は、残りだけで行う。
            epochs: 全部の標本を使う回数。順は毎回同じ。
            scheduler: 学習率のスケジューラー (`mg.optim.lr_scheduler`)。更新のたびに進める。
            **kwargs: 関数の引数。

        Returns:
            標本ごとの、更新する前の値。形 (epochs·N,)。

        Raises:
            TypeError: 関数の返すものが 1 つの値でない、`optimizer` に `step` がない。
            ValueError: 標本の軸のある配列がない、`batch_size` か `epochs` が 1 より小さい。
            IndexError: 番号になる入力が範囲の外（このとき何も更新されない）。
        """
        batch, times = at_least(1, "batch_size", batch_size), at_least(1, "epochs", epochs)
        return minimized(self, Update(optimizer, scheduler), batch, times, (args, kwargs))

    def parameters(self) -> list[Tensor]:
        """関数が使うパラメータ（捕まえられた `Value`）をまとめた、平らな `Tensor` のリスト。

        どの最適化手法にもそのまま渡せる。`Value` の `data` と `grad` は、いつもこの中の数である。
        パラメータの一部だけを使う関数を、ほかの関数のあとでコンパイルしたときは、使わない数も
        含まれる（その勾配は 0）。あとから、別の形の入力で新しいパラメータが現れると、警告する。

        Raises:
            RuntimeError: まだ 1 度も記録されていない。
        """
        found = self._vectors()
        self._given.update(map(id, found))
        return found

    def vectors(self) -> list[Tensor]:
        """`parameters()` と同じもの。最適化手法に渡すためでなく、見るために。

        Raises:
            RuntimeError: まだ 1 度も記録されていない。
        """
        return self._vectors()

    def _vectors(self) -> list[Tensor]:
        if not self._compilations:
            raise RuntimeError(
                "パラメータは、関数を記録してはじめて分かります (not traced yet): 先に loss(X, T) "
                "と呼ぶか、loss.trace(X, T) で記録だけしてください。"
            )
        if len(self._compilations) == 1:
            return list(self.compilations[0].binding.tensors)
        found: dict[int, Tensor] = {}
        for compilation in self.compilations:
            for tensor in compilation.binding.tensors:
                found.setdefault(id(tensor), tensor)
        return list(found.values())

    def zero_grad(self) -> None:
        """パラメータの勾配を未計算に戻す。"""
        for tensor in self._vectors():
            tensor.grad = None

    def value_and_grad(self, *args: Any, **kwargs: Any) -> tuple[Any, Gradients]:
        """標本ごとの値と、標本ごとの勾配（パラメータと入力について）。`grad` には触れない。

        Args:
            *args: 関数の引数。
            **kwargs: 同じ。

        Returns:
            形 (N,) の値の `Tensor` と `Gradients`。

        Raises:
            TypeError: 関数の返すものが 1 つの値でない。
        """
        arguments = read(args, kwargs)
        compilation, batch = self.compilation_of(args, kwargs, arguments), arguments.samples
        compilation.require_scalar("value_and_grad")
        seeds = np.ones((1, batch), dtype=self._dtype)
        rows = []
        with compilation.turn:
            values = compilation.run(arguments.arrays, batch)[0][0]
            _, of_inputs = compilation.executor.backward(seeds, True)
            for i in range(batch):  # one sample at a time: what the sum over samples would hide
                arrays = [x if x.__class__ is float else x[i : i + 1] for x in arguments.arrays]
                compilation.run(arrays, 1)
                rows.append(compilation.executor.backward(seeds[:, :1], False)[0])
        inputs = compilation.input_parts(of_inputs, arguments.arrays, per_sample=True)
        flat = np.array(rows).reshape(batch, compilation.binding.size)
        parameters = compilation.binding.split(flat)
        if arguments.batch is None:
            values, parameters, inputs = (
                values[0, ...], [x[0] for x in parameters], [x[0] for x in inputs],
            )  # fmt: skip
        return Tensor(values), Gradients(parameters, inputs)

    # ---- 見る ----

    @property
    def program(self) -> Program:
        """見つかった配列のプログラム（最後に記録した構造のもの）。印字すると教科書の式になる。"""
        return self._latest().program

    def draw(self, step: str = "program", direction: str = "LR") -> viz.Drawing:
        """コンパイルの 1 つの段の図。

        Args:
            step: `"trace"`（記録したまま）、`"simplified"`（簡約したもの）、`"program"`（配列の
                プログラム）。
            direction: `"LR"`（左から右）か `"TB"`（上から下）。

        Raises:
            ValueError: 知らない段や向き、または描くには多すぎるノード。
        """
        latest = self._latest()
        if step == "program":
            return drawn(latest.program, direction)
        names = [value.label for value in latest.recorded.values]
        if step == "trace":
            table, places = latest.recorded.trace, range(len(names))
        elif step == "simplified":
            table, places = latest.trace, latest.binding.places.tolist()
        else:
            raise ValueError(
                'step は "trace" か "simplified" か "program" です (unknown step): '
                f"{step!r} が渡されました。"
            )
        return drawn_table(table, latest.program.groups, dict(zip(places, names)), direction)

    def explain(self) -> str:
        """どう動かすか、なぜそれを選んだかの、日本語の 1 段落。"""
        return self._latest().explain()

    def _latest(self) -> Compilation:
        self.vectors()  # refuses before the first trace
        return self.compilations[-1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """計算とパラメータの型。"""
        return self._dtype

    @property
    def executor(self) -> str | None:
        """利用者が指定した実行のしかた。"""
        return self._executor

    def keyed(self) -> list[tuple[Any, Compilation]]:
        """入力の構造と、そのコンパイルの結果。"""
        return list(self._compilations.items())

    def add(self, key: Any, compilation: Compilation) -> None:
        """保存されていたコンパイルの結果を加える (`stored.py`)。"""
        self._compilations[key] = compilation

    @property
    def compilations(self) -> list[Compilation]:
        """入力の構造ごとのコンパイルの結果。"""
        return list(self._compilations.values())

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        return f"<compiled {name}: {len(self._compilations)} trace(s), {self._dtype}>"


def compile(
    function: Callable[..., Any] | None = None, *, dtype: Any = None, executor: str | None = None
) -> Any:
    """スカラーの関数をコンパイルする。関数としても、修飾子 (decorator) としても使える。

        @mg.compile
        def loss(x, t):                    # x: 784 個の Value の並び、t: one-hot の並び
            return mg.cross_entropy(model(x), t)

        values = loss(X, T)                # X: (N, 784), T: (N, 10) → N 個の損失
        loss.backward()                    # 平均の勾配が、model の Value に入る

    関数の中では、配列の引数は 1 つの標本の入れ子のリストになる。関数が使う葉の `Value` は、どこから
    来たものでもパラメータである（関数の中で作って捨てる `Value` は定数）。外で計算された `Value`
    は、その計算ごと取り込まれる。

    Args:
        function: `Value` の計算をする関数（`Module` でもよい）。
        dtype: 計算とパラメータの型。float32 か float64。省略すると `mg.get_default_dtype()`。
        executor: 実行のしかた (`"lift"`, `"native"`, `"tape"`, `"levels"`, `"python"`)。省略
            すると、はじめての呼び出しの大きさから見積もる（丸めまで同じ結果が要るときは、名前で選ぶ）。

    Raises:
        TypeError: 関数でない、または使えない型。
    """
    if function is None:
        return lambda f: Compiled(f, dtype, executor)
    return Compiled(function, dtype, executor)


explain_all(globals())
