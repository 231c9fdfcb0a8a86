"""The mutants: which there are, and which of them the seed draws."""

import ast
import hashlib
import json
import re
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from operators import OPERATORS

ROOT = Path(__file__).parents[2]
PACKAGE = "micrograd_jp"
_SAME_PLACES = re.compile(r"(?<=Operator_)((?!Delete)[A-Za-z]+)_[A-Za-z]+$")
CACHE = ROOT / ".mutation_cache"
CONFIG = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: str  # "ops/conv.py"
    line: int
    operator: str
    source: str  # the whole mutated file
    key: str  # what stands in the list of survivors: file, line of code, and what became of it

    @property
    def digest(self) -> str:
        """Twelve letters that say which mutant of which source this is."""
        return hashlib.sha256(f"{self.file} {self.source}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _Spot:
    """A place that operators can change, each with the how-manieth of its occurrences this is."""

    path: Path
    line: int
    name: str
    choices: tuple[tuple[str, int], ...]


@cache
def _operators():
    names = [n for n in operator_names() if not any(re.search(u, n) for u in CONFIG["unused"])]
    return {n: get_operator(n)() for n in names} | {n: c() for n, c in OPERATORS.items()}


def _spared(tree: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """What is not mutated: sentences, annotations and what only type checkers read."""
    spared: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            spared.append(node)
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            spared.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            spared += [*node.decorator_list, *([node.returns] if node.returns else [])]
            if node.name in CONFIG["sentences"]:
                spared.append(node)
        elif isinstance(node, ast.ClassDef):
            spared += node.decorator_list
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            spared.append(node)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in CONFIG["sentences"] or name.endswith(("Error", "Warning")):
                spared.append(node)
        elif isinstance(node, ast.JoinedStr):
            spared.append(node)
    for node in getattr(tree, "body", []):
        value = getattr(node, "value", None)
        if isinstance(node, ast.Assign) and isinstance(value, ast.BinOp | ast.Subscript):
            leaves = [n for n in ast.walk(value) if isinstance(n, ast.Constant | ast.Call)]
            if all(isinstance(getattr(n, "value", n), str | None) for n in leaves):
                spared.append(node)  # a type alias: X = A | B
    return [
        ((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset))  # type: ignore[attr-defined]
        for n in spared
    ]


def _spots(path: Path) -> list[_Spot]:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    spared = _spared(ast.parse(source))
    nodes = list(ast_nodes(parso.parse(source)))
    choices: dict[tuple[int, int], list[tuple[str, int]]] = {}
    places: dict[str, list[tuple[int, int]]] = {}
    for name, operator in _operators().items():
        kind = _SAME_PLACES.sub(r"\1", name)  # what `+` becomes is no matter of where it stands
        if kind not in places:
            places[kind] = [start for n in nodes for start, _ in operator.mutation_positions(n)]
        for i, start in enumerate(places[kind]):
            at = (start[0], len(lines[start[0] - 1][: start[1]].encode()))
            if not any(a <= at < b for a, b in spared):
                choices.setdefault(start, []).append((name, i))
    found, seen = [], dict[str, int]()
    for (line, column), found_here in sorted(choices.items()):
        name = f"{path.relative_to(ROOT)}: {lines[line - 1].strip()} @{column}"
        seen[name] = seen.get(name, 0) + 1
        found.append(_Spot(path, line, f"{name} #{seen[name]}", tuple(found_here)))
    return found


def _mutant(spot: _Spot) -> Mutant | None:
    """The first of the spot's changes, in drawn order, that is a program and another one."""
    source = spot.path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for name, i in sorted(spot.choices, key=lambda c: _rank(f"{spot.name} {c[0]} {c[1]}")):
        new = mutate_code(source, _operators()[name], i)
        try:
            if new is None or ast.dump(ast.parse(new)) == ast.dump(ast.parse(source)):
                continue
            compile(new, "mutant", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            continue
        changed = new.splitlines()
        at = next((j for j, (a, b) in enumerate(zip(lines, changed)) if a != b), spot.line - 1)
        file = str(spot.path.relative_to(ROOT / PACKAGE))
        key = f"{file}: {lines[at].strip()} => {changed[at].strip()}"
        return Mutant(file, spot.line, name, new, key)
    return None


def digest(*files: Path) -> str:
    """Twelve letters that say what these files hold."""
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]


def _rank(text: str) -> str:
    return hashlib.sha256(f"{CONFIG['seed']} {text}".encode()).hexdigest()


def room(file: str) -> str:
    """The configured room of a file."""
    return max((r for r in CONFIG["rooms"] if file.startswith(r)), key=len)


def files() -> list[Path]:
    """The files of the rooms."""
    paths = [ROOT / PACKAGE / room for room in CONFIG["rooms"]]
    return sorted(f for p in paths for f in (p.rglob("*.py") if p.is_dir() else [p]))


def drawn(n: int) -> list[Mutant]:
    """`n` mutants, one a spot, by a hash of their text: editing a file redraws only its own."""
    read = [*files(), Path(__file__), Path(__file__).with_name("operators.py")]
    text = json.dumps([n, CONFIG["seed"], CONFIG["unused"], CONFIG["sentences"]])
    digest = hashlib.sha256(b"".join([text.encode(), *(f.read_bytes() for f in read)])).hexdigest()
    kept = CACHE / f"drawn.{digest[:12]}.json"
    if not kept.exists():
        spots = sorted((s for f in files() for s in _spots(f)), key=lambda s: _rank(s.name))
        mutants = (m for m in map(_mutant, spots) if m is not None)
        CACHE.mkdir(exist_ok=True)
        kept.write_text(json.dumps([asdict(m) for m in islice(mutants, n)]), encoding="utf-8")
    return [Mutant(**m) for m in json.loads(kept.read_text(encoding="utf-8"))]
