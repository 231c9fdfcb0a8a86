"""`fit` in 2 processes: what comes out is what one process computes, and the same in both."""

import itertools
import os
import sys
import warnings

import numpy as np
import pytest
from processes import launch, written
from training import bits, loader, plain, rows

import micrograd_jp as mg

TOGETHER = """
    import os, sys
    import numpy as np
    import training as t
    import micrograd_jp as mg

    d = mg.distributed
    d.init_process_group(timeout=120)
    rank, folder = d.get_rank(), sys.argv[1]

    def keep(name, model, **more):
        mg.save({**t.bits(model), **more}, os.path.join(folder, f"{name}{rank}.npz"))

    # Other weights in each process: those of process 0 count.
    model, optimizer = t.plain(seed=rank)
    history = mg.fit(
        model, t.loader(distributed=True), mg.cross_entropy, optimizer, 14, progress=rank == 1,
    )
    keep("plain", model, losses=np.array(history.losses))
    assert history.updates == 98

    # Everything at once; the development data are shared, too.
    model, history = t.fit_rich(os.path.join(folder, "rich.npz"))
    drawn = np.array([float(mg.rand(1).item())])
    shared = mg.data.DataLoader(t.rows(50), 16, distributed=True)
    share = np.array(mg.training.evaluate(model, shared, mg.cross_entropy))
    whole = np.array(mg.training.evaluate(model, t.rows(50), mg.cross_entropy))
    keep("rich", model, losses=np.array(history.losses), drawn=drawn, share=share, whole=whole)
    assert repr(model) and repr(model[0].weight) and model[0].weight.detach().numpy().shape

    # Decisions of one are those of all.
    def stop(history):
        if rank == 1 and len(history.epochs) == 2:
            raise StopIteration
    model, history = t.fit_rich(callbacks=[stop])
    assert history.stopped == "callback" and len(history.epochs) == 2, history

    import signal
    def interrupt(history):
        if rank == 0:
            os.kill(os.getpid(), signal.SIGINT)
    if os.name == "posix":
        model, history = t.fit_rich(callbacks=[interrupt])
        assert history.stopped == "interrupted" and len(history.epochs) == 1, history

    def spoil(model, x, y):
        return mg.cross_entropy(model(x), y) * (float("nan") if rank == 1 else 1.0)
    model, optimizer = t.plain()
    before = t.bits(model)
    try:
        mg.fit(model, t.loader(distributed=True), spoil, optimizer, 1, progress=False)
    except mg.training.NonFiniteError as error:
        print("nan:", error, flush=True)
    assert all((before[k] == x).all() for k, x in t.bits(model).items())

    # What is asked of fit, and the optimizer, are the same everywhere, or nothing begins.
    model, optimizer = t.plain()
    before = t.bits(model)
    for wrong in (
        {"checkpoint": os.path.join(folder, "one.npz") if rank == 0 else None},
        {"clip_norm": 1.0 + rank}, {"lr": 0.1 * (1 + rank)},
    ):
        optimizer.param_groups[0]["lr"] = wrong.pop("lr", 0.1)
        try:
            mg.fit(model, t.loader(distributed=True), mg.cross_entropy, optimizer, 1,
                   progress=False, **wrong)
        except d.DistributedError as error:
            print("differs:", error, flush=True)
    optimizer.param_groups[0]["lr"] = 0.1
    assert all((before[k] == x).all() for k, x in t.bits(model).items())

    print("so far", flush=True)
    batches = {"rows": [[8, 8], [8, 4]], "batches": [[8, 8, 8], [8, 8]]}[sys.argv[2]]
    data = [t.rows()[rank * 100 + 9 * i : rank * 100 + 9 * i + n]
            for i, n in enumerate(batches[rank])]
    class Unsized:  # whose length nobody can compare before
        def __iter__(self):
            return iter(data)
    mg.fit(model, Unsized(), mg.cross_entropy, optimizer, 1, progress=False)
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    pytest.importorskip("jax", reason="extra の accel")
    folder = tmp_path_factory.mktemp("together")
    return launch(written(folder, TOGETHER), str(folder), "rows"), folder


def both(together, name):
    done, folder = together
    assert done.stdout.count("so far") == 2, done.stdout + done.stderr
    return [{k: np.array(x) for k, x in mg.load(folder / f"{name}{r}.npz").items()} for r in (0, 1)]


def micro_batches(epochs):
    """One process, gradients accumulated over the two halves of each batch."""
    model, optimizer = plain()
    data = loader()
    for _ in range(epochs):
        for x, y in data:
            half = len(x) // 2
            optimizer.zero_grad()
            for part in (slice(0, half), slice(half, 2 * half)):
                (mg.cross_entropy(model(x[part]), y[part]) * 0.5).backward()
            optimizer.step()
    return bits(model)


def test_both_processes_have_the_same_bits(together):
    for name in ("plain", "rich"):
        first, second = both(together, name)
        drawn = first.pop("drawn", 0), second.pop("drawn", 1)
        assert drawn[0] != drawn[1]  # what is dropped differs
        assert first.keys() == second.keys()
        for key, x in first.items():
            assert x.tobytes() == second[key].tobytes(), key


def test_two_processes_are_two_micro_batches_to_the_bit(together):
    first, _ = both(together, "plain")
    for key, x in micro_batches(14).items():
        assert x.tobytes() == first[key].tobytes(), key


def test_two_processes_are_one_process_but_for_rounding(together):
    first, _ = both(together, "plain")
    model, optimizer = plain()
    data = loader()
    for _ in range(14):
        for x, y in data:
            even = len(x) // 2 * 2  # 11 rows are left over at the end: one of them is left out
            optimizer.zero_grad()
            mg.cross_entropy(model(x[:even]), y[:even]).backward()
            optimizer.step()
    for key, x in bits(model).items():
        np.testing.assert_allclose(first[key], x, rtol=0, atol=1e-6)


def test_shared_development_data_are_evaluated_whole(together):
    first, _ = both(together, "rich")
    np.testing.assert_allclose(first["share"], first["whole"], rtol=1e-6)


def test_process_0_alone_writes(together):
    done, folder = together
    assert (folder / "rich.npz").exists()
    assert "学習中" not in done.stderr  # the bar that process 1 asked for
    assert not list(folder.glob(".*"))


def test_differences_are_said_in_every_process_and_change_nothing(together):
    done, _ = together
    said = done.stdout.splitlines()
    assert any(x.startswith("[0] nan: プロセス 1 の損失が nan") for x in said)
    assert any(x.startswith("[1] nan: ") and "1 回目の更新で、損失が nan" in x for x in said)
    for rank in "01":
        last = [x for x in done.stderr.splitlines() if x.startswith(f"[{rank}]")][-1]
        assert "different numbers of rows" in last and "プロセス 0: 8、プロセス 1: 4" in last
    assert done.returncode == 1


@pytest.mark.slow
def test_one_has_a_batch_more(tmp_path):
    pytest.importorskip("jax", reason="extra の accel")
    done = launch(written(tmp_path, TOGETHER), str(tmp_path), "batches")
    # The one begins another update, the other has ended its epoch.
    for rank in "01":
        said = [x for x in done.stderr.splitlines() if x.startswith(f"[{rank}]")]
        assert any("different numbers of rows" in x and "プロセス 1: 0" in x for x in said)
    assert done.returncode == 1


def test_other_arguments_in_another_process_begin_nothing(together):
    said = together[0].stdout.splitlines()
    for rank in "01":
        for word in ("checkpoint=every None", "clip_norm=2.0", "パラメータ 4 個"):
            assert any(
                x.startswith(f"[{rank}] differs:") and "mismatch" in x and word in x for x in said
            ), word
        assert sum(x.startswith(f"[{rank}] differs:") for x in said) == 3


def test_a_compiled_update_would_not_be_averaged(monkeypatch):
    pytest.importorskip("jax", reason="extra の accel")
    model, optimizer = plain()
    before = bits(model)
    as_process(0, 2, monkeypatch)
    with pytest.raises(ValueError, match="not with several processes"):
        mg.fit(model, loader(), mg.cross_entropy, optimizer, 1, jit=True)
    assert all((before[k] == x).all() for k, x in bits(model).items())


def killed(tmp_path, kills, seed):
    """The weights of a job that lost no process, and of one that lost one so many times."""
    pytest.importorskip("jax", reason="extra の accel")
    program = os.path.join(os.path.dirname(__file__), "training.py")
    found = []
    for times in (0, kills):
        folder = tmp_path / str(times)
        folder.mkdir()
        done = launch(
            program, str(folder), options=("--max-restarts", str(times)), KILLS=str(times),
            KILLS_SEED=str(seed),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("もう一度始めます") == times
        found.append([mg.load(folder / f"weights{rank}.npz") for rank in (0, 1)])
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="シグナルは POSIX のもの")
@pytest.mark.slow
@pytest.mark.parametrize(("kills", "seed"), [(2, 0), (10, 1), (10, 2)])
def test_a_killed_process_changes_no_bit(tmp_path, kills, seed):
    plain, kill = killed(tmp_path, kills, seed)
    for run in (plain, kill):
        for key, x in plain[0].items():
            for weights in run:
                assert x.numpy().tobytes() == weights[key].numpy().tobytes(), key


# ---- DataLoader ----


def as_process(rank, count, monkeypatch):
    from micrograd_jp.environment import processes

    monkeypatch.setattr(processes, "rank", rank)
    monkeypatch.setattr(processes, "count", count)


@pytest.mark.parametrize(
    ("n", "batch", "count"), [(203, 32, 2), (203, 33, 3), (7, 8, 4), (5, 4, 2)]
)
@pytest.mark.parametrize("prefetch", [0, 2])
def test_shards_make_the_batches_of_one_process(n, batch, count, prefetch, monkeypatch):
    options = {"shuffle": True, "seed": 3, "prefetch": prefetch}
    whole = mg.data.DataLoader(np.arange(n), batch, **options)
    shards = []
    for rank in range(count):
        as_process(rank, count, monkeypatch)
        data = mg.data.DataLoader(np.arange(n), batch, distributed=True, **options)
        shards.append([[x.tolist() for x in data] for _ in range(2)])
        assert len(data) == len(shards[-1][0])
    as_process(0, 1, monkeypatch)
    for epoch in range(2):
        for number, x in enumerate(whole):
            parts = [s[epoch][number] for s in shards if number < len(s[epoch])]
            if not parts:  # fewer rows than processes
                assert len(x) < count
                continue
            assert len({len(p) for p in parts}) == 1  # equal shards
            assert list(itertools.chain(*parts)) == x.tolist()[: len(x) // count * count]


@pytest.mark.parametrize(("n", "batch", "count"), [(203, 32, 2), (203, 33, 3), (7, 8, 4)])
def test_evaluation_leaves_no_row_out(n, batch, count, monkeypatch):
    rows = []
    for rank in range(count):
        as_process(rank, count, monkeypatch)
        data = mg.data.DataLoader(np.arange(n), batch, distributed=True)
        rows += [i for x in data.every_row() for i in x.tolist()]
    assert sorted(rows) == list(range(n))


def test_a_shard_is_resumed_where_it_was(monkeypatch):
    as_process(1, 2, monkeypatch)
    make = lambda: mg.data.DataLoader(
        np.arange(40), 8, shuffle=True, seed=1, distributed=True,
        transform=lambda x, generator: (x, generator.random()),
    )  # fmt: skip
    whole = [(x.tolist(), r) for x, r in make()]
    data, seen = make(), []
    for x, r in data:
        seen.append((x.tolist(), r))
        if len(seen) == 2:
            break
    again = make()
    again.load_state_dict(data.state_dict())
    assert seen + [(x.tolist(), r) for x, r in again] == whole
    as_process(0, 2, monkeypatch)
    assert {r for _, r in make()}.isdisjoint(r for _, r in whole)  # other random numbers


def test_bad_use_of_the_loader(monkeypatch):
    as_process(0, 2, monkeypatch)
    with pytest.raises(ValueError, match=r"indivisible batch.*batch_size=6"):
        mg.data.DataLoader(np.arange(9), 5, distributed=True)
    with pytest.raises(ValueError, match="a seed is needed"):
        mg.data.DataLoader(np.arange(9), 4, shuffle=True, distributed=True)
    with pytest.raises(ValueError, match="too few samples"):
        next(mg.data.DataLoader(np.arange(1), 2, distributed=True).every_row())
    with pytest.raises(TypeError, match="distributed"):
        mg.data.DataLoader(np.arange(9), 4, distributed="yes")
    as_process(0, 1, monkeypatch)
    monkeypatch.setenv("WORLD_SIZE", "2")
    data = mg.data.DataLoader(rows(), 4, distributed=True)
    model, optimizer = plain()
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="not initialized"):
        mg.fit(model, data, mg.cross_entropy, optimizer, 1, progress=False)
