"""画像の長い学習に共通のもの: 宣言した設定 (`Recipe`) で学習し、いつ止めても続きから始まる。

学習ごとに、フォルダに 3 つのファイルを書く。

    名前.npz          チェックポイント。終わった学習は、これを読むだけで、くり返さない
    名前.weights.npz  終わった学習の重み。`model.load_state_dict(mg.load(…))` で読める
    名前.txt          設定。違う設定の続きを誤って始めないためのもの
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from digit_data import Digits

import micrograd_jp as mg
from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader
from micrograd_jp.data.transforms import Transform
from micrograd_jp.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR


def cosine(optimizer: optim.Optimizer, updates: int) -> LRScheduler:
    """余弦の形で、最後に 0 まで下げる (Loshchilov & Hutter 2017)。"""
    return CosineAnnealingLR(optimizer, updates)


def warm_cosine(optimizer: optim.Optimizer, updates: int) -> LRScheduler:
    """はじめの 1 割で 1/10 から上げ (warm-up)、あとは余弦の形で 0 まで下げる。"""
    rising = max(1, updates // 10)
    return SequentialLR(
        optimizer,
        [LinearLR(optimizer, 0.1, total_iters=rising), cosine(optimizer, updates - rising)],
        [rising],
    )


class Recipe(NamedTuple):
    """1 つのネットワークの学習のしかた。

    Attributes:
        name: ファイルの名前にもなる、設定の名前。
        model: 引数なしで、ロジットを返すモデルを作る関数。
        optimizer: パラメータの並びから最適化手法を作る関数。
        epochs: エポックの数。
        batch_size: ミニバッチの大きさ。
        schedule: 学習率のスケジューラを作る関数 `schedule(optimizer, 更新の総数)`。
        augmentation: データ拡張。
        seed: 初期値、順序、拡張、ドロップアウトの乱数の種。
        loss: 損失 `loss(y, t)` か `loss(model, x, t)`。
        after_step: 更新のたびに、モデルを渡して呼ぶ関数。
        jit: 1 更新を 1 つのプログラムにするか（`fit` の `jit`）。
    """

    name: str
    model: Callable[[], nn.Module]
    optimizer: Callable[[Any], optim.Optimizer]
    epochs: int
    batch_size: int = 100
    schedule: Callable[[optim.Optimizer, int], LRScheduler] = cosine
    augmentation: Transform | None = None
    seed: int = 0
    loss: Callable[..., Any] = mg.cross_entropy
    after_step: Callable[[nn.Module], Any] | None = None
    jit: bool = False


class Trained(NamedTuple):
    """終わった学習。

    Attributes:
        recipe: 設定。
        model: 学習したモデル（推論中の状態）。
        history: `fit` の記録。秒は、止めて再開した前の分も含む。
        test: 評価データの正解率。
    """

    recipe: Recipe
    model: nn.Module
    history: mg.training.History
    test: float

    @property
    def parameters(self) -> int:
        """学習するパラメータの数。"""
        return sum(p.size for p in self.model.parameters())

    @property
    def development(self) -> float:
        """最後のエポックの、開発データの正解率。"""
        return self.history.column("metric")[-1]


def train(recipe: Recipe, data: Digits, folder: Path, *, progress: bool = True) -> Trained:
    """1 つのネットワークを学習する。前に止めたところがあれば、続きから。

    評価データは、学習が終わったあとに 1 度だけ使う。

    Raises:
        SystemExit: Ctrl-C で止められた。チェックポイントは書かれている。
        ValueError: フォルダに、同じ名前で設定の違う学習がある。
    """
    mg.manual_seed(recipe.seed)
    model = recipe.model()
    optimizer = recipe.optimizer(model.parameters())
    after_step = recipe.after_step
    if after_step is not None:
        optimizer.register_step_post_hook(lambda *_: after_step(model))
    _require_same(recipe, _description(recipe, model, optimizer, data), folder)
    loader = DataLoader(
        data.training, recipe.batch_size, shuffle=True, seed=recipe.seed,
        transform=recipe.augmentation, prefetch=0 if recipe.augmentation is None else 2,
    )  # fmt: skip
    history = mg.fit(
        model, loader, recipe.loss, optimizer, recipe.epochs,
        development=data.development, schedule="update", progress=progress,
        scheduler=recipe.schedule(optimizer, recipe.epochs * len(loader)),
        checkpoint=folder / f"{recipe.name}.npz", jit=recipe.jit or None,
    )  # fmt: skip
    if history.stopped == "interrupted":
        raise SystemExit("中断しました。同じコマンドで、続きから始まります。")
    mg.save(model.state_dict(), folder / f"{recipe.name}.weights.npz")
    test = mg.training.evaluate(model, data.test).metric
    return Trained(recipe, model.eval(), history, test)


@contextmanager
def folder_for(out: Path, quick: bool) -> Iterator[Path]:
    """学習を置くフォルダ: `out/runs`。手早い設定なら、終わると消えるフォルダ。"""
    if quick:
        with TemporaryDirectory() as name:
            yield Path(name)
        return
    folder = out / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def table(runs: Sequence[Trained]) -> str:
    """学習の結果の表。1 行が 1 つの学習。"""
    lines = ["    開発    評価  エポック      秒  種  パラメータ"]
    lines += [
        f"{run.development:8.2%}{run.test:8.2%}{len(run.history.epochs):10}"
        f"{run.history.seconds:8.0f}{run.recipe.seed:4}{run.parameters:12,}  {run.recipe.name}"
        for run in runs
    ]
    return "\n".join([*lines, f"（このコンピュータのコア: {os.cpu_count()}）"])


def _description(recipe: Recipe, model: nn.Module, optimizer: Any, data: Digits) -> str:
    """Everything that makes the trained weights what they are, as text."""
    settings = {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "schedule": recipe.schedule.__qualname__,
        "augmentation": recipe.augmentation,
        "seed": recipe.seed,
        "loss": getattr(recipe.loss, "__qualname__", recipe.loss),
        "data": f"{data.name}, {len(data.training)}",
    }
    lines = [f"{name}: {value!r}" for name, value in settings.items()]
    return "\n".join([*lines, repr(optimizer), repr(model), ""])


def _require_same(recipe: Recipe, description: str, folder: Path) -> None:
    path = folder / f"{recipe.name}.txt"
    if not path.exists():
        path.write_text(description, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != description:
        raise ValueError(
            f"{path} に、同じ名前で設定の違う学習があります (different recipe): "
            f"name を変えるか、{recipe.name}.* を消してください。"
        )
