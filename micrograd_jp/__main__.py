"""`python -m micrograd_jp`: はじめの一歩。"""

import sys

from micrograd_jp.quickstart import main

sys.exit(main())
