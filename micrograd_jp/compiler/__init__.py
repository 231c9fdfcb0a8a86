"""スカラーの計算グラフを、配列の速さで動かす: 記録 → 簡約 → 行列 → 実行 (`pipeline.py`)。"""

from micrograd_jp.compiler.compiled import Compiled as Compiled
from micrograd_jp.compiler.compiled import Gradients as Gradients
from micrograd_jp.compiler.compiled import compile as compile
from micrograd_jp.compiler.record.recorder import TraceError as TraceError
from micrograd_jp.compiler.stored import load as load
from micrograd_jp.compiler.stored import save as save
