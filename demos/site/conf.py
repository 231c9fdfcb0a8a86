"""Sphinx の設定。`build_site.py` が、そばに章や図を並べてから使う。"""

from __future__ import annotations

import itertools
import re
from typing import Any

from docutils import nodes
from reference_pages import escaped
from sphinx.search import SearchLanguage, languages

import micrograd_jp as mg

project = "micrograd_jp"
language = "ja"
version = release = mg.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "force"
nb_execution_excludepatterns = ["chapters/*"]  # the outputs are in the notebooks
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_merge_streams = True
nb_output_stderr = "remove"  # matplotlib builds its font cache; not what the page is about
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "micrograd_jp"
html_extra_path = ["pages"]
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_copyright = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
suppress_warnings = ["misc.highlighting_failure"]  # a program of mg.compile is no Python


# ---- docstring ----------------------------------------------------------------------------------

SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Source|Example|Note)s?:")


def markdown(app: Any, what: str, name: str, x: Any, options: Any, lines: list[str]) -> None:
    """The docstrings are Markdown; what reStructuredText would take for markup is escaped."""
    out: list[str] = []
    last, code = "", False
    for line in lines:
        indented = line.startswith("    ")
        if line.strip() and not indented:
            code = False
        elif indented and not code and out and not out[-1] and not SECTION.match(last):
            code = not last.startswith((" ", "-", "1"))  # a block of code, as Markdown has it
            out += ["::", ""] if code else []
        out.append(line if code or ":py:" in line else escaped(line))  # :py:…: autodoc's own
        last = line if line.strip() else last
    lines[:] = [line.replace("Source:", "出典:", 1) for line in out]


def unsaid(app: Any, what: str, name: str, x: Any, skip: bool, options: Any) -> bool | None:
    """A field of a named tuple is described among the attributes."""
    return True if (getattr(x, "__doc__", None) or "").startswith("Alias for field") else None


# ---- 日本語 -------------------------------------------------------------------------------------

JAPANESE = "\u3000-\u30ff\u3400-\u9fff\uff01-\uff60"


BROKEN = rf"(?<=[{JAPANESE}])\n(?=[{JAPANESE}])"


def joined(app: Any, doctree: Any) -> None:
    """Where a line of Japanese was broken, no blank is meant."""
    for element in [*doctree.findall(nodes.TextElement)]:
        if isinstance(element, nodes.FixedTextElement):
            continue
        parts: list[Any] = []
        for is_text, some in itertools.groupby(element, lambda x: isinstance(x, nodes.Text)):
            run = [*some]  # MyST gives a break a node of its own
            parts += [nodes.Text(re.sub(BROKEN, "", "".join(run)))] if is_text else run
        element[:] = parts


class Pairs(SearchLanguage):
    """Japanese is searched by pairs of characters: nothing has to know where a word ends."""

    lang = "ja"
    js_stemmer_code = "class Stemmer { stemWord(word) { return word; } }"
    js_splitter_code = """
function splitQuery(query) {
  return (query.toLowerCase().match(/[%s]+|[^%s\\s]+/g) || []).flatMap((part) =>
    /[%s]/.test(part) && part.length > 1
      ? Array.from({length: part.length - 1}, (_, i) => part.slice(i, i + 2))
      : part.match(/[\\p{L}\\p{N}_]+/gu) || []);
}""" % ((JAPANESE,) * 3)

    def split(self, input: str) -> list[str]:
        """日本語は 2 文字ずつ、ほかは語。"""
        found = []
        for part in re.findall(rf"[{JAPANESE}]+|[^{JAPANESE}\s]+", input.lower()):
            if re.match(f"[{JAPANESE}]", part):
                found += [part[i : i + 2] for i in range(max(1, len(part) - 1))]
            else:
                found += re.findall(r"\w+", part)
        return found

    def stem(self, word: str) -> str:
        """そのまま。"""
        return word

    def word_filter(self, word: str) -> bool:
        """どの語も探せる。"""
        return True


def setup(app: Any) -> None:
    """docstring は、napoleon より先に直す。"""
    languages["ja"] = Pairs
    app.connect("autodoc-process-docstring", markdown, priority=400)
    app.connect("autodoc-skip-member", unsaid)
    app.connect("doctree-read", joined)
