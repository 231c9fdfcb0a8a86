"""図を描く (visualization)。必要なのは numpy と graphviz だけで、他は使うときに読み込む。"""

from micrograd_jp.viz.drawing import Drawing as Drawing
from micrograd_jp.viz.graphs import draw as draw
from micrograd_jp.viz.graphs import draw_dot as draw_dot
