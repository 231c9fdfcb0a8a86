"""PyTorch の `torch.utils.data` の名前: 中身は `mg.data` にある。"""

from typing import TYPE_CHECKING

from micrograd_jp.data.combined import ChainDataset as ChainDataset
from micrograd_jp.data.combined import ConcatDataset as ConcatDataset
from micrograd_jp.data.combined import IterableDataset as IterableDataset
from micrograd_jp.data.combined import StackDataset as StackDataset
from micrograd_jp.data.dataset import Dataset as Dataset
from micrograd_jp.data.dataset import Subset as Subset
from micrograd_jp.data.dataset import TensorDataset as TensorDataset
from micrograd_jp.data.dataset import default_collate as default_collate
from micrograd_jp.data.loader import DataLoader as DataLoader
from micrograd_jp.data.samplers import BatchSampler as BatchSampler
from micrograd_jp.data.samplers import RandomSampler as RandomSampler
from micrograd_jp.data.samplers import Sampler as Sampler
from micrograd_jp.data.samplers import SequentialSampler as SequentialSampler
from micrograd_jp.data.samplers import SubsetRandomSampler as SubsetRandomSampler
from micrograd_jp.data.samplers import WeightedRandomSampler as WeightedRandomSampler
from micrograd_jp.data.split import random_split as random_split
from micrograd_jp.on_demand import teller

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset", "IterableDataset",
    "RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "Subset",
    "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler", "default_collate",
    "random_split",
]  # fmt: skip

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
