"""エラーの文: 公開する関数に何を渡しても、エラーは私たちの文で、何も変わらないうちに出る。

公開する名前すべて（パッケージ、`nn`、`optim`、`data` などの関数とクラス、`Tensor` や `Value` や、
できた物のメソッド）を、でたらめな引数で呼ぶ。私たちの文には日本語がある。Python 自身が、引数の
過不足を、呼んだ関数の名前で言うのはよい。
"""

import ast
import contextlib
import importlib
import inspect
import io
import itertools
import random
import re
import signal
import socket
import warnings
import zlib
from collections import defaultdict
from enum import EnumType
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import arguments
from micrograd_jp.tensor import registry

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="終わらない呼び出しを止められない OS では試さない"
)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")

# ---- 公開する名前 --------------------------------------------------------------------------------

MODULES = """
    nn nn.functional nn.init nn.utils nn.models optim optim.lr_scheduler data data.datasets
    data.transforms testing training viz viz.figures saving transforms xla
""".split()
# Called by the package alone: by nodes (graph/node.py), by optimizers and image transforms.
PROTOCOL = set(
    "accumulate of_array pull reach_owner record apply placement of "
    "advanced check first scratch slots update".split()
)
TOO_LARGE = re.compile("vgg|resnet[0-9]|ResNet|VGG|[gG]oog|mnist")  # millions of numbers each
OPERATORS = """
    __add__ __radd__ __mul__ __truediv__ __rtruediv__ __pow__ __rpow__ __matmul__ __rmatmul__
    __mod__ __floordiv__ __lt__ __eq__ __and__ __invert__ __neg__ __iadd__ __imul__ __getitem__
    __setitem__ __contains__ __len__ __iter__ __call__ __float__ __int__ __index__ __bool__
""".split()


def names_of(module):
    """What a module offers: its own functions and classes, and what it imports under one name."""
    own = getattr(module, "__all__", None)
    if own is not None:
        return list(own)
    found = []
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    found += names_of(importlib.import_module(node.module))
                elif alias.asname == alias.name:
                    found.append(alias.name)
    return [name for name in found if not name.startswith("_")]


def public():
    """Every public function and class, by the name that a user writes."""
    out = {f"mg.{name}": getattr(mg, name) for name in mg.__all__}
    for where in MODULES:
        module = importlib.import_module(f"micrograd_jp.{where}")
        for name in names_of(module):
            out[f"mg.{where}.{name}"] = getattr(module, name)
    seen = set()
    for name, x in out.items():
        if getattr(x, "_is_protocol", False) or x in (np.dtype, tuple):  # described; not ours
            continue
        if callable(x) and not isinstance(x, ModuleType | EnumType) and id(x) not in seen:
            seen.add(id(x))
            init = getattr(x, "__init__", None) if inspect.isclass(x) else x
            if not TOO_LARGE.search(name) and "graphviz" not in getattr(init, "__module__", ""):
                yield name, x


def methods_of(kind):
    """The public methods that are written in this package (Drawing has graphviz's, too)."""
    for name in dir(kind):
        owner = next((c for c in kind.__mro__ if name in vars(c)), object)
        ours = owner.__module__.startswith("micrograd_jp")
        shown = name in OPERATORS or not name.startswith("_")
        if ours and shown and name not in PROTOCOL and callable(getattr(kind, name)):
            yield name


# ---- でたらめな引数 ------------------------------------------------------------------------------


def strangers():
    """Things of every kind, new each time."""
    w = mg.tensor([1.0, -2.0], requires_grad=True)
    data = mg.data.TensorDataset(mg.ones(6, 3), mg.zeros(6, dtype=mg.int64))
    v = [mg.Value(1.0), mg.Value(2.0)]
    return [
        None, True, 0, 1, -1, 2, 3, 10**20, 0.5, -2.5, float("inf"), float("nan"), 1j,
        "a", "", "mean", "relu", "x.npz", "float32", "ij,jk->ik", b"x",
        [], [1, 2], [[1.0, 2.0], [3.0, 4.0]], [[1], [2, 3]], (), (0,), (1, 0), (2, -1), (2, 3),
        (0.5, 1.5), ["a"], [None], {}, {"a": 1}, {"a": w}, {1, 2}, object(), range(3),
        np.arange(6.0).reshape(2, 3), np.array([0, 2, 1]), np.array([True, False]),
        np.array(["a", "b"]), np.array([None, 1], object), np.array([1j]), np.array(2.0),
        np.float64(2), np.int64(1), np.bool_(True), np.float32, int,
        mg.arange(6.0).reshape(2, 3), mg.tensor([0, 2, 1]), mg.tensor(2.0), mg.tensor(1),
        mg.zeros(0, 3), mg.tensor([[True, False, True]]), mg.ones(1, 1, 4, 4), mg.eye(3),
        mg.ones(2, 2, 3), mg.tensor([[1, 2, 3]], dtype=mg.uint8), w, w * 2,
        mg.tensor([1.0], dtype=mg.float16), v[0] * v[1], v, [v, v], [w],
        [mg.ones(2, 3), mg.ones(4)],
        lambda *a, **k: a[0] if a else None, slice(0, 2), ..., mg.nn.Linear(3, 2),
        mg.nn.MLP(2, [2, 1]), mg.nn.Conv2d(1, 2, 2), mg.optim.SGD([w], lr=0.1), data,
        mg.data.DataLoader(data, 2), mg.data.transforms.RandomRotation(10), (i for i in range(3)),
    ]  # fmt: skip


def arguments_for(f, rng, things):
    """A random call that the signature allows, more or less."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in placed)
    n = rng.randint(needed, max(needed, min(len(placed), needed + 2)))
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        n += rng.randint(0, 3)
    n = max(0, n + rng.choice([0] * 28 + [-1, 1]))
    named = {
        p.name: rng.choice(things)
        for p in parameters
        if (p.kind is p.KEYWORD_ONLY and (p.default is p.empty or rng.random() < 0.2))
        or (p in placed[n:] and rng.random() < 0.15)
    }
    return [rng.choice(things) for _ in range(n)], named


# ---- 誰の文か ------------------------------------------------------------------------------------


def is_foreign(error):
    """Whether the text is Python's, NumPy's or JAX's own."""
    if JAPANESE.search(str(error)) or isinstance(error, StopIteration | MemoryError):
        return False
    depth, frame = 0, error.__traceback__
    while frame.tb_next:
        depth, frame = depth + 1, frame.tb_next
    # Python says what is missing or too much, and names the function that was called.
    wrong_call = isinstance(error, TypeError) and re.search(r"\) (missing|got|takes)", str(error))
    return not (wrong_call and depth <= 1)


class _TooLong(BaseException):
    pass


def _stop(*_):
    raise _TooLong


REFUSED = object()


def outcome(f, args, named, things):
    """The result or REFUSED, and what was wrong with the error, where one should not be."""
    before = [(x, x._data.copy()) for x in things if isinstance(x, mg.Tensor)]
    signal.setitimer(signal.ITIMER_REAL, 60)  # on a busy machine, too
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return f(*args, **named), ""
    except _TooLong:
        return REFUSED, "60 秒で終わらない"
    except (Exception, SystemExit) as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if is_foreign(error):
            return REFUSED, f"{type(error).__name__}: {error}"
        for x, numbers in before:
            if not np.array_equal(x.data, numbers, equal_nan=x.data.dtype.kind == "f"):
                return REFUSED, f"{x} が変わった: {error}"
        return REFUSED, ""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        mg.set_default_dtype(mg.float32)


def _look(x):
    return re.sub(r"\s+", " ", repr(x))[:60]


def faults(calls, pattern="", seed=0, share=1):
    """Whatever is foreign, of so many calls of every public name, or of one name in `share`."""
    found, made, unchanged = {}, defaultdict(list), []

    def attempt(name, f, args, named, things):
        result, wrong = outcome(f, args, named, things)
        if wrong:
            shown = ", ".join([*map(_look, args), *(f"{k}={_look(v)}" for k, v in named.items())])
            found.setdefault((name, wrong[:50]), f"{name}({shown}) → {wrong[:200]}")
        return result

    def several(name, get):
        if not re.search(pattern, name) or zlib.crc32(name.encode()) % share:
            return
        rng = random.Random(zlib.crc32(f"{name} {seed}".encode()))
        for _ in range(calls):
            things = unchanged.pop() if unchanged else strangers()
            f = get(things, rng)
            args, named = arguments_for(f, rng, things)
            result = attempt(name, f, args, named, things)
            unchanged.extend([things] if result is REFUSED else [])
            kind = type(result)
            if kind.__module__.startswith("micrograd_jp") and not isinstance(
                result,
                mg.Tensor | mg.Value | mg.data.transforms.Lambda,  # it calls the user's own
            ):
                made[kind].append(result)
            elif inspect.isfunction(result) and not any(isinstance(x, type) for x in args):
                attempt(f"{name}(…)", result, [rng.choice(things)], {}, things)
            elif inspect.isgenerator(result):
                attempt(f"{name}(…)", lambda g=result: list(itertools.islice(g, 3)), [], {}, things)

    for name, f in public():
        several(name, lambda things, rng, f=f: f)
    for x in strangers():
        if isinstance(x, mg.Tensor | mg.Value) or type(x).__module__.startswith("micrograd_jp"):
            made[type(x)].append(x)
    for kind, examples in [*made.items()]:
        if any(c.__module__.startswith("matplotlib") for c in kind.__mro__):
            continue  # a figure of matplotlib, whose methods it only adorns
        for method in methods_of(kind):

            def bound(things, rng, kind=kind, examples=examples, method=method):
                mine = [x for x in things if type(x) is kind] or examples
                return getattr(rng.choice(mine), method)

            several(f"{kind.__name__}.{method}", bound)
    return list(found.values())


@pytest.fixture
def _safe(monkeypatch, tmp_path):
    """No network, no files elsewhere, no call that never ends."""

    def no_network(*args, **kwargs):
        raise OSError("ネットワークにはつながない")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setenv("MICROGRAD_JP_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, _stop)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for calm in (DeprecationWarning, PendingDeprecationWarning, np.exceptions.ComplexWarning):
            warnings.filterwarnings("ignore", category=calm)
        yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_safe")
def test_every_error_is_ours():
    assert faults(1, share=3) == []  # of every name with the slow tests


@pytest.mark.control
@pytest.mark.usefixtures("_safe")
def test_what_is_not_ours_would_be_found(monkeypatch):
    monkeypatch.setattr(arguments, "explanation", lambda *call: None)
    monkeypatch.setattr(registry, "explanation", lambda *call: None)
    assert len(faults(4, "topk|save|optim|arange")) > 5


def test_whose_text_it_is():
    def outcome_of(f, *args):
        return outcome(f, args, {}, [])[1]

    assert outcome_of(mg.nn.Linear(3, 2), mg.ones(2)) == ""
    assert outcome_of(mg.nn.Linear) == ""  # Python names what was called
    assert "reshape" in outcome_of(np.reshape, 3, (2, 2))
    assert "float" in outcome_of(lambda: float("a"))
    w = mg.zeros(2)

    def writes_and_fails():
        w.fill_(1)
        raise ValueError("書いてから断る")

    assert "変わった" in outcome(writes_and_fails, [], {}, [w])[1]


# ---- 文の中身 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mg.topk(mg.ones(3), None), ["topk の k は整数です", "None", "topk(x, k, axis=-1"]),
        (lambda: mg.ones(3).sort(0, descending=np.ones(2)), ["descending は True か False です"]),
        (lambda: mg.zeros(2, dtype="foo"), ["dtype は型", "'foo'"]),
        (lambda: mg.stack(3), ["並び", "3"]),
        (lambda: mg.save({}, 3), ["path は文字列かパスです"]),
        (lambda: mg.grad(3), ["関数", "3"]),
        (lambda: mg.grad(mg.tanh, "a"), ["argnums", "'a'"]),
        (lambda: mg.ones(3).topk(1, 2, 3, 4, 5), ["topk の引数が合いません"]),
        (lambda: mg.tensor([1], dtype=mg.uint8) + 300, ["300", "uint8", "収まりません"]),
        (lambda: mg.ones(3) & 1.0, ["真偽値"]),
        (lambda: mg.ones(2, 3, 4) @ mg.ones(5, 4, 2), ["(batch)", "2", "5"]),
        (lambda: mg.ones(2, 3, 4) @ mg.ones(2, 5, 2), ["4", "最後から 2 番目", "5"]),
        (lambda: mg.draw(mg.nn.Linear(2, 3)), ["Linear", "model(x)"]),
        (lambda: mg.nn.MLP(2, [2, 1])(mg.ones(3, 2)), ["1 つの標本", "mg.nn.Linear"]),
    ],
)
def test_what_an_error_says(call, words):
    with pytest.raises((TypeError, ValueError, OverflowError)) as found:
        call()
    for word in words:
        assert word in str(found.value)


# ---- 派生クラスが書くはずのメソッド --------------------------------------------------------------


def hooks(source):
    """(class, method) of what stands here only to be written by a subclass."""
    for kind in ast.walk(ast.parse(source)):
        for f in kind.body if isinstance(kind, ast.ClassDef) else ():
            last = f.body[-1] if isinstance(f, ast.FunctionDef) else None
            if isinstance(last, ast.Raise) and re.search("NotImpl|undefined", ast.unparse(last)):
                yield kind.name, f.name


def test_a_method_that_a_subclass_forgot_is_named():
    found = set()
    for path in Path(mg.__file__).parent.rglob("*.py"):
        for kind, name in hooks(path.read_text(encoding="utf-8")):
            parts = path.with_suffix("").relative_to(Path(mg.__file__).parents[1]).parts
            owner = getattr(importlib.import_module(".".join(parts)), kind)
            forgetful = object.__new__(type("Forgetful", (owner,), {}))
            if isinstance(inspect.getattr_static(owner, name), property):
                with pytest.raises(
                    NotImplementedError, match=rf"is not defined.*def {name}\(self\)"
                ):
                    getattr(forgetful, name)
                continue
            signature = inspect.signature(getattr(forgetful, name))
            # What is asked of a class is written without `self`, with @staticmethod.
            first = [] if getattr(forgetful, name).__self__ is type(forgetful) else ["self"]
            written = f"{name}({', '.join([*first, *signature.parameters])})"
            with pytest.raises(NotImplementedError, match=r"is not defined") as error:
                getattr(forgetful, name)(*[None] * len(signature.parameters))
            assert "Forgetful" in str(error.value)
            any_call = "VAR" in str([p.kind for p in signature.parameters.values()])
            assert f"def {name if any_call else written}" in str(error.value)
            found.add(f"{kind}.{name}")
    assert found >= {"Module.forward", "LRScheduler._next", "_Block.branch", "Transform.apply"}


@pytest.mark.control
def test_a_bare_error_for_what_is_forgotten_is_noticed(monkeypatch):
    def _next(self, lr, base):
        raise NotImplementedError

    monkeypatch.setattr(mg.optim.lr_scheduler.LRScheduler, "_next", _next)
    with pytest.raises(AssertionError, match="is not defined"):
        test_a_method_that_a_subclass_forgot_is_named()


def test_an_error_in_a_function_of_the_user_is_his():
    def mistaken(x):
        return {}["mine"]

    for call in (
        lambda: mg.grad(mistaken)(1.0),
        lambda: mg.jvp(mistaken, (1.0,), (1.0,)),
        lambda: mg.nn.Sequential(mg.nn.Linear(2, 2), mistaken)(mg.ones(2)),
        lambda: mg.fit(
            mistaken,
            [(mg.ones(2), mg.ones(2))],
            mg.mse_loss,
            mg.optim.SGD([mg.ones(2, requires_grad=True)], lr=0.1),
            epochs=1,
            progress=False,
        ),
    ):
        with pytest.raises((KeyError, TypeError)) as found:
            call()
        assert found.type is KeyError or JAPANESE.search(str(found.value))


@pytest.mark.slow
@pytest.mark.usefixtures("_safe")
@pytest.mark.parametrize("seed", range(1, 4))
def test_every_error_is_ours_at_length(seed):
    assert faults(8, seed=seed) == []
