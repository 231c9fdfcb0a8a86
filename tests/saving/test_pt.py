"""`.pt`: PyTorch との行き来、往復、悪意のあるファイル。"""

import contextlib
import io
import random
import struct
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from test_saving import STATES, same

import micrograd_jp as mg
from micrograd_jp.saving import pickled, pt
from tests.reference import pytorch_answers

DTYPES = "int8 uint8 int16 int32 int64 bool float16 bfloat16 float32 float64".split()


@pytorch_answers
def written_by_pytorch(torch):
    base = torch.arange(12.0).reshape(3, 4)
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0]]))
        model.bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(),
        "turned": base.T[1:], "row": base[0], "spread": torch.ones(1).expand(3),
        "kinds": {name: torch.tensor([1, 0, 1]).to(getattr(torch, name)) for name in DTYPES},
        "parameter": torch.nn.Parameter(torch.ones(2)), "empty": torch.empty(0, 3),
        "rest": [1, -2.5, "あ", None, True, (1, (2,)), 2**70, -5, torch.Size([1, 2]), {3: []}],
    }  # fmt: skip
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytorch_answers
def whole_model_of_pytorch(torch):
    file = io.BytesIO()
    torch.save(torch.nn.ReLU(), file)
    return file.getvalue()


@pytorch_answers
def read_by_pytorch(torch, contents):
    def told(x):
        if isinstance(x, torch.Tensor):
            return [str(x.dtype).removeprefix("torch."), x.double().tolist()]
        if isinstance(x, dict):
            return [[k, told(v)] for k, v in x.items()]
        return [type(x).__name__, *map(told, x)] if isinstance(x, list | tuple) else x

    return told(torch.load(io.BytesIO(contents), weights_only=True))


def loaded(contents, tmp_path, **options):
    path = tmp_path / "state.pt"
    path.write_bytes(contents)
    return mg.load(path, **options)


def test_we_read_what_pytorch_writes(tmp_path):
    state = loaded(written_by_pytorch(), tmp_path, map_location="cpu", weights_only=True)
    base = np.arange(12.0).reshape(3, 4)
    assert state["turned"].tolist() == base.T[1:].tolist()
    assert [x.dtype.name for x in state["kinds"].values()] == DTYPES
    assert all(x.tolist() == [1, 0, 1] for x in state["kinds"].values())
    assert state["spread"].tolist() == [1, 1, 1] and state["empty"].shape == (0, 3)
    assert state["parameter"].requires_grad and not state["row"].requires_grad
    expected = [1, -2.5, "あ", None, True, (1, (2,)), 2**70, -5, (1, 2), {3: []}]
    assert state["rest"] == expected
    state["row"].fill_(7)  # storages are shared, as they were
    assert state["turned"].tolist()[0] == [7, 5, 9]
    model = mg.nn.Linear(2, 1)
    model.load_state_dict(state["model"])
    assert model.weight.tolist() == [[0.5, 1.5]]
    optimizer = mg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    optimizer.load_state_dict(state["optimizer"])
    model(mg.ones(1, 2)).sum().backward()
    optimizer.step()  # v = 0.9·1 + 1, w −= 0.5·v
    np.testing.assert_allclose(model.weight.detach().numpy(), [[-0.45, 0.55]], rtol=1e-6)


def test_pytorch_reads_what_we_write(tmp_path):
    model = mg.nn.Linear(2, 1)
    tied = mg.tensor([[1.0, 2.0]])
    model.load_state_dict({"weight": tied, "bias": mg.zeros(1)})
    state = {
        **model.state_dict(),
        "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.5}]},
        "turned": mg.Tensor(np.arange(6.0).reshape(2, 3).T), "none": None, "n": [2**40, -1, 0.5],
        "kinds": [mg.tensor([1, 0]).to(name) for name in DTYPES], "pair": (True, "あ"),
    }  # fmt: skip
    mg.save(state, tmp_path / "ours.pth")
    found = dict(read_by_pytorch((tmp_path / "ours.pth").read_bytes()))
    assert found["weight"] == ["float32", [[1.0, 2.0]]]
    assert found["turned"] == ["float64", [[0, 3], [1, 4], [2, 5]]]
    assert [kind for kind, _ in found["kinds"][1:]] == DTYPES
    assert found["pair"] == ["tuple", True, "あ"] and found["n"] == ["list", 2**40, -1, 0.5]
    assert found["optimizer"][1] == ["param_groups", ["list", [["lr", 0.5]]]]
    assert found["none"] is None


def tensors(x):
    """As a .pt gives it back: ndarrays are Tensors."""
    if isinstance(x, np.ndarray):
        return mg.Tensor(x)
    if isinstance(x, dict):
        return {k: tensors(v) for k, v in x.items()}
    return type(x)(map(tensors, x)) if isinstance(x, list | tuple) else x


@settings(max_examples=40)
@given(STATES)
def test_round_trip_of_any_state(tmp_path, state):
    path = tmp_path / "state.pt"
    try:
        mg.save(state, path)
    except TypeError as error:
        assert "uint" in str(error)  # PyTorch has no storages of these
        return
    assert same(tensors(state), mg.load(path))


def test_whole_numbers_of_any_length(tmp_path):
    lengths = (7, 8, 31, 32, 64, 2031, 2039, 2040, 2047, 2048, 5000)  # bits
    state = {"n": [sign * 2**k + d for k in lengths for sign in (1, -1) for d in (-1, 0, 1)]}
    mg.save(state, tmp_path / "state.pt")
    assert mg.load(tmp_path / "state.pt") == state


def test_tied_weights_are_written_once(tmp_path):
    big = mg.zeros(1000)
    mg.save({"a": big, "b": big}, tmp_path / "tied.pt")
    assert (tmp_path / "tied.pt").stat().st_size < 6000
    state = mg.load(tmp_path / "tied.pt")
    state["a"].fill_(1)
    assert state["b"].tolist() == [1.0] * 1000


# ---- 断るもの ----


def archive(pickle, storage=b"\0" * 16, order=b"little", **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, part in {
            "data.pkl": pickle,
            "data/0": storage,
            "byteorder": order,
            **more,
        }.items():
            z.writestr(f"x/{name}", part)
    return out.getvalue()


def tensor_code(offset=0, size=(4,), stride=(1,), numel=4, kind="Float"):
    plain = lambda x: pickled.written(x, lambda x, code: None)[2:-1]
    stored = pt._storage(kind, 0, numel)
    args = b"".join(map(plain, (offset, size, stride, False)))
    return pickled.reduce("torch._utils _rebuild_tensor_v2", b"(" + stored + args + b")t")


def program(code):
    return b"\x80\x02" + code + b"."


DEEP = b"]" * 80 + b"a" * 79
DEEP_KEY = b")\x85\x85"  # with half a million tuples, hash() would end the process
PAIRS = b"ccollections\nOrderedDict\n"
COPIES = b"(" + b"NN\x86" * 10_000 + b"tq\0](" + (PAIRS + b"h\0\x85R") * 500 + b"e"
BOMB = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (archive(program(b"cos\nsystem\nX\x02\0\0\0ls\x85R")), "os system"),
        (archive(program(b"cbuiltins\neval\nX\x01\0\0\x001\x85R")), "builtins eval"),
        (archive(program(b"ctorch._utils\n_rebuild_tensor_v2\n}b")), "Extra"),
        (archive(program(b"ctorch._utils\n_rebuild_tensor_v2\n")), "bad end"),
        (archive(program(b"}q\x00h\x00h\x00s")), "壊れ|unhashable|読めません"),
        (archive(program(b"]q\x00h\x00a")), "deeply|読めません"),
        (archive(program(DEEP)), "deeply"),
        (archive(program(b"}" + DEEP_KEY + b"Ns")), "key too large"),
        (archive(program(b"}(" + DEEP_KEY + b"Nu")), "key too large"),
        (archive(program(b"\x8f(" + DEEP_KEY + b"\x90")), "key too large"),
        (archive(program(PAIRS + DEEP_KEY + b"N\x86\x85\x85R")), "key too large"),
        (archive(program(COPIES)), "too much"),
        (archive(program(BOMB)), "too much|読めません"),
        (archive(program(tensor_code(size=(5,)))), "out of bounds"),
        (archive(program(tensor_code(offset=1))), "out of bounds"),
        (archive(program(tensor_code(stride=(-1,)))), "bad shape"),
        (archive(program(tensor_code(size=(2**40,), stride=(0,)))), "too much"),
        (archive(program(tensor_code(size=(2, 2)))), "differ"),
        (archive(program(tensor_code(numel=99))), "truncated storage"),
        (archive(program(tensor_code(kind="Complex"))), "ComplexStorage"),
        (archive(program(tensor_code()), order=b"middle"), "byteorder"),
        (archive(program(tensor_code(kind="Bool", numel=1, size=(1,))), b"\x07"), "真偽値"),
        (archive(program(tensor_code())[:-1]), "読めません"),
        (archive(program(b"]" * 10)), "bad end"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "1.5"),
        (b"PK\x03\x04nothing", "読めません"),
        (archive(b"", more=b""), "読めません"),
    ],
)
def test_hostile_files_are_refused(contents, words, tmp_path):
    with pytest.raises(mg.LoadError, match=words):
        loaded(contents, tmp_path)


def test_a_whole_model_gets_a_sentence(tmp_path):
    with pytest.raises(mg.LoadError, match=r"state_dict\(\)"):
        loaded(whole_model_of_pytorch(), tmp_path)


def test_big_endian_files_are_read(tmp_path):
    numbers = struct.pack(">4f", 1, 2, 3, 4)
    state = loaded(archive(program(tensor_code()), numbers, b"big"), tmp_path)
    assert state.tolist() == [1, 2, 3, 4] and sys.byteorder in ("little", "big")


def test_fuzzed_files_are_refused_or_read(tmp_path):
    with zipfile.ZipFile(io.BytesIO(written_by_pytorch())) as z:
        parts = {n.split("/", 1)[1]: z.read(n) for n in z.namelist()}
    rng = random.Random(0)
    pickle, refused = parts["data.pkl"], 0
    for _ in range(150):
        changed = bytearray(pickle)
        for _ in range(rng.choice([1, 1, 2, 5])):
            changed[rng.randrange(len(changed))] = rng.choice([rng.randrange(256), *b"R.()}]abhqu"])
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as z:
            for name, part in {**parts, "data.pkl": bytes(changed)}.items():
                z.writestr(f"x/{name}", part)
        try:
            loaded(out.getvalue(), tmp_path)
        except mg.LoadError:
            refused += 1
    assert 30 < refused < 150
    whole = written_by_pytorch()
    for _ in range(25):
        i = rng.randrange(len(whole))
        flipped = bytes([whole[i] ^ (1 << rng.randrange(8))])
        with contextlib.suppress(mg.LoadError):
            loaded(whole[:i] + flipped + whole[i + 1 :], tmp_path)
        with pytest.raises(mg.LoadError):
            loaded(whole[:i], tmp_path)


def test_refused_arguments(tmp_path):
    mg.save({"a": mg.ones(1)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="weights_only"):
        mg.load(tmp_path / "a.pt", weights_only=False)
    with pytest.raises(TypeError, match="map_location"):
        mg.load(tmp_path / "a.pt", map_location=3.5)
    with pytest.raises(TypeError, match="保存できません"):
        mg.save({"f": print}, tmp_path / "b.pt")
    assert not (tmp_path / "b.pt").exists()
