"""`mg.save` と `mg.load`: 学習の状態をファイルに保存し、読み戻す。pickle は使わない。

名前から配列への平らな dict（`model.state_dict()` など）は、その名前のまま保存され、
`safetensors.torch.load_file` や `np.load` でも読める。入れ子の状態では、配列以外の部分が JSON に
なって添えられる。ファイルは途中の状態を見せない: 一時ファイルに書き終えてから名前を替える。
中身のチェックサムも書かれ、1 ビットでも変わったファイルは読むときに断られる。
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from micrograd_jp.arguments import explain_all
from micrograd_jp.files import write_atomically
from micrograd_jp.saving import formats, pt
from micrograd_jp.saving.checksum import checksum, require_checksum
from micrograd_jp.saving.formats import LoadError as LoadError
from micrograd_jp.saving.tree import flattened, moved, on_host, rebuilt
from micrograd_jp.tensor.devices import meant


def save(state: Any, path: str | os.PathLike[str]) -> None:
    """状態をファイルに保存する。途中で失敗しても、もとのファイルはそのまま残る。

    Args:
        state: 配列 (`Tensor`・ndarray・JAX の配列)、数、文字列、真偽値、`None` と、それらの
            list・tuple・dict（キーは文字列か整数）の入れ子。`Tensor` の勾配は保存されない。
        path: `.safetensors`（extra `data` が要る）か `.npz`、または `.pt`・`.pth`（PyTorch が
            `torch.load` で読む形式。ndarray は `Tensor` になる）で終わるパス。

    Raises:
        TypeError: 保存できないもの（どこにあるかを示す）。
        ValueError: 知らない拡張子、またはその形式で書けない名前。
        ImportError: safetensors がない。
        OSError: 書けない場所。
    """
    path = Path(os.path.realpath(path))  # through a symbolic link, not over it
    write_atomically(path, encoded(state, path))


def encoded(state: Any, path: Path) -> list[Any]:
    """`save` が続けて書くバイト列。何も書かずに、書けるかどうかを確かめる。

    Raises:
        TypeError, ValueError, ImportError: `save` と同じ。
    """
    if path.suffix.lower() in pt.SUFFIXES:
        flattened(state)  # refuses what cannot be saved
        return [pt.encoded(state, on_host)]
    form = formats.of(path)
    arrays, tree = flattened(state)
    return form.parts(arrays, tree, checksum(arrays, tree))


def load(
    path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True
) -> Any:
    """`save` した状態を読む。他のプログラムが書いたファイルなら、`Tensor` の dict になる。

    `.pt`・`.pth` は `torch.save` が書いたものも読む。pickle のコードは動かさず、配列、数、
    文字列と、その入れ物だけを受け取る。

    Args:
        path: `.safetensors`（extra `data` が要る）、`.npz`、`.pt`、`.pth` で終わるパス。
        map_location: `Tensor` を置く装置 (`"cpu"` など)。省くと CPU。
        weights_only: PyTorch の引数。偽（何でも読む）は使えない。

    Returns:
        保存した入れ子。`Tensor` と JAX の配列は NumPy の `Tensor`（勾配を求めない）に、ndarray は
        ndarray になる。ただし、名前から配列への平らな dict の配列は、どれも `Tensor` になる。

    Raises:
        FileNotFoundError: ファイルがない。
        LoadError: 壊れている、途中で切れている、その形式ではない、または展開すると大きすぎる
            （`ValueError` の一種）。
        ValueError: 知らない拡張子、または `weights_only=False`。
        ImportError: safetensors がない。
    """
    if not weights_only:
        raise ValueError(
            "weights_only=False は使えません (not supported): ファイルの中のコードは動かしません。"
            "model.state_dict() を保存したものを読んでください。"
        )
    path = Path(path)
    if path.suffix.lower() not in pt.SUFFIXES:
        formats.of(path)
    place = None if map_location is None else meant(map_location)
    if map_location is not None and place is None:
        raise TypeError(
            "map_location は装置です (expected a device): "
            f'{type(map_location).__name__} が渡されました。"cpu" などを渡してください。'
        )
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"ファイルがありません (no such file): {path}。保存した場所を確かめてください。"
        ) from None
    with file:
        state = decoded(file, path)
    return state if place is None else moved(state, place)


def decoded(file: BinaryIO, path: Path) -> Any:
    """`load` が、`path` を開いたファイルから読むもの（または `io.BytesIO` の中身から）。

    Raises:
        LoadError, ValueError, ImportError: `load` と同じ。
    """
    form = None if path.suffix.lower() in pt.SUFFIXES else formats.of(path)
    try:
        if form is None:
            return pt.decoded(file.read())
        arrays, tree, written = form.decoded(file)
        require_checksum(arrays, tree, written)
        return rebuilt(arrays, tree)
    except ImportError:
        raise
    # What a damaged file makes of a parser cannot be foreseen: every failure is the file's.
    except Exception as error:
        raise LoadError(
            f"{path} は読めません (corrupt or unsupported file): {error or type(error).__name__}。"
            "ファイルが最後まで写されているか、拡張子が正しいかを確かめてください。"
        ) from error


explain_all(globals())
