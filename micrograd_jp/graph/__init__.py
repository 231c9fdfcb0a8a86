"""計算グラフとは何か: ノード、順序、連鎖律、モード。"""

from micrograd_jp.graph.anomaly import AnomalyError as AnomalyError
from micrograd_jp.graph.anomaly import detect_anomaly as detect_anomaly
from micrograd_jp.graph.backward import backward as backward
from micrograd_jp.graph.higher_order import gradients as gradients
from micrograd_jp.graph.modes import enable_grad as enable_grad
from micrograd_jp.graph.modes import inference_mode as inference_mode
from micrograd_jp.graph.modes import is_grad_enabled as is_grad_enabled
from micrograd_jp.graph.modes import no_grad as no_grad
from micrograd_jp.graph.modes import set_grad_enabled as set_grad_enabled
from micrograd_jp.graph.node import Node as Node
from micrograd_jp.graph.node import topological_order as topological_order
