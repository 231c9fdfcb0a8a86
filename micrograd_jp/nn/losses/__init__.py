"""損失関数。"""

from micrograd_jp.nn.losses.classes import cross_entropy as cross_entropy
from micrograd_jp.nn.losses.classes import hinge_of_classes as hinge_of_classes
from micrograd_jp.nn.losses.classes import nll_loss as nll_loss
from micrograd_jp.nn.losses.elements import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from micrograd_jp.nn.losses.elements import hinge_loss as hinge_loss
from micrograd_jp.nn.losses.elements import l1_loss as l1_loss
from micrograd_jp.nn.losses.elements import mse_loss as mse_loss
from micrograd_jp.nn.losses.elements import sum_squared_error as sum_squared_error
from micrograd_jp.nn.losses.modules import BCEWithLogitsLoss as BCEWithLogitsLoss
from micrograd_jp.nn.losses.modules import CrossEntropyLoss as CrossEntropyLoss
from micrograd_jp.nn.losses.modules import HingeLoss as HingeLoss
from micrograd_jp.nn.losses.modules import L1Loss as L1Loss
from micrograd_jp.nn.losses.modules import MSELoss as MSELoss
from micrograd_jp.nn.losses.modules import NLLLoss as NLLLoss
from micrograd_jp.nn.losses.modules import SumSquaredError as SumSquaredError
