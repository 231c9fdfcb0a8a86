"""PyTorch の代わりに立つもの: 名前 (`torch.nn.functional.relu`) と、演算の結果。"""

import functools
import operator
import types
import zlib

import numpy as np

session = None
"""The running session: session.py, which stands on this file, puts it here."""


def real(x):
    """What PyTorch itself is given."""
    if isinstance(x, _Proxy):
        return x._real
    if type(x) in (list, tuple):
        return type(x)(map(real, x))
    if type(x) is dict:
        return {k: real(v) for k, v in x.items()}
    if type(x) is slice:
        return slice(real(x.start), real(x.stop), real(x.step))
    return _aside(x) if isinstance(x, types.FunctionType) else x


def _aside(f):
    """A function that PyTorch calls back: nobody calls it where the answers are read, so what it
    asks is no question."""

    @functools.wraps(f)
    def call(*args, **kwargs):
        tape, session.tape = session.tape, None
        try:
            return real(f(*args, **kwargs))
        finally:
            session.tape = tape

    return call


def spelled(x):
    """How an argument is written into a question: floats coarsely, for their last digits."""
    if isinstance(x, Name):
        return x._path
    if x is None or x is Ellipsis or isinstance(x, bool | str):
        return repr(x)
    if isinstance(x, bytes):
        return f"bytes {zlib.crc32(x)}"
    if isinstance(x, int | np.integer):
        return str(int(x))
    if isinstance(x, float | np.floating):
        return f"{float(x):.3g}"
    if isinstance(x, np.ndarray):
        return f"{x.dtype}{x.shape}{gist(x)}"
    if isinstance(x, list | tuple):
        return f"[{','.join(map(spelled, x))}]"
    if isinstance(x, dict):
        return f"{{{','.join(f'{k}={spelled(v)}' for k, v in x.items())}}}"
    if isinstance(x, slice):
        return f"{spelled(x.start)}:{spelled(x.stop)}:{spelled(x.step)}"
    return "?"


def gist(x):
    """A number or two that another array will hardly have."""
    if x.dtype.kind not in "fiub":
        return ""
    flat = x.ravel().astype(float)
    finite = np.isfinite(flat)
    flat = np.where(finite, flat, 0)
    with np.errstate(all="ignore"):
        share = flat @ np.cos(np.arange(flat.size) + 0.5) / max(np.abs(flat).sum(), 1e-300)
    return f"{int(finite.sum())},{share + 0.0:.3f}".replace("-0.000", "0.000")


def ask(what, f, /, *args, **kwargs):
    """One question of the test that is running; outside of a test, PyTorch's own answer."""
    if session.tape is None:
        if session.mode != "read":
            return f(*real(args), **real(kwargs))
        session.needs_pytorch()
        return Thing(None)
    question = f"{what}({spelled(args)}{spelled(kwargs) if kwargs else ''})"
    return session.tape.ask(question, lambda: f(*real(args), **real(kwargs)))


class _Proxy:
    __array_ufunc__ = None  # an array beside it leaves the operation to it
    __hash__ = object.__hash__

    def __call__(self, *args, **kwargs):
        return ask(self._word, self._called, *args, **kwargs)

    def _called(self, *args, **kwargs):
        out = self._real(*args, **kwargs)
        if session.tape is not None and getattr(self._real, "__name__", "") == "data_ptr":
            return session.tape.place(out)
        return out

    def __instancecheck__(self, x):
        if isinstance(x, _Proxy):
            return ask(f"isinstance {self._word}", isinstance, x, self)
        return self._real is not None and isinstance(x, self._real)


class Name(_Proxy):
    """A name that PyTorch has: what is behind it does not change from test to test."""

    def __init__(self, path, known=None):
        self._path = self._word = path
        self._known = known

    @property
    def _real(self):
        if self._known is None and session.mode != "read":
            self._known = session.real
            for part in self._path.split(".")[1:]:
                self._known = getattr(self._known, part)
        return self._known

    @property
    def __name__(self):
        return self._path.rpartition(".")[2]

    def __repr__(self):
        return self._path

    def __eq__(self, other):
        return isinstance(other, Name) and self._path == other._path

    def __hash__(self):
        return hash(self._path)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        path = f"{self._path}.{name}"
        kind = session.tables.name(path, session, lambda: self._real)
        if kind is None:
            raise AttributeError(f"PyTorch に {path} はない")
        found = Name(path) if kind == "" else kind[0]
        if not session.freed:
            self.__dict__[name] = found
        return found


class Thing(_Proxy):
    """A tensor, a module, a method, …: it shows itself only through what is asked of it."""

    def __init__(self, known):
        object.__setattr__(self, "_real", known)

    _word = "call"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return ask(f".{name}", getattr, self, name)

    def __setattr__(self, name, value):
        ask(f".{name} =", setattr, self, name, value)

    def __iter__(self):
        return iter(ask("iter", list, self))

    def __array__(self, dtype=None, copy=None):
        return np.asarray(ask("array", np.asarray, self), dtype)

    def __enter__(self):
        return ask("enter", lambda x: x.__enter__(), self)

    def __exit__(self, *error):
        ask("exit", lambda x: x.__exit__(None, None, None), self)

    def __float__(self):
        return ask("float", float, self)

    def __int__(self):
        return ask("int", int, self)

    def __repr__(self):
        return "Thing" if session.tape is None else ask("repr", repr, self)

    def __format__(self, how):
        return ask(f"format {how}", format, self, how)


def _operators():
    for name in (
        "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift".split()
    ):  # fmt: skip
        f, word = getattr(operator, name), name.rstrip("_")
        inplace = getattr(operator, f"i{word}")
        setattr(Thing, f"__{word}__", lambda a, b, f=f, w=name: ask(w, f, a, b))
        setattr(Thing, f"__r{word}__", lambda a, b, f=f, w=name: ask(f"r{w}", f, b, a))
        setattr(Thing, f"__i{word}__", lambda a, b, f=inplace, w=name: ask(f"i{w}", f, a, b))
    for name in "eq ne lt le gt ge getitem setitem contains neg pos abs invert index".split():
        f = getattr(operator, name)
        setattr(Thing, f"__{name}__", lambda *xs, f=f, w=name: ask(w, f, *xs))
    for f in (bool, len):
        setattr(Thing, f"__{f.__name__}__", lambda x, f=f: ask(f.__name__, f, x))


_operators()


def pytorch_answers(f):
    """A function of PyTorch and plain arguments as one question: its answer is kept whole."""

    @functools.wraps(f)
    def answer(*args):
        return ask(f.__name__, lambda *xs: _plain(f(session.real, *xs)), *args)

    return answer


def _plain(out):
    """Numbers and arrays in place of tensors."""
    if hasattr(out, "detach"):
        return out.detach().numpy().copy()
    if isinstance(out, dict):
        return {k: _plain(v) for k, v in out.items()}
    if type(out) in (list, tuple):
        return type(out)(map(_plain, out))
    return out
