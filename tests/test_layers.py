"""家の決まり: どの部屋も、自分より下の部屋の上にだけ立つ。ソースを読むだけで、何も動かさない。"""

import ast
import functools
import re
from pathlib import Path

import pytest

import micrograd_jp

ROOT = Path(micrograd_jp.__file__).parent
RANKS = """
    locks missing < on_demand < ops environment files columns names arguments hooks < native
    < namespace
    < graph compiler.table < engine < tensor < functions optim data saving distributed
    < nn transforms stub amp utils compiler.record
    < viz testing xla distributions optim.swa_utils < autograd compiler training exercises
    < viz.playground __init__ < quickstart launch < __main__
"""
RANK = {room: i for i, rooms in enumerate(RANKS.split("<")) for room in rooms.split()}
FIRST_SITTING = [
    "ops/primitive", "ops/elementwise", "graph/node", "graph/backward", "engine/value", "engine/run"
]  # fmt: skip
KNOW_THE_SLOTS = {
    "graph.node", "graph.backward", "graph.anomaly", "graph.shares", "graph.spent", "graph.copying",
    "engine.value",
    "engine.run", "engine.operations", "tensor.array", "tensor.hooked", "tensor.versions",
}  # fmt: skip
# The names handed out on demand, and what an extra brings.
IMPORT_BY_NAME = {"on_demand", "environment"}
HANDED_OUT = {"_surface", "viz.playground.playground", "optim.swa_utils"}
SLOTS = {"_a", "_b", "_da", "_db", "_params", "_xs"}
WORTH_A_LOOK = re.compile(rf"import|\b({'|'.join(SLOTS)})\b")


class Module:
    """1 つのファイルと、その中の import。"""

    def __init__(self, name: str, source: str) -> None:
        self.name = name  # "engine.value"; the face of a folder is "engine"
        self.tree = ast.parse(source)
        self.imports: list[tuple[str, str, int, bool]] = []  # module, name, line, late
        # Names, attributes and imported names, with their lines: all of what is worth a look.
        self.named: list[tuple[str, int]] = []
        lines, end, defined = source.splitlines(), 0, False
        for statement in self.tree.body:
            # What stands under `if TYPE_CHECKING:` is read by type checkers only.
            only_types = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(
                statement.test
            )
            nested = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            begin, end = end, statement.end_lineno or end  # decorators stand before its line
            is_plain = not WORTH_A_LOOK.search("\n".join(lines[begin:end]))
            for node in [] if is_plain else ast.walk(statement):
                fields = vars(node)
                for field in ("id", "attr", "name"):
                    if isinstance(word := fields.get(field), str):
                        self.named.append((word, node.lineno))
                if not isinstance(node, ast.Import | ast.ImportFrom):
                    continue
                for module, one in _own(node):
                    # The faces of viz and optim hand out a room that stands higher, by its name.
                    if not (only_types and module in HANDED_OUT):
                        self.imports.append((module, one, node.lineno, nested or defined))
            defined |= nested


def _own(node: ast.AST) -> list[tuple[str, str]]:
    """What an import statement takes from this package: (module, name)."""
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if node.level or module.partition(".")[0] == "micrograd_jp":
            return [(module.removeprefix("micrograd_jp").lstrip("."), a.name) for a in node.names]
    if isinstance(node, ast.Import):
        names = [a.name.split(".") for a in node.names]
        return [(".".join(n[1:]), "") for n in names if n[0] == "micrograd_jp"]
    return []


def read() -> dict[str, Module]:
    return dict(_read())


@functools.cache
def _read() -> dict[str, Module]:
    out = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        out[name] = Module(name, path.read_text(encoding="utf-8"))
    return out


@functools.cache
def found_now(rule) -> int:
    return len(rule(read()))


def edges(modules: dict[str, Module]) -> list[tuple[str, str, int, bool]]:
    """(who, whom, line, late) for every import of our own."""
    out = []
    for m in modules.values():
        for module, name, line, late in m.imports:
            whom = f"{module}.{name}".lstrip(".")
            if whom not in modules:
                whom = module or "__init__"
            out.append((m.name, whom, line, late))
    return out


def room(name: str) -> str:
    """The first folder, or a folder in it that has a rank of its own."""
    inner = ".".join(name.split(".")[:2])
    return inner if inner in RANK else name.partition(".")[0]


def upward(modules: dict[str, Module]) -> list[str]:
    return [
        f"{who}:{line} imports {whom}"
        for who, whom, line, _ in edges(modules)
        if room(who) != room(whom)
        and not (room(who) in RANK and room(whom) in RANK and RANK[room(whom)] < RANK[room(who)])
    ]


def named(modules: dict[str, Module], names: set[str], allowed: set[str]) -> list[str]:
    """Where a name, an attribute or an imported name is one of these, outside of some files."""
    return [
        f"{m.name}:{line} names {name}"
        for m in modules.values()
        if m.name not in allowed
        for name, line in m.named
        if name in names
    ]


def late(modules: dict[str, Module]) -> list[str]:
    return [f"{who}:{line} imports {whom}" for who, whom, line, late in edges(modules) if late]


def dynamic(modules: dict[str, Module]) -> list[str]:
    """Imports by a name that is only known at run time: no rule above could see them."""
    return named(modules, {"import_module", "__import__"}, IMPORT_BY_NAME)


def circles(modules: dict[str, Module]) -> list[str]:
    """Files on a way from themselves to themselves: the rest goes away, end by end."""
    left: dict[str, set[str]] = {name: set() for name in modules}
    for who, whom, *_ in edges(modules):
        left[who] |= {whom} & left.keys()
    while ends := [
        name
        for needed in [set().union(*left.values())]
        for name, needs in left.items()
        if not needs & left.keys() or name not in needed
    ]:
        for name in ends:
            del left[name]
    return sorted(left)


def slots(modules: dict[str, Module]) -> list[str]:
    return named(modules, SLOTS, KNOW_THE_SLOTS)


RULES = (upward, late, dynamic, circles, slots)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house(rule):
    assert not rule(read())


def test_the_first_sitting_is_short():
    files = {name: (ROOT / f"{name}.py").read_text(encoding="utf-8") for name in FIRST_SITTING}
    lines = {name: text.count("\n") for name, text in files.items()}
    assert sum(lines.values()) <= 700, lines


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (upward, "ops.x", "from micrograd_jp.graph import node"),
        (upward, "optim.x", "from micrograd_jp.data import loader"),
        (upward, "viz.x", "from micrograd_jp.compiler import call"),
        (upward, "viz.x", "from micrograd_jp.viz.playground import page"),
        (upward, "nowhere.x", "from micrograd_jp.graph import node"),
        (upward, "engine.x", "import micrograd_jp as mg"),
        (late, "nn.x", "def f():\n    from micrograd_jp.graph import node"),
        (late, "nn.x", "class A: ...\nfrom micrograd_jp.graph import node"),
        (dynamic, "nn.x", "import importlib\nm = importlib.import_module('micrograd_jp.viz')"),
        (dynamic, "nn.x", "m = __import__('micrograd_jp.viz')"),
        (dynamic, "nn.x", "from importlib import import_module as load\nload('micrograd_jp.viz')"),
        (circles, "graph.node", "from micrograd_jp.graph.backward import backward"),
        (slots, "nn.x", "def f(node): return node._da"),
    ],
)
def test_negative_control_each_rule_sees_its_violation(rule, name, source):
    modules = read() | {name: Module(name, source)}
    assert len(rule(modules)) > found_now(rule)


if __name__ == "__main__":  # all that is against the rules, now
    for rule in RULES:
        print(f"-- {rule.__name__}")
        print("\n".join(rule(read())))
