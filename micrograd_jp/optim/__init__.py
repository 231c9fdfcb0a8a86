"""最適化手法 (optimizers)、学習率のスケジューラ、勾配のクリッピング、重みの平均。"""

from typing import TYPE_CHECKING

from micrograd_jp.on_demand import later, teller
from micrograd_jp.optim import lr_scheduler as lr_scheduler
from micrograd_jp.optim.adams import Adamax as Adamax
from micrograd_jp.optim.adams import NAdam as NAdam
from micrograd_jp.optim.adams import RAdam as RAdam
from micrograd_jp.optim.adaptive import Adadelta as Adadelta
from micrograd_jp.optim.adaptive import Adagrad as Adagrad
from micrograd_jp.optim.adaptive import Adam as Adam
from micrograd_jp.optim.adaptive import AdamW as AdamW
from micrograd_jp.optim.adaptive import RMSprop as RMSprop
from micrograd_jp.optim.asgd import ASGD as ASGD
from micrograd_jp.optim.clipping import clip_grad_norm_ as clip_grad_norm_
from micrograd_jp.optim.clipping import clip_grad_value_ as clip_grad_value_
from micrograd_jp.optim.layerwise import LAMB as LAMB
from micrograd_jp.optim.layerwise import LARS as LARS
from micrograd_jp.optim.lbfgs import LBFGS as LBFGS
from micrograd_jp.optim.optimizer import Optimizer as Optimizer
from micrograd_jp.optim.rprop import Rprop as Rprop
from micrograd_jp.optim.sgd import SGD as SGD

if TYPE_CHECKING:
    import micrograd_jp.optim.swa_utils as swa_utils  # noqa: F401

later(__name__, {"swa_utils": None}, teller(__name__))  # it stands on nn, which stands on this room
