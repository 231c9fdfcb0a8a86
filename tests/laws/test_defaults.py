"""既定値: 同じ名前の引数は、どこでも同じ既定値。違うものは、名前を挙げる。PyTorch とも同じ。"""

import inspect
import math

import numpy as np
import pytest

from micrograd_jp import nn, optim
from micrograd_jp.nn import functional as F
from micrograd_jp.nn import init
from micrograd_jp.optim import lr_scheduler
from micrograd_jp.tensor import creation, random
from micrograd_jp.tensor.functions import FUNCTIONS, METHODS
from tests.tensor.composed_rows import composed

EVERYWHERE = {
    "affine": True, "alpha": 1, "amsgrad": False, "as_tuple": False, "atol": 1e-8, "axes": 2,
    "axis1": 0, "axis2": 1, "beta": 1, "betas": (0.9, 0.999), "bias": True, "ceil_mode": False,
    "centered": False, "cooldown": 0, "correction": 1, "count_include_pad": True, "dampening": 0,
    "descending": False, "device": None, "dilation": 1, "dim": -1, "divisor_override": None,
    "dtype": None, "elementwise_affine": True, "end_axis": -1, "end_dim": -1, "end_factor": 1.0,
    "eps": 1e-5, "equal_nan": False, "error_if_nonfinite": False, "eta_min": 0.0, "factor": 0.1,
    "gain": 1.0, "gamma": 0.1, "groups": 1, "initial_accumulator_value": 0, "k": 0,
    "keepdims": False, "label_smoothing": 0.0, "largest": True, "last_epoch": -1, "lr": 1e-3,
    "lr_decay": 0, "margin": 1.0, "max": None, "maximize": False, "mean": 0.0, "min": None,
    "min_lr": 0, "minlength": 0, "mode": "fan_in", "momentum": 0, "nesterov": False,
    "nonlinearity": "leaky_relu", "norm_type": 2.0, "num_classes": -1, "offset": 0,
    "output_padding": 0, "p": 0.5, "padding": 0, "padding_idx": None, "patience": 10,
    "pos_weight": None, "reduction": "mean", "requires_grad": False, "rtol": 1e-5,
    "start_axis": 0, "start_dim": 1, "start_factor": 1 / 3, "std": 1.0, "stride": 1,
    "threshold": 1e-4, "threshold_mode": "rel", "total_iters": 5, "track_running_stats": True,
    "training": True, "value": 0.0, "weight": None, "weight_decay": 0, "weights": None,
}  # fmt: skip
INSTANCE_NORMS = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]
ELSEWHERE = {
    "affine": dict.fromkeys(INSTANCE_NORMS, False),
    "track_running_stats": dict.fromkeys(INSTANCE_NORMS, False),
    "nonlinearity": dict.fromkeys(["RNN", "RNNCell"], "tanh"),
    "std": {"sparse_": 0.01, "sparse": 0.01},
    "value": {F.pad: None},
    "alpha": {
        "local_response_norm": 1e-4,
        "LocalResponseNorm": 1e-4,
        "RMSprop": 0.99,
        "ASGD": 0.75,
    },
    "beta": {"local_response_norm": 0.75, "LocalResponseNorm": 0.75},
    "bias": dict.fromkeys(
        "conv1d conv2d conv3d conv_transpose1d conv_transpose2d linear bilinear "
        "layer_norm batch_norm group_norm instance_norm binary_conv2d binary_linear".split()
    )
    | dict.fromkeys(["BinaryConv2d", "BinaryLinear"], False),
    "dim": dict.fromkeys("softmax log_softmax softmin Softmax LogSoftmax Softmin".split())
    | dict.fromkeys(["cosine_similarity", "CosineSimilarity", "normalize"], 1),
    "dtype": {"randint": np.dtype("int64")},
    "eps": {"Adagrad": 1e-10, "LAMB": 1e-6, "rms_norm": None, "RMSNorm": None}
    | dict.fromkeys(["Adam", "AdamW", "RMSprop", "ReduceLROnPlateau"], 1e-8)
    | dict.fromkeys(["Adamax", "NAdam", "RAdam", "poisson_nll_loss", "PoissonNLLLoss"], 1e-8)
    | dict.fromkeys(["cosine_similarity", "CosineSimilarity"], 1e-8)
    | dict.fromkeys(["Adadelta", "gaussian_nll_loss", "GaussianNLLLoss"], 1e-6)
    | dict.fromkeys(["pairwise_distance", "PairwiseDistance"], 1e-6)
    | dict.fromkeys(["triplet_margin_loss", "TripletMarginLoss"], 1e-6)
    | {"gumbel_softmax": 1e-10, "normalize": 1e-12},
    "factor": {"ConstantLR": 1 / 3},
    "gamma": {"CyclicLR": 1.0},
    "k": {"local_response_norm": 1.0, "LocalResponseNorm": 1.0},
    "keepdims": {"max": None, "min": None},
    "lr": dict.fromkeys(["Adagrad", "RMSprop", "ASGD", "Rprop"], 1e-2)
    | dict.fromkeys(["LARS", "LBFGS", "Adadelta"], 1.0)
    | dict.fromkeys(["Adamax", "NAdam"], 2e-3),
    "margin": dict.fromkeys(["cosine_embedding_loss", "CosineEmbeddingLoss"], 0)
    | dict.fromkeys(["margin_ranking_loss", "MarginRankingLoss"], 0),
    "mean": {"batch_normalized": None},
    "mode": {"ReduceLROnPlateau": "min", "CyclicLR": "triangular", "pad": "constant"}
    | dict.fromkeys(["interpolate", "upsample", "Upsample"], "nearest")
    | dict.fromkeys(["embedding_bag", "EmbeddingBag"], "mean"),
    "momentum": {"LARS": 0.9}
    | dict.fromkeys("batch_norm instance_norm BatchNorm1d BatchNorm2d BatchNorm3d".split(), 0.1)
    | dict.fromkeys(INSTANCE_NORMS, 0.1),
    "p": dict.fromkeys(["norm", "normalize", "pairwise_distance", "PairwiseDistance", "pdist"], 2)
    | dict.fromkeys(["triplet_margin_loss", "TripletMarginLoss"], 2)
    | dict.fromkeys(["multi_margin_loss", "MultiMarginLoss"], 1),
    "reduction": {"sum_squared_error": "sum", "SumSquaredError": "sum"},
    "requires_grad": {"Parameter": True},
    "stride": dict.fromkeys(
        f"{kind}{n}d"
        for kind in "avg_pool max_pool max_unpool AvgPool MaxPool MaxUnpool".split()
        for n in (1, 2, 3)
    ),
    "threshold": {"softplus": 20.0, "Softplus": 20.0},
    "training": dict.fromkeys(
        "batch_norm rrelu rrelu_ alpha_dropout feature_alpha_dropout".split(), False
    ),
    "weight_decay": {"AdamW": 0.01},
}


def public(*modules):
    """What the modules define and show: name and object."""
    for module in modules:
        for name, x in (module if isinstance(module, dict) else vars(module)).items():
            if name[0] != "_" and callable(x) and x.__module__.startswith("micrograd_jp."):
                yield name, x


COMPOSED = composed(FUNCTIONS, METHODS)
EVERY = [*public(FUNCTIONS, METHODS, F, nn, optim, lr_scheduler, init, creation, random)]


def defaults(f):
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def otherwise(every):
    """What has another default than the lists above say, and the names that were met."""
    wrong, met = [], set()
    for name, f in every:
        for parameter, given in defaults(f).items():
            if parameter not in EVERYWHERE:
                continue
            met.add(parameter)
            own = ELSEWHERE.get(parameter, {})  # by name; by the function where two have one name
            wanted = own.get(f, own.get(name, EVERYWHERE[parameter]))
            if name in COMPOSED:  # their defaults are PyTorch's, which has them from elsewhere
                continue
            if name.startswith("Lazy"):  # those of the layer that it becomes
                continue
            numbers = all(isinstance(x, int | float) for x in (given, wanted))
            if given != wanted and not (numbers and math.isclose(given, wanted)):
                wrong.append(f"{name}({parameter}={given!r}), not {wanted!r}")
    return wrong, met


def test_one_name_one_default():
    assert otherwise(EVERY) == ([], EVERYWHERE.keys())


OURS = {  # knowingly other than PyTorch's
    ("ModuleList", "modules"),
}  # fmt: skip


def _shown(default):
    """A function, as the `activation` of a Transformer, by its name: theirs is another object."""
    return default.__name__ if inspect.isroutine(default) else default


def test_the_defaults_are_pytorchs():
    torch = pytest.importorskip("torch", reason="表だけと比べた")
    theirs = dict(public_of(torch.optim.lr_scheduler, torch.optim, torch.nn))
    compared, wrong = 0, []
    for name, f in public(nn, optim, lr_scheduler):
        if name in theirs:
            wanted = defaults(theirs[name])
            for parameter, given in defaults(f).items():
                if parameter in wanted and (name, parameter) not in OURS:
                    compared += 1
                    if _shown(given) != _shown(wanted[parameter]):
                        wrong.append(f"{name}({parameter}={given!r}), not {wanted[parameter]!r}")
    assert not wrong and compared > 80


def public_of(*modules):
    for module in modules:
        yield from ((n, x) for n, x in vars(module).items() if isinstance(x, type))


@pytest.mark.control
def test_another_default_is_noticed():
    def mine(x, beta=0.5, gain=2.0):
        return x

    wrong, _ = otherwise([*EVERY, ("mine", mine)])
    assert wrong == ["mine(beta=0.5), not 1", "mine(gain=2.0), not 1.0"]
