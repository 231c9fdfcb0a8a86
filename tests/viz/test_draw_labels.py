"""図の中の文字: 名前はただの文字として、数は短く描かれる。"""

import importlib
import math
import pkgutil

import pytest
from drawn import groups, svg, texts
from hypothesis import example, given, settings
from hypothesis import strategies as st

from micrograd_jp import Value, ops
from micrograd_jp.ops.primitive import Primitive
from micrograd_jp.viz.text import LONGEST, clean, number_text

HOSTILE = [
    "<script>alert(1)</script>", 'onload="alert(1)"', "a|b{c}<p>", r"\N\G\n\l\\", "&lt; &amp; &",
    "]]><![CDATA[", "<!--", "-->", "改行\nと\r\nタブ\t", "\x00\x1b", "\ud800", "\u202eabc", "   ",
    '"; n9 [label=x] "', "$x^2$", "😀👨‍👩‍👧", "e\u0301", "<>", "\\", '"', "\ufdfd", "%s{0}",
]  # fmt: skip


def check_label(label, style):
    x = Value(1.0, label=label)
    y = x * 2
    y.label = label
    picture = svg(y, style=style)  # well-formed XML
    assert len(groups(picture, "node")) == len(groups(svg(Value(1.0) * 2, style=style), "node"))
    for element in picture.iter():
        assert element.tag in {
            "svg", "g", "title", "polygon", "polyline", "path", "ellipse", "text",
        }  # fmt: skip
        assert not any(name.startswith("on") or "href" in name for name in element.attrib)
    if clean(label):
        shown = [t for kind in ("leaf", "output") for g in groups(picture, kind) for t in texts(g)]
        assert shown.count(clean(label)) == 2


@pytest.mark.parametrize("style", ["cell", pytest.param("textbook", marks=pytest.mark.slow)])
@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_labels_are_only_text(label, style):
    check_label(label, style)


@example("0 \U0001bca0 0", "cell")  # what is dropped between two spaces leaves one space
@given(st.text(max_size=60), st.sampled_from(["cell", "textbook"]))
@settings(max_examples=150)
def test_any_label_is_only_text(label, style):
    check_label(label, style)


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=LONGEST))
def test_ordinary_labels_are_not_changed(label):
    assert clean(label) == label


@given(st.text())
def test_cleaning_twice_changes_nothing(label):
    assert clean(clean(label)) == clean(label)
    assert len(clean(label)) <= LONGEST


def test_long_labels_end_in_an_ellipsis():
    assert clean("あ" * 100) == "あ" * (LONGEST - 1) + "…"
    assert clean("a\nb\r\nc") == "a⏎b⏎c"


def test_invisible_characters_that_could_rearrange_the_text_are_dropped():
    assert clean("\u202eabc\u2066\ufeff\x07\ud800\uffff") == "abc"
    assert clean("👨\u200d👩") == "👨\u200d👩"  # one emoji, held together by a joiner


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (220.00000000000003, "220"), (1e-7, "1e-07"), (-0.0, "0"), (1 / 3, "0.3333"),
        (12345, "12345"), (-1234.6, "-1235"), (1e7, "1e+07"), (math.inf, "inf"),
        (-math.inf, "-inf"), (math.nan, "nan"), (True, "1"), (None, "None"),
    ],
)  # fmt: skip
def test_numbers_are_short(number, text):
    assert number_text(number) == text


@given(st.floats(-1e300, 1e300))
def test_short_numbers_are_near_the_number(x):
    # From 1000 on whole numbers are shown: half a unit of at least 1000 is within 5e-4.
    assert math.isclose(float(number_text(x)), x, rel_tol=5.1e-4)


# ---- 凡例が、描いたものを説明する ------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_the_circle_of_a_leaf_without_a_name_is_explained(named):
    x = Value(2.0, label="x" if named else "")
    picture = svg(x * 3.0 + 1.0, style="textbook")
    circles = [g for g in groups(picture, "leaf") if g.find("ellipse") is not None]
    assert bool(circles) is not named
    assert any(text.startswith("○:") for text in texts(picture)) is not named


def test_operations_say_in_words_what_no_sign_says():
    """A sign alone is drawn only for what every reader of formulas knows."""
    known = {*"+−×÷ΣΠ√@", "//", "[ ]", "[ ] =", "[ ] +=", "[ ] = 0"}
    for module in pkgutil.iter_modules(ops.__path__, f"{ops.__name__}."):
        for op in vars(importlib.import_module(module.name)).values():
            if isinstance(op, Primitive) and not any(c.isalpha() for c in op.symbol):
                assert op.symbol in known, f"{op.name}: {op.symbol}"
