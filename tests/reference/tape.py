"""1 つのテストが PyTorch に尋ねたことと、その答え: 順に並べた記録。

どの演算も順に数える。中身を見せない結果（テンソル、層、…）は数えるだけで、数や配列や例外として
テストに届いたものが、表に残る。問いの綴りの CRC が、表とテストのずれに気づく。
"""

import builtins
import collections
import math
import re
import types
import zlib

import numpy as np

from tests.reference.proxy import Name, Thing

END, NEW = {"end": 0}, {"o": 0}
NUMBER = re.compile(r"[-+]?\d+\.\d+(?:e[-+]?\d+)?")
TOLERANCE = {"f2": 1e-2, "f4": 1e-4, "f8": 1e-7, "c8": 1e-4, "c16": 1e-7}


class Tape:
    """Entries [CRC of the questions since the last one, how many they are, the answer]."""

    def __init__(self, session, expected):
        self.session, self.expected, self.entries = session, expected, []
        self.crc = self.count = self.at = 0
        self.things, self.known, self.places = [], {}, {}

    def ask(self, question, compute):
        """What PyTorch answers (or raises), or what it answered."""
        self.crc, self.count = zlib.crc32(question.encode(), self.crc), self.count + 1
        if self.session.mode == "read":
            return shown(self._read(question), self)
        try:
            out = compute()
        except Exception as error:
            self._note(question, {"e": [_plain_kind(error), str(error).partition("\n")[0][:200]]})
            raise
        first = len(self.things)
        code = coded(out, self)
        if code != NEW:
            self._note(question, code)
        return shown(code, self, iter(self.things[first:]))

    def end(self):
        """Nothing more is asked."""
        if self.session.mode == "write":
            if self.entries or self.count:
                self.entries.append([self.crc, self.count, END])
        elif self.expected or self.count:
            self._note("(終わり)", END)

    def place(self, address):
        """A number for an address: the same in every run."""
        return self.places.setdefault(address, len(self.places))

    def met(self, thing):
        """The number of a thing seen before; None of a new one, which is kept from now on."""
        number = self.known.setdefault(id(thing), len(self.things))
        if number < len(self.things):
            return number
        return self.things.append(Thing(thing))

    def _note(self, question, code):
        if self.session.mode == "write":
            self.entries.append([self.crc, self.count, code])
        else:
            wanted = self._next(question)
            if not same(wanted[2], code):
                self.session.outdated(f"{question}: 表は {wanted[2]}、PyTorch は {code}")
        self.crc = self.count = 0

    def _read(self, question):
        crc, count, code = self._next(question, peek=True)
        if self.count < count + (code == END):
            return NEW
        if (crc, count) != (self.crc, self.count):
            self.session.outdated(f"表にない問い {question}")
        self.at += 1
        self.crc = self.count = 0
        return code

    def _next(self, question, peek=False):
        if self.at >= len(self.expected):
            self.session.outdated(f"表にない問い {question}")
        entry = self.expected[self.at]
        if not peek:
            if entry[:2] != [self.crc, self.count]:
                self.session.outdated(f"表とは違う順の問い {question}")
            self.at += 1
        return entry


# ---- 答えを、しまえる形に ------------------------------------------------------------------------


def _plain_kind(error):
    return next(kind.__name__ for kind in type(error).__mro__ if hasattr(builtins, kind.__name__))


def _fields(out):
    """The names of the parts of one of PyTorch's named tuples."""
    names = [n for n in dir(out) if n[0] != "_" and any(getattr(out, n) is x for x in out)]
    return sorted(names, key=lambda n: next(i for i, x in enumerate(out) if getattr(out, n) is x))


def coded(out, tape=None):
    """A tree of what JSON has and of arrays; of things, only which one of the tape it is."""
    if out is None or isinstance(out, bool | int | float | str):
        return out
    if isinstance(out, np.ndarray | np.generic):
        return {"a" if isinstance(out, np.ndarray) else "s": np.array(out, copy=True)}
    if isinstance(out, bytes):
        return {"b": np.frombuffer(out, np.uint8)}
    if isinstance(out, dict):
        return {"d": [[coded(k, tape), coded(v, tape)] for k, v in out.items()]}
    if isinstance(out, list | types.GeneratorType):
        return {"l": [coded(x, tape) for x in out]}
    if isinstance(out, tuple):
        parts = [coded(x, tape) for x in out]
        return {"t": parts, "f": _fields(out)} if hasattr(out, "n_fields") else {"t": parts}
    if type(out).__module__ == "torch" and type(out).__name__ == "dtype":
        return {"n": str(out)}
    number = tape.met(out)
    return NEW if number is None else {"=": number}


def shown(code, tape=None, new=None):
    """What the test gets for an answer: the same, whoever gave it."""

    def part(x):
        return shown(x, tape, new)

    if not isinstance(code, dict):
        return code
    ((kind, x), *more) = code.items()
    if kind == "e":
        raise getattr(builtins, x[0])(x[1])
    if kind in ("a", "s"):
        return x.copy() if kind == "a" else x[()]
    if kind == "b":
        return x.tobytes()
    if kind == "n":
        return Name(x)
    if kind == "=":
        return tape.things[x]
    if kind == "o":
        if new is None:  # read from the table
            tape.things.append(Thing(None))
            return tape.things[-1]
        return next(new)
    if kind == "d":
        return {part(k): part(v) for k, v in x}
    if kind == "l":
        return [part(y) for y in x]
    parts = [part(y) for y in x]
    return collections.namedtuple("named", more[0][1])(*parts) if more else tuple(parts)


def same(a, b):
    """Whether two answers are equal but for rounding."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return False
        tolerance = TOLERANCE.get(a.dtype.str[1:], 0)
        scale = np.abs(b[np.isfinite(b)]).max(initial=1e-6)  # less is rounding where 0 is right
        with np.errstate(all="ignore"):
            return np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6)
    if isinstance(a, dict) and isinstance(b, dict):
        if "e" in a and "e" in b:  # the words are a version's, the kind is not
            return a["e"][0] == b["e"][0]
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, str) and isinstance(b, str):
        # What a program printed after many steps in float32: on another CPU other digits.
        numbers = zip(NUMBER.findall(a), NUMBER.findall(b), strict=False)
        return NUMBER.split(a) == NUMBER.split(b) and all(
            math.isclose(float(x), float(y), rel_tol=2e-2, abs_tol=1e-3) for x, y in numbers
        )
    return type(a) is type(b) and a == b
