"""はじめの一歩。`python -m micrograd_jp` と同じことをする（中身は micrograd_jp/quickstart.py）。"""

import sys

from micrograd_jp.quickstart import main

if __name__ == "__main__":
    sys.exit(main())
