"""pickle の読み書きのうち、重みのファイルに要る分だけ。コードを動かす命令は、はじめからない。

読むのは Python の `pickle` ではない。命令を 1 つずつ読み、数・文字列・入れ物と、表にある名前の関数
だけを扱う。表にない名前は断る。
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MOST = 4_000_000
"""読む命令の数と、関数に渡る要素の数の上限。"""
_LONGEST_KEY = 16

_CONSTANTS = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
_LITERALS = frozenset(
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8"
    " SHORT_BINSTRING BINSTRING BINBYTES SHORT_BINBYTES INT LONG FLOAT UNICODE".split()
)
_CONTAINERS = (list, tuple, dict, set)
_MARK = object()


class Unknown(ValueError):
    """表にない名前。"""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Extra(dict[Any, Any]):
    """属性も付けられる辞書 (`state_dict` の `_metadata`)。属性は捨てる。"""

    def __init__(self, pairs: Iterable[Any] = ()) -> None:
        super().__init__((_key(key), value) for key, value in pairs)


def read(contents: bytes, names: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """pickle を読む。

    Args:
        contents: pickle のバイト列。
        names: 使ってよい名前 (`"モジュール 名前"`) から、その代わりに使うものへ。
        persistent: ファイルの外の物（記憶域）の番号から、その物へ。

    Raises:
        Unknown: 表にない名前。
        ValueError: 扱わない命令、または壊れている。
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    left = MOST
    arg: Any
    for count, (opcode, arg, _) in enumerate(pickletools.genops(contents)):
        if count > MOST:
            raise ValueError("命令が多すぎます (too many opcodes)")
        name = opcode.name
        if name in _LITERALS:
            stack.append(arg)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            continue
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[int(arg)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[int(arg)])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "EMPTY_SET":
            stack.append(set())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(name[-1])
            stack[-n:] = [tuple(stack[-n:])]
        elif name == "TUPLE":
            stack.append(tuple(_marked(stack)))
        elif name == "LIST":
            stack.append(_marked(stack))
        elif name == "APPEND":
            _kind(stack[-2], list).append(stack.pop())
        elif name == "APPENDS":
            items = _marked(stack)
            _kind(stack[-1], list).extend(items)
        elif name == "ADDITEMS":
            items = _marked(stack)
            _kind(stack[-1], set).update(map(_key, items))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _kind(stack[-1], dict)[_key(key)] = value
        elif name == "SETITEMS":
            items = _marked(stack)
            held = _kind(stack[-1], dict)
            for key, value in zip(items[::2], items[1::2], strict=True):
                held[_key(key)] = value
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            if name == "STACK_GLOBAL":
                last = stack.pop()
                arg = f"{stack.pop()} {last}"
            if arg not in names:
                raise Unknown(arg)
            meant = names[arg]
            stack.append(_Named(meant) if callable(meant) else meant)
        elif name == "REDUCE":
            args, function = stack.pop(), stack.pop()
            if not isinstance(function, _Named):
                raise ValueError("関数でないものを呼んでいます (not a function)")
            # What is remembered once may be given, and copied, many times.
            left -= sum(len(x) for x in _kind(args, tuple) if isinstance(x, _CONTAINERS))
            if left < 0:
                raise ValueError("関数に渡るものが多すぎます (expands too much)")
            stack.append(function.meant(*args))
        elif name == "BUILD":
            stack.pop()
            _kind(stack[-1], Extra)
        elif name == "BINPERSID":
            stack.append(persistent(stack.pop()))
        elif name == "POP":
            stack.pop()
        elif name == "STOP":
            if len(stack) != 1 or isinstance(stack[0], _Named) or stack[0] is _MARK:
                raise ValueError("終わり方がおかしい (bad end)")
            return stack[0]
        else:
            raise ValueError(f"扱わない命令 (unsupported opcode) {name}")
    raise ValueError("途中で切れています (truncated)")


def require_small(x: Any, deepest: int) -> None:
    """入れ子が深すぎず、同じ入れ物を分け合っていても、たどれる大きさであることを確かめる。

    Raises:
        ValueError: 深すぎる、自分自身を含む、またはたどると大きすぎる。
    """
    sizes: dict[int, int] = {}

    def size(x: Any, depth: int) -> int:
        if not isinstance(x, _CONTAINERS):
            return 1
        if depth > deepest:
            raise ValueError("入れ子が深すぎます (nested too deeply)")
        if id(x) not in sizes:
            inside = [*x.keys(), *x.values()] if isinstance(x, dict) else x
            found = 1 + sum(size(y, depth + 1) for y in inside)
            if found > MOST:
                raise ValueError("たどると大きすぎます (expands too much)")
            sizes[id(x)] = found
        return sizes[id(x)]

    size(x, 0)


class _Named:
    """A function of the table. It is no dict and no list: nothing can be put into it."""

    __slots__ = ("meant",)

    def __init__(self, meant: Callable[..., Any]) -> None:
        self.meant = meant


def _marked(stack: list[Any]) -> list[Any]:
    for i in range(len(stack) - 1, -1, -1):
        if stack[i] is _MARK:
            items = stack[i + 1 :]
            del stack[i:]
            return items
    raise ValueError("印がありません (no mark)")


def _key(x: Any) -> Any:
    """A key of a dict, that Python can hash: a tuple in tuples would recurse without a limit."""
    if isinstance(x, tuple) and (len(x) > _LONGEST_KEY or any(isinstance(y, tuple) for y in x)):
        raise ValueError("キーが大きすぎます (key too large)")
    return x


def _kind(x: Any, kind: type) -> Any:
    if not isinstance(x, kind):
        raise ValueError(f"{kind.__name__} のはずのところが {type(x).__name__} です")
    return x


# ---- 書く ---------------------------------------------------------------------------------------


def written(x: Any, tensor: Callable[[Any, Callable[..., bytes]], bytes | None]) -> bytes:
    """数、文字列、真偽値、`None` と、その list・tuple・dict を pickle (protocol 2) にする。

    Args:
        x: 書くもの。
        tensor: 配列なら、それを作る命令を返す関数。ほかなら `None`。

    Raises:
        TypeError: 書けないもの。
    """

    def code(x: Any) -> bytes:
        special = tensor(x, code)
        if special is not None:
            return special
        if x is None:
            return b"N"
        if isinstance(x, bool):
            return b"\x88" if x else b"\x89"
        if isinstance(x, int):
            if -(2**31) <= x < 2**31:
                return b"J" + struct.pack("<i", x)
            raw = x.to_bytes(x.bit_length() // 8 + 1, "little", signed=True)
            if len(raw) < 256:
                return b"\x8a" + bytes([len(raw)]) + raw
            return b"\x8b" + struct.pack("<i", len(raw)) + raw
        if isinstance(x, float):
            return b"G" + struct.pack(">d", x)
        if isinstance(x, str):
            raw = x.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(raw)) + raw
        if isinstance(x, tuple):
            return b"(" + b"".join(map(code, x)) + b"t"
        if isinstance(x, list):
            return b"](" + b"".join(map(code, x)) + b"e"
        if isinstance(x, dict):
            return b"}(" + b"".join(code(k) + code(v) for k, v in x.items()) + b"u"
        raise TypeError(type(x).__name__)

    return b"\x80\x02" + code(x) + b"."


def reduce(name: str, args: bytes) -> bytes:
    """`名前(*args)` を作る命令。"""
    return b"c" + name.replace(" ", "\n").encode() + b"\n" + args + b"R"
