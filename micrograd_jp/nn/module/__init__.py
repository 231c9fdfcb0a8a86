"""`Module`: 部品の木、その状態、その説明。"""

from micrograd_jp.nn.module.function import FunctionModule as FunctionModule
from micrograd_jp.nn.module.module import Module as Module
from micrograd_jp.nn.module.parameter import Parameter as Parameter
