"""XLA で動かす: `mg.jit` と、その中で書き換えてよいもの (`Held`)。"""

from micrograd_jp.xla.held import Held as Held
from micrograd_jp.xla.jit import jit as jit
