"""ファイルを書く: 殺されても、容量がなくても、2 つのプロセスが同時に書いても。"""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import micrograd_jp as mg
from micrograd_jp import files
from micrograd_jp.files import only_writer, write_atomically

ROOT = Path(files.__file__).parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX の信号や fork を使う")
HAMMERED = Path(__file__).with_name("hammered.py")


@contextmanager
def running(program, *arguments):
    """A real process; `say()` lets it go on, and what it prints says where it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import os, sys\nfrom pathlib import Path\n{program}",
         *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(process):
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return line.strip()


def finished(process):
    _, errors = process.communicate("go\n", timeout=60)
    return process.returncode, errors


# ---- いつ殺されても ------------------------------------------------------------------------------


def hammer(path, count):
    done = subprocess.run(
        [sys.executable, HAMMERED, path, str(count), "0"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert mg.load(path) == {"end": True}
    assert os.listdir(path.parent) == [path.name]


@posix
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_whenever_a_process_is_killed_one_save_is_whole_and_nothing_else_is_there(suffix, tmp_path):
    hammer(tmp_path / f"state{suffix}", 20)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_killed_200_times(suffix, tmp_path):
    hammer(tmp_path / f"state{suffix}", 200)


# ---- 2 つのプロセス ------------------------------------------------------------------------------

_HALF_WAY = """
import micrograd_jp as mg
replace = os.replace
def wait(*names):
    print("written", flush=True)
    sys.stdin.readline()
    replace(*names)
os.replace = wait
mg.save({"by": "child"}, sys.argv[1])
"""


@pytest.mark.parametrize("asks", [True, False])
def test_a_living_process_keeps_its_temporary_file(asks, tmp_path, monkeypatch):
    """Somebody else saves, and cleans, while it is between writing and renaming."""
    path = tmp_path / "state.npz"
    if not asks:  # the negative control: who cleans without asking whose it is
        monkeypatch.setattr(files, "_is_alive", lambda pid: False)
    with running(_HALF_WAY, path) as child:
        assert heard(child) == "written"
        mg.save({"by": "parent"}, path)
        assert mg.load(path) == {"by": "parent"}
        code, errors = finished(child)
    if asks:
        assert code == 0, errors
        assert mg.load(path) == {"by": "child"}
        assert os.listdir(tmp_path) == [path.name]
    else:
        assert code == 1 and "FileNotFoundError" in errors


@posix
def test_the_temporary_file_of_a_dead_process_is_removed_by_the_next_save_of_that_file_only(
    tmp_path,
):
    path = tmp_path / "state.npz"
    with running(_HALF_WAY, path) as child:
        assert heard(child) == "written"
        child.kill()
        child.wait()
    mg.save({}, tmp_path / "other.npz")
    assert len(os.listdir(tmp_path)) == 2
    mg.save({}, path)
    assert sorted(os.listdir(tmp_path)) == ["other.npz", "state.npz"]


_FIT = """
import numpy as np
import micrograd_jp as mg
model = mg.nn.Linear(1, 1)
def loss(y, t):
    print("training", flush=True)
    sys.stdin.readline()
    return ((y - t) ** 2).mean()
batch = mg.ones(2, 1), mg.ones(2, 1)
mg.fit(model, [batch], loss, mg.optim.SGD(model.parameters(), lr=0.1), 1, metric=None,
       checkpoint=sys.argv[1], progress=False)
"""


def trained(path, **options):
    model = mg.nn.Linear(1, 1)
    batch = mg.ones(2, 1), mg.ones(2, 1)
    return mg.fit(
        model, [batch], mg.mse_loss, mg.optim.SGD(model.parameters(), lr=0.1), 1, metric=None,
        checkpoint=path, progress=False, **options,
    )  # fmt: skip


def test_only_one_process_trains_into_a_checkpoint(tmp_path):
    path = tmp_path / "state.npz"
    with running(_FIT, path) as child:
        assert heard(child) == "training"
        with pytest.raises(BlockingIOError, match=rf"プロセス {child.pid} .*in use by another"):
            trained(path)
        trained(tmp_path / "other.npz")
        code, errors = finished(child)
        assert code == 0, errors
    assert trained(path).updates == 1
    assert sorted(os.listdir(tmp_path)) == ["other.npz", "state.npz"]


@posix
def test_a_killed_process_holds_nothing(tmp_path):
    path = tmp_path / "state.npz"
    with running(_FIT, path) as child:
        assert heard(child) == "training"
        child.send_signal(signal.SIGKILL)
        child.wait()
    trained(path)
    assert os.listdir(tmp_path) == [path.name]


def test_nor_do_two_runs_of_one_process(tmp_path):
    path = tmp_path / "state.npz"

    def again(history):
        trained(path)

    with pytest.raises(BlockingIOError, match=f"プロセス {os.getpid()} "):
        trained(path, callbacks=[again])
    trained(path)


_FORKS = """
import signal
from micrograd_jp.files import only_writer
with only_writer(Path(sys.argv[1])):
    if not os.fork():
        print("forked", flush=True)
        sys.stdin.readline()
        os._exit(0)
    sys.stdout.flush()
    signal.pause()
"""


@posix
def test_a_forked_child_does_not_inherit_the_lock(tmp_path):
    path = tmp_path / "state.npz"
    with running(_FORKS, path) as process:
        assert heard(process) == "forked"
        with pytest.raises(BlockingIOError), only_writer(path):
            pass
        process.kill()
        process.wait()  # the grandchild lives until its input ends
        with only_writer(path):
            pass


def test_where_there_are_no_locks_nothing_is_refused(tmp_path, monkeypatch):
    if os.name != "posix":
        pytest.skip("flock")

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    trained(tmp_path / "state.npz")
    assert os.listdir(tmp_path) == ["state.npz"]


# ---- 書けない場所 --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_long_name_can_be_saved(suffix, tmp_path):
    """As long as the file system allows: 255 bytes."""
    path = tmp_path / ("あ" * 80 + "x" * (15 - len(suffix)) + suffix)
    assert len(os.fsencode(path.name)) == 255
    mg.save({"n": 1}, path)
    with only_writer(path):
        mg.save({"n": 2}, path)
    assert mg.load(path) == {"n": 2}
    assert os.listdir(tmp_path) == [path.name]


_FULL = """
import resource, signal
import numpy as np
import micrograd_jp as mg
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    mg.save({"x": np.zeros(10_000)}, sys.argv[1])
except OSError as error:
    print(error.filename, error, sep="\\n")
"""


@posix
def test_a_full_disk_is_one_sentence_with_the_path(tmp_path):
    path = tmp_path / "state.npz"
    mg.save({"n": 1}, path)
    with running(_FULL, path) as process:
        out, errors = process.communicate(timeout=60)
    name, text = out.splitlines()
    assert name == str(path) and str(path) in text and "空き容量が足りません" in text, errors
    assert mg.load(path) == {"n": 1}
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("run.pt", ValueError, "unknown file format"),
        ("no/such/folder/run.npz", FileNotFoundError, r"run\.npz"),
        ("file/run.npz", NotADirectoryError, r"run\.npz"),
    ],
)
def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(
    name, error, match, tmp_path
):
    (tmp_path / "file").write_text("not a folder")

    def never(model, x, t):
        raise AssertionError("training has begun")

    model = mg.nn.Linear(1, 1)
    with pytest.raises(error, match=match):
        mg.fit(
            model, [(mg.ones(1, 1), mg.ones(1, 1))], never,
            mg.optim.SGD(model.parameters(), lr=0.1), 1, checkpoint=tmp_path / name, progress=False,
        )  # fmt: skip


@posix
def test_the_mode_is_the_umasks(tmp_path):
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"")
        write_atomically(tmp_path / "b", b"", 0o600)
    finally:
        os.umask(old)
    assert [(tmp_path / n).stat().st_mode & 0o777 for n in "ab"] == [0o640, 0o600]
