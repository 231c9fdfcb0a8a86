"""どのテストが、表に書いているか (write)、表と比べているか (check)、表を読んでいるか (read)。"""

import contextlib
import importlib.util
from pathlib import Path

import pytest

from tests.reference import proxy
from tests.reference.tables import Tables
from tests.reference.tape import Tape

ROOT = Path(__file__).parents[2]


class Session:
    """The run of pytest: its mode, the tables, and the tape of the test that is running."""

    def __init__(self):
        self.tables = Tables(Path(__file__).parent / "tables")
        self.installed = importlib.util.find_spec("torch") is not None
        self.mode = "check" if self.installed else "read"
        self.test, self.tape, self.freed = "", None, False

    @property
    def real(self):
        """PyTorch itself, where answers are not read from the tables."""
        if self.mode == "read":
            return None
        import torch

        return torch

    def begin(self, test, slow=False):
        """A test starts: its conversation is recorded, or read, from its first word.

        A slow one, which asks very much, is answered by PyTorch alone.
        """
        self.test, self.freed = test, slow
        self.tape = Tape(self, () if self.mode == "write" else self.tables.tape(test))
        if slow:
            self.tape = None

    def finish(self):
        """The test has passed: has it asked all that the table answers?"""
        if self.tape is None:
            return
        self.tape.end()
        if self.mode == "write" and (self.tape.entries or self.tables.tape(self.test)):
            self.tables.keep(self.test, tape=self.tape.entries)

    def leave(self):
        self.test, self.tape, self.freed = "", None, False

    @contextlib.contextmanager
    def free(self):
        """What is asked in here is PyTorch's to answer alone."""
        tape, freed, self.tape, self.freed = self.tape, self.freed, None, True
        try:
            yield
        finally:
            self.tape, self.freed = tape, freed

    def needs_pytorch(self):
        """What is not in the tables at all is left out where there is no PyTorch."""
        if self.freed:
            pytest.skip("表にない長いテストは PyTorch のあるところで (needs torch)")

    def outdated(self, why):
        """Fail, and say what to do; no `except` of a test may swallow it."""
        path = self.test.partition("::")[0]
        pytest.fail(
            f"PyTorch の答えの表と合いません (outdated reference table): {why}\n"
            f"テストか PyTorch が変わったのなら、PyTorch のある環境で表を書き直してください:\n"
            f"    python tests/reference/write.py {path}",
            pytrace=False,
        )


session = Session()
proxy.session = session
