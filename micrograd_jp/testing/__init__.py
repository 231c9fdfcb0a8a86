"""勾配を確かめる道具: 数値微分、勾配確認、Hypothesis の戦略。

from hypothesis import given
from micrograd_jp.testing import gradcheck, strategies

@given(strategies.expressions())
def test_gradients(e):
    gradcheck(e, e.inputs, order=2)
"""

from typing import TYPE_CHECKING

from micrograd_jp.on_demand import hand_out

if TYPE_CHECKING:  # editors see the names; a program loads them when it asks for one
    from micrograd_jp.testing import faults as faults
    from micrograd_jp.testing import strategies as strategies
    from micrograd_jp.testing.gradcheck import gradcheck as gradcheck
    from micrograd_jp.testing.numerical import numerical_gradient as numerical_gradient
    from micrograd_jp.testing.report import GradcheckError as GradcheckError
    from micrograd_jp.testing.report import GradcheckReport as GradcheckReport
    from micrograd_jp.testing.report import Row as Row
    from micrograd_jp.testing.report import Verdict as Verdict

# Only the strategies need Hypothesis, so only asking for them imports it.
_PLACES = {
    "gradcheck": "gradcheck",
    "numerical": "numerical_gradient",
    "report": "GradcheckError GradcheckReport Row Verdict",
}
_NAMES = {name: (w, name) for w, names in _PLACES.items() for name in names.split()}
_MODULES = {name: (name, "") for name in ("faults", "strategies")}
hand_out(__name__, {**_MODULES, **_NAMES}, extra=("strategies",))
