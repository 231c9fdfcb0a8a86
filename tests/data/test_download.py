"""download: 本物の HTTP サーバーを相手に、成功と、あらゆる失敗。"""

import hashlib
import http.server
import io
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from idx_files import SMALL, idx_bytes, packed

from micrograd_jp.data import download as module
from micrograd_jp.data.download import download
from micrograd_jp.data.idx import parsed

GOOD = packed(idx_bytes(SMALL))
MD5 = hashlib.md5(idx_bytes(SMALL)).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the first folder of the path; `server.asked` remembers what came."""

    def do_GET(self):
        self.server.asked.append(self.path)
        kind = self.path.split("/")[1]
        getattr(self, kind)()

    def answer(self, content, length=None, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def good(self):
        self.answer(GOOD)

    def unsized(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(GOOD)

    def truncated(self):
        self.answer(GOOD[:30], length=len(GOOD))

    def cut(self):  # without a length nobody but the check can tell
        self.send_response(200)
        self.end_headers()
        self.wfile.write(GOOD[:30])

    def wrong(self):
        self.answer(packed(idx_bytes(SMALL + 1)))

    def page(self):
        self.answer(b"<html>login</html>")

    def missing(self):
        self.answer(b"no", status=404)

    def large(self):
        self.answer(b"", length=2**40)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(10_000))

    def moved(self):
        self.send_response(302)
        self.send_header("Location", "/good/file.gz")
        self.end_headers()

    def circle(self):
        self.send_response(302)
        self.send_header("Location", self.path)
        self.end_headers()

    def slow(self):  # begins and then says nothing until the test is over
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        self.wfile.write(GOOD[:10])
        self.wfile.flush()
        self.server.over.wait(30)

    def trickle(self):  # never silent for long, never at an end
        self.send_response(200)
        self.end_headers()
        self.drip(b"x")

    def header(self):  # the same before it has said anything
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        self.drip(b"x")

    def drip(self, byte):
        while not self.server.over.wait(0.02):
            self.wfile.write(byte)
            self.wfile.flush()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that hang up are part of these tests."""


@contextmanager
def running():
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked, server.over = [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server():
    with running() as server:
        yield server


def checked(contents):
    return parsed(io.BytesIO(contents), Path("file.gz"), 10_000, MD5)


def fetch(server, path, *kinds, **options):
    pytest.importorskip("tqdm", reason="ダウンロードは tqdm で進み具合を見せる")
    urls = [f"http://127.0.0.1:{server.server_port}/{kind}/file.gz" for kind in kinds]
    options = {"max_bytes": 10_000, "timeout": 5.0, **options}
    return download(urls, path, checked, **options)


@pytest.mark.parametrize("kind", ["good", "unsized", "moved"])
def test_a_file_arrives(server, tmp_path, kind, capsys):
    path = tmp_path / "new" / "folder" / "file.gz"
    assert fetch(server, path, kind).tolist() == SMALL.tolist()
    assert path.read_bytes() == GOOD
    assert [p.name for p in path.parent.iterdir()] == ["file.gz"]
    assert "file.gz" in capsys.readouterr().err  # the progress bar


BROKEN = ["truncated", "cut", "wrong", "page", "missing", "large", "endless", "circle"]


@pytest.mark.parametrize("kind", BROKEN)
def test_the_next_mirror_is_asked(server, tmp_path, kind):
    path = tmp_path / "file.gz"
    assert fetch(server, path, kind, "good").tolist() == SMALL.tolist()
    assert server.asked[-1] == "/good/file.gz"
    assert [p.name for p in tmp_path.iterdir()] == ["file.gz"]


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_had_leaves_the_cache_as_it_was(server, tmp_path, kind):
    other, old = tmp_path / "other.gz", tmp_path / "file.gz"
    other.write_bytes(b"of somebody else")
    old.write_bytes(b"of another version")
    with pytest.raises(OSError, match="download failed") as caught:
        fetch(server, old, kind)
    assert f"/{kind}/file.gz" in str(caught.value) and str(old) in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.gz", "other.gz"]
    assert other.read_bytes() == b"of somebody else"
    assert old.read_bytes() == b"of another version"


def test_a_mirror_that_falls_silent(server, tmp_path):
    assert fetch(server, tmp_path / "f", "slow", "good", timeout=0.3).tolist() == SMALL.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trickle", "header"])
def test_a_mirror_that_trickles(kind, server, tmp_path, monkeypatch):
    """50 bytes a second. Only the clock of the whole can notice: no single byte is late."""
    got = fetch(server, tmp_path / "f", kind, "good", timeout=0.5)
    assert got.tolist() == SMALL.tolist()
    with pytest.raises(OSError, match="too slow"):
        fetch(server, tmp_path / "g", kind, timeout=0.3)
    if kind == "trickle":  # fast enough, it is heard to the end
        monkeypatch.setattr(module, "SLOWEST", 10)
        with pytest.raises(OSError, match="too large"):
            fetch(server, tmp_path / "g", kind, timeout=0.3, max_bytes=30)


@pytest.mark.parametrize("folder", ["file/folder", None])
def test_without_a_cache_what_came_is_used(folder, server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    if folder is None:
        assert fetch(server, None, "good").tolist() == SMALL.tolist()
        with pytest.raises(OSError, match=r"file\.gz .*download failed"):
            fetch(server, None, "missing")
        return
    with pytest.warns(UserWarning, match="cannot write the cache"):
        got = fetch(server, tmp_path / folder / "file.gz", "good")
    assert got.tolist() == SMALL.tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_nobody_answers(tmp_path):
    with running() as server:
        pass
    with pytest.raises(OSError, match="download failed"):
        fetch(server, tmp_path / "f", "good")


def test_every_mirror_is_asked_again_before_giving_up(server, tmp_path):
    with pytest.raises(OSError, match="download failed"):
        fetch(server, tmp_path / "f", "missing", "page")
    assert server.asked == ["/missing/file.gz", "/page/file.gz"] * module.ROUNDS


def test_ctrl_c_leaves_nothing(server, tmp_path):
    pytest.importorskip("tqdm", reason="ダウンロードは tqdm で進み具合を見せる")

    def interrupted(contents):
        raise KeyboardInterrupt

    url = f"http://127.0.0.1:{server.server_port}/good/file.gz"
    with pytest.raises(KeyboardInterrupt):
        download([url], tmp_path / "file.gz", interrupted, max_bytes=10_000)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_many_processes_at_once(server, tmp_path):
    program = (
        "import io, sys\n"
        "from pathlib import Path\n"
        "from micrograd_jp.data import read_idx\n"
        "from micrograd_jp.data.download import download\n"
        "from micrograd_jp.data.idx import parsed\n"
        "url, path = sys.argv[1], Path(sys.argv[2])\n"
        "check = lambda got: parsed(io.BytesIO(got), path, 10_000, None)\n"
        "print(download([url], path, check, max_bytes=10_000).sum(), read_idx(path).sum())"
    )
    pytest.importorskip("tqdm", reason="ダウンロードは tqdm で進み具合を見せる")
    url = f"http://127.0.0.1:{server.server_port}/good/file.gz"
    command = [sys.executable, "-c", program, url, str(tmp_path / "file.gz")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdout=pipe, stderr=pipe) for _ in range(3)]
    expected = f"{SMALL.sum()} {SMALL.sum()}".encode()
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert out.strip() == expected, err.decode()
    assert [p.name for p in tmp_path.iterdir()] == ["file.gz"]


def test_without_tqdm_the_error_says_what_to_install(server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r'pip install "micrograd_jp\[data\]"'):
        download(["http://127.0.0.1:1/"], tmp_path / "new" / "f", checked, max_bytes=1)
    assert not list(tmp_path.iterdir())
