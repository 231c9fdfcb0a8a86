"""`fit`: エポック、評価、早期終了、チェックポイント。1 更新の中は `update.py` にある。"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from micrograd_jp.arguments import explain_all
from micrograd_jp.distributed import DistributedError
from micrograd_jp.optim.lr_scheduler import ReduceLROnPlateau
from micrograd_jp.training.checkpoint import Checkpoint, Session
from micrograd_jp.training.checks import (
    require_data,
    require_options,
    require_parts,
    require_schedule,
)
from micrograd_jp.training.compiled_update import CompiledUpdate, on_accelerator
from micrograd_jp.training.evaluation import Evaluation, evaluate, metric_name
from micrograd_jp.training.history import History
from micrograd_jp.training.interrupts import Interrupts
from micrograd_jp.training.precision import Precision
from micrograd_jp.training.progress import Progress, shown, summary
from micrograd_jp.training.recording import Record, Recorder
from micrograd_jp.training.stopping import EarlyStopping, watch_of
from micrograd_jp.training.together import Together, together
from micrograd_jp.training.update import Update, Window


def fit(
    model: Any,
    data: Any,
    loss: Callable[..., Any],
    optimizer: Any,
    epochs: int,
    *,
    development: Any = None,
    scheduler: Any = None,
    schedule: str = "epoch",
    metric: str | Callable[..., Any] | None = "accuracy",
    early_stopping: int | EarlyStopping | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    resume: bool = True,
    progress: bool = True,
    clip_norm: float | None = None,
    precision: str | None = None,
    accumulate: int = 1,
    jit: bool | None = None,
    callbacks: Sequence[Callable[[History], Any]] = (),
    record: Record | Callable[[Any], Any] | None = None,
) -> History:
    """モデルを学習する。

    1 更新は、損失、逆伝播、（あれば）クリッピング、`optimizer.step()`。エポックの終わりには、開発
    データの評価、スケジューラ、早期終了、コールバック、チェックポイントの順に進む。

    Args:
        model: `Module`。`Value` だけでできたモデル（`nn.MLP` など）には、見本を 1 つずつ渡す。
        data: 訓練データ。(x, t) のミニバッチの並びで、エポックごとに始めから回せるもの
            （`DataLoader`、ミニバッチのリストなど）。
        loss: 損失 `loss(y, t)`（y はモデルの出力）か、`loss(model, x, t)`。
        optimizer: 最適化手法。
        epochs: エポックの総数（再開したときは、前の分も数える）。
        development: 開発データ。(x, t) のミニバッチの並びか、`TensorDataset` など。
        scheduler: 学習率のスケジューラ。
        schedule: `scheduler.step()` を呼ぶところ。`"epoch"` か `"update"`。
        metric: 開発データの指標。`"accuracy"`、関数 `metric(y, t)`、`None`。
        early_stopping: 待つエポックの数か `EarlyStopping`。開発データが要る。
        checkpoint: チェックポイントのパスか `Checkpoint`。
        resume: 真なら、チェックポイントがあれば続きから始める。重み、最適化手法、スケジューラ、
            データの順序と位置、乱数、記録が戻り、中断しなかったときと同じビットの結果になる。
            `DataLoader` でないデータは、毎回同じ順序なら続けられる。
        progress: 進み具合を表示するか。
        clip_norm: 勾配のノルムの上限。
        precision: `"bf16-mixed"` か `"16-mixed"` なら、損失までを `mg.autocast` の中で計算する
            （重み、勾配、評価は float32 のまま）。`"16-mixed"` では `mg.amp.GradScaler` を使い、
            割り戻し、クリッピング、更新の順に進む。オーバーフローした更新はとばし、
            `history.skipped` に数える。
        accumulate: この数のミニバッチの勾配を足してから、1 更新する（メモリに載らない大きな
            ミニバッチの代わり）。見本の数で重みをつけるので、損失が見本の平均なら、まとめた 1 つの
            ミニバッチと丸めの分しか違わない。エポックの終わりに余ったミニバッチも更新する。
            バッチ正規化だけは、平均と分散がミニバッチごとのものになる。
        jit: 真なら、1 更新を `mg.jit` で 1 つのプログラムにする（JAX が要る）。`None` なら、
            パラメータが GPU などか、いくつもの装置にあるとき真（いくつものプロセスでは偽）。
            はじめと、ミニバッチの形が変わったときにコンパイルする。終わると、NumPy の配列だった
            パラメータは NumPy の配列に戻る。
        callbacks: エポックの終わりに `callback(history)` と呼ぶ関数。`StopIteration` を出すと
            学習が終わる。ほかの例外は、このエポックまでをチェックポイントに書いてから外に出る
            （`metric`、開発データの損失、スケジューラの例外も。再開すると、そこからやり直す）。
        record: モデルから図を作る関数（`mg.viz.templates` など）か `Record`。学習の前とエポックの
            終わりに図を撮り、`history.movie("out.html")` で動画になる。図を描く時間はかかるが、
            学習は 1 ビットも変わらない。

    `mg.distributed` でつながったいくつものプロセスで呼べば、勾配を平均して 1 つの学習をする。
    データは `DataLoader(…, distributed=True)` が分け、重みはプロセス 0 のものから始まり、
    ドロップアウトはプロセスごとに違い、チェックポイントと表示はプロセス 0 だけがする。どの判断も、
    全員で同じになる。

    Returns:
        学習の記録。Ctrl-C なら、いまの更新を終えてチェックポイントを書き、
        `stopped="interrupted"` の記録を返す（すぐに抜けるには、もう一度 Ctrl-C）。

    Raises:
        NonFiniteError: 損失か勾配が nan か inf になった。重みはその更新の前のまま。
        TypeError: ミニバッチの並びでないデータ、`Tensor` でも `Value` でもない損失、コンパイル
            できないモデル。
        ImportError: `jit` が真なのに、JAX がない。
        ValueError: 範囲の外の引数、空のデータ、合わないチェックポイント。
        LoadError: チェックポイントが壊れている。
        DistributedError: ミニバッチの見本の数や引数がプロセスで違う（重みは前のまま）。ほかの
            プロセスが終わった、止まった。
        BlockingIOError: ほかのプロセスが、同じチェックポイントに書いている。
        OSError: チェックポイントを書けない場所（学習を始める前に確かめる）。
    """
    require_options(epochs, accumulate, jit)
    require_schedule(scheduler, schedule, development, metric)
    require_data(data, development)
    require_parts(model, loss, optimizer, scheduler, clip_norm, callbacks)
    watch = watch_of(early_stopping, development, metric, model)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    history = History(metric_name=metric_name(metric) if development is not None else "")
    how = Precision(precision, optimizer)
    recorder = Recorder(record, model, history)
    interrupts = Interrupts()
    others = together(
        model, optimizer, data,
        lambda: (time.perf_counter() >= session.save_at, interrupts.asked),
    )  # fmt: skip
    session = Session(
        model, data, optimizer, scheduler, watch, history, checkpoint, others, scaler=how.kept
    )
    if jit and isinstance(others, Together):
        raise ValueError(
            "1 更新をコンパイルする学習は、いくつものプロセスではまだできません "
            "(not with several processes): mg.fit(…, jit=False) と書いてください。"
        )
    if jit is None:  # the gradients of other processes come in the middle of an update
        jit = not isinstance(others, Together) and on_accelerator(optimizer)
    with session.alone():
        size = len(data) if hasattr(data, "__len__") else None
        saves = None if checkpoint is None else f"every {checkpoint.updates}"
        others.begin(
            f"epochs={epochs}, len(data)={size}, development={development is not None}, "
            f"schedule={schedule}, callbacks={len(callbacks)}, checkpoint={saves}, "
            f"resume={resume}, accumulate={accumulate}, clip_norm={clip_norm}, "
            f"precision={precision}, metric={history.metric_name}, early_stopping={early_stopping}"
        )
        session.rehearse()
        if resume:
            session.resume()
        update = (CompiledUpdate if jit else Update)(session, loss, clip_norm, how)
        if not others.first:
            recorder.record = None
        run = _Run(
            session, update, accumulate, scheduler if schedule == "update" else None, recorder
        )
        total = None if size is None else epochs * -(-size // accumulate)
        bar = shown(progress and others.first, total, history.updates)
        try:
            with interrupts:
                if history.stopped not in ("early", "callback"):
                    history.stopped = ""
                recorder.take(history.updates)
                while len(history.epochs) < epochs and not history.stopped:
                    ended = session.trained or run.epoch(bar, interrupts)
                    if ended:
                        with session.end_of_epoch():
                            row = _results(run, model, development, loss, metric)
                            history.epochs.append(row)
                            history.stopped = _after_epoch(
                                session, scheduler if schedule == "epoch" else None, row
                            )
                        recorder.take(history.updates)
                        history.stopped = history.stopped or _call_back(session, callbacks)
                    if others.agreed(interrupts.asked):
                        history.stopped = history.stopped or "interrupted"
                    elif len(history.epochs) >= epochs:
                        history.stopped = history.stopped or "finished"
                    session.save()
                    if ended:
                        bar.epoch_ended(history.updates, summary(history, epochs))
                history.stopped = history.stopped or "finished"
                if watch is not None and history.stopped != "interrupted":
                    # After the last checkpoint: more epochs would go on from the last weights.
                    watch.restore()
                others.close()
        finally:
            update.close()
            session.clock()
            bar.close()
        return history


class _Run:
    """The inner loop: one epoch of updates."""

    def __init__(
        self, session: Session, update: Update, accumulate: int, scheduler: Any, recorder: Recorder
    ) -> None:
        self.session, self.update, self.scheduler = session, update, scheduler
        self.accumulate, self.recorder = accumulate, recorder

    def epoch(self, bar: Progress, interrupts: Interrupts) -> bool:
        """Train on what is left of the epoch, or until Ctrl-C. Returns whether it is finished."""
        session, update, clock = self.session, self.update, time.perf_counter
        losses = session.history.losses
        if hasattr(session.model, "train"):
            session.model.train()
        before = done = len(losses)
        for window in self._windows():
            update(window, done == before)
            done += 1
            if self.scheduler is not None:
                self.scheduler.step()
            session.batches_done += len(window)
            now = clock()
            if now >= bar.due and losses:
                bar.show(len(losses), losses[-1])
            if self.recorder.wants(done):
                update.finish()
                self.recorder.take(done)
            save, stop = session.others.decided()
            if save or session.due(done):
                update.finish()
                session.save()
            if stop:
                update.finish()
                return False
        update.finish()
        session.others.ended()
        if done == before == self._updates_before_epoch():
            raise ValueError(
                "訓練データが空です (no training data): ミニバッチが 1 つもありません。"
            )
        session.batches_done = 0
        return True

    def _windows(self) -> Iterator[Window]:
        """The mini-batches that are left of the epoch, those of one update together."""
        session = self.session
        data: Iterable[Any] = session.data
        if not hasattr(data, "state_dict") and session.batches_done:
            data = itertools.islice(data, session.batches_done, None)
        if self.accumulate == 1:
            return zip(data)
        batches = iter(data)
        return iter(lambda: tuple(itertools.islice(batches, self.accumulate)), ())

    def _updates_before_epoch(self) -> int:
        rows = self.session.history.epochs
        return rows[-1]["updates"] if rows else 0

    def mean_loss(self) -> float:
        """The mean training loss of the epoch."""
        losses = self.session.history.losses[self._updates_before_epoch() :]
        losses = [x for x in losses if math.isfinite(x)]  # an update that is skipped may overflow
        return math.fsum(losses) / len(losses) if losses else math.nan


def _results(run: _Run, model: Any, development: Any, loss: Any, metric: Any) -> dict[str, Any]:
    """The row of the epoch in the history."""
    session = run.session
    found = Evaluation(None, None)
    if development is not None:
        found = Evaluation(*session.others.results(*evaluate(model, development, loss, metric)))
    session.clock()
    return {
        "epoch": len(session.history.epochs) + 1,
        "loss": run.mean_loss(),
        "development_loss": found.loss,
        "metric": found.metric,
        "lr": float(session.optimizer.param_groups[0]["lr"]),
        "updates": session.history.updates,
        "seconds": session.history.seconds,
    }


def _after_epoch(session: Session, scheduler: Any, row: Any) -> str:
    """Step the scheduler, watch. Returns why to stop, or nothing."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(_watched_by(scheduler, row))
    elif scheduler is not None:
        scheduler.step()
    if session.watch is not None and session.watch.saw(row):
        return "early"
    return ""


def _call_back(session: Session, callbacks: Sequence[Callable[[History], Any]]) -> str:
    """Returns why to stop, or nothing."""
    raised: Exception | None = None
    try:
        for callback in callbacks:
            callback(session.history)
    except Exception as error:
        raised = error
    found = 0 if raised is None else 1 if isinstance(raised, StopIteration) else 2
    worst = session.others.agreed(found) if callbacks else found
    if worst == 2:  # the epoch was trained: it is not lost with what its reporter did
        session.save()
        raise (
            raised
            if found == 2 and raised
            else DistributedError(
                "ほかのプロセスのコールバックが例外を出しました "
                "(a callback raised in another process)。"
            )
        )
    return "callback" if worst else ""


def _watched_by(scheduler: ReduceLROnPlateau, row: Any) -> float:
    """The metric for "max"; for "min" the loss on the development data, if there are any."""
    if scheduler.mode == "max":
        return float(row["metric"])
    return float(row["loss"] if row["development_loss"] is None else row["development_loss"])


explain_all(globals())
