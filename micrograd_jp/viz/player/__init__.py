"""誤差逆伝播法を 1 歩ずつ再生する (step player): `mg.play(E)`。"""

from micrograd_jp.viz.player.player import Player as Player
from micrograd_jp.viz.player.player import play as play
