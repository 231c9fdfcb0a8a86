"""kill -9 で止められるための、別プロセスの学習。

    python killed.py チェックポイント 結果 種 [before|after 何度目の保存]

最後の引数があれば、その保存の、名前を替える直前か直後に、自分を SIGKILL で止める。
"""

import os
import signal
import sys
import time

from problem import Task

import micrograd_jp as mg
from micrograd_jp import saving
from micrograd_jp.training import Checkpoint


def die_in_save(moment, count):
    left, replace = [count], os.replace

    def replacing(source, target):
        left[0] -= 1
        if left[0] == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    saving.os.replace = replacing


def slow_cross_entropy(y, t):
    time.sleep(0.003)  # so that there is a midst to be killed in
    return mg.cross_entropy(y, t)


if __name__ == "__main__":
    checkpoint, end, seed, *death = sys.argv[1:]
    if death:
        die_in_save(death[0], int(death[1]))
    task = Task(seed=0, prefetch=1)
    if int(seed):  # another life: what it starts from must not matter
        task = Task(seed=int(seed), prefetch=1)
    history = mg.fit(
        task.model, task.data, slow_cross_entropy, task.optimizer, 6,
        development=task.development, scheduler=task.scheduler,
        checkpoint=Checkpoint(checkpoint, updates=2), progress=False,
    )  # fmt: skip
    mg.save({"model": task.model.state_dict(), "losses": history.to_dict()["losses"]}, end)
