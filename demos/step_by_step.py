"""動かして見るページを作る: 誤差逆伝播法を 1 歩ずつ（りんご、直線、Tensor の層）と、渦巻きの学習。

できた HTML はそれだけで動く（ネットワークは要らない）。`#step=7` を付けると 7 歩目から始まる。

    python demos/step_by_step.py --out demos/pages

README の動画と図は、ブラウザの画面を撮ったもの（playwright と Chromium が要る）:

    python demos/step_by_step.py --out demos/pages --gif demos/figures/play.gif
    python demos/step_by_step.py --out demos/pages --picture demos/figures/playground.png
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

import apple
import command
import line_by_hand
import numpy as np

import micrograd_jp as mg
from micrograd_jp import nn

FOLDER = Path(__file__).parent / "pages"


def layer() -> mg.Tensor:
    """3 つの標本を 3 つのクラスに分ける層 softmax(ReLU(XW + b)) と、二乗和誤差 L。"""
    x = _named("X", [[1.0, 2.0], [0.5, -1.0], [-1.0, 0.3]])
    w = _named("W", [[0.5, -0.2, 0.1], [0.3, 0.8, -0.5]], requires_grad=True)
    b = _named("b", [0.1, 0.0, -0.1], requires_grad=True)
    u = x @ w
    p = u + b
    h = mg.relu(p)
    q = mg.softmax(h, 1)
    loss = ((q - _named("t", np.eye(3))) ** 2).sum()
    for node, label in ((u, "u"), (p, "p"), (h, "h"), (q, "q"), (loss, "L")):
        node.label = label
    return loss


def _named(label: str, values: Any, **options: Any) -> mg.Tensor:
    t = mg.tensor(values, dtype=mg.float64, **options)
    t.label = label
    return t


def spiral() -> mg.viz.Playground:
    """渦巻きの 3 つの腕を、tanh の層が 2 つのネットワークで分ける学習。"""
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)
    )
    data = mg.data.datasets.spiral(240, seed=0)
    return mg.viz.playground(model, data, learning_rate=0.8, names=["腕 A", "腕 B", "腕 C"])


def pages() -> dict[str, Any]:
    """ファイルの名前から、ページへ。"""
    return {
        "apple.html": mg.play(apple.shopping(), learning_rate=0.001, style="textbook"),
        "line.html": mg.play(line_by_hand.first_graph()[0], learning_rate=0.02),
        "layer.html": mg.play(layer(), learning_rate=0.5),
        "spiral.html": spiral(),
    }


def film(page: Path, gif: Path, width: int = 760, height: int = 756) -> None:
    """ページを最初から最後まで再生し、学習もして、アニメーション GIF にする。"""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    shots = []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        tab.goto(page.as_uri())
        for button in ["次へ"] * 25 + ["1 歩学習"] * 3:
            tab.get_by_role("button", name=button, exact=True).click()
            shots.append(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))
        browser.close()
    # One palette, so that no colour flickers and each frame is only what changed.
    every = Image.new("RGB", (width, height * len(shots)))
    for i, shot in enumerate(shots):
        every.paste(shot, (0, height * i))
    counts: Any = every.getcolors(width * height * len(shots))
    colors = sorted(counts, reverse=True)[:64]  # the rest are soft edges of letters
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, color in colors for part in color])
    first, *rest = [shot.quantize(palette=palette, dither=Image.Dither.NONE) for shot in shots]
    times = [1100] * len(shots)
    times[-1] = 3000
    first.save(gif, save_all=True, append_images=rest, duration=times, loop=0, optimize=True)
    print(f"{gif} に書きました")


def photograph(page: Path, png: Path, steps: int = 3000) -> None:
    """学習を見るページで `steps` 歩学習して、図にする。"""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 900, "height": 900})
        tab.goto(page.as_uri())
        tab.evaluate("(steps) => { learn(steps); show(); }", steps)
        tab.screenshot(path=png, full_page=True)
        browser.close()
    command.reduce_colours(png)
    print(f"{png} に書きました")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="ページを置くフォルダ（既定: pages）")
    parser.add_argument("--gif", type=Path, help="動画も撮るなら、その保存先")
    parser.add_argument("--picture", type=Path, help="学習を見るページの図も撮るなら、その保存先")
    parser.add_argument("--quick", action="store_true", help="1 つ目のページだけを out に作る")
    given = parser.parse_args()
    given.out = given.out or (Path("out") if given.quick else FOLDER)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, page in [*pages().items()][: 1 if given.quick else None]:
        command.save(page, given.out / name)
    if given.gif:
        film((given.out / "line.html").resolve(), given.gif)
    if given.picture:
        photograph((given.out / "spiral.html").resolve(), given.picture)
