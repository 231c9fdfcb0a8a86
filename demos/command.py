"""デモに共通のコマンド: `--out` に図を書き、`--quick` なら小さな設定で手早く終える。"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def options(doc: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """コマンドの引数を読み、図を置くフォルダを作る。

    Args:
        doc: デモの docstring。1 行目が説明になる。
        arguments: 引数。省略すると `sys.argv` の引数。

    Returns:
        `out`（フォルダ）と `quick`（真偽）。
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="図を置くフォルダ（既定: out）"
    )
    parser.add_argument("--quick", action="store_true", help="小さな設定で手早く試す")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    return given


def destination(doc: str, default: Path) -> Path:
    """図を 1 つだけ描くデモの引数: 保存先。省略すると `default`。"""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("path", type=Path, nargs="?", default=default, help="保存先（.svg など）")
    path: Path = parser.parse_args().path
    return path


def save(picture: Any, path: Path) -> None:
    """図か計算グラフかページを保存し、書いた場所を知らせる。"""
    if hasattr(picture, "savefig"):
        picture.savefig(path)
        reduce_colours(path)
    else:
        picture.save(path)
    print(f"{path} に書きました")


def reduce_colours(path: Path) -> None:
    """Figures are kept in the repository: with 256 colours they are a third as large.

    The palette is chosen as if no colour had more than a few pixels: the white of the paper would
    take the place of a rare purple, which then turned grey.
    """
    from PIL import Image  # comes with matplotlib

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
        colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
        few = np.repeat(colours, np.minimum(counts, 20), axis=0)
        palette = Image.fromarray(few[None]).quantize(256, kmeans=2)
        small = image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    exact = np.reshape(small.getpalette(), (-1, 3))  # Pillow finds only nearly the nearest
    exact[np.bincount(np.ravel(small)).argmax()] = colours[counts.argmax()]  # the paper is white
    small.putpalette(exact.ravel().tolist())
    small.save(path, optimize=True)
