"""表のファイル: テストのファイル 1 つに `.npz` が 1 つ、PyTorch の名前に `names.json` が 1 つ。"""

import json
import warnings
from pathlib import Path

import numpy as np

from tests.reference.tape import same


class Tables:
    """What is kept, read when it is first asked for."""

    def __init__(self, folder):
        self.folder, self.files, self.written = Path(folder), {}, {}
        self.names_file = self.folder / "names.json"
        self.names = self._known_names()
        self.new_names, self.failed, self.collected = {}, set(), set()

    # ---- 1 つのテスト ---------------------------------------------------------------------------

    def tape(self, test):
        return self._row(test).get("tape", ())

    def examples(self, test):
        return self._row(test).get("examples")

    def keep(self, test, **row):
        """Rows of one test, to be saved; an old answer stays where it is equal but for rounding."""
        path, _, name = test.partition("::")
        old = self._row(test)
        for key in row:
            if key in old and same(old[key], row[key]):
                row[key] = old[key]
        self.written.setdefault(path, {}).setdefault(name, {}).update(row)

    def name(self, path, session, space):
        """What stands behind one of PyTorch's names: None nothing, "" something, [a constant].

        Kept are all names of a namespace: a function that we have, and PyTorch not, asks for none.
        """
        parent, _, name = path.rpartition(".")
        if session.mode == "read":
            if parent not in self.names:
                session.needs_pytorch()
                session.outdated(f"表にない名前 {path}")
            return self.names[parent].get(name)
        kind = kind_of(space(), name)
        if session.mode == "write" and parent not in self.new_names:
            there = (n for n in dir(space()) if n[0] != "_")
            self.new_names[parent] = {n: kind_of(space(), n) for n in there}
        elif session.mode == "check" and not session.freed:
            known = self.names.get(parent, {}).get(name, None if parent in self.names else 0)
            if known != kind:
                session.outdated(f"名前 {path} の表は {known}")
        return kind

    # ---- ファイル -------------------------------------------------------------------------------

    def _known_names(self):
        return json.loads(self.names_file.read_text()) if self.names_file.exists() else {}

    def file(self, test):
        path = test.partition("::")[0].removeprefix("tests/").removesuffix(".py")
        return self.folder / f"{path.replace('/', '.')}.npz"

    def _row(self, test):
        path, _, name = test.partition("::")
        if path not in self.files:
            file = self.file(test)
            self.files[path] = read(file) if file.exists() else {}
        return self.files[path].get(name, {})

    def save(self):
        """Write what was recorded; a test that is gone leaves.

        A file with a failing test stays as it was.
        """
        self.folder.mkdir(exist_ok=True)
        for path, rows in self.written.items():
            if path not in self.failed:
                old = {
                    k: v for k, v in self.files[path].items() if f"{path}::{k}" in self.collected
                }
                write(self.file(path), {**old, **rows})
        names = dict(sorted({**self._known_names(), **self.new_names}.items()))
        text = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in names.items())
        self.names_file.write_text(f"{{\n{text}\n}}\n")


def kind_of(space, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = getattr(space, name)
        except Exception:
            return None
    return [found] if isinstance(found, bool | int | float | str) else ""


def write(file, rows):
    """A tree with arrays in it: JSON, and the bytes of all arrays of one dtype side by side."""
    blobs, places = {}, {}

    def plain(x):
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        if isinstance(x, list | tuple):
            return [plain(v) for v in x]
        if not isinstance(x, np.ndarray):
            return x
        kind, key = x.dtype.str, (x.dtype.str, x.tobytes())
        if key not in places:
            blob = blobs.setdefault(kind, [])
            places[key] = sum(map(len, blob)) // x.itemsize
            blob.append(x.tobytes())
        return {"array": [kind, places[key], *x.shape]}

    text = json.dumps(plain(rows), ensure_ascii=False, separators=(",", ":"), sort_keys=False)
    arrays = {kind: np.frombuffer(b"".join(parts), kind) for kind, parts in blobs.items()}
    np.savez_compressed(file, text=np.frombuffer(text.encode(), np.uint8), **arrays)


def read(file):
    """What `write` has written."""
    with np.load(file) as kept:
        arrays = {kind: kept[kind] for kind in kept.files}

    def found(x):
        if x.keys() != {"array"}:
            return x
        kind, start, *shape = x["array"]
        return arrays[kind][start : start + int(np.prod(shape))].reshape(shape)

    return json.loads(arrays["text"].tobytes(), object_hook=found)
