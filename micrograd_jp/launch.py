"""同じプログラムを、いくつものプロセスで始める: `python -m micrograd_jp.launch`。

    python -m micrograd_jp.launch --processes 2 train.py --epochs 10

どのプロセスにも環境変数 RANK、WORLD_SIZE、MASTER_ADDR、MASTER_PORT を渡す（torchrun と同じ）。
1 つが失敗したら全部を終わらせ、求められた回数まで始めからやり直す。`fit` のチェックポイントがあれ
ば、そこから続く。
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from micrograd_jp.columns import make_printable
from micrograd_jp.locks import Lock

_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MICROGRAD_JP_THREADS")
_AFTER_FAILURE = 5.0  # seconds in which the others may say what they noticed
# What the C++ of JAX prints when a process of the group is gone: the sentence is ours.
_NOISE = re.compile(
    rb"\[Gloo\] Rank|[EFWI]\d{4} [\d:.]+ +\d+ (coordination|client\.h|service\.)"
    rb"|\*\*\* Check failure| +@ +0x|terminate called|Additional GRPC error|:UNKNOWN:Error received"
    rb"|RPC: /xla\."
    rb"|The tasks have crashed\.|\d*\s*$"
)
_BEGINS = re.compile(rb"[EF]\d{4} [\d:.]+ +\d+ (coordination|client\.h)")


def main(arguments: Sequence[str] | None = None) -> int:
    """コマンド。

    Returns:
        終了コード: 0 は成功。失敗なら、はじめに失敗したプロセスの終了コード（シグナル n で
        終わったら 128 + n）。
        Ctrl-C なら 130、SIGTERM なら 143。
    """
    make_printable()
    parser = _parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    with _Signals() as signals:
        for attempt in range(options.max_restarts + 1):
            code, reason = _Attempt(options, attempt, signals).run()
            if code == 0 or signals.asked:
                break
            _say(reason)
            if attempt < options.max_restarts:
                _say(f"もう一度始めます (restart {attempt + 1}/{options.max_restarts})。")
    if signals.asked:
        _say(f"{signal.Signals(signals.asked).name} を受け取り、すべてのプロセスを終えました。")
        return 128 + signals.asked
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m micrograd_jp.launch",
        description="同じプログラムを、いくつものプロセスで始めます (launch)。プログラムのはじめに "
        "mg.distributed.init_process_group() と書いてください。",
        epilog="例: python -m micrograd_jp.launch --processes 2 --max-restarts 1 train.py",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--processes", type=int, default=2, metavar="N", help="この計算機のプロセスの数 (既定 2)")
    add(
        "--max-restarts", type=int, default=0, metavar="N", help="失敗したら、やり直す回数 (既定 0)"
    )
    add("--output", choices=("all", "first"), default="all",
        help="all: 番号を付けて全部 (既定)、first: プロセス 0 の出力とエラーだけ")  # fmt: skip
    add("--threads", type=int, default=1, metavar="N",
        help="プロセスごとの BLAS のスレッドの数 (既定 1)。環境変数が優先")  # fmt: skip
    add("--grace", type=float, default=10.0, metavar="秒",
        help="Ctrl-C や SIGTERM のあと、SIGKILL までに待つ秒数 (既定 10)")  # fmt: skip
    many = parser.add_argument_group("いくつもの計算機 (どの計算機でも 1 度ずつ実行する)")
    add = many.add_argument
    add("--nnodes", type=int, default=1, metavar="N", help="計算機の数 (既定 1)")
    add("--node-rank", type=int, default=0, metavar="K", help="この計算機の番号、0 から")
    add("--master-addr", default="127.0.0.1", metavar="名前", help="0 番の計算機の名前かアドレス")
    add("--master-port", type=int, default=0, metavar="P", help="0 番の計算機の空いているポート")
    parser.add_argument("-m", action="store_true", dest="module",
        help="プログラムをモジュールの名前で言う (python -m と同じ)")  # fmt: skip
    parser.add_argument("program", help="Python のプログラム")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="プログラムに渡す引数")
    return parser


def _check(parser: argparse.ArgumentParser, options: Any) -> None:
    """Refuse what cannot work before anything is started."""
    for name, low in (("processes", 1), ("max_restarts", 0), ("threads", 1), ("nnodes", 1)):
        if getattr(options, name) < low:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option} は {low} 以上の整数です: {getattr(options, name)}")
    if not 0 <= options.grace < 1e6:
        parser.error(f"--grace は 0 以上の秒数です: {options.grace}")
    if not 0 <= options.node_rank < options.nnodes:
        parser.error(
            f"--node-rank は 0 以上 --nnodes ({options.nnodes}) 未満です: {options.node_rank}"
        )
    if not 0 <= options.master_port <= 65535:
        parser.error(f"--master-port は 1 から 65535 です: {options.master_port}")
    if options.nnodes > 1 and (
        not options.master_port or options.master_addr in ("127.0.0.1", "localhost")
    ):
        parser.error("2 台以上なら、--master-addr と --master-port をどの計算機でも同じに決めます")
    if options.module:
        try:
            found = importlib.util.find_spec(options.program) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            parser.error(f"モジュールがありません (no such module): {options.program}")
    elif not Path(options.program).is_file():
        parser.error(f"プログラムがありません (no such file): {options.program}")
    if options.processes * options.nnodes > 1 and importlib.util.find_spec("jax") is None:
        parser.error('jax が必要です。pip install "micrograd_jp[accel]" で入ります。')


class _Signals:
    """The first Ctrl-C or SIGTERM; a second one ends the waiting."""

    def __init__(self) -> None:
        self.asked, self.times = 0, 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self.asked, self.times = self.asked or number, self.times + 1


class _Attempt:
    """All processes once, from their start until none is left."""

    def __init__(self, options: Any, attempt: int, signals: _Signals) -> None:
        self.options, self.attempt, self.signals = options, attempt, signals
        self.workers: list[subprocess.Popen[bytes]] = []
        self.pumps: list[threading.Thread] = []
        self.ended = threading.Event()

    def run(self) -> tuple[int, str]:
        """The exit code, and what failed."""
        port = self.options.master_port or _free_port()
        try:
            for k in range(self.options.processes):
                self.workers.append(self._started(k, port))
            return self._watched()
        finally:
            for worker in self.workers:  # whatever happened: nobody is left behind
                if worker.poll() is None:
                    worker.kill()
                worker.wait()
            for pump in self.pumps:
                pump.join(timeout=2)  # a grandchild may hold the pipe open

    def _started(self, k: int, port: int) -> subprocess.Popen[bytes]:
        options = self.options
        rank = options.node_rank * options.processes + k
        environment = {
            **{name: str(options.threads) for name in _BLAS},
            **os.environ,
            "RANK": str(rank), "LOCAL_RANK": str(k),
            "WORLD_SIZE": str(options.processes * options.nnodes),
            "LOCAL_WORLD_SIZE": str(options.processes),
            "MASTER_ADDR": options.master_addr, "MASTER_PORT": str(port),
            "TORCHELASTIC_RESTART_COUNT": str(self.attempt),
            "MICROGRAD_JP_LAUNCHED": "1", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        program = ["-m"] * options.module + [options.program, *options.arguments]
        worker = subprocess.Popen(
            [sys.executable, *program], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal reaches the launcher alone
        )  # fmt: skip
        for pipe, out in ((worker.stdout, sys.stdout), (worker.stderr, sys.stderr)):
            shown = rank == 0 or options.output == "all" or out is sys.stderr
            label = f"[{rank}] " if options.output == "all" or rank else ""
            work = (pipe, out, label if shown else None)
            self.pumps.append(threading.Thread(target=_pump, args=work, daemon=True))
            self.pumps[-1].start()
        threading.Thread(target=self._wait, args=(worker,), daemon=True).start()
        return worker

    def _wait(self, worker: subprocess.Popen[bytes]) -> None:
        worker.wait()
        self.ended.set()

    def _watched(self) -> tuple[int, str]:
        """Wait for all, or for the first that fails, and then end the others."""
        while True:
            self.ended.wait(0.5)  # short: a signal is noted in between
            self.ended.clear()
            codes = [worker.poll() for worker in self.workers]
            if self.signals.asked:
                self._end(self.signals.asked, self.options.grace)
                return 0, ""
            if failed := [(k, code) for k, code in enumerate(codes) if code]:
                # Who was killed is the cause; JAX aborts (SIGABRT) who has lost another.
                k, code = min(failed, key=lambda pair: (pair[1] == -signal.SIGABRT, pair[1]))
                rank = self.options.node_rank * self.options.processes + k
                reason = f"プロセス {rank} が{_how(code)}。残りを終えます。"
                self._end(0, _AFTER_FAILURE)
                return code if code > 0 else 128 - code, reason
            if None not in codes:
                return 0, ""

    def _end(self, number: int, grace: float) -> None:
        """Let the others end by themselves or by the signal, then with SIGTERM, then at once."""
        times = self.signals.times
        if number:
            self._send(number)
        if not self._gone(grace, times) and not number:
            self._send(signal.SIGTERM)
            self._gone(1.0, times)
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()

    def _send(self, number: int) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate() if sys.platform == "win32" else worker.send_signal(number)

    def _gone(self, seconds: float, times: int) -> bool:
        """Whether all have ended within some seconds; a second Ctrl-C ends the waiting."""
        deadline = time.monotonic() + seconds
        while any(worker.poll() is None for worker in self.workers):
            if time.monotonic() > deadline or self.signals.times > times:
                return False
            self.ended.wait(0.1)
            self.ended.clear()
        return True


def _how(code: int) -> str:
    if code > 0:
        return f"終了コード {code} で終わりました (exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f" {name} で終わりました (killed by {name})"


_writing = Lock()


def _pump(pipe: IO[bytes], out: Any, label: str | None) -> None:
    """Write what a process writes, line by line (or bar by bar), with its number."""
    sink, left, noisy = getattr(out, "buffer", None), b"", False
    prefix = (label or "").encode()

    def show(line: bytes) -> None:
        nonlocal noisy
        begins = _BEGINS.match(line)
        noisy = bool(begins or (noisy and _NOISE.match(line)))
        if label is None or noisy or line.startswith(b"[Gloo] Rank"):
            return
        with _writing:
            if sink is None:
                out.write((prefix + line).decode(errors="replace"))
            else:
                sink.write(prefix + line)
            out.flush()

    while chunk := os.read(pipe.fileno(), 65536):
        *lines, left = re.split(rb"(?<=[\r\n])(?!\n)", left + chunk)
        for line in lines:
            show(line)
    if left:
        show(left + b"\n")
    pipe.close()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _say(text: str) -> None:
    with _writing:
        print(f"[launch] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
