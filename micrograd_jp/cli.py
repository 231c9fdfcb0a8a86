"""コマンド `micrograd-jp` と `python -m micrograd_jp`。"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import micrograd_jp


def main(arguments: Sequence[str] | None = None) -> int:
    """はじめの一歩を実行する。失敗したら理由を 1 行で伝え、0 でない値を返す。"""
    parser = argparse.ArgumentParser(
        prog="micrograd-jp",
        description="計算グラフ・勾配・手書き数字の学習をひと通り動かします (quickstart)。",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="図を置くフォルダ（既定: out）"
    )
    parser.add_argument("--seed", type=int, default=1, help="乱数の種 (seed)")
    parser.add_argument("--epochs", type=_positive, default=12, help="エポック数 (epochs)")
    parser.add_argument("--version", action="version", version=micrograd_jp.__version__)
    options = parser.parse_args(arguments)
    try:
        from micrograd_jp.quickstart import run

        run(options.out, seed=options.seed, epochs=options.epochs)
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"図を書けませんでした (cannot write): {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n中断しました (interrupted)。", file=sys.stderr)
        return 130
    return 0


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"1 以上の整数を指定してください: {text!r}")
    return number
