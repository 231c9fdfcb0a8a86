"""どのページにも同じ枠: いま何が起きたかを言う欄は囲まれ、キーの説明はキーのない電話では消える。"""

import pytest

import micrograd_jp as mg
from micrograd_jp import nn, viz
from micrograd_jp.data import datasets
from micrograd_jp.training import History
from tests.browser import serious_problems

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


def formats(page):
    return {"network": {"html", "svg", "png", "pdf"}, "movie": {"html", "gif"}}.get(page, {"html"})


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_saved_in_its_formats_and_refuses_others(tmp_path, name):
    made = PAGES[name]()
    assert made.save(tmp_path / "x.htm").read_text().startswith("<!doctype html>")
    for other in {"svg", "png", "pdf", "gif", "mp4", ""} - formats(name):
        with pytest.raises(ValueError, match="unknown file type") as told:
            made.save(tmp_path / f"x.{other}")
        assert all(f".{known}" in str(told.value) for known in formats(name))
    with pytest.raises(ValueError, match="unknown format"):
        PAGES["network"]().pipe("gif")


def test_negative_control_axe_finds_what_is_put_in(page, tmp_path):
    page.goto(PAGES["play"]().save(tmp_path / "x.html").as_uri())
    assert serious_problems(page) == []
    page.evaluate("""() => {
      $("play").removeAttribute("aria-label");
      $("play").removeAttribute("title");
      $("scrubber").removeAttribute("aria-label");
    }""")
    assert {name for name, _ in serious_problems(page)} == {"button-name", "label"}
