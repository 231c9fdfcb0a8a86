"""表を書き直す: テストを PyTorch と一緒に動かして、PyTorch の答えをしまう。

python tests/reference/write.py                        # すべてのファイル
python tests/reference/write.py tests/nn/test_conv.py  # 1 つだけ
"""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def files():
    """The test files that ask PyTorch, by way of the helpers beside them too."""
    found = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(p.relative_to(ROOT)) for p in found if "reference" in p.read_text("utf-8")]


def main(paths):
    os.chdir(ROOT)
    os.environ["CI"] = "1"  # hypothesis draws the same examples every time
    options = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "--reference=write"]
    return pytest.main([*options, *(paths or files())])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
