"""ここにない PyTorch の名前: エラーが、代わりに何と書くかを言う。ある名前の行はない。"""

import re

import pytest

import micrograd_jp as mg
from micrograd_jp.missing import ROWS, sentence


def test_no_row_is_for_a_name_that_is_here():
    here = {*dir(mg), *dir(mg.Tensor)}
    assert [(p, n) for p in ROWS for n in here if re.fullmatch(p, n)] == []


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: mg.FloatTensor, "mg.float32"),
        (lambda: mg.symeig, "mg.linalg.eigh"),
        (lambda: mg.range, "mg.arange"),
        (lambda: mg.ones(2).unsqueeze_, r"t = t\.unsqueeze\(…\)"),
        (lambda: mg.ones(2).erfc(), r"1 - mg\.erf"),
    ],
)
def test_the_error_says_what_to_write(ask, told):
    with pytest.raises(AttributeError, match=told) as caught:
        ask()
    assert "not in micrograd_jp" in str(caught.value)


def test_other_names_have_the_usual_error():
    assert sentence("tensr") is None
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'summ'"):
        mg.ones(2).summ
    assert not hasattr(mg.ones(2), "_nothing")
