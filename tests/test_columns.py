"""全角の文字は 2 桁。"""

from micrograd_jp.columns import display_width, left_aligned


def test_a_wide_letter_counts_two():
    assert display_width("abc") == 3
    assert display_width("層 (layer)") == 2 + len(" (layer)")
    assert display_width("Ａ。ア") == 6  # full width forms and punctuation
    assert display_width("ｱ") == 1  # half width


def test_columns_end_at_the_same_place():
    cells = [left_aligned(text, 8) for text in ("", "abc", "畳み込み")]
    assert [display_width(cell) for cell in cells] == [8, 8, 8]
    assert cells[1] == "abc     "
    assert left_aligned("長すぎる文字列", 8) == "長すぎる文字列"
