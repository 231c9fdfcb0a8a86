"""多くの場合を 1 つのテストで: pytest は 1 つのテストに数ミリ秒かけ、場合は何千もある。"""

import pytest


def together(cases, size=16):
    """`parametrize` for the check of one case (a tuple is its arguments), `size` of them a test.

    A failure names the case it happened in; a case that is skipped leaves the others alone, and
    where all are, so is the test.
    """
    cases = list(cases)
    groups = [cases[i : i + size] for i in range(0, len(cases), size)]

    def decorate(check):
        def test(group):
            skipped = []
            for case in group:
                try:
                    check(*case) if isinstance(case, tuple) else check(case)
                except pytest.skip.Exception as reason:
                    skipped.append(reason)
                except BaseException as error:
                    error.add_note(f"この場合に (in the case) {case!r}")
                    raise
            if len(skipped) == len(group):
                raise skipped[0]

        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(test, name, getattr(check, name))
        ids = [f"{i}-{i + len(group) - 1}" for i, group in zip(range(0, len(cases), size), groups)]
        return pytest.mark.parametrize("group", groups, ids=ids)(test)

    return decorate
