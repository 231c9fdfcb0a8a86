"""重みのファイルの形式 (file formats): `.safetensors` と `.npz`。入れ子の状態は JSON で添える。"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Protocol

from micrograd_jp.saving import npz, safetensors


class LoadError(ValueError):
    """壊れている、途中で切れている、またはその形式ではないファイル。"""


class Format(Protocol):
    """1 つの形式: 名前つきの配列と、添える文字列と、チェックサムを、バイト列にして戻す。"""

    def parts(self, arrays: dict[str, Any], tree: str | None, checksum: str) -> list[Any]:
        """続けて書くバイト列にする。"""

    def decoded(self, file: BinaryIO) -> tuple[dict[str, Any], str | None, str | None]:
        """開いたファイルから。ほかのプログラムが書いたものなら、チェックサムは `None`。"""


_FORMATS: dict[str, Format] = {".safetensors": safetensors, ".npz": npz}


def of(path: Path) -> Format:
    """拡張子の形式。

    Raises:
        ValueError: 知らない拡張子。
    """
    suffix = path.suffix.lower()
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    raise ValueError(
        f"知らない拡張子です (unknown file format): {path.name!r}。"
        "名前を .safetensors か .npz（重みなら .pt も）で終えてください。"
    )
