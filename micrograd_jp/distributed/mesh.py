"""全プロセスにまたがる配列: JAX のプログラムが、プロセスごとの配列を合わせる。"""

from __future__ import annotations

from typing import Any

import numpy as np

_OPERATIONS = {
    "sum": lambda x: x.sum(axis=0, dtype=x.dtype),
    "max": lambda x: x.max(axis=0),
    "min": lambda x: x.min(axis=0),
    "all": lambda x: x,
}


class Mesh:
    """各プロセスの装置 1 つずつを並べたもの。

    Args:
        jax: モジュール。プロセスどうしは、もうつながっている。
    """

    def __init__(self, jax: Any) -> None:
        first = {d.process_index: d for d in reversed(jax.devices())}
        self._jax, self._own = jax, first[jax.process_index()]
        spec, sharding = jax.sharding.PartitionSpec, jax.sharding.NamedSharding
        mesh = jax.sharding.Mesh(np.array([first[k] for k in sorted(first)]), ("process",))
        self._shards, whole = sharding(mesh, spec("process")), sharding(mesh, spec())
        self._programs = {name: jax.jit(f, out_shardings=whole) for name, f in _OPERATIONS.items()}

    def combined(self, x: Any, operation: str) -> Any:
        """全プロセスの配列 x を合わせた、JAX の配列。できるまで待つ。

        Args:
            x: どのプロセスでも同じ形と型の配列。
            operation: `"sum"`, `"max"`, `"min"`、並べるなら `"all"`（形 (プロセスの数, …)）。
        """
        own = self._jax.device_put(x[None], self._own)
        shape = (self._shards.mesh.size, *own.shape[1:])
        joined = self._jax.make_array_from_single_device_arrays(shape, self._shards, [own])
        found = self._programs[operation](joined).addressable_data(0)
        return self._jax.block_until_ready(found)
