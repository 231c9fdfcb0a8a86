"""分散 (distributed): いくつものプロセスで、いくつもの計算機で、1 つのモデルを学習する。

どのプロセスも同じプログラムを実行し、同じモデルを持ち、データの別の行を見る。勾配の平均だけを
やりとりする（データ並列、data parallelism）。通信は JAX のもの（CPU は gloo、GPU は NCCL）を使う。

    # python -m micrograd_jp.launch --processes 2 train.py
    import micrograd_jp as mg
    mg.distributed.init_process_group()

1 つのプロセスだけで動かせば、どの関数も何もしない。だから、同じプログラムがどちらでも動く。

>>> import micrograd_jp as mg
>>> mg.distributed.init_process_group()
>>> mg.distributed.get_rank(), mg.distributed.get_world_size()
(0, 1)
>>> mg.distributed.all_reduce(2.5)
2.5
"""

from typing import TYPE_CHECKING

from micrograd_jp.distributed.collectives import all_reduce as all_reduce
from micrograd_jp.distributed.collectives import barrier as barrier
from micrograd_jp.distributed.collectives import broadcast as broadcast
from micrograd_jp.distributed.group import destroy_process_group as destroy_process_group
from micrograd_jp.distributed.group import get_rank as get_rank
from micrograd_jp.distributed.group import get_world_size as get_world_size
from micrograd_jp.distributed.group import init_process_group as init_process_group
from micrograd_jp.distributed.group import is_initialized as is_initialized
from micrograd_jp.distributed.talk import DistributedError as DistributedError
from micrograd_jp.on_demand import teller

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
