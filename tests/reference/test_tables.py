"""PyTorch の答えの表: 書いたとおりに読める。ずれていれば、何をすればよいかを言う。"""

import ast
import re
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from tests.reference import proxy, session
from tests.reference.proxy import Name, pytorch_answers
from tests.reference.session import ROOT, Session
from tests.reference.tables import read

KEPT = sorted(session.tables.folder.glob("*.npz"))


def test_the_tables_are_small():
    assert sum(file.stat().st_size for file in KEPT) < 2_000_000


def asked_at_random(source):
    """The tests that ask PyTorch about what `given` draws: another Hypothesis draws other things,
    of which the table says nothing. `like_pytorch` keeps what it has drawn.
    """
    functions = {f.name: f for f in ast.walk(ast.parse(source)) if isinstance(f, ast.FunctionDef)}
    names = {
        name: {x.id for x in ast.walk(f) if isinstance(x, ast.Name)}
        for name, f in functions.items()
    }
    asking = {"torch", *(n for n, found in names.items() if "pytorch_answers" in found)}
    while new := {n for n, found in names.items() if found & asking} - asking:
        asking |= new
    used = {n for name, found in names.items() for n in found - {name}}
    return {n for n in asking & functions.keys() - used if _draws(functions[n])}


def _draws(test):
    """Whether it, or a function in it, is decorated with `given`, and it is no long one."""
    inside = [f for f in ast.walk(test) if isinstance(f, ast.FunctionDef)]
    said = [ast.unparse(d) for f in inside for d in f.decorator_list]
    return any(text.startswith("given(") for text in said) and "pytest.mark.slow" not in said


ASKING = re.compile(r"^from tests.reference import .*(torch|pytorch_answers)", re.M)


def test_nothing_is_asked_about_what_hypothesis_draws():
    texts = {p.name: p.read_text("utf-8") for p in ROOT.joinpath("tests").rglob("test_*.py")}
    found = {name: asked_at_random(text) for name, text in texts.items() if ASKING.search(text)}
    assert len(found) > 20
    assert {name: tests for name, tests in found.items() if tests} == {}


def test_a_question_about_what_is_drawn_is_found():
    source = "@given(x)\ndef test_a(x):\n    both(x)\n\n\ndef both(x):\n    torch.exp(x)\n"
    assert asked_at_random(source) == {"test_a"}
    assert asked_at_random(source.replace("given(x)", "like_pytorch(x)")) == set()


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_every_table_answers_a_test(file):
    *folders, name = file.stem.split(".")
    source = ROOT.joinpath("tests", *folders, f"{name}.py")
    text = source.read_text("utf-8")
    rows = read(file)
    assert rows
    for test in rows:
        assert f"def {test.partition('[')[0].rpartition('::')[2]}(" in text, test


# ---- 小さな「PyTorch」で ------------------------------------------------------------------------


class Small:
    """A library of one class, with all that an answer can be."""

    def __init__(self, data):
        self.data = np.asarray(data, float)
        self.grad = None

    def __mul__(self, other):
        return Small(self.data * getattr(other, "_data", other))

    __rmul__ = __mul__

    def add_(self, x):
        self.data += x
        return self

    def largest(self):
        return namedtuple("largest", "values indices")(Small(self.data.max()), self.data.argmax())

    def halves(self):
        return tuple(map(Small, np.split(self.data, 2)))

    def numpy(self):
        return self.data

    def root(self):
        if self.data.min() < 0:
            raise ValueError("負の数")
        return Small(np.sqrt(self.data))


def library(**changed):
    return SimpleNamespace(**{"tensor": Small, "pi": 3.14, "Tensor": Small} | changed)


def talk(m):
    """What a test might ask, and all that it was answered."""
    x = m.tensor([1.0, -4.0])
    y = 2 * x
    assert y.add_(1) is y
    y.grad = x
    with pytest.raises(ValueError):
        x.root()
    first, second = y.halves()
    return [
        y.numpy().tolist(), first.numpy().tolist(), second.numpy().dtype.str, y.grad is x,
        hasattr(m, "absent"), isinstance(x, m.Tensor), m.pi, y.largest()[1], x.grad,
    ]  # fmt: skip


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Runs a conversation in one mode, as one test, with the tables of a folder of its own."""

    def run(mode, talk=talk, real=None):
        class Own(Session):
            pass

        Own.real = real or library()
        mine = Own()
        mine.mode = mode
        mine.tables = type(mine.tables)(tmp_path)
        monkeypatch.setattr(proxy, "session", mine)
        mine.begin("tests/room/test_it.py::test_talk")
        try:
            told = talk(Name("torch"))
            mine.finish()
        finally:
            mine.leave()
        if mode == "write":
            mine.tables.save()
        return told

    return run


def test_what_was_written_is_read(small):
    told = small("write")
    assert told == talk(library())
    assert small("check") == small("read", real=SimpleNamespace()) == told


def test_a_question_that_is_not_in_the_table(small):
    small("write", lambda m: m.tensor([1.0, 2.0]).numpy())
    for other in (
        lambda m: m.tensor([1.0, 3.0]).numpy(),
        lambda m: (2 * m.tensor([1.0, 2.0])).numpy(),
        lambda m: [m.tensor([1.0, 2.0]).numpy() for _ in range(2)],
        lambda m: m.tensor([1.0, 2.0]),
    ):
        for mode in ("read", "check"):
            with pytest.raises(pytest.fail.Exception, match=r"write\.py tests/room/test_it\.py"):
                small(mode, other)
    with pytest.raises(pytest.fail.Exception, match=r"名前 torch\.other"):
        small("check", lambda m: m.other, library(other=1))


def test_an_answer_that_is_not_pytorchs_any_more(small):
    ask = lambda m: m.tensor([1.0, 2.0]).numpy()
    small("write", ask)
    with pytest.raises(pytest.fail.Exception, match="outdated reference table"):
        small("check", ask, library(tensor=lambda x: Small(np.add(x, 1e-3))))
    small("check", ask, library(tensor=lambda x: Small(np.add(x, 1e-12))))


def test_a_test_that_asks_nothing_any_more(small, tmp_path):
    small("write")
    small("write", lambda m: None)
    assert read(tmp_path / "room.test_it.npz") == {"test_talk": {"tape": []}}
    small("read", lambda m: None)
    for mode in ("read", "check"):
        with pytest.raises(pytest.fail.Exception, match="表にない問い"):
            small(mode)


def test_an_answer_equal_but_for_rounding_is_not_written_again(small, tmp_path):
    ask = lambda m: m.tensor([1.0, 2.0]).numpy()
    small("write", ask)
    before = (tmp_path / "room.test_it.npz").read_bytes()
    small("write", ask, library(tensor=lambda x: Small(np.add(x, 1e-12))))
    assert (tmp_path / "room.test_it.npz").read_bytes() == before


def test_a_whole_function_is_one_question(small):
    @pytorch_answers
    def doubled(m, x):
        return {"twice": (m.tensor(x) * 2).numpy()}

    told = small("write", lambda m: doubled([1.0, 2.0]))
    assert told["twice"].tolist() == [2.0, 4.0]
    assert small("read", lambda m: doubled([1.0, 2.0]))["twice"].tolist() == [2.0, 4.0]
    with pytest.raises(pytest.fail.Exception, match="表にない問い"):
        small("read", lambda m: doubled([1.0, 2.5]))
