"""The tables of the other tests, under the names they have there."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tensor"))
