"""ネットワークの図 (network diagram): 円はユニット、線は重み。畳み込みのモデルでは、層の箱。"""

from micrograd_jp.viz.network.network import Network as Network
from micrograd_jp.viz.network.network import network as network
