"""データ (data): データセット、ミニバッチ、分割。

>>> import micrograd_jp as mg
>>> data = mg.data.datasets.moons(100, seed=0)
>>> loader = mg.data.DataLoader(data, batch_size=32, shuffle=True, seed=0)
>>> [x.shape for x, t in loader]
[(32, 2), (32, 2), (32, 2), (4, 2)]
"""

from micrograd_jp.data import datasets as datasets
from micrograd_jp.data import transforms as transforms
from micrograd_jp.data.combined import ChainDataset as ChainDataset
from micrograd_jp.data.combined import ConcatDataset as ConcatDataset
from micrograd_jp.data.combined import IterableDataset as IterableDataset
from micrograd_jp.data.combined import StackDataset as StackDataset
from micrograd_jp.data.dataset import Dataset as Dataset
from micrograd_jp.data.dataset import Subset as Subset
from micrograd_jp.data.dataset import TensorDataset as TensorDataset
from micrograd_jp.data.dataset import default_collate as default_collate
from micrograd_jp.data.idx import read_idx as read_idx
from micrograd_jp.data.loader import DataLoader as DataLoader
from micrograd_jp.data.samplers import BatchSampler as BatchSampler
from micrograd_jp.data.samplers import RandomSampler as RandomSampler
from micrograd_jp.data.samplers import Sampler as Sampler
from micrograd_jp.data.samplers import SequentialSampler as SequentialSampler
from micrograd_jp.data.samplers import SubsetRandomSampler as SubsetRandomSampler
from micrograd_jp.data.samplers import WeightedRandomSampler as WeightedRandomSampler
from micrograd_jp.data.split import random_split as random_split
