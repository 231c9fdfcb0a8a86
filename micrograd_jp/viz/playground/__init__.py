"""学習をページの中で見る (playground): `mg.viz.playground(model, data)`。"""

from micrograd_jp.viz.playground.playground import Playground as Playground
from micrograd_jp.viz.playground.playground import playground as playground
