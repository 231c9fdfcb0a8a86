"""`Module`: 部品の木、その状態、その説明。"""

from micrograd_jp.nn.module.module import HookHandle as HookHandle
from micrograd_jp.nn.module.module import Module as Module
from micrograd_jp.nn.module.module import attribute_name as attribute_name
from micrograd_jp.nn.module.parameter import Parameter as Parameter
from micrograd_jp.nn.module.parameter import freeze as freeze
from micrograd_jp.nn.module.parameter import is_parameter as is_parameter
