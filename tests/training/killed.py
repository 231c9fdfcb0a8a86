"""kill -9 で止められるための、別プロセスの学習。

    python killed.py フォルダ 回数 種

子を fork しては学習させ、乱数で選んだ瞬間に SIGKILL で止める。中断のない学習と、どの学習の
終わりも、同じビットになる。

    python killed.py フォルダ [before|after]

4 度目の保存の、名前を替える直前か直後に、自分を止め、もう一度。
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from problem import Task

import micrograd_jp as mg
from micrograd_jp import saving
from micrograd_jp.training import Checkpoint


def die_in_save(moment, count=4):
    left, replace = [count], os.replace

    def replacing(source, target):
        left[0] -= 1
        if left[0] == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    saving.os.replace = replacing


def train(checkpoint, end, seed, begun=lambda: None):
    """Another seed is another life: what it starts from must not matter."""

    def slow_cross_entropy(y, t):
        begun()
        time.sleep(0.002)  # so that there is a midst to be killed in
        return mg.cross_entropy(y, t)

    task = Task(seed=seed if checkpoint.exists() else 0, prefetch=1)
    history = mg.fit(
        task.model, task.data, slow_cross_entropy, task.optimizer, 6,
        development=task.development, scheduler=task.scheduler,
        checkpoint=Checkpoint(checkpoint, seconds=None, updates=2), progress=False,
    )  # fmt: skip
    mg.save({"model": task.model.state_dict(), "losses": history.to_dict()["losses"]}, end)


def forked(function):
    """A child that has called the function when it ends, and what it writes meanwhile."""
    hear, say = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(hear)
            function(lambda: os.write(say, b"."))
            status = 0
        finally:
            os._exit(status)
    os.close(say)
    return child, os.fdopen(hear, "rb", buffering=0)


def live(folder, seed, rng=None):
    """One life; with random numbers it is killed in the midst. Whether it was."""
    child, heard = forked(lambda say: train(folder / "state.npz", folder / "end.npz", seed, say))
    with heard:
        if rng is not None:
            # Calls of the loss: updates, and evaluations at the ends of epochs.
            for _ in range(rng.randint(1, 9)):
                heard.read(1)
            time.sleep(rng.uniform(0, 0.006))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    assert status in ((0,) if rng is None else (0, signal.SIGKILL)), status
    return status != 0


def finished(folder):
    state = mg.load(folder / "end.npz")
    assert not any(name.endswith((".tmp", ".lock")) for name in os.listdir(folder))
    return {name: x._data.tobytes() for name, x in state["model"].items()}, state["losses"].tolist()


def main(folder, how, seed="0"):
    folder = Path(folder)
    runs = [folder / str(i) for i in range(1 + (int(how) + 4) // 5 if how.isdecimal() else 2)]
    for run in runs:
        run.mkdir()
    live(runs[0], 0)
    rng, kills = random.Random(int(seed)), 0
    for run in runs[1:]:
        if how.isdecimal():
            ours = 0
            while ours < 5 and not (run / "end.npz").exists():
                ours += live(run, ours + 1, rng)
            kills += ours
        else:
            child, heard = forked(
                lambda say: (die_in_save(how), train(run / "state.npz", run / "end.npz", 0))
            )
            with heard:
                assert os.waitpid(child, 0)[1] == signal.SIGKILL
            mg.load(run / "state.npz")
            left = [name for name in os.listdir(run) if name.endswith(".tmp")]
            assert len(left) == (how == "before")
        live(run, 9)
        assert finished(run) == finished(runs[0]), run
    print(kills)


if __name__ == "__main__":
    main(*sys.argv[1:])
