"""GPT を、1 つ 1 つの数で (microgpt): 名前と町名を作り、百人一首の下の句を続ける。

次の 1 文字を当てるだけの言語モデルを、`Value` の足し算と掛け算で書く。行列も配列もない。

    文字 → 埋め込み (embedding) → RMSNorm → 注意 (attention) → MLP → 次の文字のロジット

1 文書の損失は数万個の `Value` の計算グラフになる。同じ関数に `@mg.compile` と書くと、その中から
埋め込み・q k v・注意・MLP の行列が見つかり（`loss.program` が 20 行ほどに印字する）、1 文書が数 µs
になる。長さの違う文書は、長さごとに記録される。

モデルの形は Radford et al. (2019) GPT-2 を小さくしたもの。正規化は Zhang and Sennrich (2019)
RMSNorm、活性化関数は So et al. (2021) の ReLU²。

    python demos/microgpt.py --out out              # 3 つとも
    python demos/microgpt.py --data towns --out out # 町名だけ
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from command import save

import micrograd_jp as mg
from micrograd_jp import Value
from micrograd_jp.optim import Adam, lr_scheduler
from micrograd_jp.viz import figures

DATA = Path(__file__).parent / "data"
Numbers = list[Any]
"""1 つ 1 つの数（`Value`）の並び。"""


# ---- モデル: 数の足し算と掛け算だけ -----------------------------------------------------------


def linear(weights: list[Numbers], x: Numbers) -> Numbers:
    """W x: 行ごとの内積。"""
    return [sum(w * a for w, a in zip(row, x, strict=True)) for row in weights]


def added(x: Numbers, y: Numbers) -> Numbers:
    """x + y (スキップ接続)。"""
    return [a + b for a, b in zip(x, y, strict=True)]


def rms_norm(x: Numbers) -> Numbers:
    """x を、その二乗平均平方根で割る。"""
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


class GPT:
    """1 層の GPT。

    Args:
        characters: 文字の種類の数 V（文書の境目も 1 文字）。
        positions: 文字の場所の数 n。
        width: 1 文字を表す数の個数 d。
        heads: 注意のヘッドの数。
        seed: 重みのはじめの値の乱数の種。
    """

    def __init__(
        self, characters: int, positions: int, width: int = 16, heads: int = 4, seed: int = 0
    ) -> None:
        random = Random(seed)

        def matrix(rows: int, columns: int) -> list[Numbers]:
            return [[Value(random.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

        self.width, self.heads = width, heads
        self.of_character, self.of_position = matrix(characters, width), matrix(positions, width)
        self.query, self.key, self.value = (matrix(width, width) for _ in range(3))
        self.output = matrix(width, width)
        self.up, self.down = matrix(4 * width, width), matrix(width, 4 * width)
        self.head = matrix(characters, width)

    def __call__(self, character: Any, position: Any, past: dict[str, list]) -> Numbers:
        """次の文字のロジット V 個。

        Args:
            character: 今の文字の番号。
            position: 今の場所。0 から。
            past: これまでの `keys` と `values`。今の分が足される。`attention` には、ヘッドごとの
                注意の重みが足される。
        """
        embedded = added(mg.take(self.of_character, character), mg.take(self.of_position, position))
        x = rms_norm(embedded)
        x = added(x, linear(self.output, self._attended(rms_norm(x), past)))
        hidden = [a.relu() ** 2 for a in linear(self.up, rms_norm(x))]
        return linear(self.head, added(x, linear(self.down, hidden)))

    def _attended(self, x: Numbers, past: dict[str, list]) -> Numbers:
        """これまでの文字の value の、注意の重みによる平均。"""
        query = linear(self.query, x)
        past["keys"].append(linear(self.key, x))
        past["values"].append(linear(self.value, x))
        out, size = [], self.width // self.heads
        for start in range(0, self.width, size):
            part = range(start, start + size)
            weights = mg.softmax(
                [sum(query[i] * key[i] for i in part) / size**0.5 for key in past["keys"]]
            )
            past["attention"].append(weights)
            out += [
                sum(w * value[i] for w, value in zip(weights, past["values"], strict=True))
                for i in part
            ]
        return out


def fresh() -> dict[str, list]:
    """まだ何も読んでいない `past`。"""
    return {"keys": [], "values": [], "attention": []}


def logits(gpt: GPT, document: list[Any]) -> list[Numbers]:
    """文書のどの場所でも、次の文字のロジット。"""
    past = fresh()
    return [gpt(character, i, past) for i, character in enumerate(document)]


# ---- 文字と番号 ----------------------------------------------------------------------------------


class Text(NamedTuple):
    """文書の集まり。

    Attributes:
        documents: 1 行が 1 つの文書。
        characters: 文字を順に。番号 0 は文書の境目「・」。
    """

    documents: list[str]
    characters: list[str]

    @staticmethod
    def read(name: str) -> Text:
        """`demos/data` の文書。順序は決まった無作為な順にする。"""
        documents = (DATA / f"{name}.txt").read_text(encoding="utf-8").split()
        characters = ["・", *sorted(set("".join(documents)))]
        Random(0).shuffle(documents)
        return Text(documents, characters)

    @property
    def positions(self) -> int:
        """いちばん長い文書を書き終える場所の数。"""
        return max(map(len, self.documents)) + 1

    def numbers(self, document: str) -> list[int]:
        """文字の番号。はじめに境目が付く。"""
        return [0, *map(self.characters.index, document)]

    def arrays(self, documents: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """長さの同じ文書の、今の文字と次の文字の番号 (N, n)。"""
        rows = np.array([[*self.numbers(document), 0] for document in documents])
        return rows[:, :-1], rows[:, 1:]


# ---- 学習と生成 ----------------------------------------------------------------------------------


def by_length(documents: Sequence[str]) -> list[list[str]]:
    """長さの同じ文書の組。"""
    groups: dict[int, list[str]] = {}
    for document in documents:
        groups.setdefault(len(document), []).append(document)
    return [groups[n] for n in sorted(groups)]


class Trained(NamedTuple):
    """学習したモデルと、その途中。

    Attributes:
        loss: 1 文書の損失（コンパイルされている）。
        step: 1 文字を読んで、次の文字のロジットと、覚えておく key と value を返す。
        losses: 更新ごとの、訓練データの 1 文字あたりの損失 (nat)。
        development: `(更新の回数, 学習に使わない文書の損失)`。
        samples: `(更新の回数, そのときに作った文書)`。
        microseconds: 1 文書の 1 更新にかかった時間 [µs]。
    """

    gpt: GPT
    loss: Any
    step: Any
    losses: list[float]
    development: list[tuple[int, float]]
    samples: list[tuple[int, list[str]]]
    microseconds: float


def train(
    text: Text, width: int, steps: int, held_out: int, batch: int = 100, seed: int = 0
) -> Trained:
    """次の文字を当てるように学習する (Adam、学習率は 0 まで直線で下げる)。

    Args:
        text: 文書。
        width: 1 文字を表す数の個数。
        steps: 更新の回数。
        held_out: 学習に使わずに、損失を調べる文書の数。
        batch: 1 回の更新に使う文書の数。
        seed: 乱数の種。
    """
    gpt = GPT(len(text.characters), text.positions, width, seed=seed)

    @mg.compile
    def loss(document: Any, following: Any) -> Any:
        pairs = zip(logits(gpt, document), following, strict=True)
        return sum(mg.cross_entropy(scores, target) for scores, target in pairs)

    @mg.compile
    def step(character: Any, position: Any, keys: Any, values: Any) -> Any:
        past = {"keys": list(keys), "values": list(values), "attention": []}
        scores = gpt(character, position, past)
        return scores, past["keys"][-1], past["values"][-1]

    development, training = text.documents[:held_out], by_length(text.documents[held_out:])
    optimizer = Adam(
        loss.trace(*text.arrays(training[-1])).parameters(), lr=0.01, betas=(0.9, 0.99)
    )
    schedule = lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    random, looks = np.random.default_rng(seed), {0, steps // 10, steps // 3, steps}
    share = np.array([len(same) for same in training]) / sum(map(len, training))
    found = Trained(gpt, loss, step, [], [], [], 0.0)
    times = []
    for update in range(steps + 1):
        if update in looks:
            found.samples.append((update, generate(found, text, 8, seed=seed)))
            if development:
                found.development.append((update, per_character(loss, text, development)))
        if update == steps:
            break
        same = training[random.choice(len(training), p=share)]  # a length, as often as it occurs
        chosen = random.choice(len(same), min(batch, len(same)), replace=False)
        inputs, targets = text.arrays([same[i] for i in chosen])
        started = time.perf_counter()
        optimizer.zero_grad()
        mean = loss(inputs, targets).mean() / targets.shape[1]
        mean.backward()
        optimizer.step()
        schedule.step()
        times.append((time.perf_counter() - started) / len(chosen))
        found.losses.append(mean.item())
    return found._replace(microseconds=float(np.median(times)) * 1e6)


def per_character(loss: Any, text: Text, documents: Sequence[str]) -> float:
    """1 文字あたりの損失 (nat)。"""
    with mg.no_grad():
        total = sum(loss(*text.arrays(same)).sum().item() for same in by_length(documents))
    return total / sum(len(document) + 1 for document in documents)


def generate(
    trained: Trained,
    text: Text,
    count: int,
    beginning: Sequence[str] = (),
    temperature: float = 0.7,
    seed: int = 0,
) -> list[str]:
    """1 文字ずつ引いて、文書を作る。

    Args:
        trained: 学習したモデル。
        text: 文字の番号。
        count: 作る数。
        beginning: 続きを書く、文書の始め。あれば `count` 個。
        temperature: 0 なら、いつも最もありそうな文字を選ぶ。
        seed: 乱数の種。
    """
    random = np.random.default_rng(seed)
    rows = [text.numbers(document) for document in list(beginning) or [""] * count]
    given = np.array([len(row) for row in rows])
    now = np.array([row[0] for row in rows])
    keys = values = np.zeros((len(rows), 0, trained.gpt.width), np.float32)
    for i in range(text.positions - 1):
        with mg.no_grad():
            scores, key, value = (x.data for x in trained.step(now, i, keys, values))
        keys, values = (np.append(a, b[:, None], 1) for a, b in ((keys, key), (values, value)))
        if temperature:  # draws from softmax(z / T)
            scores = scores / temperature + random.gumbel(size=scores.shape)
        chosen = np.where((now == 0) & (i > 0) & (i >= given), 0, scores.argmax(1))
        now = np.array([row[i + 1] if i + 1 < len(row) else n for row, n in zip(rows, chosen)])
        for row, n in zip(rows, now.tolist()):
            if len(row) == i + 1:
                row.append(n)
        if not now.any():
            break
    made = ("".join(text.characters[n] for n in row[1:]) for row in rows)
    return [document.partition("・")[0] for document in made]


def attention(trained: Trained, text: Text, document: str) -> np.ndarray:
    """注意の重み (ヘッド, 今の文字, 見ている文字)。1 つ 1 つの数のまま計算する。"""
    past, n, heads = fresh(), len(document) + 1, trained.gpt.heads
    with mg.no_grad():
        for i, number in enumerate(text.numbers(document)):
            trained.gpt(number, i, past)
    out = np.zeros((heads, n, n))
    for number, weights in enumerate(past["attention"]):
        i, head = divmod(number, heads)
        out[head, i, : i + 1] = [w.data for w in weights]
    return out


# ---- 3 つの実験と図 ------------------------------------------------------------------------------


class Experiment(NamedTuple):
    """名前、モデルの幅、更新の回数、学習に使わない文書の数。"""

    title: str
    width: int
    steps: int
    held_out: int


EXPERIMENTS = {
    "names": Experiment("英語の名前", 16, 1500, 400),
    "towns": Experiment("町名", 16, 1500, 400),
    "hyakunin_isshu": Experiment("百人一首", 32, 300, 0),  # learned by heart: nothing is held out
}
UPPER = 17
"""上の句の字数（字余りは数えない）。"""


def run(name: str, quick: bool = False) -> tuple[Text, Trained]:
    """1 つの実験: 学習し、見つかった行列と、作ったものを印字する。"""
    title, width, steps, held_out = EXPERIMENTS[name]
    text = Text.read(name)
    if quick:
        shortened = [document[: UPPER + 2] for document in text.documents[:120]]
        text, width, steps = text._replace(documents=shortened), 8, 6
        held_out //= 10
    trained = train(text, width, steps, held_out)
    print(f"\n== {title}: {len(text.documents)} 行、{len(text.characters)} 種類の文字 ==")
    if name == "names":
        print(trained.loss.program, trained.loss.explain(), sep="\n")
    print(f"1 文書の 1 更新: {trained.microseconds:.0f} µs")
    last = trained.losses[-1]
    print(f"1 文字あたりの損失: はじめ {trained.losses[0]:.2f} → 訓練データ {last:.2f}")
    if trained.development:
        print(f"学習に使わない文書: {trained.development[-1][1]:.2f}")
    for step, made in trained.samples if held_out else []:
        print(f"{step:>5} 回: {'  '.join(made)}")
    return text, trained


def recited(text: Text, trained: Trained) -> tuple[list[str], int]:
    """上の句に続けて書いた歌と、下の句が 1 字も違わなかった数。"""
    poems = text.documents
    made = generate(trained, text, len(poems), [p[:UPPER] for p in poems], temperature=0)
    return made, sum(a == b for a, b in zip(made, poems, strict=True))


def plane(vectors: np.ndarray) -> np.ndarray:
    """最もよく広がる 2 つの方向から見た、点の場所 (主成分分析)。"""
    centered = vectors - vectors.mean(0)
    return centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T


def apart(places: np.ndarray, distance: float = 0.045) -> np.ndarray:
    """0 から 1 の広さに置いた点を、字が重ならないように少しずつ離した場所。"""
    places = (places - places.min(0)) / np.ptp(places, 0)
    for _ in range(300):
        between = places[:, None] - places
        length = np.linalg.norm(between, axis=-1) + 1e-9
        push = np.clip(distance - length, 0, None) / length
        places = places + 0.3 * (push[..., None] * between).sum(1)
    return places


def draw(found: dict[str, tuple[Text, Trained]]) -> Any:
    """損失の曲線、学びながら作ったもの、かなの埋め込み、注意の重み。"""
    figure, axes = figures.subplots(2, 2, size=(12, 10))
    for color, (name, (text, trained)) in zip(figures.COLORS, found.items()):
        window = min(20, len(trained.losses))
        smooth = np.convolve(trained.losses, np.ones(window) / window, "valid")
        title = EXPERIMENTS[name].title
        axes[0, 0].plot(smooth, color=color, label=title)
        if trained.development:
            label = f"{title}（学習に使わない文書）"
            axes[0, 0].plot(*zip(*trained.development), "o", color=color, label=label)
        axes[0, 0].axhline(np.log(len(text.characters)), color=color, linestyle=":", linewidth=1)
    axes[0, 0].set(
        title="1 文字あたりの損失（点線: どの文字も同じ確率とみるとき）",
        xlabel="更新の回数", ylabel="損失 (nat)", ylim=(0, None),
    )  # fmt: skip
    axes[0, 0].legend(fontsize=8)
    _write_samples(axes[0, 1], found)
    name = "towns" if "towns" in found else next(iter(found))
    _draw_characters(axes[1, 0], *found[name])
    name = "hyakunin_isshu" if "hyakunin_isshu" in found else next(iter(found))
    _draw_attention(axes[1, 1], *found[name])
    return figure


def _write_samples(axes: Any, found: dict[str, tuple[Text, Trained]]) -> None:
    lines = []
    for name, (text, trained) in found.items():
        lines.append(f"【{EXPERIMENTS[name].title}】")
        if EXPERIMENTS[name].held_out:
            for step, made in trained.samples:
                lines.append(f"{step} 回: {'  '.join(made[:4])}")
        else:
            made, right = recited(text, trained)
            lines += [f"{poem[:UPPER]} | {poem[UPPER:]}" for poem in made[:4]]
            lines.append(f"下の句が 1 字も違わない歌: {len(made)} 首のうち {right} 首")
        lines.append("")
    axes.text(0, 1, "\n".join(lines), va="top", fontsize=9, linespacing=1.5)
    axes.set(title="学びながら作ったもの")
    axes.axis("off")


def _draw_characters(axes: Any, text: Text, trained: Trained) -> None:
    vectors = np.array([[w.data for w in row] for row in trained.gpt.of_character])
    places = plane(vectors)
    places = apart(np.sign(places) * np.abs(places) ** 0.5)  # room for those in the middle
    axes.plot(*places.T, linestyle="", marker="")
    for character, (x, y) in zip(text.characters, places, strict=True):
        axes.text(x, y, character, ha="center", va="center", fontsize=9)
    axes.set(title="文字の埋め込み（主成分 2 つ、重なりは離した）", xticks=[], yticks=[])


def _draw_attention(axes: Any, text: Text, trained: Trained) -> None:
    document = text.documents[0]
    weights = attention(trained, text, document).mean(0)
    shown = axes.imshow(weights, cmap="Blues", vmin=0)
    letters = ["・", *document]
    axes.set_xticks(range(len(letters)), letters, fontsize=6)
    axes.set_yticks(range(len(letters)), letters, fontsize=6)
    axes.set(title="注意の重み（ヘッドの平均）", xlabel="見ている文字")
    axes.set_ylabel("今の文字", labelpad=8)
    axes.figure.colorbar(shown, ax=axes)


def main(arguments: Sequence[str] | None = None) -> None:
    """コマンドから動かす。"""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="図を置くフォルダ")
    parser.add_argument("--data", choices=EXPERIMENTS, nargs="+", default=[*EXPERIMENTS])
    parser.add_argument("--quick", action="store_true", help="小さな設定で手早く試す")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    found = {name: run(name, given.quick) for name in given.data}
    if "hyakunin_isshu" in found:
        made, right = recited(*found["hyakunin_isshu"])
        print(f"下の句が 1 字も違わない歌: {len(made)} 首のうち {right} 首")
        print(*(f"{poem[:UPPER]} | {poem[UPPER:]}" for poem in made[:3]), sep="\n")
    save(draw(found), given.out / "microgpt.png")


if __name__ == "__main__":
    main()
