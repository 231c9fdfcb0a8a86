"""全員での計算 (collectives): 和や平均、配ること、待ち合わせ。どのプロセスも、同じ順に呼ぶ。"""

from __future__ import annotations

import operator
import zlib
from typing import Any

import numpy as np

from micrograd_jp import namespace
from micrograd_jp.arguments import explain_all
from micrograd_jp.distributed.group import group
from micrograd_jp.distributed.talk import DistributedError
from micrograd_jp.engine.numbers import is_number
from micrograd_jp.environment import processes, require_joined
from micrograd_jp.tensor.array import Tensor

_OPERATIONS = ("sum", "mean", "max", "min")


def all_reduce(x: Any, op: str = "sum") -> Any:
    """全プロセスの x の和（か平均、最大、最小）。どのプロセスでも同じビットの結果になる。

    Args:
        x: `Tensor` か ndarray（結果はその中に書かれる）、または数。形と型は、どのプロセスでも同じ。
        op: `"sum"`, `"mean"`, `"max"`, `"min"`。平均は小数だけ。

    Returns:
        x と同じもの。x が数なら、数。

    Raises:
        TypeError: `Tensor` でも配列でも数でもない。
        ValueError: 知らない op。計算グラフの途中の `Tensor`。
        DistributedError: 形や型がプロセスで違う。ほかのプロセスが終わった、止まった、来ない。
    """
    if op not in _OPERATIONS:
        raise ValueError(
            f'op は "sum"、"mean"、"max"、"min" のどれかです (unknown operation): {op!r}。'
        )
    data = _data(x, "all_reduce")
    if op == "mean" and data.dtype.kind in "iub":
        raise ValueError(
            f"整数の平均は求められません (mean of integers): {data.dtype}。和を求めて割るか、"
            "小数にしてください。"
        )
    if data.dtype.kind == "c" and op in ("max", "min"):
        raise ValueError(f"複素数に大小はありません (no order): op={op!r}。")
    require_joined()
    if processes.count == 1:
        return x
    require_same(f"{op}, {tuple(data.shape)}, {data.dtype}")
    return _written(x, data, combined(data, op))


def broadcast(x: Any, src: int = 0) -> Any:
    """プロセス `src` の x を、全プロセスに配る。

    Args:
        x: `Tensor` か ndarray（結果はその中に書かれる）、または数。形と型は、どのプロセスでも同じ。
        src: 配るプロセスの番号。

    Returns:
        x と同じもの。x が数なら、数。

    Raises:
        TypeError, ValueError, DistributedError: `all_reduce` と同じ。`src` が範囲の外。
    """
    data = _data(x, "broadcast")
    src = operator.index(src)
    require_joined()
    if not 0 <= src < processes.count:
        raise ValueError(
            f"src は 0 以上 {processes.count} 未満の番号です (no such process): {src}。"
        )
    if processes.count == 1:
        return x
    require_same(f"broadcast from {src}, {tuple(data.shape)}, {data.dtype}")
    return _written(x, data, distributed_from(data, src))


def barrier() -> None:
    """全プロセスがここに来るまで待つ。

    Raises:
        DistributedError: ほかのプロセスが終わった、止まった、`timeout` 秒のうちに来ない。
    """
    require_joined()
    if processes.count > 1:
        require_same("barrier")


# ---- どのプロセスでも同じ形と型だと分かっている配列のために ----


def combined(data: Any, op: str) -> Any:
    """全プロセスの配列の和など。半精度は float32 で足し、1 度だけ丸める。"""
    kept = data.dtype
    if kept.kind == "c":  # as pairs of numbers: 1j · inf would be nan
        host = np.ascontiguousarray(np.asarray(data))
        pairs = combined(host.reshape(-1).view(host.real.dtype), op)
        both = pairs.view(kept).reshape(data.shape)
        return both if data.__class__ is np.ndarray else namespace.of(data).asarray(both)
    wide = data if kept.itemsize > 2 or kept.kind in "iu" else data.astype(np.float32)
    found = _said(wide, "sum" if op == "mean" else op)
    if data.__class__ is np.ndarray:
        found = np.asarray(found)
    if op == "mean":
        found = found / processes.count
    return found.astype(kept)


def distributed_from(data: Any, src: int) -> Any:
    """プロセス `src` の配列。1 ビットも変わらない。"""
    host = np.ascontiguousarray(np.asarray(data))
    # As whole numbers: others add zeros, and neither a nan nor a −0.0 is touched.
    numbers = np.frombuffer(host.tobytes() + bytes(-host.nbytes % 4), np.uint32)
    if processes.rank != src:
        numbers = np.zeros_like(numbers)
    found = np.asarray(_said(numbers, "sum"))
    found = np.frombuffer(found.tobytes()[: host.nbytes], host.dtype).reshape(host.shape)
    if data.__class__ is not np.ndarray:
        return namespace.of(data).asarray(found)
    out = np.empty_like(data)  # as it lies in memory: of another order, BLAS rounds otherwise
    out[...] = found
    return out


def gathered(data: Any) -> Any:
    """全プロセスの配列を並べたもの。形 (プロセスの数, …)。"""
    return np.asarray(_said(data, "all"))


def gathered_bytes(contents: bytes) -> list[bytes]:
    """全プロセスのバイト列。長さは違ってよい。"""
    lengths = gathered(np.array([len(contents)], np.int64))[:, 0]
    padded = contents + bytes(int(lengths.max()) - len(contents))
    rows = gathered(np.frombuffer(padded, np.uint8))
    return [row.tobytes()[:length] for row, length in zip(rows, lengths)]


def bytes_of_first(contents: bytes) -> bytes:
    """プロセス 0 のバイト列。"""
    length = int(distributed_from(np.array([len(contents)]), 0)[0])
    padded = np.frombuffer(contents.ljust(length, b"\0")[:length], np.uint8)
    return bytes(distributed_from(padded, 0).tobytes())


def require_same(what: str) -> None:
    """どのプロセスでも同じ文であることを確かめる。JAX は、違っても待ち続けるか、でたらめを足す。

    Raises:
        DistributedError: 違う。
    """
    marks = gathered(np.array([zlib.crc32(what.encode())], np.uint32))[:, 0]
    if (marks != marks[0]).any():
        texts = [t.decode() for t in gathered_bytes(what.encode())]
        shown = "、".join(f"プロセス {k}: {t}" for k, t in enumerate(texts[:8]))
        raise DistributedError(
            "プロセスによって、していることが違います (mismatch between processes): "
            f"{shown}。どのプロセスも、同じ関数を、同じ形と型で、同じ順に呼んでください。"
        )


def _said(data: Any, operation: str) -> Any:
    """What all processes say together."""
    talk, mesh = group.talk, group.mesh
    assert talk is not None and mesh is not None
    return talk(lambda: mesh.combined(data, operation))


def _data(x: Any, name: str) -> Any:
    if isinstance(x, Tensor):
        if x.parents:
            raise ValueError(
                f"{name} は計算グラフの途中の Tensor を書き換えられません (would break the graph): "
                f"{name}(t.detach()) としてください。"
            )
        return x._data
    if is_number(x):
        return np.asarray(x)
    if namespace.is_array(x):
        if not isinstance(x, np.ndarray):
            raise TypeError(
                f"{name} は JAX の配列を書き換えられません (immutable array): "
                f"{name}(mg.Tensor(x)) としてください。"
            )
        return x
    raise TypeError(
        f"{name} は Tensor、ndarray、数を受け取ります (expected a tensor): "
        f"{type(x).__name__} が渡されました。"
    )


def _written(x: Any, data: Any, found: Any) -> Any:
    if isinstance(x, Tensor):
        x.data = found
        return x
    if isinstance(x, np.ndarray):
        x[...] = found
        return x
    return type(x)(found.item()) if isinstance(x, int | float) else found.item()


explain_all(globals())
