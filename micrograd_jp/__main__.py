import sys

from micrograd_jp.cli import main

sys.exit(main())
