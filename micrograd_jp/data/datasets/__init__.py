"""すぐに使えるデータセット。手書き数字と、平面上の小さな問題。

手書き数字は `.images` と `.labels`、どれも `data[:]` で `(x, t)` の `Tensor` の組になる。
"""

from micrograd_jp.data.datasets.images import Images as Images
from micrograd_jp.data.datasets.images import digits as digits
from micrograd_jp.data.datasets.mnist import mnist as mnist
from micrograd_jp.data.datasets.toy import circles as circles
from micrograd_jp.data.datasets.toy import line as line
from micrograd_jp.data.datasets.toy import moons as moons
from micrograd_jp.data.datasets.toy import spiral as spiral
from micrograd_jp.data.datasets.toy import xor as xor
