"""でたらめな例でのテスト: 表にしまった例はどこででも、その場で選ぶ例は PyTorch のあるところで。"""

import functools
import inspect

from hypothesis import Phase, example, given, settings

from tests.reference.session import session
from tests.reference.tape import coded, shown

FEW = 30
"""So many examples of a property are drawn in the fast part: with them 95 % of the mutants fall
(tests/mutation). The slow part draws as many as a test says."""


def like_pytorch(*strategies, max_examples=100, kept=12, large=6000):
    """`given`, for a function that asks PyTorch.

    Args:
        strategies: for the last arguments of the function; the others are fixtures (a function
            makes a strategy of them).
        max_examples: how many examples there are where PyTorch is installed, with those kept.
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
            checked = given(**by_name)(body)
            if examples is None:
                new = max(min(max_examples, FEW) - kept, min(max_examples, 5))
                n = 3 * max_examples if session.mode == "write" else new
                settings(max_examples=n)(checked)()
            elif examples:
                for args in reversed(examples):  # the one put on last is the first to run
                    checked = example(**args)(checked)
                phases = {"phases": [Phase.explicit], "report_multiple_bugs": False}
                settings(**phases, database=None)(checked)()

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
    """Examples with small answers, each the one that has most that the earlier ones have not."""
    found, small, seen, test = [], [], set(), session.test
    with session.free():
        run(given_fixtures, seen=lambda args: found.append((args, set(features(args)))))
    while found and len(small) < kept:
        args, new = max(found, key=lambda each: len(each[1] - seen))
        found = [each for each in found if each[0] is not args]
        session.begin(test)
        run(given_fixtures, [args])
        if size(session.tape.entries) <= large:
            small.append(args)
            seen |= new
    session.begin(test)
    return small


def features(x, place=()):
    """What can be seen of an example: every word and every whole number, with its place."""
    if isinstance(x, dict | list | tuple):
        yield (*place, len(x))
        for key, value in x.items() if isinstance(x, dict) else enumerate(x):
            yield from features(value, (*place, key))
    elif x is None or isinstance(x, bool | int | str):
        yield (*place, x, type(x))
    else:
        yield (*place, str(x)[:6])


def size(code):
    """Bytes of the arrays in a tree."""
    if isinstance(code, dict):
        return sum(map(size, code.values()))
    if isinstance(code, list):
        return sum(map(size, code))
    return getattr(code, "nbytes", 0)
