"""演習問題: 解答は正解になり、よくある間違いはその文で見つかる。採点は何が違うかを言い当てる。"""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp.exercises import exercises
from micrograd_jp.exercises.correction import Comparison, fault

ALL = exercises()
FUNCTIONS = [e for e in ALL if callable(e.solution)]
NUMBERS = [e for e in ALL if not callable(e.solution)]


def every(given):
    return pytest.mark.parametrize("e", given, ids=lambda e: e.number)


@every(ALL)
def test_the_answer_is_right_and_typical_mistakes_are_told(e):
    assert e.check(e.solution) and "正解" in e.check(e.solution).text
    for text, mistake in e.mistakes.items():
        correction = e.check(mistake)
        assert not correction and correction.text.startswith(text), (text, correction)
        assert e.number in correction.text, "where the hints are"


@every(ALL)
def test_it_can_be_read(e):
    assert mg.exercise(e.number) is e and e.title in repr(e) and e.question in repr(e)
    assert e.question.endswith(("。", "か。")) and "def " not in e.question
    assert [e.hint(k).startswith(f"ヒント {k}: ") for k in (1, 2, 3)] == [True] * 3
    assert "return" in e.answer() and '"""' not in e.answer() and "@declare" not in e.answer()
    assert len(e.mistakes) >= 1


@every(FUNCTIONS)
def test_what_is_a_little_wrong_is_wrong(e):
    """Negative control: nothing near the answer passes for it."""

    def off(*inputs):
        right = e.solution(*inputs)
        if isinstance(right, tuple):
            return (*right[:-1], np.asarray(right[-1]) * 1.01 + 0.001)
        return right + (1 if np.asarray(right).dtype.kind == "i" else 0.001)

    correction = e.check(off)
    assert not correction and "例外" not in correction.text


@every(NUMBERS)
def test_a_number_that_is_a_little_wrong_is_wrong(e):
    right = np.array(e.solution, dtype=float)
    correction = e.check((right * 1.01 + 0.01).tolist())
    assert not correction and "ではありません" in correction.text
    assert not any(f"{x:g} です" in correction.text for x in np.atleast_1d(right)), "not told"


def test_values_and_tensors_are_numbers():
    e = mg.exercise("2-1")
    assert e.check([mg.Value(1.0), 19]) and e.check(mg.tensor([1.0, 19.0]).tolist())
    assert mg.exercise("1-3").check(lambda W, x, b: mg.tensor(W) @ mg.tensor(x) + mg.tensor(b))


def test_whatever_can_be_called_is_a_function():
    assert mg.exercise("1-4").check(functools.partial(np.argmax, axis=1))


def test_a_function_may_write_into_its_arguments():
    def in_place(p, label):
        p *= -1
        p -= 5
        p[label] += 10
        return p

    assert mg.exercise("1-5").check(in_place)


# ---- 何が違うか --------------------------------------------------------------------------------

ARRAYS = st.tuples(st.integers(2, 4), st.integers(2, 4), st.integers(0, 10**6))


def compared(change, shapes, seed):
    rng = np.random.default_rng(seed)
    wants = [rng.normal(size=shape) for shape in shapes]
    return [Comparison((want,), change(want), want) for want in wants]


@given(ARRAYS)
def test_what_is_wrong_is_told(drawn):
    n, m, seed = drawn
    square = [(n, n)] * 3

    def told(change, shapes=square):
        return fault(compared(change, shapes, seed), 1e-6)

    assert told(lambda a: a) == ""
    assert "符号" in told(lambda a: -a)
    assert "1/3 倍" in told(lambda a: a / 3) and "−2 倍" in told(lambda a: -2 * a)
    assert "転置" in told(lambda a: a.T) and "転置" in told(lambda a: a.T, [(n, m)] * 3)
    assert "すべて 0" in told(np.zeros_like) and "nan" in told(lambda a: a * np.nan)
    counts = [(k, m) for k in (2, 3, 5)]
    assert "割るのを忘れ" in told(lambda a: a * len(a), counts)
    assert "かけるのを忘れ" in told(lambda a: a / len(a), counts)
    assert "符号が逆で、標本の数" in told(lambda a: -a * len(a), counts)
    assert "負のところで違います" in told(lambda a: np.where(a < 0, a - 0.1, a), [(40,)] * 3)
    assert "正しい値は" in told(lambda a: a + np.arange(a.size).reshape(a.shape) + 1)


@given(ARRAYS)
def test_a_missing_sum_and_other_shapes_are_told(drawn):
    n, m, seed = drawn
    rng = np.random.default_rng(seed)
    whole = [rng.normal(size=(n, m)) for _ in range(3)]

    def told(want, got):
        return fault([Comparison((), got(a), want(a)) for a in whole], 1e-6)

    assert "軸 0 の和" in told(lambda a: a.sum(0), lambda a: a)
    assert "軸 1 の和" in told(lambda a: a.sum(1), lambda a: a)
    assert "軸 0、1 の和" in told(lambda a: a.sum(), lambda a: a)
    assert "keepdims" in told(lambda a: a.sum(1, keepdims=True), lambda a: a)
    assert f"でなく ({n}, {m}, 1)" in told(lambda a: a[..., None], lambda a: a)
    assert "(shape mismatch)" in told(lambda a: a, lambda a: np.zeros((7, 7, 7)))


# ---- 使い方の間違い ----------------------------------------------------------------------------


def test_what_a_function_does_is_told():
    e = mg.exercise("4-4")
    assert "ZeroDivisionError" in e.check(lambda b, x, W, g: 1 / 0).text
    assert "return を書き忘れ" in e.check(lambda b, x, W, g: None).text
    assert "数か配列で" in e.check(lambda b, x, W, g: "g").text
    assert "2 個の値を ∂L/∂W、∂L/∂x の順に" in mg.exercise("4-5").check(lambda W, *_: W).text
    assert "TypeError" in e.check(lambda b: b).text


@pytest.mark.parametrize("number", ["9-9", "0", 4, "4.2"])
def test_an_exercise_that_is_not_there(number):
    with pytest.raises(ValueError, match="no such exercise"):
        mg.exercise(number)


def test_numbers_and_functions_are_told_apart():
    with pytest.raises(TypeError, match="expected a function"):
        mg.exercise("4-4").check(3.0)
    with pytest.raises(TypeError, match="expected numbers"):
        mg.exercise("4-1").check(lambda: 3.0)
    with pytest.raises(ValueError, match="no such hint"):
        mg.exercise("4-1").hint(4)


def test_what_is_almost_right_is_told_truly():
    """Replies that pointed elsewhere: a right number in a list, one more than a large number."""
    assert "和" not in (said := mg.exercise("6-1").check([0.25**10]).text) and "形は (1,)" in said
    assert "形は (1,)" in mg.exercise("6-4").check(lambda n: [(2 / n) ** 0.5]).text
    said = mg.exercise("7-3").check([28**4 * 16 + 10000, 144]).text
    assert "倍" not in said and str(28**4 * 16 + 10000) in said
    assert "None が渡されました" in mg.exercise("10-7").check(None).text
    assert "。。" not in mg.exercise("8-5").check(lambda a, b: a - b).text
    large = mg.exercise("9-5").check(lambda V, q, K, g: np.outer(K @ q, g)).text
    assert "[0, 0] の要素が" in large and "になりますが、正しい値は (" not in large


def test_answers_of_several_parts_may_be_arrays_and_lists_may_be_added_to():
    assert mg.exercise("10-5").check(np.array([0, 1])) and mg.exercise("10-5").check(mg.arange(2))
    assert "2 個の値" in mg.exercise("10-5").check(0).text
    assert "2 個の値" in mg.exercise("10-5").check({0, 1}).text
    assert mg.exercise("9-1").check(lambda n: ([0] + n, n + [0]))  # noqa: RUF005

    def written(numbers):
        numbers.append(0)
        return [0, *numbers[:-1]], numbers

    assert mg.exercise("9-1").check(written)
