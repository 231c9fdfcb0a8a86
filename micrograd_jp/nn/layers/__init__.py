"""層 (layers): `Tensor` の層と活性化関数、部品をまとめる部品、`Value` の層。"""

from micrograd_jp.nn.layers.activations import *  # noqa: F403
from micrograd_jp.nn.layers.attention import *  # noqa: F403
from micrograd_jp.nn.layers.binary import *  # noqa: F403
from micrograd_jp.nn.layers.containers import *  # noqa: F403
from micrograd_jp.nn.layers.conv import *  # noqa: F403
from micrograd_jp.nn.layers.dropout import *  # noqa: F403
from micrograd_jp.nn.layers.ensemble import *  # noqa: F403
from micrograd_jp.nn.layers.held import *  # noqa: F403
from micrograd_jp.nn.layers.linear import *  # noqa: F403
from micrograd_jp.nn.layers.norm import *  # noqa: F403
from micrograd_jp.nn.layers.padding import *  # noqa: F403
from micrograd_jp.nn.layers.pool import *  # noqa: F403
from micrograd_jp.nn.layers.recurrent import *  # noqa: F403
from micrograd_jp.nn.layers.resizing import *  # noqa: F403
from micrograd_jp.nn.layers.scalar import *  # noqa: F403
from micrograd_jp.nn.layers.shape import *  # noqa: F403
from micrograd_jp.nn.layers.transformer import *  # noqa: F403
