"""ここにない PyTorch の名前: エラーが、代わりに何と書くかを言う。ある名前の行はない。"""

import inspect
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional
import micrograd_jp.optim.swa_utils
from micrograd_jp.missing import PLACES, ROWS, sentence
from tests.reference import pytorch_answers

sys.path.insert(0, str(Path(__file__).parents[2] / "demos" / "site"))
import pytorch_names

# Where PyTorch has public names, and what has them here.
WALKED = {
    "mg": ("", mg),
    "Tensor": ("Tensor", mg.Tensor),
    "nn": ("nn", mg.nn),
    "nn.Module": ("nn.Module", mg.nn.Module),
    "nn.functional": ("nn.functional", mg.nn.functional),
    "nn.init": ("nn.init", mg.nn.init),
    "nn.utils": ("nn.utils", mg.nn.utils),
    "nn.utils.rnn": ("nn.utils.rnn", mg.nn.utils.rnn),
    "optim": ("optim", mg.optim),
    "optim.lr_scheduler": ("optim.lr_scheduler", mg.optim.lr_scheduler),
    "optim.swa_utils": ("optim.swa_utils", mg.optim.swa_utils),
    "cuda": ("cuda", mg.cuda),
    "accelerator": ("accelerator", mg.accelerator),
    "utils.data": ("utils.data", mg.utils.data),
    "linalg": ("linalg", mg.linalg),
    "fft": ("fft", mg.fft),
    "autograd": ("autograd", mg.autograd),
    "distributions": ("distributions", mg.distributions),
}


NAMES = pytorch_names.names()


def test_the_table_of_names_is_pytorchs():
    pytest.importorskip("torch")
    assert pytorch_names.of_pytorch() == NAMES, "python demos/site/pytorch_names.py"


@pytest.mark.parametrize("place", WALKED)
def test_every_name_of_pytorch_is_here_or_says_what_to_write(place):
    theirs, ours = WALKED[place]
    names = NAMES[f"torch.{theirs}".rstrip(".")]
    assert len(names) > 5
    silent = [n for n in names if not hasattr(ours, n) and sentence(n, place) is None]
    assert silent == []


@pytest.mark.parametrize("place", WALKED)
def test_no_row_is_for_a_name_that_is_here(place):
    ours = WALKED[place][1]
    rows = {**PLACES.get(place, {}), **(ROWS if place in ("mg", "Tensor") else {})}
    here = [n for n in dir(ours) if n[0] != "_" and not inspect.ismodule(getattr(ours, n, None))]
    assert [(p[:40], n) for p in rows for n in here if re.fullmatch(p, n)] == []


@pytest.mark.parametrize(
    "kind", ["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"]
)
def test_every_method_of_a_container_is_here_or_says_what_to_write(kind):
    ours, names = getattr(mg.nn, kind), NAMES[f"torch.nn.{kind}"]
    assert "named_parameters" in names
    assert [n for n in names if not hasattr(ours, n) and not sentence(n, "nn.Module")] == []


# What the steps of DeZero and its package have, by their names.
DEZERO = """
    Variable Function Parameter Layer Model as_variable as_array no_grad test_mode using_config
    Config setup_variable layers models optimizers datasets dataloaders DataLoader SeqDataLoader
    add sub mul div neg pow sin cos tanh exp log reshape transpose get_item sum sum_to broadcast_to
    average matmul linear sigmoid relu softmax log_softmax leaky_relu mean_squared_error
    softmax_cross_entropy sigmoid_cross_entropy binary_cross_entropy accuracy dropout batch_norm
    embed_id max min clip conv2d deconv2d pooling average_pooling im2col col2im Linear Conv2d
    Deconv2d RNN LSTM EmbedID BatchNorm TwoLayerNet Sequential MLP VGG16 ResNet SGD MomentumSGD
    AdaGrad AdaDelta Adam WeightDecay ClipGrad FreezeParam Spiral MNIST get_spiral numerical_grad
    gradient_check plot_dot_graph get_dot_graph
""".split()
OF_A_VARIABLE = """
    data grad creator set_creator generation cleargrad unchain unchain_backward backward reshape
    transpose T sum shape ndim size dtype name to_cpu to_gpu
""".split()
OF_A_LAYER = "params cleargrads namedparams save_weights load_weights add_hook forward plot".split()


def test_every_name_of_dezero_is_here_or_says_what_to_write():
    at = [mg, mg.nn, mg.optim, mg.nn.functional]
    silent = [n for n in DEZERO if not any(hasattr(m, n) for m in at) and not sentence(n)]
    silent += [n for n in OF_A_VARIABLE if not hasattr(mg.Tensor, n) and not sentence(n, "Tensor")]
    silent += [n for n in OF_A_LAYER if not hasattr(mg.nn.Module, n) and not sentence(n)]
    assert silent == []


def test_no_row_of_dezero_hides_what_to_write_in_pytorchs_words():
    """A name of both has one row only."""
    both = [(p, n) for p in ROWS for q, n in ((q, n) for q in ROWS for n in q.split("|"))
            if p != q and re.fullmatch(r"\w+", n) and re.fullmatch(p, n)]  # fmt: skip
    assert both == []


def test_what_to_write_instead_is_here():
    """Every mg.… that a sentence names."""
    rows = [ROWS, *PLACES.values()]
    named = {
        n for row in rows for text in row.values() for n in re.findall(r"mg((?:\.\w+)+)", text)
    }
    assert len(named) > 80
    assert [n for n in named if "{" not in n and not _resolves(n)] == []


def _resolves(path):
    here = mg
    for name in path.strip(".").split("."):
        if not hasattr(here, name):
            return False
        here = getattr(here, name)
    return True


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: mg.FloatTensor, "mg.float32"),
        (lambda: mg.func, "mg.jacobian"),
        (lambda: mg.random, "mg.manual_seed"),
        (lambda: mg.nn.attention, "scaled_dot_product_attention"),
        (lambda: mg.nn.utils.prune, "mask"),
        (lambda: mg.nn.utils.get_total_norm, "inf"),
        (lambda: mg.utils.checkpoint, "accumulate=k"),
        (lambda: mg.testing.assert_close, "np.testing"),
        (lambda: mg.nn.models.alexnet, "VGG、GoogLeNet、ResNet"),
        (lambda: mg.distributed.all_gather, "broadcast"),
        (lambda: mg.data.datasets.CIFAR100, "CIFAR10、ImageFolder"),
        (lambda: mg.data.transforms.RandAugment, r"Lambda\(関数\)"),
        (lambda: mg.distributions.Normal(0.0, 1.0).icdf, "ppf"),
        (lambda: mg.distributions.Bernoulli(0.5).perplexity(), r"entropy\(\)\.exp"),
        (lambda: mg.symeig, "mg.linalg.eigh"),
        (lambda: mg.range, "mg.arange"),
        (lambda: mg.relu_, r"t\.relu_\(…\)"),
        (lambda: mg.Variable, "requires_grad=True"),
        (lambda: mg.ones(2).unsqueeze_, r"t = t\.unsqueeze\(…\)"),
        (lambda: mg.ones(2).erfc(), r"1 - mg\.erf"),
        (lambda: mg.nn.LazyConvTranspose3d, "Upsample"),
        (lambda: mg.nn.functional.grid_sample, "transforms"),
        (lambda: mg.optim.SparseAdam, "mg.optim.Adam"),
        (lambda: (mg.optim.swa_utils, mg.optim.Muon), "AdamW"),
        (lambda: mg.cuda.FloatTensor, "device="),
        (lambda: mg.cuda.amp, "mg.autocast"),
        (lambda: mg.utils.data.DistributedSampler, "distributed=True"),
        (lambda: mg.linalg.lu, "mg.linalg.solve"),
        (lambda: mg.stft, r"mg\.fft\.rfft"),
        (lambda: mg.distributions.Beta, "Normal"),
    ],
)
def test_the_error_says_what_to_write(ask, told):
    with pytest.raises(AttributeError, match=told) as caught:
        ask()
    assert "not in micrograd_jp" in str(caught.value)


def test_other_names_have_the_usual_error():
    assert sentence("tensr") is None
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'summ'"):
        mg.ones(2).summ
    for module in (mg.nn, mg.nn.functional, mg.optim, mg.linalg):
        with pytest.raises(AttributeError, match=f"'{module.__name__}' has no attribute 'summ'"):
            module.summ
    with pytest.raises(AttributeError, match="'cuda' has no attribute 'summ'"):
        mg.cuda.summ
    assert not hasattr(mg.ones(2), "_nothing") and not hasattr(mg.nn, "_nothing")


@pytest.mark.parametrize(
    "call",
    [
        lambda y: mg.exp(y, out=y), lambda y: y.add(1, out=y), lambda y: mg.matmul(y, y, out=y),
        lambda y: mg.zeros(2, out=y),
    ],
)  # fmt: skip
def test_out_says_how_to_keep_a_result(call):
    with pytest.raises(TypeError, match=r"out= はここにはありません。.*y\.copy_"):
        call(mg.ones(2))


# ---- 形を size= で ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [mg.zeros, mg.ones, mg.empty, mg.rand, mg.randn, mg.ones(1).new_zeros, mg.ones(1).new_ones,
     lambda **given: mg.randint(0, 5, **given), lambda **given: mg.randint(5, **given),
     lambda **given: mg.full(fill_value=3.0, **given)],
)  # fmt: skip
def test_the_shape_may_be_called_size(make):
    assert make(size=(2, 3)).shape == (2, 3) == mg.Size([2, 3])
    assert make(size=()).shape == ()


@pytest.mark.parametrize("make", [mg.zeros, mg.randn, mg.ones(1).new_ones])
def test_a_shape_is_given_once(make):
    with pytest.raises(TypeError, match="2 度"):
        make(2, size=(2,))


def test_random_integers_need_a_shape():
    with pytest.raises(TypeError, match="size required"):
        mg.randint(5)
    drawn = mg.randint_like(mg.zeros(500), 2, 4)
    assert drawn.dtype == mg.float32 and {*drawn.tolist()} == {2.0, 3.0}


@pytorch_answers
def spaced(torch):
    return torch.logspace(-1, 2, 7, base=2.0, dtype=torch.float64).numpy()


def test_logarithmic_steps_are_pytorchs():
    ours = mg.logspace(-1, 2, 7, base=2.0, dtype=mg.float64)
    np.testing.assert_allclose(ours.data, spaced(), rtol=1e-12)
    assert mg.is_floating_point(ours) and not mg.zeros(1).long().is_floating_point()
    assert isinstance(ours.dtype, mg.dtype)
