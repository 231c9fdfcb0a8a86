"""機械語のバッチ正規化（extra `fast`）。

チャネルが隣り合う並び (N, …, C) の配列を、いくつかの続いた行に分けて、スレッドが計算する。
式は `ops/norm.py` にあるものと同じ。
"""

from __future__ import annotations

from typing import Any

import numpy as np

from micrograd_jp.native.call import address, in_parts, kernels, suits
from micrograd_jp.native.ir import Vector, loop

SMALL = 1 << 16
"""数がこれより少なければ、スレッドに分けるのに見合わない。"""

JOB = 1 << 17
"""1 つのスレッドに 1 度に渡す数の個数。"""


def batch_statistics(x: Any) -> tuple[Any, Any] | None:
    """Mean and variance (divided by n) of each channel: first the one, then the other."""
    rows = _rows(x)
    if rows is None or not suits(x):
        return None
    nothing = np.zeros(x.shape[1], x.dtype)
    mean = (_moments(rows, nothing, rows, nothing)[0] / len(rows)).astype(x.dtype)
    # Around a mean that was rounded: the rest of it is taken out of the squares.
    rest, squares = _moments(rows, mean, rows, mean) / len(rows)
    mean = mean + np.where(np.isfinite(rest), rest, 0)
    return mean.astype(x.dtype), (squares - rest * rest).astype(x.dtype)


def batch_normalized(x: Any, w: Any, b: Any, mean: Any, var: Any, eps: float) -> Any:
    """(x − mean)/√(var + eps)·w + b for each channel."""
    rows = _rows(x)
    if rows is None or not suits(x, w, b, mean, var):
        return None
    scale = (w / np.sqrt(var + eps)).astype(x.dtype)
    return _over_rows(_kernels(x).scaled, x, (rows,), (mean, scale, b))


def batch_normalized_back(
    g: Any, x: Any, w: Any, *, mean: Any, var: Any, eps: float, batch: bool
) -> tuple[Any, Any, Any] | None:
    """The gradients of x, w and b."""
    rows, upstream = _rows(x), _rows(g, copied=True)
    if rows is None or upstream is None or not suits(g, x, w, mean, var):
        return None
    for_b, for_w = _moments(upstream, np.zeros_like(mean), rows, mean)
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    for_w *= inverse
    scale = w * inverse
    if batch:  # scale·g − slope·(x − mean) − constant
        slope, constant = inverse * for_w * scale / len(rows), for_b * scale / len(rows)
        parts = (v.astype(x.dtype) for v in (-slope, scale, -constant))
        share = _over_rows(_kernels(x).combined, x, (rows, upstream), (mean, *parts))
    else:
        nothing = np.zeros_like(mean)
        vectors = nothing, scale.astype(x.dtype), nothing
        share = _over_rows(_kernels(x).scaled, x, (upstream,), vectors)
    return share, for_w.astype(x.dtype), for_b.astype(x.dtype)


def _rows(x: Any, copied: bool = False) -> Any:
    """The numbers as a matrix (pixels, C), or None where it is not worth it."""
    rows = np.moveaxis(x, 1, -1)
    if x.size < max(SMALL, 1) or not (copied or (rows.flags.c_contiguous and rows.flags.aligned)):
        return None
    return np.require(rows, requirements=["C", "A"]).reshape(-1, x.shape[1])


def _moments(u: Any, cu: Any, x: Any, cx: Any) -> Any:
    """Σ (u − cu) and Σ (u − cu)(x − cx) of each channel, in float64: an array (2, C)."""
    n, c = u.shape
    each = max(1, JOB // c)
    sums = np.empty((-(-n // each), 2, c), u.dtype)
    kernel, (u_at, cu_at, x_at, cx_at) = _kernels(u).moments, map(address, (u, cu, x, cx))
    sums_at, row = address(sums), c * u.itemsize

    def part(start: int, count: int) -> None:
        before = start * row
        here = sums_at + start // each * 2 * row
        kernel(u_at + before, cu_at, x_at + before, cx_at, here, count, c)

    in_parts(part, n, each)
    return np.add.reduce(sums, axis=0, dtype=np.float64)


def _over_rows(kernel: Any, x: Any, arrays: Any, per_channel: Any) -> Any:
    """What the machine code makes of matrices (pixels, C) and vectors (C,), shaped like x."""
    n, c = arrays[0].shape
    out = np.empty((n, c), x.dtype)
    vectors = [np.ascontiguousarray(v) for v in per_channel]
    matrices_at, vectors_at = [address(a) for a in (*arrays, out)], list(map(address, vectors))

    def part(start: int, count: int) -> None:
        before = start * c * x.itemsize
        kernel(*(at + before for at in matrices_at), *vectors_at, count, c)

    in_parts(part, n, max(1, JOB // c))
    return np.moveaxis(out.reshape(len(x), *x.shape[2:], c), -1, 1)


def _kernels(x: Any) -> Any:
    return kernels(_module, x.dtype, moments="pppppii", scaled="pppppii", combined="pppppppii")


def _module(vector: Vector) -> str:
    def at(name: str, place: str) -> str:
        return f"""
  %{name}.at = getelementptr {vector.kind}, ptr %{name}, i64 {place}"""

    def read(name: str, place: str) -> str:
        return f"{at(name, place)}\n{vector.load(f'%{name}.now', f'%{name}.at', '%mask')}"

    sums = f"""
  %by = mul i64 %i, %c
  %place = add i64 %by, %v{read("u", "%place")}{read("x", "%place")}
  %du = fsub {vector} %u.now, %cu.now
  %dx = fsub {vector} %x.now, %cx.now
  %first = load {vector}, ptr %sum
  %first.next = fadd {vector} %first, %du
  store {vector} %first.next, ptr %sum
  %second = load {vector}, ptr %product
  %times = fmul contract {vector} %du, %dx
  %second.next = fadd contract {vector} %second, %times
  store {vector} %second.next, ptr %product"""
    begin = f"""
  %by = mul i64 %i, %c
  %place = add i64 %by, %v{at("out", "%place")}{read("x", "%place")}
  %dx = fsub {vector} %x.now, %center.now
  %ax = fmul contract {vector} %dx, %a.now"""
    end = f"""
  %all = fadd contract {vector} %both, %constant.now
  {vector.store("%all", "%out.at", "%mask")}"""
    scaled = f"{begin}{end.replace('%both', '%ax')}"
    combined = f"""{begin}{read("g", "%place")}
  %bg = fmul contract {vector} %g.now, %b.now
  %both = fadd contract {vector} %ax, %bg{end}"""
    mask = f"""
  %rest = sub i64 %c, %v
  {vector.mask("%mask", "%rest")}"""
    channels = f"""{mask}{read("cu", "%v")}{read("cx", "%v")}
  store {vector} zeroinitializer, ptr %sum
  store {vector} zeroinitializer, ptr %product
  {loop("i", "0", "%n", "1", sums)}
  %one = load {vector}, ptr %sum
  %two = load {vector}, ptr %product
  %to = getelementptr {vector.kind}, ptr %sums, i64 %v
  %two.to = getelementptr {vector.kind}, ptr %to, i64 %c
  {vector.store("%one", "%to", "%mask")}
  {vector.store("%two", "%two.to", "%mask")}"""
    width = str(vector.width)
    some = f"{mask}{''.join(read(name, '%v') for name in ('center', 'a', 'constant'))}"
    return f"""
; Σ (u − cu) and Σ (u − cu)(x − cx)
define void @moments(ptr %u, ptr %cu, ptr %x, ptr %cx, ptr %sums, i64 %n, i64 %c) #0 {{
  %sum = alloca {vector}
  %product = alloca {vector}
  {loop("v", "0", "%c", width, channels)}
  ret void
}}
; a·(x − center) + constant
define void @scaled(ptr %x, ptr %out, ptr %center, ptr %a, ptr %constant, i64 %n, i64 %c) #0 {{
  {loop("v", "0", "%c", width, some + loop("i", "0", "%n", "1", scaled))}
  ret void
}}
; a·(x − center) + b·g + constant
define void @combined(ptr %x, ptr %g, ptr %out, ptr %center, ptr %a, ptr %b, ptr %constant,
                      i64 %n, i64 %c) #0 {{
  {loop("v", "0", "%c", width, some + read("b", "%v") + loop("i", "0", "%n", "1", combined))}
  ret void
}}
{vector.declarations()}
{vector.attributes}"""
