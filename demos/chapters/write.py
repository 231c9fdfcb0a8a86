"""章のノートブック (.ipynb) と、教師用の解答 (answers.md) を書く。

章は percent 形式のテキスト (.py) で、上から順に実行して、出力も残す。

    pip install "micrograd_jp[docs]"
    python demos/chapters/write.py           # すべての章
    python demos/chapters/write.py 01 03     # 選んだ章

書くのは jupytext、実行するのは nbclient。実行の時刻のような、毎回変わるものは残さない。
`pyproject.toml` の `[project.urls]` に GitHub の `Repository` があれば、章の先頭に
「Open in Colab」のリンクが付く。
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient

from micrograd_jp.exercises import exercises

HERE = Path(__file__).parent
TIMEOUT = 180
"""1 つのセルを待つ秒数。"""


def chapters(chosen: list[str] | None = None) -> list[Path]:
    """章のテキスト。番号の順。"""
    found = sorted(HERE.glob("[0-9][0-9]_*.py"))
    return [path for path in found if not chosen or path.name[:2] in chosen]


def badge(path: Path, repository: str) -> str:
    """章を Colab で開くリンク。公開先が GitHub でなければ、空の文字列。"""
    _, here, name = repository.rstrip("/").partition("https://github.com/")
    colab = "https://colab.research.google.com"
    where = f"{colab}/github/{name}/blob/main/demos/chapters/{path.stem}.ipynb"
    return f"\n\n[![Open in Colab]({colab}/assets/colab-badge.svg)]({where})" if here else ""


def read(path: Path) -> Any:
    """実行する前のノートブック。"""
    notebook = jupytext.read(path)
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    title, line, rest = notebook.cells[0]["source"].partition("\n")
    link = badge(path, project.get("urls", {}).get("Repository", ""))
    notebook.cells[0]["source"] = f"{title}{link}{line}{rest}"
    notebook.metadata.pop("jupytext", None)
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{k}"  # random otherwise
    return notebook


def executed(notebook: Any) -> Any:
    """上から順に実行する。

    Raises:
        nbclient.exceptions.CellExecutionError: セルの中の例外。
    """
    NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": HERE}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)  # the Python of whoever wrote it
    return notebook


def answers() -> str:
    """教師用の解答: 問い、ヒント、解答、よくある間違い。演習問題の宣言から作る。"""
    parts = ["# 演習問題の解答（教師用）\n\n`python demos/chapters/write.py` が書いたもの。\n"]
    for e in exercises():
        hints = "\n".join(f"{k}. {hint}" for k, hint in enumerate(e.hints, start=1))
        mistakes = "\n".join(f"- {text}" for text in e.mistakes)
        parts.append(
            f"## 演習 {e.number} {e.title}\n\n{e.question}\n\n```python\n{e.answer()}```\n"
        )
        parts += [f"{e.why}\n"] if e.why else []
        parts.append(f"ヒント:\n\n{hints}\n\nよくある間違いに言うこと:\n\n{mistakes}\n")
    return "\n".join(parts)


def main() -> None:
    (HERE / "answers.md").write_text(answers(), encoding="utf-8")
    for path in chapters(sys.argv[1:]):
        jupytext.write(executed(read(path)), path.with_suffix(".ipynb"))
        print(path.with_suffix(".ipynb").name)


if __name__ == "__main__":
    main()
