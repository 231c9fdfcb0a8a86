"""使えない引数のエラー: どの引数が、何であればよいかを言う。

公開する関数は、引数の注釈 (annotation) のとおりのものを受け取る。ほかのものは、たいてい計算の途中で
Python や NumPy が断る。その英語のエラーを、`explained` の付いた関数は、注釈から作った文に直す。
うまくいった呼び出しには、何の手間もかからない。

>>> @explained
... def cut(xs, k: int):
...     return xs[:k] if k <= len(xs) else xs
>>> cut([1, 2], None)
Traceback (most recent call last):
TypeError: cut の k は整数です (expected int): None が渡されました。cut(xs, k) と呼びます。
"""

from __future__ import annotations

import collections.abc
import errno
import functools
import inspect
import operator
import os
import sys
import types
import typing
from collections.abc import Callable, Collection
from traceback import walk_tb
from typing import Any, ParamSpec, TypeVar

from micrograd_jp.on_demand import about_arguments

P = ParamSpec("P")
R = TypeVar("R")

FOREIGN = (TypeError, ValueError, AttributeError, LookupError, OverflowError, OSError)
_LIBRARIES = (*map(os.path.dirname, (__file__, os.__file__)), "<micrograd_jp", "<frozen")


def explained(f: Callable[P, R]) -> Callable[P, R]:
    """使えない引数に、このパッケージの文でエラーを出すようにするデコレータ。

    利用者の関数（コールバック）の中のエラーは、そのまま通す。
    """

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return f(*args, **kwargs)
        except FOREIGN as error:
            better = explanation(f, args, kwargs, error)
            if better is None:
                raise
            raise better from error

    return call


def explain_all(names: dict[str, Any], but: Collection[str] = ()) -> None:
    """モジュールの公開する関数と、クラスの公開するメソッドすべてを `explained` にする。

    Args:
        names: モジュールの `globals()`。
        but: 利用者が呼ばないメソッド。
    """
    for name, x in [*names.items()]:
        if getattr(x, "__module__", "") == names["__name__"]:
            if isinstance(x, types.FunctionType) and not name.startswith("_"):
                names[name] = explained(x)
            elif isinstance(x, type) and not issubclass(x, BaseException):
                explain_methods(x, but)


def explain_methods(cls: type, but: Collection[str] = ()) -> None:
    """クラスに書かれた、公開するメソッドすべてを `explained` にする。"""
    for name, x in [*vars(cls).items()]:
        if name in but or (name.startswith("_") and name not in _SPECIAL):
            continue
        if isinstance(x, types.FunctionType):
            setattr(cls, name, explained(x))
        elif isinstance(x, classmethod | staticmethod):
            setattr(cls, name, type(x)(explained(x.__func__)))


# Not __call__: that of a layer only calls forward.
_SPECIAL = {
    "__init__", "__getitem__", "__setitem__", "__contains__", "__iter__", "__len__", "__bool__"
}  # fmt: skip


def at_least(low: int, name: str, n: Any) -> int:
    """`low` 以上の整数。

    Raises:
        TypeError: 整数でない。
        ValueError: 小さすぎる。
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{name} は整数です (expected an int): {n!r}。")
    if n < low:
        raise ValueError(f"{name} は {low} 以上の整数です (must be at least {low}): {n!r}。")
    return int(n)


def require_function(name: str, f: Any, *given: str) -> None:
    """呼べるものであることを確かめる。

    Args:
        name: エラーに書く引数の名前。
        f: 確かめるもの。
        *given: `f` が何と何を渡されて呼ばれるか。書けば、受け取れることも確かめる。

    Raises:
        TypeError: 呼べない。
    """
    if not callable(f):
        raise TypeError(
            f"{name} は関数を受け取ります (expected a function): {_shown(f)} が渡されました。"
        )
    if not given:
        return
    try:
        inspect.signature(f).bind(*given)
    except TypeError as error:
        raise TypeError(
            f"{name} の関数は f({', '.join(given)}) と呼ばれます (called with {len(given)} "
            f"arguments): {_shown(f)} は、それを受け取れません ({error})。"
        ) from None
    except ValueError:  # written in C: it cannot be asked
        pass


def undefined(part: Any, signature: str) -> NotImplementedError:
    """派生クラスが書くはずのメソッドを書いていないときのエラー。"""
    name = signature.partition("(")[0]
    cls = part if isinstance(part, type) else type(part)
    return NotImplementedError(
        f"{cls.__name__} には {name} がありません ({name} is not defined): "
        f"def {signature}: … を書いてください。"
    )


def explanation(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
) -> Exception | None:
    """`f(*args, **kwargs)` のエラーを直したもの。直すところがなければ `None`。"""
    if any("ぁ" <= c <= "鿿" for c in str(error)) or _is_the_users(error):
        return None
    if isinstance(error, OSError):
        return _of_the_system(error)
    misplaced = of_devices(error)
    if misplaced is not None:
        return misplaced
    name = f.__qualname__.removesuffix(".__init__")
    signature = inspect.signature(f)
    shown = f"{name}{_readable(signature)} と呼びます。"
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as mismatch:
        told = about_arguments(kwargs.keys() - signature.parameters.keys())
        return TypeError(
            f"{name} の引数が合いません (wrong arguments): {mismatch}。{told or shown}"
        )
    for parameter, x in given.items():
        wanted = _annotation(f, signature.parameters[parameter])
        if not _suits(x, wanted):
            japanese, english = _described(wanted)
            return TypeError(
                f"{name} の {parameter} は{japanese}です (expected {english}): "
                f"{_shown(x)} が渡されました。{shown}"
            )
    kinds = (TypeError, ValueError, IndexError, OverflowError)
    kind: Any = next(
        (k for k in kinds if isinstance(error, k)), kinds[isinstance(error, LookupError)]
    )
    these = ", ".join(f"{n}={_shown(x)}" for n, x in given.items() if n != "self")
    better: Exception = kind(
        f"{name} にこの引数は使えません (unusable arguments): {these}。{shown}"
    )
    return better


def of_devices(error: Exception) -> Exception | None:
    """装置についての JAX のエラーを直したもの。ほかのエラーなら `None`。"""
    text = str(error)
    if "incompatible devices" in text:
        return ValueError(
            "配列が別々の装置にあります (incompatible devices): どれも同じ装置に置くか、"
            "t.to(sharding)、model.to(sharding) で同じメッシュ (mesh) に置いてください。"
        )
    if type(error).__name__ == "IndivisibleError":
        return ValueError(
            "見本の数を装置の数で分けられません (indivisible): "
            f"{text.partition('implies that ')[2][:120]}。最後の半端なミニバッチは "
            "DataLoader(…, drop_last=True) で捨てるか、t.to(…) で置かずに渡してください。"
        )
    return None


def _is_the_users(error: Exception) -> bool:
    """Whether the error came out of code that is neither ours nor a library's."""
    files = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    # What is compiled has names like "_generator.pyx".
    theirs = [f for f in files[2:] if f.endswith(".py") or f.startswith("<")]
    return not all(f.startswith(_LIBRARIES) or "site-packages" in f for f in theirs)


def _of_the_system(error: OSError) -> OSError | None:
    """The same error of the file system, with its number and path, in our words."""
    if error.errno is None:
        return None
    kinds = {
        FileNotFoundError: "ファイルかフォルダがありません",
        PermissionError: "読み書きする権限がありません",
        IsADirectoryError: "ファイルでなく、フォルダです",
        NotADirectoryError: "フォルダでなく、ファイルです",
    }
    words = kinds.get(type(error), "ファイルを読み書きできません")
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG):
        words = "空き容量が足りません"
    return type(error)(error.errno, f"{words} ({error.strerror})", error.filename)


def _annotation(f: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    if parameter.name == "dtype":
        return _DTYPE
    text = parameter.annotation
    if text is parameter.empty or parameter.kind in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    ):
        return Any
    try:  # what only type checkers import has no name here
        return eval(text, inspect.unwrap(f).__globals__) if isinstance(text, str) else text
    except (NameError, AttributeError, TypeError):
        return Any


_DTYPE = "dtype"
_WORDS = {
    int: ("整数", "int"), float: ("数", "a number"), bool: (" True か False ", "bool"),
    str: ("文字列", "str"), type(None): (" None ", "None"),
    _DTYPE: ("型 (mg.float32 など)", "a dtype"),
    collections.abc.Callable: ("関数", "a function"), os.PathLike: ("パス", "a path"),
}  # fmt: skip


def _parts(wanted: Any) -> list[Any]:
    """The members of a union; the annotation itself if it is none."""
    if isinstance(wanted, types.UnionType) or typing.get_origin(wanted) is typing.Union:
        return [p for part in typing.get_args(wanted) for p in _parts(part)]
    return [type(None) if wanted is None else wanted]


def _suits(x: Any, wanted: Any) -> bool:
    return any(_is_a(x, part) for part in _parts(wanted))


def _is_a(x: Any, wanted: Any) -> bool:
    if wanted is _DTYPE:
        return x is None or _is_dtype(x)
    kind = typing.get_origin(wanted) or wanted
    if kind is float:
        return (
            isinstance(getattr(x, "shape", ()), tuple)
            and hasattr(x, "__float__")
            and not (getattr(x, "shape", ()) or isinstance(x, str))
        )
    if kind is int:
        try:
            return not isinstance(x, bool) and operator.index(x) is not None
        except TypeError:
            return False
    if kind is bool:
        return type(x).__name__ in ("bool", "bool_")
    if kind is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True
    if kind in (str, bytes, type(None)) or not issubclass(kind, collections.abc.Iterable):
        return isinstance(x, kind)
    if issubclass(kind, collections.abc.Mapping) or not kind.__module__.startswith(
        ("builtins", "collections")
    ):
        return isinstance(x, kind)
    if not hasattr(x, "__iter__") or isinstance(x, str | bytes | collections.abc.Mapping):
        return False
    members = [m for m in typing.get_args(wanted) if m is not ...][:1]
    return not isinstance(x, tuple | list) or all(_suits(y, m) for m in members for y in x)


def _is_dtype(x: Any) -> bool:
    try:
        sys.modules["numpy"].dtype(x)
    except (TypeError, ValueError):
        return False
    return not isinstance(x, int | float)


def _described(wanted: Any) -> tuple[str, str]:
    words = []
    for part in _parts(wanted):
        kind = typing.get_origin(part) or part
        if kind in _WORDS:
            words.append(_WORDS[kind])
        elif isinstance(kind, type) and issubclass(kind, collections.abc.Mapping):
            words.append(("辞書", "a mapping"))
        elif kind.__module__ in ("builtins", "collections.abc"):
            of = [m for m in typing.get_args(part) if m is not ...][:1]
            inner = [
                _described(m)[0].strip() for m in of if m is not Any and not isinstance(m, TypeVar)
            ]
            words.append((f"{inner[0]}の並び" if inner else "並び", "a sequence"))
        else:
            words.append((f" {kind.__name__} ", kind.__name__))
    return "か".join(w for w, _ in words), " or ".join(w for _, w in words)


def _readable(signature: inspect.Signature) -> str:
    own = [p.replace(annotation=p.empty) for n, p in signature.parameters.items() if n != "self"]
    return str(signature.replace(parameters=own, return_annotation=signature.empty))


def _shown(x: Any) -> str:
    """A short look at what came."""
    shape, text = getattr(x, "shape", None), ""
    if isinstance(shape, tuple) and shape:
        return f"{type(x).__name__} (形 {tuple(shape)}, 型 {getattr(x, 'dtype', '?')})"
    if isinstance(x, str | int | float | complex | bytes | tuple | list | dict | type(None) | type):
        text = repr(x)
    return text if text and len(text) <= 60 else type(x).__name__
