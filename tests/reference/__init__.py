"""PyTorch の答え: PyTorch があれば PyTorch が答え、なければ、しまってある表 (tables/) が答える。

テストは PyTorch を使うとおりに書く。`from tests.reference import torch` の `torch` が、PyTorch か、
それと同じことを答える表になる:

    np.testing.assert_allclose(mg.exp(x).data, torch.exp(torch.tensor(x)).numpy())

PyTorch があるときも、答えは 1 つずつ表と比べられる。テストを変えたら表を書き直す:

    python tests/reference/write.py tests/nn/test_conv.py

`pytorch_answers` は、PyTorch で書いた関数をまるごと 1 つの問いにする。`like_pytorch` は、でたらめな
例でのテスト: PyTorch があればその場で選んだ例でも、どこででも表にしまった例で調べる。
"""

from tests.reference.examples import like_pytorch
from tests.reference.proxy import Name, pytorch_answers
from tests.reference.session import session

torch = Name("torch")

__all__ = ["like_pytorch", "pytorch_answers", "session", "torch"]
