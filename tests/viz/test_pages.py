"""どのページにも同じ枠: いま何が起きたかを言う欄は囲まれ、キーの説明はキーのない電話では消える。"""

import pytest

import micrograd_jp as mg
from micrograd_jp import nn, viz
from micrograd_jp.data import datasets
from micrograd_jp.training import History

PAGES = {
    "play": lambda: mg.play(mg.Value(2.0, label="w") * 3.0),
    "network": lambda: viz.network(nn.Linear(2, 1), [0.5, -1.0]),
    "movie": lambda: History(frames=[(0, b"")]).movie(),
    "playground": lambda: viz.playground(nn.MLP(2, [1]), datasets.xor()),
}


@pytest.mark.parametrize("made", PAGES.values(), ids=PAGES)
def test_every_page_has_the_frame(page, tmp_path, made):
    page.goto(made().save(tmp_path / "x.html").as_uri())
    box = page.evaluate(
        """() => {
          const {width, borderLeftWidth, paddingLeft} = getComputedStyle($("status"));
          return [width, borderLeftWidth, paddingLeft].map(parseFloat);
        }"""
    )
    seen = box[0] > 1  # in the playground it is for screen readers
    assert (box[1] > 2 and box[2] > 2) is seen
    assert page.locator(".keys").is_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert not page.locator(".keys").is_visible()
