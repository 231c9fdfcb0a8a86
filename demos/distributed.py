"""分散: 勾配の和 (all-reduce) にかかる時間を測り、何台までなら速くなるかを試算する。

**測る。** 2 つのプロセスで、いろいろな大きさの配列の和を求め、t = α + β·バイト数 を当てはめる。

**試算する。** 環 (ring) に並んだ p 個が、配列を p 等分し、隣へ渡しながら足して 1 周、配りながらもう
1 周する (Patarasuk & Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of
Workstations", 2009)。
1 回に渡すのは N·w/p バイト、回数は 2(p−1) だから、遅れ l、速さ B の回線では

    t = 2(p−1)·l + 2(p−1)/p · N·w/B

第 2 項は、p が大きくても 2·N·w/B を超えない。しかし 1 更新の計算がこれより短ければ、計算機は待って
ばかりいる。待たないように 1 台あたりの枚数を増やすと、その台数倍の **巨大なミニバッチ** になる。
大規模な分散学習の難しさが、大きなミニバッチの難しさであるのは、このためである
(Goyal et al., "Accurate, Large Minibatch SGD", 2017)。

仮定: ResNet-50 (2,560 万パラメータ、float32)、1 枚の計算 2.66 ミリ秒（32 枚で 85 ミリ秒）、計算と
通信は重ねない、計算の時間は台ごとに標準偏差 5 % ばらつく（右の図では、ばらつかない）。計算の時間と
回線の数はよくある値を置いたもので、ここでは測っていない。

    python demos/distributed.py --out out
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command import options, save

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.distributed.collectives import combined
from micrograd_jp.viz import figures

SIZES = (10, 100, 1_000, 10_000, 100_000, 300_000, 1_000_000, 3_000_000)
PARAMETERS = 25_600_000
BYTES = 4
SECONDS_AN_IMAGE = 0.085 / 32
IMAGES = 32
SPREAD = 0.05
WORKERS = tuple(2**k for k in range(11))
WANTED = 0.8  # of the time spent on computing


class Link(NamedTuple):
    """回線: 遅れ (秒) と速さ (バイト/秒)。"""

    name: str
    latency: float
    bandwidth: float


LINKS = (
    Link("1 GbE", 50e-6, 1e9 / 8),
    Link("10 GbE", 20e-6, 10e9 / 8),
    Link("100 Gb/s", 5e-6, 100e9 / 8),
    Link("NVLink (300 GB/s)", 2e-6, 300e9),
)


# ---- 測る ------------------------------------------------------------------------------------


def measured(quick: bool) -> dict[str, Any]:
    """2 つのプロセスで測ったもの: 大きさごとの秒数と、学習の 1 更新の秒数。"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "measured.json")
        launch = [sys.executable, "-m", "micrograd_jp.launch", "--processes", "2", __file__]
        subprocess.run([*launch, "--measure", str(path), str(int(quick))], check=True)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measure(path: str, quick: bool) -> None:
    """1 つのプロセスの仕事。"""
    mg.distributed.init_process_group()
    sizes = SIZES[:5] if quick else SIZES
    seconds = [_seconds(n, 10 if quick else 30) for n in sizes]
    step = seconds_an_update(10 if quick else 100, distributed=True)
    if mg.distributed.get_rank() == 0:
        found = {"bytes": [BYTES * n for n in sizes], "seconds": seconds, "update": step}
        Path(path).write_text(json.dumps(found), encoding="utf-8")


def _seconds(n: int, times: int) -> float:
    """The shortest of some: what else the machine does only adds."""
    x = np.ones(n, np.float32)
    combined(x, "sum")
    found = []
    for _ in range(times):
        mg.distributed.barrier()
        started = time.perf_counter()
        combined(x, "sum")
        found.append(time.perf_counter() - started)
    return min(found)


def seconds_an_update(updates: int, distributed: bool) -> float:
    """784-100-10 のネットワークの、128 枚ずつの学習の、1 更新の秒数。"""
    random = np.random.default_rng(0)
    x = random.standard_normal((128 * updates, 784)).astype(np.float32)
    data = mg.data.TensorDataset(x, random.integers(0, 10, len(x)))
    loader = mg.data.DataLoader(data, 128, distributed=distributed)
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.01)
    history = mg.fit(model, loader, mg.cross_entropy, optimizer, 1, progress=False)
    return history.seconds / history.updates


def fitted(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """t = α + β·バイト数 の α と β。誤差の割合の 2 乗の和を最小にする。"""
    t = np.array(seconds)
    rows = np.stack([np.ones(len(t)), np.array(sizes)], axis=1) / t[:, None]
    alpha, beta = np.linalg.lstsq(rows, np.ones(len(t)), rcond=None)[0]
    return float(alpha), float(beta)


# ---- 試算する --------------------------------------------------------------------------------


def ring(p: int, size: float, link: Link) -> float:
    """P 個の環の all-reduce の秒数。"""
    return 2 * (p - 1) * link.latency + 2 * (p - 1) / p * size / link.bandwidth


def simulated(ready: Any, size: float, link: Link) -> float:
    """それぞれが `ready` 秒に計算を終えたとき、全員が和を受け取る秒。隣から届くのを待つ。"""
    p = len(ready)
    now, step = np.array(ready, dtype=np.float64), link.latency + size / p / link.bandwidth
    for _ in range(2 * (p - 1)):
        now = np.maximum(now, np.roll(now, 1)) + step
    return float(now.max())


def efficiency(p: int, link: Link, seed: int = 0) -> float:
    """計算していた時間の割合: 計算の時間の平均を、1 更新の時間の平均で割ったもの。"""
    random = np.random.default_rng((seed, p))
    ready = IMAGES * SECONDS_AN_IMAGE * (1 + SPREAD * random.standard_normal((5, p)))
    return float(ready.mean() / np.mean([simulated(r, PARAMETERS * BYTES, link) for r in ready]))


def images_needed(p: int, link: Link) -> float:
    """計算の割合を `WANTED` にする、1 台あたりの枚数（ばらつきは除く）。"""
    waiting = ring(p, PARAMETERS * BYTES, link)
    return max(1.0, WANTED / (1 - WANTED) * waiting / SECONDS_AN_IMAGE)


# ---- 図 --------------------------------------------------------------------------------------


def drawn(found: dict[str, Any], alpha: float, beta: float, workers: Sequence[int]) -> Any:
    """測ったもの、台数と効率、要るミニバッチ。"""
    figure, (left, middle, right) = figures.subplots(1, 3, size=(15, 4.4))
    sizes = np.array(found["bytes"])
    line = np.geomspace(sizes[0], sizes[-1])
    left.loglog(sizes, np.array(found["seconds"]) * 1e3, "o", label="測った値（最小）")
    left.loglog(line, (alpha + beta * line) * 1e3, "-", label="α + β·バイト数")
    left.set_title(f"測った all-reduce: α = {alpha * 1e3:.2f} ms、β = {beta * 1e9:.2f} ns/バイト")
    left.set(xlabel="バイト数", ylabel="ミリ秒")
    for link in LINKS:
        curve = [100 * efficiency(p, link) for p in workers]
        middle.semilogx(workers, curve, base=2, marker="o", markersize=3, label=link.name)
        needed = [p * images_needed(p, link) for p in workers[1:]]
        right.loglog(workers[1:], needed, base=2, marker="o", markersize=3, label=link.name)
    middle.set(xlabel="台数", ylabel="計算していた時間 (%)", ylim=(0, 105))
    middle.set_title(f"ResNet-50、1 台 {IMAGES} 枚（試算）")
    right.set(xlabel="台数", ylabel="ミニバッチ（全部で、枚）")
    right.set_title(f"{WANTED:.0%} を計算に使うのに要るミニバッチ（試算）")
    right.axhline(8192, color="0.5", linewidth=0.8, label="8,192 枚 (Goyal et al., 2017)")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """デモ。"""
    given = options(__doc__ or "", arguments)
    found = measured(given.quick)
    alpha, beta = fitted(found["bytes"], found["seconds"])
    print(f"2 プロセスの all-reduce: α = {alpha * 1e3:.2f} ms、β = {beta * 1e9:.2f} ns/バイト")
    one = seconds_an_update(10 if given.quick else 100, distributed=False)
    two = found["update"]
    print(
        f"784-100-10 の 1 更新 (128 枚): 1 プロセス {one * 1e3:.2f} ms、"
        f"2 プロセス {two * 1e3:.2f} ms"
    )
    workers = WORKERS[:6] if given.quick else WORKERS
    print("計算していた時間の割合 (ResNet-50、試算):")
    for link in LINKS:
        shown = "、".join(f"{p} 台 {efficiency(p, link):.0%}" for p in workers[1::3])
        p = workers[-1]
        batch = p * images_needed(p, link)
        print(f"  {link.name:18} {shown}。{p} 台で {WANTED:.0%} にするミニバッチ {batch:,.0f} 枚")
    save(drawn(found, alpha, beta, workers), given.out / "distributed.png")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3] == "1")
    else:
        main()
