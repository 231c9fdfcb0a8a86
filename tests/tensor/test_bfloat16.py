"""bfloat16: だれかが先に jax や ml_dtypes を読み込んでいたかどうかによらず、同じ答え。"""

import json
import subprocess
import sys

import numpy as np
import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional as F
from micrograd_jp.namespace import dtype_of, ieee

ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes がありません")

PROGRAM = """
import json, sys
import numpy as np
import micrograd_jp as mg
from micrograd_jp import nn, optim

def names(*tensors):
    return [f"{t.dtype} {t.tolist()}" for t in tensors]

b, out = "bfloat16", []
out += names(mg.zeros(2, dtype=b), mg.ones(2, dtype=b, requires_grad=True), mg.eye(2, dtype=b))
out += names(mg.full((2,), 0.1, dtype=b), mg.arange(3, dtype=b), mg.linspace(0, 1, 3, dtype=b))
out += names(mg.tensor([0.1, 2], dtype=b), mg.zeros_like(mg.ones(2, dtype=b)))
x = mg.tensor([[0.1, 0.2]])
out += names(x.to(b), x.bfloat16(), x.type(b), x.astype(b), x.to(dtype=b), x.to(mg.bfloat16))
out += [x.to(b).is_floating_point(), x.to(b).requires_grad_().requires_grad]
for make in (lambda m: m.to(b), lambda m: m.bfloat16(), lambda m: m.to(mg.bfloat16)):
    model = nn.Linear(2, 1)
    model.weight.data, model.bias.data = np.float32([[0.3, 0.4]]), np.float32([0.5])
    model = make(model)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    loss = model(x.bfloat16()).sum()
    loss.backward()
    optimizer.step()
    out += names(loss, model.weight, model.weight.grad, model.bias)
mg.set_default_dtype(b)
out += names(mg.tensor([0.1]), mg.ones(1), mg.tensor([1, 2]) / 3)
out += [str(mg.get_default_dtype()), str(nn.Linear(1, 1).bias.dtype)]
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def answers():
    """Of the same program, after other imports."""
    found = {}
    for first in ("", "import ml_dtypes", "import jax"):
        if first == "import jax":
            pytest.importorskip("jax", reason="jax がありません")
        done = subprocess.run(
            [sys.executable, "-c", f"{first}\n{PROGRAM}"], capture_output=True, text=True
        )
        found[first] = json.loads(done.stdout) if done.returncode == 0 else done.stderr
    return found


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import ml_dtypes", "import jax"])
def test_the_same_whoever_was_imported_before(answers, first):
    assert answers[first] == answers[""]
    assert answers[""][0] == "bfloat16 [0.0, 0.0]" and "float32" not in str(answers[""])


def test_without_the_extra_a_sentence_says_which():
    program = """
import sys
import micrograd_jp as mg
model, x = mg.nn.Linear(2, 1), mg.ones(2)
x.float().half()
assert not {"ml_dtypes", "jax"} & {*sys.modules}  # nobody asked for it
sys.modules["ml_dtypes"] = None
for ask in (lambda: mg.bfloat16, lambda: x.bfloat16(), lambda: x.to("bfloat16"),
            lambda: model.bfloat16(), lambda: mg.zeros(2, dtype="bfloat16"),
            lambda: mg.set_default_dtype("bfloat16")):
    try: ask()
    except ImportError as error: print(error)
assert "bfloat16" not in dir(mg)
exec("from micrograd_jp import *")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    line = (
        'ml_dtypes が必要です (missing dependency)。pip install "micrograd_jp[accel]" で入ります。'
    )
    assert done.stdout.splitlines() == [line] * 6, done.stderr


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"1e\+39 は bfloat16 に入りません"):
        mg.full((2,), 1e39, dtype="bfloat16")
    t = mg.zeros(2, dtype=mg.int8)
    with pytest.raises(ValueError, match=r"300\.0 は int8 に入りません"):
        t.copy_(mg.tensor([300.0, 1.0]).bfloat16())


# ---- 行列の積、畳み込み -------------------------------------------------------------------------

PRODUCTS = {
    "matmul": (lambda x, w: x @ w, (5, 300), (300, 4)),
    "bmm": (lambda x, w: x @ w, (2, 5, 300), (2, 300, 4)),
    "linear": (lambda x, w, b: F.linear(x, w, b), (5, 300), (4, 300), (4,)),
    "einsum": (lambda x, w: mg.einsum("ij,jk->ik", x, w), (5, 300), (300, 4)),
    "einsum of three": (lambda x, y, z: mg.einsum("i,ij,j->", x, y, z), (90,), (90, 80), (80,)),
    "dot": (lambda x, y: mg.dot(x, y), (3000,), (3000,)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b), (2, 8, 7, 7), (3, 8, 5, 5), (3,)),
    "conv2d, strides": (lambda x, w: F.conv2d(x, w, stride=2, padding=1),
                        (2, 4, 9, 9), (3, 4, 3, 3)),
    "depthwise": (lambda x, w: F.conv2d(x, w, groups=4), (2, 4, 9, 9), (4, 1, 5, 5)),
    "conv_transpose2d": (lambda x, w: F.conv_transpose2d(x, w, stride=2),
                         (2, 4, 5, 5), (4, 3, 3, 3)),
}  # fmt: skip


def once_rounded(f, shapes, dtype, make=np.asarray):
    """The largest error of results and gradients, in units of the last place of the largest."""
    rng = np.random.default_rng(0)
    wanted = [mg.tensor(rng.standard_normal(s)).to(dtype).data for s in shapes]
    found = []
    for kind in (dtype, "float64"):
        xs = [mg.tensor(x if kind == "float64" else make(x)).to(kind) for x in wanted]
        xs = [x.requires_grad_() for x in xs]
        out = f(*xs)
        out.backward(mg.ones(*out.shape, dtype=kind))
        assert {str(t.dtype) for t in (out, *(x.grad for x in xs))} == {kind}
        found.append([np.asarray(t.data, np.float64) for t in (out, *(x.grad for x in xs))])
    eps = float(ml_dtypes.finfo(dtype_of(dtype)).eps)
    return max(float(np.abs(a - b).max() / (np.abs(b).max() * eps)) for a, b in zip(*found))


ON_JAX = {
    "float16": ("linear", "conv_transpose2d"),
    "bfloat16": ("linear", "conv2d", "depthwise", "einsum of three", "bmm"),
}
"""The others take the same ways, and all are compiled anew: slow."""


@pytest.mark.parametrize("name, dtype, kind", [
    pytest.param(name, dtype, kind, marks=[pytest.mark.slow] if (
        kind == "jax" and name not in ON_JAX[dtype]) else [])
    for name in PRODUCTS for dtype in ("float16", "bfloat16") for kind in ("numpy", "jax")
])  # fmt: skip
def test_products_are_rounded_once_and_keep_their_dtype(name, dtype, kind):
    make = np.asarray
    if kind == "jax":
        make = pytest.importorskip("jax", reason="jax がありません").numpy.asarray
    f, *shapes = PRODUCTS[name]
    twice = kind == "jax" and len(shapes) == 3  # XLA rounds a product before the bias is added
    assert once_rounded(f, shapes, dtype, make) <= 0.51 + 0.5 * twice


def test_products_in_the_short_dtype_itself_are_caught(monkeypatch):
    """The fault put in: products and their sums in float16."""

    def added_up(x, y):
        return np.add.reduce(x[..., None] * y[..., None, :, :], axis=-2)

    monkeypatch.setattr(type(ieee), "matmul", staticmethod(added_up))
    f, *shapes = PRODUCTS["matmul"]
    assert once_rounded(f, shapes, "float16") > 0.51


# ---- 半精度の層に float32 のデータ --------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("wide", ["float32", "float64"])
def test_a_half_model_given_wider_data_says_so(dtype, wide):
    x = mg.ones(2, 3, dtype=wide)
    layers = [(mg.nn.Linear(3, 2), x), (mg.nn.Conv2d(3, 2, 1), x.reshape(2, 3, 1, 1)),
              (mg.nn.ConvTranspose2d(3, 2, 1), x.reshape(2, 3, 1, 1))]  # fmt: skip
    for layer, given in layers:
        layer.to(dtype)
        sentence = rf"{dtype} の層に {wide} の入力が渡されました \(dtype mismatch\)"
        with pytest.raises(TypeError, match=sentence) as caught:
            layer(given)
        assert f'x.to("{dtype}")' in str(caught.value) and "mg.autocast" in str(caught.value)
        assert layer(given.to(dtype)).dtype == dtype


def test_promotion_of_arithmetic_is_as_it_was():
    x = mg.ones(2, dtype="float32")
    assert (x * mg.ones(2, dtype="float16")).dtype == mg.float32
    assert mg.nn.Linear(2, 1)(x.half()).dtype == mg.float32  # exact: nothing is lost
    whole = mg.ones(1, 2, dtype="int16")  # 16 bits, but no half precision
    assert mg.nn.functional.linear(x, whole).tolist() == [2.0]
