"""信号で殺されながら保存し続けるプロセス。

    python hammered.py ファイル 回数 種

子を fork しては、ファイルに保存し続けている最中に、乱数で選んだ瞬間に SIGKILL・SIGTERM・SIGINT で
止める。どの瞬間のあとにも、ファイルには 1 つの保存の全部がある。
"""

import os
import random
import select
import signal
import sys
import time

import numpy as np

import micrograd_jp as mg


def save_for_ever(path, started):
    n = 0
    while True:
        n += 1
        mg.save(
            {"n": n, "x": [np.full(20_000, n), {"y": mg.Tensor(np.full(n % 7, float(n)))}]}, path
        )
        if n == 1:
            os.write(started, b".")


def whole(path):
    state = mg.load(path)
    n = state["n"]
    x, rest = state["x"]
    return (x == n).all() and x.shape == (20_000,) and rest["y"].tolist() == [n] * (n % 7)


if __name__ == "__main__":
    path, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    for life in range(count):
        hear, say = os.pipe()
        child = os.fork()
        if not child:
            try:
                save_for_ever(path, say)
            finally:
                os._exit(0)
        os.close(say)
        assert os.read(hear, 1) == b"."
        time.sleep(rng.uniform(0, 0.02))
        stop = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        os.kill(child, stop)
        while not select.select([hear], [], [], 1)[0]:  # until nobody holds the other end
            os.kill(child, stop)  # an interrupt is lost where it meets a destructor
        os.waitpid(child, 0)
        os.close(hear)
        assert whole(path), life
    mg.save({"end": True}, path)
