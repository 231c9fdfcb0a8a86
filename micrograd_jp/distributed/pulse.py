"""ハートビート (heartbeat): どのプロセスも生きているしるしを書き続け、止まったものを見つける。

しるしは、JAX の調整役（プロセス 0 の中の coordination service）の表に書く。プロセス 0 が全員を
見て、ほかは 0 を見る。JAX にも同じ見張りがあるが、例外なしにプロセスを終わらせるので、その前に
気づく。
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import Any

_ROOT = "micrograd_jp"
_TICK = 0.5


class Pulse:
    """1 つのプロセスのハートビートと、ほかのプロセスの様子。

    Args:
        client: JAX の調整役への窓口。
        rank: 番号。
        count: プロセスの数。
        patience: しるしが変わらないのを待つ秒数。

    Attributes:
        failure: 止まったプロセスを言う文。なければ空。
        gone: 先に終わったプロセスを言う文。なければ空。
    """

    def __init__(self, client: Any, rank: int, count: int, patience: float) -> None:
        self.failure = self.gone = ""
        self.alone = False  # set at the end: nobody is to be watched any more
        self._client, self._rank, self._patience = client, rank, patience
        # How long each has been silent, in seconds during which we were awake ourselves.
        self._silent = dict.fromkeys(range(1, count) if rank == 0 else [0], 0.0)
        self._last: dict[int, str] = {}
        self._parent = os.getppid()
        for work in (self._beat, self._watch):
            threading.Thread(target=work, name="micrograd_jp-pulse", daemon=True).start()

    def leave(self) -> None:
        """終わることを、ほかに知らせる。"""
        self.alone = True
        if not self.failure:
            self._tell()

    def _tell(self) -> None:
        sign = "left" if self.alone else str(time.monotonic_ns())
        place = f"{_ROOT}/head/pulse" if self._rank == 0 else f"{_ROOT}/all/{self._rank}"
        self._client.key_value_set(place, sign, allow_overwrite=True)

    def _beat(self) -> None:
        while not self.alone and not self.failure:
            try:
                self._tell()
                if self._rank == 0:
                    self._hear_all()
                else:
                    self._hear_head()
            except Exception:  # the coordinator does not answer: its silence is being counted
                pass
            time.sleep(self._patience / 8)

    def _hear_all(self) -> None:
        for key, sign in self._client.key_value_dir_get(f"{_ROOT}/all/"):
            self._hear(int(key.rpartition("/")[2]), sign)
        self._pass_on("gone")

    def _pass_on(self, name: str) -> None:
        """What process 0 has found out, for all."""
        sentence = getattr(self, name)
        if self._rank == 0 and sentence:
            self._client.key_value_set(f"{_ROOT}/head/{name}", sentence, allow_overwrite=True)

    def _hear_head(self) -> None:
        for key, sign in self._client.key_value_dir_get(f"{_ROOT}/head/"):
            name = key.rpartition("/")[2]
            if name == "pulse":
                self._hear(0, sign)
            elif not getattr(self, name):
                setattr(self, name, sign)

    def _hear(self, rank: int, sign: str) -> None:
        if self._last.get(rank) != sign:
            self._last[rank], self._silent[rank] = sign, 0.0
        if sign == "left":
            self._silent[rank] = 0.0
            self.gone = self.gone or (
                f"プロセス {rank} は先に終わりました (process {rank} has already exited): "
                "どのプロセスも、同じ回数だけ通信します。"
            )

    def _watch(self) -> None:
        before = time.monotonic()
        while not self.alone and not self.failure:
            time.sleep(_TICK)
            now = time.monotonic()
            # Whoever slept long himself (a stopped or a crowded machine) accuses nobody for it.
            passed, before = min(now - before, 2 * _TICK), now
            for rank in self._silent:
                self._silent[rank] += passed
                if self._silent[rank] > self._patience and not self.alone:
                    self.failure = (
                        f"プロセス {rank} が {self._patience:.0f} 秒間応答しません (process {rank} "
                        "does not respond): 止まっているか、つながっていません。"
                    )
            if os.getppid() != self._parent and "MICROGRAD_JP_LAUNCHED" in os.environ:
                os._exit(1)  # the launcher is no more: nobody would end us
        if self.failure and not self.alone:
            with suppress(Exception):
                self._pass_on("failure")  # the beat has ended by now
            self._end()

    def _end(self) -> None:
        """Whoever waits in a collective of ours has raised; who is elsewhere is ended here."""
        deadline = time.monotonic() + self._patience / 5
        while time.monotonic() < deadline:
            time.sleep(0.1)
            if self.alone:
                return
        print(f"\nDistributedError: {self.failure}", file=sys.stderr, flush=True)
        os._exit(1)
