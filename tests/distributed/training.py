"""2 つのプロセスで動かす学習と、その見本（1 つのプロセスで動かす同じもの）。"""

import contextlib
import os
import signal
import sys
import threading
import time

import numpy as np

import micrograd_jp as mg
from micrograd_jp import nn


def rows(n=203, features=6):
    random = np.random.default_rng(0)
    x = random.standard_normal((n, features)).astype(np.float32)
    return mg.data.TensorDataset(x, (x[:, 0] + 0.5 * x[:, 1] > 0).astype(np.int64))


def loader(batch=32, **options):
    return mg.data.DataLoader(rows(), batch, shuffle=True, seed=7, **options)


def plain(seed=0):
    """何も引かない、正規化もないモデル: どのビットも計算だけで決まる。"""
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    return model, mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def rich(seed=0):
    """バッチ正規化、ドロップアウト、Adam、スケジューラ。"""
    mg.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
    )
    optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
    return model, optimizer, mg.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


def fit_rich(path=None, callbacks=(), epochs=4):
    model, optimizer, scheduler = rich()
    history = mg.fit(
        model, loader(distributed=True, prefetch=2), mg.cross_entropy, optimizer, epochs,
        development=rows(50), scheduler=scheduler, progress=False, callbacks=callbacks,
        clip_norm=1.0, checkpoint=None if path is None else mg.training.Checkpoint(path, updates=1),
    )  # fmt: skip
    return model, history


def bits(model):
    return {name: np.array(t._data) for name, t in model.state_dict().items()}


def killed_at_a_random_moment(path):
    """The k-th life ends at some moment of some update, if the seed says that it is ours."""
    life = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    random = np.random.default_rng((int(os.environ["KILLS_SEED"]), life))
    kills, rank = int(os.environ["KILLS"]), int(random.integers(2))
    if life >= kills or rank != mg.distributed.get_rank():
        return
    # Each life lives for a few updates more; the moment within one is anywhere.
    wait, moment = int(random.integers(1, max(2, 24 // kills + 1))), random.random() * 0.02

    def kill():
        seen = set()
        while len(seen) <= wait:
            with contextlib.suppress(FileNotFoundError):
                seen.add(os.stat(path).st_mtime_ns)
            time.sleep(0.0005)
        time.sleep(moment)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()


if __name__ == "__main__":
    mg.distributed.init_process_group(timeout=120)
    folder = sys.argv[1]
    path = os.path.join(folder, "run.npz")
    killed_at_a_random_moment(path)
    model, history = fit_rich(path)
    mine = os.path.join(folder, f"weights{mg.distributed.get_rank()}.npz")
    mg.save({**bits(model), "losses": np.array(history.losses)}, mine)
