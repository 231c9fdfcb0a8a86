"""Which blocks of code a test runs: each function, lambda and branch raises a flag of its own.

A tracer would do the same at twice the time.
"""

import ast
from importlib.machinery import SourceFileLoader
from pathlib import Path

FLAG = "_micrograd_jp_ran"
Block = tuple[str, int, int]  # file, first and last line


class Blocks:
    """The flags of one process, for the modules of `package` that are imported from now on."""

    def __init__(self, package: Path) -> None:
        self.all: list[Block] = []
        self.ran = bytearray(1 << 16)
        blocks, original = self, SourceFileLoader.get_code

        def get_code(loader, name):
            path = Path(loader.path)
            if not path.is_relative_to(package):
                return original(loader, name)
            tree = ast.parse(path.read_bytes())
            file = str(path.relative_to(package))
            tree = ast.fix_missing_locations(_Flagged(blocks, file).visit(tree))
            return compile(tree, str(path), "exec", dont_inherit=True)

        SourceFileLoader.get_code = get_code
        __builtins__[FLAG] = self.ran

    def new(self, file: str, first: int, last: int) -> int:
        """The number of one more flag."""
        self.all.append((file, first, last))
        return len(self.all) - 1

    def taken(self) -> list[int]:
        """The flags raised since the last call."""
        raised = [i for i in range(len(self.all)) if self.ran[i]]
        self.ran[:] = bytes(len(self.ran))
        return raised


class _Flagged(ast.NodeTransformer):
    def __init__(self, blocks: Blocks, file: str) -> None:
        self.blocks, self.file, self.depth = blocks, file, 0

    def _flag(self, first: int, last: int) -> str:
        return f"{FLAG}[{self.blocks.new(self.file, first, last)}]"

    def _raised(self, body: list[ast.stmt], first: int) -> list[ast.stmt]:
        flag = ast.parse(f"{self._flag(first, body[-1].end_lineno)} = 1").body[0]
        for node in ast.walk(flag):
            ast.copy_location(node, body[0])
        # A docstring stays the first statement.
        said = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        return [*body[:said], flag, *body[said:]]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        node.body = self._raised(node.body, node.lineno)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.generic_visit(node)
        index = self.blocks.new(self.file, node.lineno, node.end_lineno)
        flag = ast.parse(f"({FLAG}.__setitem__({index}, 1), 0)[1]", mode="eval").body
        for inner in ast.walk(flag):
            ast.copy_location(inner, node.body)
        flag.value.elts[1] = node.body
        node.body = flag
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if self.depth and not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Match):
            for name in ("body", "orelse", "finalbody"):
                body = getattr(node, name, None)
                if isinstance(body, list) and body:
                    setattr(node, name, self._raised(body, body[0].lineno))
        return node
