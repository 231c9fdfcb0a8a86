"""PyTorch の `torch.utils` の名前で: `from micrograd_jp.utils.data import DataLoader`。"""

from typing import TYPE_CHECKING

from micrograd_jp.on_demand import teller
from micrograd_jp.utils import data as data

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
