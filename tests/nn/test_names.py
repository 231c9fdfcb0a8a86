"""`torch.optim` と、`torch.nn` の損失・活性化関数・ドロップアウトの公開する名前: どれがないか。"""

import inspect
import re

import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional
import micrograd_jp.optim.swa_utils
from tests.reference import pytorch_answers

# What PyTorch has and we have not, and why.
MISSING = {
    "optim": {
        "Adafactor": "二次モーメントを行と列に分ける",
        "Muon": "行列の直交化を bfloat16 でする",
        "SparseAdam": "疎な Tensor がない",
        "swap_in_optimizer_params_and_state": "PyTorch 2.13 だけ",
    },
    "nn.modules.loss": {
        "CTCLoss": "動的計画法の損失",
        "LinearCrossEntropyLoss": "PyTorch 2.13 だけ",
        "NLLLoss2d": "古い名前 (NLLLoss)",
    },
    "nn.modules.activation": {},
}
PLACES = {
    "optim": mg.optim,
    "optim.lr_scheduler": mg.optim.lr_scheduler,
    "optim.swa_utils": mg.optim.swa_utils,
    "nn.modules.loss": mg.nn,
    "nn.modules.activation": mg.nn,
    "nn.modules.dropout": mg.nn,
    "nn.modules.distance": mg.nn,
}
# Functions of the same families.
FUNCTIONS = """
    alpha_dropout binary_cross_entropy binary_cross_entropy_with_logits celu celu_
    cosine_embedding_loss cosine_similarity cross_entropy dropout dropout1d dropout2d dropout3d elu
    elu_ feature_alpha_dropout gaussian_nll_loss gelu glu gumbel_softmax hardshrink hardsigmoid
    hardswish hardtanh hardtanh_ hinge_embedding_loss huber_loss kl_div l1_loss leaky_relu
    leaky_relu_ log_softmax logsigmoid margin_ranking_loss mish mse_loss multi_margin_loss
    multilabel_margin_loss multilabel_soft_margin_loss nll_loss normalize pairwise_distance
    poisson_nll_loss prelu relu relu6 relu_ rrelu rrelu_ selu selu_ sigmoid silu smooth_l1_loss
    soft_margin_loss softmax softmin softplus softshrink softsign tanh tanhshrink threshold
    threshold_ triplet_margin_loss triplet_margin_with_distance_loss
""".split()


@pytorch_answers
def public_names(torch, place):
    for part in place.split("."):
        torch = getattr(torch, part)
    return sorted(torch.__all__)


@pytest.mark.parametrize("place", PLACES)
def test_only_the_names_of_the_table_are_missing(place):
    missing = {name for name in public_names(place) if not hasattr(PLACES[place], name)}
    assert missing == set(MISSING.get(place, {}))


def test_the_functions_are_there():
    assert [name for name in FUNCTIONS if not hasattr(mg.nn.functional, name)] == []


@pytorch_answers
def function_names(torch):
    return sorted(n for n in dir(torch.nn.functional) if n in FUNCTIONS)


def test_the_functions_are_those_of_pytorch():
    assert function_names() == sorted(FUNCTIONS)


# ---- 引数の名前と順 ------------------------------------------------------------------------------

# The arguments that PyTorch has and we have not, and why.
LACKING = {
    "nn": {
        **dict.fromkeys(["AdaptiveMaxPool1d", "AdaptiveMaxPool2d"], "return_indices"),
        # bias: since PyTorch 2.13
        **{f"{kind}Norm{n}d": "bias" for kind in ("Batch", "Instance") for n in (1, 2, 3)},
        "GroupNorm": "bias",
        # padding_mode: only "zeros" is allowed there
        **dict.fromkeys(["ConvTranspose1d", "ConvTranspose2d"], "padding_mode"),
        "Hardtanh": "min_value max_value",  # old names
    },
    "nn.functional": {
        **dict.fromkeys(["adaptive_max_pool1d", "adaptive_max_pool2d"], "return_indices"),
        "interpolate": "antialias",
        "normalize": "out",
    },
}
EVERYWHERE = {"self", "dtype", "device"}  # of the factories; PyTorch's stand where they like


def names_of(f):
    """The names of its arguments in order, or nothing where PyTorch takes whatever comes."""
    try:
        names = list(inspect.signature(f).parameters)
    except ValueError:
        names = ["args", "kwargs"]
    if names == ["args", "kwargs"]:  # of a C function: its documentation begins with the call
        call = re.match(
            rf"\s*{f.__name__.removeprefix('_')}\((.*?)\)( ->|$)", f.__doc__ or "", re.M
        )
        given = re.sub(r"\([^)]*\)", "", call[1]).split(",") if call else []
        names = [name.partition("=")[0].strip(" *") for name in given]
    return [n for n in names if n and n[0] != "_" and n not in EVERYWHERE]


@pytorch_answers
def arguments_of_pytorch(torch, place):
    for part in place.split("."):
        torch = getattr(torch, part)
    found = {name: getattr(torch, name) for name in dir(torch) if name[0] != "_"}
    return {n: names_of(f) for n, f in found.items() if callable(f) and not inspect.ismodule(f)}


@pytest.mark.parametrize("place", LACKING)
def test_arguments_have_pytorchs_names_in_its_order(place):
    here = mg.nn if place == "nn" else mg.nn.functional
    compared = 0
    for name, theirs in arguments_of_pytorch(place).items():
        if theirs and hasattr(here, name) and theirs != ["args"]:
            lacking = LACKING[place].get(name, "").split()
            ours = names_of(getattr(here, name))
            if name.endswith("_"):
                ours = [n for n in ours if n != "inplace"]
            assert ours == [n for n in theirs if n not in lacking], name
            assert {*lacking} <= {*theirs}, name
            compared += 1
    assert compared > 80
