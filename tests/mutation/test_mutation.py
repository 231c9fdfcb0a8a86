"""変異 (mutants): 計算するところだけを変え、テストは変異に気づく（ここでは少しだけ）。"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="cosmic-ray がありません")
sys.path.insert(0, str(Path(__file__).parent))
import mutants
import mutate
from operators import OPERATORS

SOURCE = '''"""A module."""
from typing import TYPE_CHECKING

Alias = int | str | None


def f(x: int | None = 3) -> int | None:
    if x < 1:
        raise ValueError(f"{x + 1} is " + "wrong" * 2)
    y.z = len(x)
    g(x, a=2)
    return x
'''


@pytest.fixture
def found(tmp_path, monkeypatch):
    """The mutants of SOURCE: the changed lines."""
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / mutants.PACKAGE / "m.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return [mutants._mutant(spot) for spot in mutants._spots(path)]


def test_only_what_computes_is_mutated(found):
    lines = {m.line for m in found}
    assert lines == {7, 8, 10, 11}  # not the alias, the sentence, the annotations
    for mutant in found:
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(SOURCE))
        changed = [a != b for a, b in zip(SOURCE.split("\n"), mutant.source.split("\n"))]
        assert sum(changed) == 1 and changed.index(True) == mutant.line - 1


def test_our_three_operators():
    from cosmic_ray.mutating import mutate_code

    made = {
        name: [mutate_code(SOURCE, operator(), i) or "" for i in range(4)]
        for name, operator in OPERATORS.items()
    }
    assert sum("g(x, **{})" in source for source in made["own/DropKeyword"]) == 1
    assert sum("    pass\n    g(" in source for source in made["own/DropStatement"]) == 1
    assert sum("    pass\n    return" in source for source in made["own/DropStatement"]) == 1
    assert sum("y.z = (x)" in source for source in made["own/DropCall"]) == 1


def test_the_seed_and_nothing_else_draws(found, tmp_path, monkeypatch):
    spots = mutants._spots(tmp_path / mutants.PACKAGE / "m.py")
    assert [*map(mutants._mutant, spots)] == found
    monkeypatch.setitem(mutants.CONFIG, "seed", mutants.CONFIG["seed"] + 1)
    assert [*map(mutants._mutant, spots)] != found


def test_who_survived_and_is_not_listed_fails_the_command(monkeypatch, capsys):
    def mutant(key):
        return mutants.Mutant("optim/m.py", 1, "", key, key)

    monkeypatch.setitem(mutants.CONFIG, "equivalent", {"same": "同じ", "called the same": "?"})
    monkeypatch.setitem(mutants.CONFIG, "survivors", {"accepted": "理由"})
    every = [mutant(k) for k in ("noticed", "same", "accepted", "new", "called the same")]
    fell = {m.digest: "tests/t.py::t" for m in (every[0], every[4])}
    assert mutate.report(every, fell) == ["new", "called the same"]
    said = capsys.readouterr().out
    assert "optim                       2 of    4 fell ( 50.0 %), 1 equivalent" in said
    assert "survived: accepted\n    理由" in said and "survived: new\n    not listed" in said
    assert not mutate.report(every[:3], fell)


def test_a_verdict_holds_as_long_as_the_tests_it_rests_on(found, tmp_path, monkeypatch):
    monkeypatch.setattr(mutate.forked, "ROOT", tmp_path)
    monkeypatch.setattr(mutate, "ALWAYS", [])
    mutant = found[0]
    known = {}
    for file in ("m/a.py", "m/b.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
        known[file] = {"blocks": [(mutant.file, 1, 99)], "ran": {f"{file}::t": [0]}, "of": {}}
        known[file] |= {"seconds": {f"{file}::t": 0.1}, "collection": 0.1}
    for fell, rests in (("m/a.py::t", ["m/a.py"]), ("", [*known]), ("timeout", [*known])):
        before = mutate.basis(mutant, fell, known)
        for file in known:
            (tmp_path / file).write_text(f"# {fell}")
            now = mutate.basis(mutant, fell, known)
            assert (now != before) == (file in rests)
            before = now


def test_who_falls_without_a_mutant_is_no_witness(tmp_path, monkeypatch):
    """Another test is asked, until one passes without."""
    broken, told = {"m/a.py::t", "m/a.py::u"}, iter(["m/a.py::t", "m/a.py::u", "m/a.py::v"])
    monkeypatch.setattr(mutate.forked, "copy", lambda: tmp_path / "tree")
    monkeypatch.setattr(mutate, "fallen", lambda m, tree, files, plenty: next(told))
    monkeypatch.setattr(
        mutate, "_asked", lambda tree, files, plenty: "".join(broken & {*files["m/a.py"]})
    )
    known = {"m/a.py": {"blocks": [("ops/gates.py", 1, 9)], "ran": {}, "of": {}, "collection": 0.1}}
    known["m/a.py"]["ran"] = {f"m/a.py::{t}": [0] for t in "tuv"}
    known["m/a.py"]["seconds"] = dict.fromkeys(known["m/a.py"]["ran"], 0.1)
    monkeypatch.setattr(mutate, "basis", lambda *args: "")
    mutate.judge(known, tmp_path / "out", 20.0, [mutants.Mutant("ops/gates.py", 1, "", "", "k")])
    assert '"fell": "m/a.py::v"' in (tmp_path / "out").read_text()


def ran(*options):
    """The command, in a process of its own."""
    program = Path(__file__).with_name("mutate.py")
    done = subprocess.run([sys.executable, program, *options], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_the_faults_that_once_went_unnoticed_are_noticed():
    assert ran("--holes") == (0, "0 unnoticed\n")


SMALL = ["--sample", "80", "--only", "optim/", "--tests"]


@pytest.mark.slow
def test_no_new_survivor_in_a_small_sample():
    """The optimizers by all their own tests, however busy the machine is."""
    code, said = ran("--plenty", "600", *SMALL, "tests/optim")
    assert code == 0 and "\nall " in said, said


@pytest.mark.slow
@pytest.mark.control
def test_without_its_tests_the_same_sample_survives():
    code, said = ran(*SMALL, "tests/engine/test_run")
    assert code == 1 and "not listed" in said, said
