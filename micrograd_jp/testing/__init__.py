"""勾配を確かめる道具: 数値微分、勾配確認、Hypothesis の戦略。

from hypothesis import given
from micrograd_jp.testing import gradcheck, strategies

@given(strategies.expressions())
def test_gradients(e):
    gradcheck(e, e.inputs, order=2)
"""

import importlib
from typing import Any

from micrograd_jp.testing import faults as faults
from micrograd_jp.testing.gradcheck import gradcheck as gradcheck
from micrograd_jp.testing.numerical import numerical_gradient as numerical_gradient
from micrograd_jp.testing.report import GradcheckError as GradcheckError
from micrograd_jp.testing.report import GradcheckReport as GradcheckReport
from micrograd_jp.testing.report import Row as Row
from micrograd_jp.testing.report import Verdict as Verdict


def __getattr__(name: str) -> Any:
    # Only the strategies need Hypothesis, so only asking for them imports it.
    if name == "strategies":
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
