"""確率分布 (probability distributions): 引く、対数確率、エントロピー、2 つの分布の違い。

名前、引数、答えは PyTorch の `torch.distributions` のもの。強化学習の方策、VAE などに使う。

>>> import micrograd_jp as mg
>>> policy = mg.distributions.Categorical(logits=mg.tensor([0.0, 0.0]))
>>> policy.log_prob(mg.tensor(1)).exp()
tensor(0.5000)
"""

from typing import TYPE_CHECKING

from micrograd_jp.distributions.discrete import Bernoulli as Bernoulli
from micrograd_jp.distributions.discrete import Categorical as Categorical
from micrograd_jp.distributions.distribution import Distribution as Distribution
from micrograd_jp.distributions.divergence import kl_divergence as kl_divergence
from micrograd_jp.distributions.normal import Normal as Normal
from micrograd_jp.on_demand import teller

__all__ = ["Bernoulli", "Categorical", "Distribution", "Normal", "kl_divergence"]

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
