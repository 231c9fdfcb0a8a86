"""本物のブラウザ (Chromium) で: 悪意のある名前が動かず、文字が枠に収まること。"""

import pytest

from micrograd_jp import Value
from micrograd_jp.viz import draw

HOSTILE = [
    "<script>document.title='hacked';alert(1)</script>",
    "</title></svg><img src=x onerror=alert(1)>",
    "]]><iframe srcdoc='<script>parent.alert(1)</script>'>",
    '" onload="alert(1)',
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]
JAPANESE = [
    "りんご", "消費税（税率）", "とても長い日本語の変数名がここにあります", "ﾊﾝｶｸｶﾅ", "重み w₁₂",
    "学習率 η", "Σᵢ wᵢxᵢ", "龍驤鬱", "ＡＢＣ全角", "WWWWWWWWWW", "0123456789", "iiiii",
]  # fmt: skip


def chain(labels):
    y = Value(1.0, label="1")
    for label in labels:
        y = y * Value(1234.5678, label=label)
        y.label = label
    y.backward()
    return y


@pytest.mark.parametrize("style", ["cell", pytest.param("textbook", marks=pytest.mark.slow)])
@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_hostile_labels_do_nothing(page, tmp_path, style, suffix):
    events = []
    page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: events.append(request.url))
    path = draw(chain(HOSTILE), style=style).save(tmp_path / f"x{suffix}")
    page.goto(path.as_uri())
    page.wait_for_timeout(100)
    assert events == [path.as_uri()]
    assert page.locator("script, img, iframe, a").count() == 0
    assert page.title() != "hacked"
    shown = page.locator("svg text").all_text_contents()
    assert HOSTILE[-1][:30] in "".join(shown)


def test_hostile_labels_do_nothing_even_in_a_page_that_allows_scripts(page):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.set_content(draw(chain(HOSTILE)).pipe("svg", encoding="utf-8"))
    page.wait_for_timeout(100)
    assert dialogs == []
    assert page.locator("script, img, iframe").count() == 0


OVERFLOWING = """() => {
  const bad = [];
  for (const node of document.querySelectorAll("g.node")) {
    const shape = node.querySelector("polygon, path, ellipse");
    if (!shape) continue;
    const box = shape.getBBox();
    const rows = [...node.querySelectorAll("text")].map(text => [text, text.getBBox()]);
    for (const [text, t] of rows) {
      const out = Math.max(box.x - t.x, t.x + t.width - box.x - box.width,
                           box.y - t.y, t.y + t.height - box.y - box.height);
      if (out > 0.5) bad.push([text.textContent, out]);
    }
    for (let i = 1; i < rows.length; i++)
      if (rows[i][1].y < rows[i - 1][1].y + rows[i - 1][1].height - 2) bad.push("rows overlap");
  }
  const view = document.querySelector("svg").getBoundingClientRect();
  for (const text of document.querySelectorAll("text")) {
    const t = text.getBoundingClientRect();
    if (t.left < view.left || t.right > view.right || t.bottom > view.bottom)
      bad.push([text.textContent, "outside the picture"]);
  }
  return bad;
}"""


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_every_text_fits_its_cell(page, style, direction):
    page.set_content(
        draw(chain(JAPANESE), style=style, direction=direction).pipe("html", encoding="utf-8")
    )
    assert page.locator("svg text").count() > 3 * len(JAPANESE)
    assert page.evaluate(OVERFLOWING) == []


def test_the_check_for_overflow_sees_overflow(page):
    svg = draw(chain(JAPANESE)).pipe("svg", encoding="utf-8")
    page.set_content(svg.replace("とても長い", "とても長い" * 5))
    assert page.evaluate(OVERFLOWING) != []


def test_texts_of_different_nodes_do_not_overlap(page):
    page.set_content(draw(chain(JAPANESE), style="textbook").pipe("html", encoding="utf-8"))
    overlaps = page.evaluate(
        """() => {
          const boxes = [...document.querySelectorAll("text")].map(
            t => [t.textContent, t.getBoundingClientRect()]).filter(([t]) => t);
          return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>
            Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&
            Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 4).map(([b]) => [a, b]));
        }"""
    )
    assert overlaps == []


def test_the_page_scrolls_on_a_phone(page, tmp_path):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(draw(chain(JAPANESE)).save(tmp_path / "x.html").as_uri())
    width, shown = page.evaluate(
        "() => (m => [m.scrollWidth, m.clientWidth])(document.querySelector('main'))"
    )
    font = page.evaluate("() => document.querySelector('text').getBoundingClientRect().height")
    assert shown == 390
    assert width > shown  # scrolls, instead of shrinking the letters
    assert font > 10
