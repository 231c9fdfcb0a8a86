"""PyTorch の入門プログラムを、import の行だけ替えて（または PyTorch でそのまま）動かす道具。

`programs/` にあるのは、PyTorch の公開チュートリアルのプログラムを記憶から書いたものである。
公開されている文と 1 字ずつ比べてはいない。どれも PyTorch でそのまま動く。
"""

import contextlib
import io
import random
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import micrograd_jp

PROGRAMS = Path(__file__).parent / "programs"

IMPORTS = [
    (r"^from micrograd\.(engine|nn) import (.*)$", r"from micrograd_jp.\1 import \2"),
    (r"^from torchvision import (.*)$", r"from micrograd_jp.data import \1"),
    (r"^from torchvision\.(\w+) import (.*)$", r"from micrograd_jp.data.\1 import \2"),
    (r"^import torchvision\.(\w+) as (\w+)$", r"import micrograd_jp.data.\1 as \2"),
    (r"^import torch$", "import micrograd_jp as torch"),
    (r"^import torch(\.\S+)$", r"import micrograd_jp\1"),
    (r"^(from|import) torch(\.\S+)? (import|as) ", r"\1 micrograd_jp\2 \3 "),
]


# The layers that begin with random numbers.
DRAWN = "Linear Conv2d ConvTranspose2d Embedding RNN LSTM GRU LSTMCell MultiheadAttention".split()


def source(name):
    return (PROGRAMS / f"{name}.txt").read_text(encoding="utf-8")


def translated(text):
    """The same program with other import lines."""
    for pattern, ours in IMPORTS:
        text = re.sub(pattern, ours, text, flags=re.MULTILINE)
    return text


def run(name, library=micrograd_jp, numbers=None, double=False, **given):
    """Run a program.

    Args:
        name: the file in `programs/`.
        library: `micrograd_jp`, or the module `torch` to run it as it stands.
        numbers: a seed; then `randn` draws the same numbers whatever the library.
        double: compute in float64, where rounding is too small to change where a program ends.
        given: names that the program finds defined.

    Returns:
        (the program's names, what it printed)
    """
    text = source(name)
    if library is micrograd_jp:
        text = translated(text)
    scope, out = {"__name__": "__main__", **given}, io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.ExitStack() as stack:
        if numbers is not None:
            random.seed(numbers)
            np.random.seed(numbers)
            stack.enter_context(same_numbers(library, numbers))
        if double:
            stack.callback(library.set_default_dtype, library.get_default_dtype())
            library.set_default_dtype(library.float64)
            to_double = library.Tensor.double  # what makes floats makes float64, too
            stack.enter_context(mock.patch.object(library.Tensor, "float", to_double))
        exec(compile(text, f"<{name}>", "exec"), scope)
    return scope, out.getvalue()


def same_numbers(library, seed):
    """What is drawn comes from NumPy's generator, and layers begin with such numbers too."""
    rng = np.random.default_rng(seed)

    def shape_of(shape):
        return shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape

    def floats(numbers):
        return library.tensor(numbers.astype(np.float32)).to(library.get_default_dtype())

    def randn(*shape, requires_grad=False, dtype=None, device=None, generator=None):
        return floats(rng.standard_normal(shape_of(shape))).requires_grad_(requires_grad)

    def rand(*shape, generator=None, device=None):
        return floats(rng.random(shape_of(shape)))

    def randn_like(x):
        return randn(*x.shape).to(x.dtype)

    def rand_like(x):
        return rand(*x.shape).to(x.dtype)

    def randint(low, high, size=None, generator=None):
        low, high, size = (0, low, high) if size is None else (low, high, size)
        return library.tensor(rng.integers(low, high, size))

    def multinomial(p, num_samples, replacement=False, generator=None):
        assert replacement or num_samples == 1
        ends = p.detach().numpy().astype(float).cumsum(-1)
        drawn = rng.random((*ends.shape[:-1], num_samples)) * ends[..., -1:]
        return library.tensor((drawn[..., None] >= ends[..., None, :]).sum(-1))

    def beginning(original):
        def init(self, *args, **kwargs):
            original(self, *args, **kwargs)
            with library.no_grad():
                for p in self.parameters():
                    p.copy_(randn(*p.shape).to(library.float32) * 0.1)

        return init

    def normal_(tensor, mean=0.0, std=1.0):
        drawn = randn(*tensor.shape) * std + mean
        if isinstance(tensor, np.ndarray):  # what `data` is
            np.copyto(tensor, drawn.numpy())
            return tensor
        with library.no_grad():
            return tensor.copy_(drawn)

    def sample(self):
        return multinomial(self.probs, 1, True).squeeze(-1)

    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(library.distributions.Categorical, "sample", sample))
    stack.enter_context(mock.patch.object(library.nn.init, "normal_", normal_))
    for draw in (randn, randn_like, rand, rand_like, randint, multinomial):
        stack.enter_context(mock.patch.object(library, draw.__name__, draw))
    for name in DRAWN:
        layer = getattr(library.nn, name)
        stack.enter_context(mock.patch.object(layer, "__init__", beginning(layer.__init__)))
    return stack


def shown(name, keys, **options):
    """The numbers that a program ends with, and what it printed."""
    scope, printed = run(name, numbers=1, double=True, **options)
    return {key: plain(scope[key]) for key in keys}, printed


def plain(x):
    """Numbers alone, whatever the library."""
    if hasattr(x, "detach"):
        return x.detach().tolist()
    if isinstance(x, np.ndarray):
        return x.tolist()
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return [plain(v) for v in x] if isinstance(x, list | tuple) else x


def flat(x):
    if isinstance(x, dict):
        x = list(x.values())
    return [y for part in x for y in flat(part)] if isinstance(x, list | tuple) else [x]


def alike(ours, theirs, what):
    """The same numbers, whatever lists they stand in; floats to the ninth digit."""
    for a, b in zip(flat(ours), flat(theirs), strict=True):
        if isinstance(b, float):
            assert a == pytest.approx(b, rel=1e-9, abs=1e-9), what
        else:
            assert a == b, what
