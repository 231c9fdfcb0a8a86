"""詰めた 2 値化ネットワーク (packed binarized networks): 推論だけを、ビットで。"""

from micrograd_jp.nn.packed.network import PackedNetwork as PackedNetwork
