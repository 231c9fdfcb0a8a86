"""`python -m micrograd_jp`: はじめの一歩。`python -m micrograd_jp site`: 文書のサイトを作る。"""

import runpy
import sys
from pathlib import Path

from micrograd_jp.quickstart import main

BUILD = Path(__file__).parent.parent / "demos" / "site" / "build_site.py"


def site() -> None:
    """サイトを作るプログラムは、ソースの隣にある。"""
    if not BUILD.exists():
        sys.exit(
            "サイトは、ソースのあるフォルダで作ります (sources not found): リポジトリを取って、"
            'pip install -e ".[docs]" のあとに、もう一度動かしてください。'
        )
    del sys.argv[1]
    sys.path.insert(0, str(BUILD.parent))
    runpy.run_path(str(BUILD), run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1:2] == ["site"]:
        site()
    else:
        sys.exit(main())
