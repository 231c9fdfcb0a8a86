"""`DataLoader`: データセットからミニバッチ (mini-batch) を順に取り出す。

バッチは配列の添字 1 度で作られ、見本ごとの Python の処理はない。順序は (種, エポック) だけで
決まるので、途中で止めた学習を、同じバッチから同じ順序で続けられる。
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from micrograd_jp.arguments import at_least, explain_all, require_function
from micrograd_jp.data.combined import IterableDataset
from micrograd_jp.data.dataset import Dataset, batch_of, integers, stacked
from micrograd_jp.data.options import guarded, length_of, takes_generator, whether
from micrograd_jp.data.prefetch import prefetched
from micrograd_jp.data.samplers import in_batches
from micrograd_jp.data.seeds import checked_seed, generator_of
from micrograd_jp.environment import processes, require_joined
from micrograd_jp.locks import Lock
from micrograd_jp.native.allocator import keep

# What the streams of random numbers of one epoch are for.
_ORDER, _TRANSFORM = 0, 1

_position = Lock()
"""反復の始めと終わりは 1 度に 1 つ: 同時に始めた `for` は、それぞれ別のエポックになる。"""


class DataLoader:
    """データセットを 1 巡 (epoch) するミニバッチの列。`for x, t in loader:` と書く。

    Args:
        dataset: `len(d)` と `d[i]` があるもの。`TensorDataset` なら毎秒 100 万枚の MNIST を出せる。
        batch_size: 1 つのバッチの見本の数。最後のバッチは少ないことがある。
        shuffle: 真なら、エポックごとに新しい順序に並べ替える。
        seed: 順序の種。同じ種なら、別のプロセスでも毎エポック同じ順序になる。
            `None` なら、エポックの始めにパッケージの生成器 (`mg.manual_seed`) から決める。
        drop_last: 真なら、`batch_size` に足りない最後のバッチを捨てる。
        prefetch: 裏のスレッドで先に用意しておくバッチの数。0 なら使わない。
        transform: 各バッチを変える関数（データ拡張など）。`transform(x, t)` が `(x, t)` を返す。
            引数に `generator` があれば、`numpy.random.Generator` が渡される。それはバッチの番号で
            決まるので、`prefetch` や再開があっても同じ乱数になる。
        distributed: 真なら、どのバッチも `mg.distributed` のプロセスで同じ数ずつ分け合う。
            `batch_size` は全プロセスの合計で、プロセスの数の倍数。最後のバッチは、分け合えるだけの
            見本に切る（余る見本は、プロセスの数より少ない）。並べ替えるなら `seed` が要る。
        generator: `seed` の代わりに、順序の種を引く `mg.Generator`。ここから下は PyTorch の引数。
        sampler: 見本の番号の列（`shuffle` の代わり）。エポックごとに読む。
        batch_sampler: バッチごとの番号の列の列（`batch_size` などの代わり）。
        collate_fn: 見本のリストを 1 つのバッチにする関数。
        num_workers: 0 でなければ、裏のスレッド 1 つで `prefetch_factor` × `num_workers` 個先まで
            用意する（プロセスは作らない: NumPy の計算はスレッドでも並んで動き、写しが要らない）。
        prefetch_factor: 上のとおり。省くと 2。
        worker_init_fn: `num_workers` があるとき、エポックのはじめに、番号 0 で呼ぶ関数。
        pin_memory, timeout, persistent_workers, multiprocessing_context: 受け取るだけで、
            何も変わらない（移す GPU のメモリも、待つプロセスもない）。

    Yields:
        `Tensor` の組（dict の見本なら dict）。元のデータとは別のメモリを持つ。

    Raises:
        TypeError: データセットに長さや添字がない、引数の型が違う。
        ValueError: `batch_size` が 1 より小さい、`prefetch` や `seed` が負。`distributed` なのに
            `batch_size` がプロセスの数の倍数でない、種がない。`sampler` などと、それに代わる
            引数の両方がある。
    """

    def __init__(
        self,
        dataset: Dataset | IterableDataset,
        batch_size: int = 1,
        shuffle: bool | None = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        prefetch: int = 0,
        transform: Callable[..., Any] | None = None,
        distributed: bool = False,
        generator: Any = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Iterable[int]] | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        num_workers: int = 0,
        prefetch_factor: int | None = None,
        worker_init_fn: Callable[[int], Any] | None = None,
        pin_memory: bool = False,
        timeout: float = 0,
        persistent_workers: bool = False,
        multiprocessing_context: Any = None,
    ) -> None:
        self._streams = isinstance(dataset, IterableDataset)
        if not self._streams and not isinstance(dataset, Dataset):
            raise TypeError(
                "DataLoader は len(d) と d[i] のあるデータセットを受け取ります "
                f"(expected a dataset): {type(dataset).__name__} が渡されました。"
                "配列は TensorDataset(x, t) にしてください。"
            )
        self.dataset: Any = dataset
        self.batch_size = at_least(1, "batch_size", batch_size)
        self.shuffle = whether("shuffle", bool(shuffle) if shuffle is None else shuffle)
        self.seed, self.generator = checked_seed(seed), generator
        generator_of(seed, generator)  # refuses what is none, or both
        self.drop_last = whether("drop_last", drop_last)
        self.num_workers = at_least(0, "num_workers", num_workers)
        ahead = at_least(1, "prefetch_factor", 2 if prefetch_factor is None else prefetch_factor)
        self.prefetch = max(at_least(0, "prefetch", prefetch), ahead * self.num_workers)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.collate_fn, self.worker_init_fn = collate_fn, worker_init_fn
        for name in ("collate_fn", "worker_init_fn"):
            if getattr(self, name) is not None:
                require_function(name, getattr(self, name))
        self.transform = transform
        self._wants_generator = transform is not None and takes_generator(transform)
        self.distributed = whether("distributed", distributed)
        if self.distributed and self.seed is None and (self.shuffle or self._wants_generator):
            raise ValueError(
                "distributed=True で並べ替えるには、種が要ります (a seed is needed): どのプロセス"
                "でも同じ順序になるように、DataLoader(…, seed=0) としてください。"
            )
        self._require_one_order()
        self._shards()
        self._epoch = self._batch = 0
        self._key: int | None = None  # drawn when an epoch begins without a seed
        self._under_way = self._resuming = False
        self._latest: object = None

    def __len__(self) -> int:
        """1 エポックのバッチの数。

        Raises:
            TypeError: 長さのない `IterableDataset` か `sampler`。
        """
        if self.batch_sampler is not None:
            return length_of("batch_sampler", self.batch_sampler)
        if self.sampler is not None or self._streams:
            rows = length_of("sampler" if self.sampler is not None else "IterableDataset",
                           self.dataset if self.sampler is None else self.sampler)  # fmt: skip
            return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest >= self._shards() and not self.drop_last)

    def _require_one_order(self) -> None:
        """Nothing is said twice about which samples come when."""
        options = {
            "shuffle": self.shuffle, "sampler": self.sampler is not None,
            "batch_size": self.batch_size != 1, "drop_last": self.drop_last,
            "distributed": self.distributed,
        }  # fmt: skip
        if self.batch_sampler is not None:
            chosen, refused = "batch_sampler", list(options)
        elif self.sampler is not None:
            chosen, refused = "sampler", ["shuffle", "distributed"]
        elif self._streams:
            chosen, refused = "IterableDataset", ["shuffle", "distributed"]
        else:
            return
        if said := [name for name in refused if options[name]]:
            raise ValueError(
                f"{chosen} があるとき、{said[0]} は指定できません (mutually exclusive): 見本の順は "
                f"{chosen} が決めます。"
            )

    def _shards(self) -> int:
        """Into how many parts a batch is divided."""
        if not self.distributed or processes.count == 1:
            return 1
        if self.batch_size % processes.count:
            raise ValueError(
                "distributed=True の batch_size は、プロセスの数の倍数です (indivisible batch): "
                f"batch_size={self.batch_size}、プロセスは {processes.count} 個。1 プロセスあたり "
                f"{-(-self.batch_size // processes.count)} 個なら batch_size="
                f"{-(-self.batch_size // processes.count) * processes.count} です。"
            )
        return processes.count

    def __iter__(self) -> Iterator[Any]:
        """1 エポック。最初のバッチを求めたときに始まる。`load_state_dict` の後なら途中から。"""
        if self.worker_init_fn is not None and self.num_workers:
            self.worker_init_fn(0)
        if self._streams:
            yield from self._stream()
            return
        if self.distributed:
            require_joined()
        keep()  # every batch takes the memory of the one before
        with _position:
            if self._under_way and not self._resuming:  # the last epoch was abandoned half-way
                self._end_epoch()
            self._resuming = False
            if not self._under_way:
                self._under_way = True
                if self.seed is None and (self.shuffle or self._wants_generator):
                    self._key = int(generator_of(None, self.generator).integers(2**63))
            self._latest = run = object()
            stream = ((self._key or 0) if self.seed is None else self.seed, self._epoch)
            make, count = self._maker(stream)
            numbers = range(self._batch, count)
        batches = prefetched(make, numbers, self.prefetch) if self.prefetch else map(make, numbers)
        for number, batch in zip(numbers, batches):
            with _position:
                if self._latest is run:  # not when another loop has begun since
                    self._batch = number + 1
            yield batch
        with _position:
            if self._latest is run:
                self._end_epoch()

    def every_row(self) -> Iterator[Any]:
        """評価のための 1 巡: このプロセスの見本。余りも捨てず、位置も進めない。"""
        if len(self.dataset) < self._shards():
            raise ValueError(
                f"見本 {len(self.dataset)} 個は {processes.count} 個のプロセスで分けられません "
                "(too few samples): distributed=True を消すと、どのプロセスも全部を評価します。"
            )
        make, count = self._maker((self.seed or 0, self._epoch), every=True)
        for number in range(count):
            batch = make(number)
            if batch is not None:
                yield batch

    def _stream(self) -> Iterator[Any]:
        """One pass over a dataset that has no numbers."""
        batches = in_batches(self.dataset, self.batch_size, self.drop_last)
        make = guarded(self._transformed(self.collate_fn or stacked, None))
        yield from prefetched(make, batches, self.prefetch) if self.prefetch else map(make, batches)

    def _transformed(self, collate: Callable[..., Any], generator: Any) -> Callable[..., Any]:
        transform = self.transform
        if transform is None:
            return collate

        def changed(samples: Any) -> Any:
            batch = collate(samples)
            options = {"generator": generator} if self._wants_generator else {}
            return transform(*batch if isinstance(batch, tuple) else (batch,), **options)

        return changed

    def _maker(
        self, stream: tuple[int, int], every: bool = False
    ) -> tuple[Callable[[int], Any], int]:
        """The function from a batch's number to the batch, and how many there are. It does not
        refer to the loader's position: it may run ahead in another thread.

        Args:
            stream: what the order and the random numbers follow from.
            every: whether the rows that cannot be shared equally are shared, too. A batch of
                which nothing is left for us is None.
        """
        size, dataset, shards = self.batch_size, self.dataset, self._shards()
        rank = processes.rank if shards > 1 else 0
        own = (rank,) if shards > 1 else ()
        wants_generator, collate_fn = self._wants_generator, self.collate_fn
        batches: Any = None
        order: Any = None
        if self.batch_sampler is not None:
            batches = [integers([*rows], "batch_sampler") for rows in self.batch_sampler]
            count = len(batches)
        else:
            order = np.arange(len(dataset))
            if self.sampler is not None:
                order = integers([*self.sampler], "sampler")
            elif self.shuffle:
                order = np.random.default_rng((*stream, _ORDER)).permutation(len(order))
            count = len(self) if self.sampler is None else len(order) // size
            if every or (self.sampler is not None and not self.drop_last):
                count = -(-len(order) // size)

        def made(number: int) -> Any:
            own_rows = batches is None
            rows = order[number * size : (number + 1) * size] if own_rows else batches[number]
            if shards > 1:
                used = len(rows) if every else len(rows) // shards * shards
                rows = rows[used * rank // shards : used * (rank + 1) // shards]
                if not len(rows):
                    return None
            rng = None
            if wants_generator:
                rng = np.random.default_rng((*stream, _TRANSFORM, number, *own))

            def collate(rows: Any) -> Any:
                if collate_fn is None:
                    return batch_of(dataset, rows)
                return collate_fn([dataset[i] for i in rows.tolist()])

            return self._transformed(collate, rng)(rows)

        return guarded(made), count

    def _end_epoch(self) -> None:
        self._epoch += 1
        self._batch, self._key, self._under_way = 0, None, False

    # ---- 途中で止めて、続ける ----

    def state_dict(self) -> dict[str, Any]:
        """いまの位置: エポックの番号、渡し終えたバッチの数、順序の種。

        `for` の中で保存すれば、`load_state_dict` のあとの `for` は次のバッチから、同じ順序で続く。
        """
        position = {"epoch": self._epoch, "batch": self._batch, "key": self._key}
        return {**position, "under_way": self._under_way, **self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """`state_dict` の位置に戻る。次の `for` はそこから続く。

        Raises:
            KeyError: 必要な項目がない。
            ValueError: データの数や `batch_size` などの設定が、保存したときと違う。
                このとき何も変わらない。
        """
        self._loading(state)()

    def _loading(self, state: dict[str, Any]) -> Callable[[], None]:
        """What loads the state, once all of it is found to fit."""
        settings = self._settings()
        wanted = {"epoch", "batch", "key", "under_way", *settings}
        if missing := wanted - set(state):
            raise KeyError(f"DataLoader の状態に項目がありません (missing keys): {sorted(missing)}")
        for name, value in settings.items():
            if state[name] != value:
                raise ValueError(
                    f"DataLoader の {name} が保存したときと違います (state mismatch): "
                    f"保存したとき {state[name]!r}、いま {value!r}。同じ設定で作ってください。"
                )
        epoch, batch = at_least(0, "epoch", state["epoch"]), at_least(0, "batch", state["batch"])
        key = checked_seed(state["key"])
        if batch > len(self):
            raise ValueError(
                f"DataLoader の状態の batch が多すぎます (batch out of range): {batch}。"
                f"1 エポックは {len(self)} バッチです。"
            )
        under_way = bool(state["under_way"])

        def load() -> None:
            self._epoch, self._batch, self._key = epoch, batch, key
            self._under_way = self._resuming = under_way
            self._latest = None

        return load

    def _settings(self) -> dict[str, Any]:
        names = ("batch_size", "shuffle", "seed", "drop_last")
        length = None if self._streams else len(self.dataset)
        return {"length": length, **{name: getattr(self, name) for name in names}}

    def __repr__(self) -> str:
        options = "".join(
            f", {name}={value!r}"
            for name, value in (
                ("shuffle", self.shuffle),
                ("seed", self.seed),
                ("distributed", self.distributed),
            )
            if value not in (False, None)
        )
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}{options})"


explain_all(globals())
