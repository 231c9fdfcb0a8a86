"""損失 (losses): 関数と、その部品の形。"""

from micrograd_jp.nn.losses.elements import *  # noqa: F403
from micrograd_jp.nn.losses.modules import *  # noqa: F403
