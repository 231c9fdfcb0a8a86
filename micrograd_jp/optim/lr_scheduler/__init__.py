"""学習率のスケジューラ (learning rate schedulers)。名前と意味は PyTorch の `lr_scheduler` と同じ。

    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    scheduler = mg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    for _ in range(epochs):
        ...                      # optimizer.step() を何度か
        scheduler.step()         # そのあとに 1 度

学習率は、いまの `group["lr"]` から次の値を作る漸化式で変わる（途中で書き換えた学習率も生きる）。
"""

from micrograd_jp.optim.lr_scheduler.base import LRScheduler as LRScheduler
from micrograd_jp.optim.lr_scheduler.cycles import (
    CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts,
)
from micrograd_jp.optim.lr_scheduler.cycles import CyclicLR as CyclicLR
from micrograd_jp.optim.lr_scheduler.cycles import OneCycleLR as OneCycleLR
from micrograd_jp.optim.lr_scheduler.plateau import ReduceLROnPlateau as ReduceLROnPlateau
from micrograd_jp.optim.lr_scheduler.schedules import ConstantLR as ConstantLR
from micrograd_jp.optim.lr_scheduler.schedules import CosineAnnealingLR as CosineAnnealingLR
from micrograd_jp.optim.lr_scheduler.schedules import ExponentialLR as ExponentialLR
from micrograd_jp.optim.lr_scheduler.schedules import LambdaLR as LambdaLR
from micrograd_jp.optim.lr_scheduler.schedules import LinearLR as LinearLR
from micrograd_jp.optim.lr_scheduler.schedules import MultiplicativeLR as MultiplicativeLR
from micrograd_jp.optim.lr_scheduler.schedules import MultiStepLR as MultiStepLR
from micrograd_jp.optim.lr_scheduler.schedules import PolynomialLR as PolynomialLR
from micrograd_jp.optim.lr_scheduler.schedules import StepLR as StepLR
from micrograd_jp.optim.lr_scheduler.sequential import ChainedScheduler as ChainedScheduler
from micrograd_jp.optim.lr_scheduler.sequential import SequentialLR as SequentialLR
