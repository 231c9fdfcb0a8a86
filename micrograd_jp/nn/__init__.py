"""ニューラルネットワークの部品 (neural networks)。"""

from micrograd_jp.nn.module import Module as Module
from micrograd_jp.nn.scalar import MLP as MLP
from micrograd_jp.nn.scalar import Layer as Layer
from micrograd_jp.nn.scalar import Neuron as Neuron
