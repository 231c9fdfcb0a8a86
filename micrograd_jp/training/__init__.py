"""学習 (training): `fit` が訓練データを何周かし、途中で評価・保存し、`History` を返す。

>>> import micrograd_jp as mg
>>> mg.manual_seed(0)
>>> loader = mg.data.DataLoader(mg.data.datasets.moons(100, seed=0), 20, shuffle=True, seed=0)
>>> model = mg.nn.Sequential(mg.nn.Linear(2, 8), mg.nn.Tanh(), mg.nn.Linear(8, 2))
>>> optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
>>> history = mg.fit(model, loader, mg.cross_entropy, optimizer, epochs=3, progress=False)
>>> history.updates
15
"""

from micrograd_jp.training.checkpoint import Checkpoint as Checkpoint
from micrograd_jp.training.evaluation import Evaluation as Evaluation
from micrograd_jp.training.evaluation import accuracy as accuracy
from micrograd_jp.training.evaluation import evaluate as evaluate
from micrograd_jp.training.fitting import fit as fit
from micrograd_jp.training.history import History as History
from micrograd_jp.training.nonfinite import NonFiniteError as NonFiniteError
from micrograd_jp.training.recording import Record as Record
from micrograd_jp.training.stopping import EarlyStopping as EarlyStopping
