"""`python -m micrograd_jp.launch`: 環境変数、出力、終了コード、やり直し、シグナル。"""

import os
import signal
import subprocess
import sys

import pytest
from processes import LIMIT, command, environment, launch, written

pytest.importorskip("jax", reason="extra の accel")
posix = pytest.mark.skipif(sys.platform == "win32", reason="シグナルは POSIX のもの")


def test_every_process_knows_its_place(tmp_path):
    program = written(tmp_path, """
        import os, sys
        names = "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"
        print(*[os.environ[n] for n in names], sys.argv[1:], 0 < int(os.environ["MASTER_PORT"]))
        print("エラー", file=sys.stderr)
    """)  # fmt: skip
    done = launch(program, "--rate", "1", options=("--processes", "3"))
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [
        f"[{k}] {k} {k} 3 3 1 ['--rate', '1'] True" for k in range(3)
    ]
    assert sorted(done.stderr.splitlines()) == [f"[{k}] エラー" for k in range(3)]
    more = ("--nnodes", "2", "--node-rank", "1", "--master-addr", "host0", "--master-port", "2900")
    done = launch(program, options=("--processes", "1", *more), OMP_NUM_THREADS="4")
    assert done.stdout == "[1] 1 0 2 1 4 [] True\n"


def test_the_output_of_process_0_alone(tmp_path):
    program = written(tmp_path, """
        import os, sys
        sys.stdout.write("10%\\r20%\\r\\nおわり")
        print("困った", file=sys.stderr) if os.environ["RANK"] == "1" else None
    """)  # fmt: skip
    done = launch(program, options=("--output", "first"))
    assert done.stdout.replace("\r\n", "\r").replace("\n", "\r") == "10%\r20%\rおわり\r"
    assert done.stderr == "[1] 困った\n"


def test_what_jax_prints_when_a_process_dies_is_not_shown(tmp_path):
    program = written(tmp_path, r"""
        import os
        os.write(2, b'''before
        [Gloo] Rank 1 is connected to 1 peer ranks. Expected number of connected peer ranks is : 1
        E1128 18:58:07.911883   14954 coordination_service_agent.cc:289] Polled an error
        F1128 18:58:07.911925   14954 client.h:80] Terminating process because the JAX distributed
        1
        *** Check failure stack trace: ***
            @     0x7f4964040634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
        after
        1
        ''')
    """.replace("\n        ", "\n"))  # fmt: skip
    done = launch(program, options=("--processes", "1"))
    assert done.stderr.splitlines() == ["[0] before", "[0] after", "[0] 1"]


@pytest.mark.slow
@posix
def test_one_fails_and_all_are_ended_and_begun_again(tmp_path):
    program = written(tmp_path, """
        import os, signal, sys, time
        count, rank = os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["RANK"]
        if rank == "1" and count == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        if rank == "1" and count == "1":
            sys.exit(7)
        if count < "2":
            signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM", flush=True))
            time.sleep(60)
        print("done")
    """)  # fmt: skip
    short = (
        "-c",
        "import sys, micrograd_jp.launch as l; l._AFTER_FAILURE = 0.2; sys.exit(l.main())",
    )
    options = ("--max-restarts", "2")

    def run(*options):
        return subprocess.run([sys.executable, *short, *options, str(program)], check=False,
            env=environment(), capture_output=True, encoding="utf-8", timeout=LIMIT)  # fmt: skip

    done = run(*options)
    assert done.returncode == 0
    assert "killed by SIGKILL" in done.stderr and "exit code 7" in done.stderr
    assert "restart 2/2" in done.stderr
    assert done.stdout.count("done") == 2
    done = run("--max-restarts", "1")
    assert done.returncode == 7 and "restart 2" not in done.stderr
    assert run().returncode == 128 + signal.SIGKILL


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_also_who_does_not_listen(tmp_path, number):
    program = written(tmp_path, """
        import os, signal, time
        def heard(number, frame):
            print("heard", number, flush=True)
            if os.environ["RANK"] == "0":
                raise SystemExit(0)
        signal.signal(signal.SIGINT, heard)
        signal.signal(signal.SIGTERM, heard)
        print("pid", os.getpid(), flush=True)
        while True:
            time.sleep(60)
    """)  # fmt: skip
    launcher = subprocess.Popen(
        command(program, options=("--grace", "0.5")), env=environment(), encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    pids = [int(launcher.stdout.readline().split()[-1]) for _ in range(2)]
    launcher.send_signal(number)
    out, err = launcher.communicate(timeout=LIMIT)
    assert launcher.returncode == 128 + number
    assert out.count(f"heard {int(number)}") == 2
    assert number.name in err
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--processes", "0", "x.py"], "--processes は 1 以上"),
        (["--max-restarts", "-1", "x.py"], "--max-restarts は 0 以上"),
        (["--node-rank", "1", "x.py"], "--node-rank は 0 以上"),
        (["--nnodes", "2", "x.py"], "--master-addr と --master-port"),
        (["--master-port", "70000", "x.py"], "--master-port は 1 から"),
        (["--grace", "-1", "x.py"], "--grace は 0 以上"),
        (["nowhere.py"], "no such file"),
        (["-m", "nowhere.at.all"], "no such module"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(
    options, sentence, tmp_path, monkeypatch, capsys
):
    from micrograd_jp import launch as launcher

    monkeypatch.chdir(tmp_path)
    written(tmp_path, "open('started', 'w')", "x.py")
    with pytest.raises(SystemExit) as error:
        launcher.main(options)
    assert error.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "started").exists()


def test_help_and_a_missing_jax(tmp_path, monkeypatch, capsys):
    from micrograd_jp import launch as launcher

    with pytest.raises(SystemExit) as error:
        launcher.main(["--help"])
    assert error.value.code == 0 and "--max-restarts" in capsys.readouterr().out
    monkeypatch.setattr(launcher.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        launcher.main([str(written(tmp_path, ""))])
    assert 'pip install "micrograd_jp[accel]"' in capsys.readouterr().err
