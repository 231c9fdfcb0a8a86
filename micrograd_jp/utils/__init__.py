"""PyTorch の `torch.utils` の名前で: `from micrograd_jp.utils.data import DataLoader`。"""

from micrograd_jp.utils import data as data
