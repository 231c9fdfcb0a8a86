"""サイトを作る: 章、ギャラリー、手引き、リファレンス。

    pip install "micrograd_jp[docs,viz,data]"
    python -m micrograd_jp site --out site

作るのは Sphinx。章のノートブックは、残っている出力をそのまま見せ、しくみのページ (how) は、
作るときに実行する (myst-nb)。
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import reference_pages

HERE = Path(__file__).parent
DEMOS = HERE.parent


def gather(source: Path) -> None:
    """Sphinx が読むものを 1 つのフォルダに並べる。"""
    for page in [*HERE.glob("*.md"), HERE / "conf.py", HERE / "site.css"]:
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"\[([^]]+)\]\(\.\./pages/([^)]+)\)", r'<a href="\2">\1</a>', text)
        (source / page.name).write_text(text.replace("](../", "]("), encoding="utf-8")
    # Japanese has no blanks around a word.
    (source / "docutils.conf").write_text("[parsers]\ncharacter_level_inline_markup = true\n")
    shutil.copytree(HERE / "how", source / "how")
    shutil.copytree(DEMOS / "figures", source / "figures")
    shutil.copytree(DEMOS / "pages", source / "pages")
    (source / "chapters").mkdir()
    for page in [*DEMOS.glob("chapters/*.ipynb"), DEMOS / "chapters" / "answers.md"]:
        shutil.copy(page, source / "chapters")
    drawn = source / "reference" / "figures"
    drawn.mkdir(parents=True)
    for name, text in reference_pages.pages(drawn).items():
        (source / "reference" / f"{name}.rst").write_text(text, encoding="utf-8")


def build(out: Path) -> int:
    """`out` に HTML を書く。警告が 1 つでもあれば 0 でない数。"""
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source"
        source.mkdir()
        gather(source)
        options = ["-q", "-W", "--keep-going", "-j", "auto", "-d", f"{name}/trees"]
        return build_main(["-b", "html", *options, str(source), str(out)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m micrograd_jp site", description="文書のサイトを作る。"
    )
    parser.add_argument("--out", type=Path, default=Path("site"), help="書くフォルダ")
    given = parser.parse_args(arguments)
    if given.out.exists() and not given.out.is_dir():
        parser.error(f"{given.out} はフォルダではありません。")
    code = build(given.out)
    if not code:
        print(f"{given.out / 'index.html'} に書きました")
    return code


if __name__ == "__main__":
    sys.exit(main())
