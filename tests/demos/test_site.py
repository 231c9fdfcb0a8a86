"""文書のサイト: 公開する名前がすべてリファレンスにあり、警告なしに作れ、日本語で探せる。"""

import html
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import micrograd_jp as mg

SITE = Path(__file__).parents[2] / "demos" / "site"
sys.path.insert(0, str(SITE))
import build_site  # noqa: E402
import reference_pages  # noqa: E402


def described(pages):
    """The full names with an entry."""
    entry = r"^\.\. (?:autoclass|autofunction|py:data):: ([\w.]+)"
    return {name for text in pages.values() for name in re.findall(entry, text, re.M)}


def test_every_public_name_is_described(tmp_path, monkeypatch):
    monkeypatch.setattr(reference_pages, "draw", lambda op, path: None)
    found = described(reference_pages.pages(tmp_path))
    public = {n for n in mg.__all__ if n in reference_pages.public("")}
    assert {f"micrograd_jp.{n}" for n in public} <= found and len(public) > 350
    for room in ("nn", "nn.functional", "optim", "data", "training", "viz", "linalg"):
        missing = {
            n for n in reference_pages.public(room) if f"micrograd_jp.{room}.{n}" not in found
        }
        assert not missing and len(reference_pages.public(room)) > 5, room
    monkeypatch.setattr(reference_pages, "ROOMS", ["nn"])
    assert "micrograd_jp.optim.SGD" not in described(reference_pages.pages(tmp_path)), "it can miss"


def test_every_entry_says_what_other_libraries_call_it():
    """Names of PyTorch's that exist (the table is compared with PyTorch's in tests/compat)."""
    found = {}
    for room in ["", *reference_pages.ROOMS]:
        for name, x in reference_pages.public(room).items():
            found[f"{room}.{name}"] = names = reference_pages.counterparts(room, name)
            said = reference_pages._entry(room, name, x, {})
            assert (f"``{names[0]}``" if names else "なし") in said
    assert found[".tanh"] == ["torch.tanh", "numpy.tanh"] and found["training.fit"] == []
    assert found["nn.Linear"] == ["torch.nn.Linear"] and found[".grad"] == ["torch.func.grad"]
    assert sum(map(bool, found.values())) > 700
    assert {*reference_pages.OTHER_NAMES} <= {name.rpartition(".")[2] for name in found}


def test_every_page_is_in_a_table_of_contents():
    """A page that nothing leads to would not be found."""
    pages = {
        *(path.stem for path in SITE.glob("*.md")),
        *(f"how/{path.stem}" for path in SITE.glob("how/*.md")),
        *(f"chapters/{path.stem}" for path in (SITE.parent / "chapters").glob("*.ipynb")),
    }
    listed = {
        line.strip()
        for path in SITE.glob("*.md")
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text("utf-8"), re.S)
        for line in block.splitlines()
    }
    assert pages - listed == {"index"}


def test_a_place_that_is_no_folder_is_refused_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(build_site, "build", lambda out: pytest.fail("it began"))
    (tmp_path / "site").write_text("")
    with pytest.raises(SystemExit):
        build_site.main(["--out", str(tmp_path / "site")])
    assert "フォルダではありません" in capsys.readouterr().err


def broken_links(site):
    """Where a page of the site leads to a file or a place in it that is not there."""
    pages = {path.resolve(): path.read_text("utf-8") for path in site.rglob("*.html")}
    places = {path: {*re.findall(r'\bid="([^"]+)"', text)} for path, text in pages.items()}
    found = []
    for path, text in pages.items():
        for link in re.findall(r'<a [^>]*href="([^"]*)"', text):
            file, _, place = html.unescape(unquote(link)).partition("#")
            target = (path.parent / file.partition("?")[0]).resolve() if file else path
            here = "://" in link or (target.exists() and (not place or place in places[target]))
            found += [] if here else [f"{path.name}: {link}"]
    return found


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#x">, <a href="#y">, <p id="x">', "utf-8")
    assert broken_links(tmp_path) == ["a.html: b.html#x", "a.html: #y"]
    (tmp_path / "b.html").write_text('<p id="x"><a class="c" href="a.html#x">', "utf-8")
    assert broken_links(tmp_path) == ["a.html: #y"]


@pytest.mark.slow
def test_the_site(tmp_path, page):
    """Without a warning, as the command of README makes it; then as a reader sees it."""
    for module in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(module, reason='pip install "micrograd_jp[docs]"')
    command = [sys.executable, "-m", "micrograd_jp", "site", "--out", str(tmp_path / "site")]
    root = SITE.parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "に書きました" in done.stdout

    from sphinx.util.inventory import InventoryFile

    with (tmp_path / "site" / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", "".join)
    found = {name for kind in inventory.values() for name in kind}
    assert {f"micrograd_jp.{n}" for n in mg.__all__ if n in reference_pages.public("")} <= found
    assert {"micrograd_jp.nn.Linear", "micrograd_jp.optim.Adam"} <= found

    where = f"file://{tmp_path}/site"
    page.goto(f"{where}/search.html?q=勾配消失")
    page.wait_for_selector("#search-results li a")
    assert "第 6 章" in page.inner_text("#search-results")
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("index", "learn", "chapters/06_deeper", "reference/elementwise", "how", "spiral"):
        page.goto(f"{where}/{name}.html")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0, name
    assert broken_links(tmp_path / "site") == []
