"""What cosmic-ray does not have: a keyword argument, a statement or a call that is left out."""

from typing import Any

from cosmic_ray.operators.operator import Operator
from parso.python.tree import Keyword, Name


class _One(Operator):
    """One mutation of each node that `applies`."""

    applies: Any
    mutated: Any

    def mutation_positions(self, node):
        if self.applies(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        new = self.mutated(node)
        new.get_first_leaf().prefix = node.get_first_leaf().prefix
        new.parent = node.parent
        return new

    @classmethod
    def examples(cls):
        return ()


class DropKeyword(_One):
    """`f(x, a=1)` becomes `f(x, **{})`."""

    def applies(self, node):
        return node.type == "argument" and node.children[1] == "="

    def mutated(self, node):
        return Name("**{}", node.start_pos)


class DropStatement(_One):
    """A call whose result nobody uses, or an assignment to a part of something, becomes `pass`."""

    def applies(self, node):
        if node.parent is None or node.parent.type != "simple_stmt":
            return False
        if node.type == "expr_stmt":
            names = [n.type for n in getattr(node.children[0], "children", [node.children[0]])]
            new = node.children[1] == "=" and {*names} <= {"name", "operator"}
            return not new and node.children[1].type != "annassign"
        return node.type == "atom_expr" or node.type == "del_stmt"

    def mutated(self, node):
        return Keyword("pass", node.start_pos)


class DropCall(_One):
    """`f(x)` becomes `x`, where `f` has this one argument."""

    def applies(self, node):
        if node.type != "atom_expr" or node.children[-1].type != "trailer":
            return False
        call = node.children[-1].children
        return call[0] == "(" and len(call) == 3 and call[1].type not in ("arglist", "argument")

    def mutated(self, node):
        return Name(f"({node.children[-1].children[1].get_code().strip()})", node.start_pos)


OPERATORS = {f"own/{c.__name__}": c for c in (DropKeyword, DropStatement, DropCall)}
