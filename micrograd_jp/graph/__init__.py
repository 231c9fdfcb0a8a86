"""計算グラフとは何か: ノード、順序、連鎖律、モード。"""

from micrograd_jp.graph.backward import Node as Node
from micrograd_jp.graph.backward import backward as backward
from micrograd_jp.graph.backward import gradients as gradients
from micrograd_jp.graph.backward import topological_order as topological_order
