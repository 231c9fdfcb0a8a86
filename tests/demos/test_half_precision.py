"""半精度の実験: 消える勾配、失われる更新、倍率、バイト数。"""

import half_precision as demo
import numpy as np
import pytest
from digit_data import load

pytest.importorskip("ml_dtypes", reason="ml_dtypes がありません")


def test_what_vanishes_and_what_the_scale_saves():
    digits = load(quick=True)
    first, *_ = demo.sigmoid_gradients(digits)
    least = 2.0**-25 / demo.SCALE  # half of the smallest float16 is rounded to 0
    left = demo.vanished(first, demo.SCALE)
    assert demo.vanished(first) > 0.1 and left == (np.abs(first[first != 0]) <= least).mean()
    assert left < 0.001 if digits.pixels == 784 else left == 0
    two = np.float32([2.0**-26, 2.0 ** (demo.FLOOR), 0.0])
    assert demo.vanished(two) == 0.5  # 0 itself did not vanish


@pytest.mark.parametrize("dtype, end", [("float32", 0.9), ("float16", 1.0), ("bfloat16", 1.0)])
def test_the_lost_update(dtype, end):
    places = demo.walk(dtype)
    assert len(places) == 1001 and places[-1] == pytest.approx(end, abs=1e-4)


def test_half_the_bytes():
    assert demo.weight_bytes("float32") == 2 * demo.weight_bytes("float16") == 1_066_440


def test_the_demo_itself(run):
    pictures, text = run(demo)
    assert pictures == ["half_precision.png"]
    ends = {
        name: float(line.rpartition(" ")[2].rstrip("%"))
        for line in text.splitlines()
        if line.startswith("損失を 10⁻⁵ 倍、")
        for name in [line.split("、")[1].partition(":")[0]]
    }
    assert ends["float16"] < 20 < 40 < min(ends["float32"], ends["bfloat16"])
    assert abs(ends["float16 + GradScaler"] - ends["float32"]) < 5
