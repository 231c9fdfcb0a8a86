"""でたらめな例でのテスト: 表にしまった例はどこででも、その場で選ぶ例は PyTorch のあるところで。"""

import functools
import inspect

from hypothesis import Phase, example, given, settings

from tests.reference.session import session
from tests.reference.tape import coded, same, shown


def like_pytorch(*strategies, max_examples=100, kept=12, large=6000):
    """`given`, for a function that asks PyTorch.

    Args:
        strategies: for the last arguments of the function; the others are fixtures (a function
            makes a strategy of them).
        max_examples: how many examples are drawn where PyTorch is installed.
        kept: how many are kept in the table, with PyTorch's answers.
        large: an example with more bytes of answers is not kept.
    """

    def decorate(f):
        names = list(inspect.signature(f).parameters)
        fixtures, drawn = names[: -len(strategies)], names[-len(strategies) :]

        def run(given_fixtures, examples=None, seen=lambda args: None):
            by_name = {
                n: s(**given_fixtures) if inspect.isfunction(s) else s
                for n, s in zip(drawn, strategies)
            }

            def body(**args):
                f(**given_fixtures, **args)
                seen(args)

            body.__signature__ = inspect.Signature(
                [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in drawn]
            )
            if examples is None:
                settings(max_examples=max_examples)(given(**by_name)(body))()
            for args in examples or ():
                only = settings(phases=[Phase.explicit], database=None)
                only(example(**args)(given(**by_name)(body)))()

        @functools.wraps(f)
        def test(**given_fixtures):
            if session.mode == "write":
                examples = chosen(run, given_fixtures, kept, large)
                session.tables.keep(session.test, examples=coded(examples, []))
            else:
                if session.mode == "check":
                    with session.free():
                        run(given_fixtures)
                examples = shown(session.tables.examples(session.test), None)
                if examples is None:
                    session.outdated("例がない")
            run(given_fixtures, examples)

        del test.__wrapped__
        test.__signature__ = inspect.Signature(
            [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in fixtures]
        )
        return test

    return decorate


def chosen(run, given_fixtures, kept, large):
    """The first examples whose answers are small, spread over what hypothesis draws."""
    found, test = [], session.test
    with session.free():
        run(given_fixtures, seen=lambda args: found.append(dict(args)))
    small = []
    for args in found:
        session.begin(test)
        run(given_fixtures, [args])
        known = any(same(coded(args), coded(other)) for other in small)
        if not known and size(session.tape.entries) <= large:
            small.append(args)
    session.begin(test)
    step = max(1, len(small) / kept)
    return [small[int(i * step)] for i in range(min(kept, len(small)))]


def size(code):
    """Bytes of the arrays in a tree."""
    if isinstance(code, dict):
        return sum(map(size, code.values()))
    if isinstance(code, list):
        return sum(map(size, code))
    return getattr(code, "nbytes", 0)
