"""機械語 (extra `fast`): 配列と番地だけを知り、計算グラフは知らない。"""

from micrograd_jp.native.machine_code import addresses as addresses
from micrograd_jp.native.machine_code import available as available
from micrograd_jp.native.machine_code import disabled as disabled
from micrograd_jp.native.machine_code import enabled as enabled
from micrograd_jp.native.machine_code import vector_bytes as vector_bytes
