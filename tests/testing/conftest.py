import pytest

from micrograd_jp.ops.primitive import Reduction
from micrograd_jp.testing.faults import run


@pytest.fixture(scope="session")
def checkable():
    """(f, inputs) for gradcheck: a condition, which has no derivative, is held constant."""

    def of(op, args):
        if isinstance(op, Reduction):
            return lambda *lists: run(op, *lists), args
        fixed = {i: x for i, (x, rule) in enumerate(zip(args, op.partials)) if rule is None}

        def f(*xs):
            rest = iter(xs)
            return run(op, *[fixed[i] if i in fixed else next(rest) for i in range(op.arity)])

        return f, [x for i, x in enumerate(args) if i not in fixed]

    return of
