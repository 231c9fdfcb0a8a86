"""スカラーの計算グラフを、配列の速さで動かす: 記録 → 簡約 → 行列 → 実行 (`pipeline.py`)。"""

from typing import TYPE_CHECKING

from micrograd_jp.on_demand import hand_out

if TYPE_CHECKING:  # editors see the names; the checks of gradients need only the first two steps
    from micrograd_jp.compiler.compiled import Compiled as Compiled
    from micrograd_jp.compiler.compiled import Gradients as Gradients
    from micrograd_jp.compiler.compiled import compile as compile
    from micrograd_jp.compiler.record.recorder import TraceError as TraceError
    from micrograd_jp.compiler.stored import load as load
    from micrograd_jp.compiler.stored import save as save

hand_out(
    __name__,
    {name: ("compiled", name) for name in ("Compiled", "Gradients", "compile")}
    | {"TraceError": ("record.recorder", "TraceError")}
    | {name: ("stored", name) for name in ("load", "save")},
)
