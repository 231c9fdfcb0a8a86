"""学習のテストに共通の、小さな問題: 乱数を使う層とバッファのあるモデルと、種のない並べ替え。"""

import numpy as np

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import DataLoader, TensorDataset


def points(n, seed):
    """Two classes in the plane."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype("f4")
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).astype("i8"))


def network():
    return nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2)
    )


def jittered(x, t, generator):
    """A transform that draws random numbers."""
    return x + mg.tensor(generator.normal(0, 0.05, x.shape).astype("f4")), t


class Task:
    """Everything that `fit` needs, made from one seed."""

    def __init__(self, seed=0, prefetch=0, n=64):
        mg.manual_seed(seed)
        self.model = network()
        self.data = DataLoader(
            points(n, 1), 10, shuffle=True, prefetch=prefetch, transform=jittered
        )
        self.development = points(40, 2)
        self.optimizer = mg.optim.AdamW(self.model.parameters(), lr=0.03)
        self.scheduler = mg.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=6)

    def fit(self, epochs=4, **options):
        options = {"development": self.development, "scheduler": self.scheduler, **options}
        return mg.fit(
            self.model, self.data, mg.cross_entropy, self.optimizer, epochs,
            progress=False, **options,
        )  # fmt: skip

    def outcome(self, history):
        """All that must be equal to the bit: not the seconds."""
        rows = [{k: x for k, x in row.items() if k != "seconds"} for row in history.epochs]
        state = {name: x._data.tobytes() for name, x in self.model.state_dict().items()}
        return state, history.losses, rows, history.stopped, mg.rand(3).tolist()
