"""図を描く (visualization)。必要なのは numpy と graphviz だけで、他は使うときに読み込む。"""

from typing import TYPE_CHECKING

from micrograd_jp.on_demand import hand_out

if TYPE_CHECKING:  # editors see the names; a program loads them when it asks for one
    from micrograd_jp.viz import figures as figures
    from micrograd_jp.viz.answers import confusion_matrix as confusion_matrix
    from micrograd_jp.viz.answers import misread as misread
    from micrograd_jp.viz.answers import templates as templates
    from micrograd_jp.viz.boundary import decision_boundary as decision_boundary
    from micrograd_jp.viz.drawing import Drawing as Drawing
    from micrograd_jp.viz.explaining import Explanation as Explanation
    from micrograd_jp.viz.explaining import explain as explain
    from micrograd_jp.viz.features import feature_maps as feature_maps
    from micrograd_jp.viz.features import grad_cam as grad_cam
    from micrograd_jp.viz.graphs import draw as draw
    from micrograd_jp.viz.graphs import draw_dot as draw_dot
    from micrograd_jp.viz.landscape import loss_landscape as loss_landscape
    from micrograd_jp.viz.network.network import Network as Network
    from micrograd_jp.viz.network.network import network as network
    from micrograd_jp.viz.player import Player as Player
    from micrograd_jp.viz.player import play as play
    from micrograd_jp.viz.playground.playground import Playground as Playground
    from micrograd_jp.viz.playground.playground import playground as playground
    from micrograd_jp.viz.rates import LearningRates as LearningRates
    from micrograd_jp.viz.rates import lr_finder as lr_finder
    from micrograd_jp.viz.receptive import ReceptiveField as ReceptiveField
    from micrograd_jp.viz.receptive import effective_receptive_field as effective_receptive_field
    from micrograd_jp.viz.receptive import receptive_field as receptive_field
    from micrograd_jp.viz.receptive import receptive_fields as receptive_fields

# Whoever could draw (`mg.compile`, `mg.fit`) need not load graphviz and nn before he does.
_PLACES = {
    "answers": "confusion_matrix misread templates",
    "boundary": "decision_boundary",
    "drawing": "Drawing",
    "explaining": "Explanation explain",
    "features": "feature_maps grad_cam",
    "graphs": "draw draw_dot",
    "network.network": "Network network",
    "player": "Player play",
    "playground.playground": "Playground playground",
    "landscape": "loss_landscape",
    "rates": "LearningRates lr_finder",
    "receptive": "ReceptiveField effective_receptive_field receptive_field receptive_fields",
}
_NAMES = {name: (where, name) for where in _PLACES for name in _PLACES[where].split()}
hand_out(__name__, {**_NAMES, "figures": ("figures", "")})
