"""公開されているファイル (published files): 手元のどこにあるか、本物か、なければどこから取るか。"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from micrograd_jp.arguments import explain_all
from micrograd_jp.data.download import download
from micrograd_jp.data.idx import parsed
from micrograd_jp.environment import cache_folder, expanded

DATA = "MICROGRAD_JP_DATA"
"""データのフォルダを言う環境変数。"""

_ROOM = 1024  # compressed, no honest file is larger than what is in it, but for the headers


class IdxFile(NamedTuple):
    """IDX 形式のファイル 1 つと、本物であることの印。

    Attributes:
        name: 展開後の名前。配られている名前は、これに .gz を付けたもの。
        most: 展開後の要素のバイト数の上限。
        md5: 展開後の MD5。公開されていなければ `None`。
        packed_md5: .gz のままの MD5。展開後の MD5 があれば要らない。
    """

    name: str
    most: int
    md5: str | None = None
    packed_md5: str | None = None

    def read(self, raw: IO[bytes], path: Path) -> Any:
        """開いたファイルから。.zip なら、その中の .gz を読む。

        Raises:
            ValueError: 壊れている、または違うファイル。
        """
        if path.suffix == ".zip":
            raw = io.BytesIO(self._member(raw, path))
            path = path / f"{self.name}.gz"
        if self.packed_md5 is not None and path.suffix == ".gz":
            require_md5(raw, path, self.packed_md5)
        return parsed(raw, path, self.most, self.md5)

    def _member(self, raw: IO[bytes], path: Path) -> bytes:
        wanted = f"{self.name}.gz"
        try:
            with zipfile.ZipFile(raw) as archive:
                for info in archive.infolist():
                    if info.filename.rpartition("/")[2] == wanted:
                        with archive.open(info) as member:
                            return member.read(self.most + _ROOM)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise damaged(path, "zip として読めません", "corrupt zip") from error
        raise damaged(path, f"中に {wanted} がありません", "missing member")


def require_md5(raw: Any, path: Path, md5: str) -> None:
    """開いたファイルの MD5 を照合し、先頭に戻す。

    Raises:
        ValueError: 違う。
    """
    raw.seek(0)
    found = hashlib.file_digest(raw, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    raw.seek(0)
    if found != md5:
        raise damaged(path, f"MD5 が {found} で、{md5} ではありません", "wrong checksum")


def damaged(path: Path, what: str, term: str) -> ValueError:
    """公開されているファイルでない、というエラー。"""
    return ValueError(
        f"公開されているファイルではありません ({term}): {path}: {what}。"
        "ファイルを消して、もう一度ダウンロードしてください。"
    )


def folders(name: str, root: Any = None, inner: str = "", bare: bool = False) -> list[Path]:
    """ファイルがあるかもしれないフォルダを、探す順に: 渡されたもの、環境変数、キャッシュ。

    Args:
        name: 環境変数のフォルダとキャッシュの中での名前。
        root: 利用者の渡したフォルダ。
        inner: `root` の中での名前。
        bare: 真なら、環境変数のフォルダそのものも。
    """
    cache = cache_folder()
    found = [] if cache is None else [cache / name]
    given = os.environ.get(DATA)
    if given and (base := expanded(given)):
        found = [base / name, *([base] if bare else []), *found]
    return found if root is None else [_below(root, inner), *found]


def keeping(name: str, root: Any = None, inner: str = "") -> Path | None:
    """ダウンロードしたものを置くフォルダ: 渡されたもの、なければキャッシュ。"""
    if root is not None:
        return _below(root, inner)
    cache = cache_folder()
    return None if cache is None else cache / name


def _below(root: Any, inner: str) -> Path:
    asked = expanded(os.fspath(root))
    return (Path(root) if asked is None else asked) / inner


def obtained(
    title: str,
    places: Iterable[Path],
    read: Callable[[IO[bytes], Path], Any],
    *,
    urls: list[str],
    target: Path | None,
    most: int,
    may_download: bool,
) -> Any:
    """はじめに見つかったファイルを読む。どこにもなければダウンロードし、`target` に置いて読む。

    Args:
        title: エラーに書く名前。
        places: ファイルがあるかもしれない場所を、探す順に。
        read: 開いたファイルと、そのパスから読む関数。
        urls: 取得先 (mirrors)。
        target: 置く場所。
        most: 受け取るバイト数の上限。
        may_download: 偽なら、ないときエラーにする。

    Raises:
        FileNotFoundError: なく、ダウンロードもしない。
        OSError: ダウンロードできない。
        ValueError: 壊れている、または違うファイル。
        ImportError: ダウンロードに必要な tqdm がない。
    """
    for path in places:
        if os.path.isfile(path):  # False also where we may not look
            with path.open("rb") as raw:
                return read(raw, path)
    name = urls[0].rpartition("/")[2]
    if not may_download:
        here = "" if target is None else f"か {target.parent} "
        raise FileNotFoundError(
            f"{title} の {name} が見つかりません (not found): 環境変数 {DATA} のフォルダ{here}"
            "に置くか、download=True にしてください。"
        )

    def check(contents: bytes) -> Any:
        return read(io.BytesIO(contents), Path(name))

    return download(urls, target, check, max_bytes=most + _ROOM)


class IdxFamily(NamedTuple):
    """IDX 形式で公開されているデータセット (MNIST とその仲間)。

    Attributes:
        title: エラーに書く名前。
        folder: 環境変数のフォルダとキャッシュの中での、フォルダの名前。
        inner: 利用者の渡すフォルダの中での、フォルダの名前 (torchvision と同じ)。
        mirrors: 取得先。順に試す。
        files: 部分の名前から、(画像のファイル, ラベルのファイル) へ。
        archive: すべてのファイルを入れて配られている zip。
        most: zip のバイト数の上限。
        bare: 真なら、環境変数のフォルダそのものにあってもよい。
    """

    title: str
    folder: str
    inner: str
    mirrors: Sequence[str]
    files: dict[Any, tuple[IdxFile, IdxFile]]
    archive: str | None = None
    most: int = 0
    bare: bool = False

    def arrays(self, parts: Iterable[Any], root: Any, may_download: bool) -> list[Any]:
        """それぞれの部分の、画像の配列とラベルの配列。

        Raises:
            FileNotFoundError: なく、ダウンロードもしない。
            OSError: ダウンロードできない。
            ValueError: 壊れている、または違うファイル。
            ImportError: ダウンロードに必要な tqdm がない。
        """
        files = [file for part in parts for file in self.files[part]]

        def load(file: IdxFile) -> Any:
            return self._load(file, root, may_download)

        if self.archive is not None:  # downloaded by the first
            return list(map(load, files))
        with ThreadPoolExecutor() as pool:  # inflating and hashing run without the interpreter lock
            return list(pool.map(load, files))

    def _load(self, file: IdxFile, root: Any, may_download: bool) -> Any:
        packed = self.archive or f"{file.name}.gz"
        target = keeping(self.folder, root, self.inner)
        return obtained(
            self.title,
            self.places(file, root),
            file.read,
            urls=[f"{mirror}{packed}" for mirror in self.mirrors],
            target=None if target is None else target / packed,
            most=self.most or file.most,
            may_download=may_download,
        )

    def places(self, file: IdxFile, root: Any = None) -> Iterator[Path]:
        """ファイルがあるかもしれない場所を、探す順に。"""
        names = [f"{file.name}.gz", file.name, *([self.archive] if self.archive else [])]
        for folder in folders(self.folder, root, self.inner, self.bare):
            for name in names:
                yield folder / name


explain_all(globals())
