"""再生するページ: 1 つのファイルで、外に何も頼まず、誰にでも読めて、悪意のある名前は動かない。"""

import math
import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import micrograd_jp as mg
from micrograd_jp import Value
from micrograd_jp.viz.player import play
from micrograd_jp.viz.text import formula_number
from tests.browser import serious_problems

HOSTILE = [
    "<script>document.title='hacked';alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "${alert(1)}`",
    "{{script}}{0}{z}",
    "\ue000v0:000",
    "\u2028\u202e',alert(1)//",
]
BUTTONS = ["最初へ", "前へ", "再生", "次へ", "最後へ", "1 歩学習", "10 歩学習", "戻る", "zero_grad"]


def chain(labels):
    y = Value(1.0, label="1")
    for label in labels:
        y = mg.tanh(y * Value(0.5, label=label))
        y.label = label
    return y


def line():
    w, b = Value(3.0, "w"), Value(-8.0, "b")
    e = (7 - (w * 3 + b)) ** 2 + (13 - (w * 9 + b)) ** 2
    e.label = "E"
    return e


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return play(line()).save(tmp_path_factory.mktemp("player") / "line.html").as_uri()


# ---- 安全 ---------------------------------------------------------------------------------------


def test_the_policy_allows_this_script_and_nothing_else():
    html = play(line()).html
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert all(re.fullmatch(r"'sha256-\S+'", allowed[name]) for name in ("script-src", "style-src"))
    assert "unsafe" not in policy
    assert set(re.findall(r"https?://[\w.]+", html)) == {"http://www.w3.org"}  # of the SVG
    assert (
        html.count("<script") == 1 and re.findall(r"<[^>]* on\w+=", html.split("<script>")[0]) == []
    )


@pytest.mark.slow
@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_hostile_names_are_only_names(page, tmp_path, style):
    events = []
    page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("console", lambda message: events.append(message.text))
    path = play(chain(HOSTILE), style=style).save(tmp_path / "x.html")
    page.on("request", lambda r: events.append(r.url))
    page.goto(path.as_uri())
    for _ in range(page.evaluate("() => STEPS.length")):
        page.keyboard.press("ArrowRight")
    page.locator("summary").click()
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert events == [path.as_uri()]
    assert page.locator("main script, img, iframe").count() == 0
    assert HOSTILE[0][:20] in page.locator("#leaves").inner_text()
    assert HOSTILE[4] in page.locator("#leaves").inner_text()


def test_evaluating_text_is_forbidden(page, url):
    """Negative control of the policy: what it forbids does fail."""
    page.goto(url)
    found = page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          return fetch("https://example.com/").then(() => "fetched", () => window.ran ?? "refused");
        }"""
    )
    assert found == "refused"


# ---- ノートブックと紙 ---------------------------------------------------------------------------


@pytest.mark.slow
def test_in_a_notebook_it_plays_inside_a_sandbox(page):
    html = play(chain(HOSTILE[:2]))._repr_html_()
    assert html.count("<iframe") == 1 and 'sandbox="allow-scripts"' in html
    page.set_content(f"<title>notebook</title>{html}")
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="次へ").click()
    frame.get_by_role("button", name="次へ").click()
    assert "順伝播 (forward) 2" in frame.get_by_role("status").inner_text()
    assert page.title() == "notebook"


@pytest.mark.slow
def test_it_prints_one_sheet_for_each_phase(page, url):
    page.set_viewport_size({"width": 700, "height": 1000})
    page.goto(url)
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    sheets = page.locator("#print section")
    assert sheets.locator("h2").all_inner_texts() == [
        "順伝播 (forward)", "逆伝播 (backward)", "更新 (update)",
    ]  # fmt: skip
    assert sheets.locator("svg").count() == 3 and not page.locator("main").is_visible()
    items = sheets.locator("li")
    assert items.count() == page.evaluate("() => STEPS.length - 1")
    values = [sheet.locator("svg").text_content() for sheet in sheets.all()]
    assert "値 72" in values[0] and "勾配 72" not in values[0] and "勾配 72" in values[1]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 700
    ink = "() => getComputedStyle(document.body).color"
    assert page.evaluate(ink) == "rgb(27, 29, 34)"  # dark on paper
    assert len(re.findall(rb"/Type /Page\b", page.pdf())) >= 3


# ---- 誰にでも -----------------------------------------------------------------------------------


def test_every_part_has_its_name_and_role(page, url):
    page.goto(url)
    for name in BUTTONS:
        assert page.get_by_role("button", name=name, exact=True).count() == 1
    for name in ("w", "b"):
        assert page.get_by_role("spinbutton", name=name, exact=True).count() == 1
    assert page.get_by_role("slider", name="学習率 η").count() == 1
    assert page.get_by_role("checkbox", name="勾配の累積").count() == 1
    assert page.get_by_role("status").count() == 1
    assert page.get_by_role("slider", name="歩").get_attribute("aria-valuetext") == "はじめ"
    page.locator("summary").click()
    page.locator("#sentences li").first.wait_for()  # until it is open
    assert page.locator("#sentences li").count() == page.evaluate("() => STEPS.length")
    page.get_by_role("spinbutton", name="w", exact=True).fill("5")
    assert "u₁ = w × 3 = 5 × 3 = 15。" in page.locator("#sentences").inner_text()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_problem(page, url, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(url)
    for step in ("Home", "ArrowRight", "End"):
        page.keyboard.press(step)
        assert serious_problems(page) == []


@pytest.mark.slow
def test_nothing_is_wider_than_a_phone(browser, url):
    phone = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    phone.goto(url)
    for key in ("Home", "ArrowRight", "End"):
        phone.keyboard.press(key)
        assert phone.evaluate("() => document.documentElement.scrollWidth") == 390
    box = phone.get_by_role("button", name="次へ").bounding_box()
    assert min(box["width"], box["height"]) >= 40  # large enough for a finger
    phone.get_by_role("button", name="最初へ").tap()
    assert "はじめ" in phone.get_by_role("status").inner_text()
    letters = phone.locator("#picture text").first.bounding_box()["height"]
    assert letters > 8
    phone.close()


def test_nothing_moves_for_who_asks_for_it(page, url):
    moving = "() => getComputedStyle(document.querySelector('#picture path')).transitionDuration"
    found = {}
    for motion in ("reduce", "no-preference"):
        page.emulate_media(reduced_motion=motion)
        page.goto(url)
        found[motion] = page.evaluate(moving)
    assert found["reduce"] == "0s" != found["no-preference"]


@settings(max_examples=30)
@example([9.99996e-5, -9.99996e-5, 1e-4, 999.96, 9999.96, 1e7, 0.0, -0.0, math.inf, math.nan])
@given(st.lists(st.floats() | st.floats(-2e7, 2e7), min_size=20, max_size=20))
def test_numbers_are_written_as_in_the_pictures_of_draw(numbers_page, xs):
    # Halfway between two of four digits Python and JavaScript may choose differently.
    near = [(math.nextafter(x, -math.inf), x, math.nextafter(x, math.inf)) for x in xs]
    xs = [x for a, x, b in near if formula_number(a) == formula_number(x) == formula_number(b)]
    assume(xs)
    assert numbers_page.evaluate("(xs) => xs.map(short)", xs) == [formula_number(x) for x in xs]


@pytest.fixture(scope="module")
def numbers_page(browser, url):
    page = browser.new_page()
    page.goto(url)
    yield page
    page.close()


# ---- 大きさ -------------------------------------------------------------------------------------


def tower(count):
    x = Value(1.0, label="x")
    y = x
    while count > 1:
        y, count = (mg.tanh(y) if count % 2 else y * x), count - 1
    return y


@pytest.mark.slow
def test_a_hundred_nodes_fit_in_300_kilobytes(page, tmp_path):
    path = play(tower(100)).save(tmp_path / "x.html")
    assert path.stat().st_size <= 300_000
    page.goto(path.as_uri())
    assert page.evaluate("() => NODES.length") == 100
    started = page.evaluate("() => performance.getEntriesByType('navigation')[0].domComplete")
    assert started < 5000  # it says under 1 s; here many tests share a processor


@pytest.mark.slow
def test_a_large_graph_is_explained(page, tmp_path):
    page.goto(play(tower(301)).save(tmp_path / "x.html").as_uri())
    assert (
        "301 個" in page.locator("p").inner_text()
        and "300 個まで" in page.locator("p").inner_text()
    )
    assert page.locator("svg g.node").count() > 0 and page.locator("button").count() == 0
    page.goto(play(tower(300)).save(tmp_path / "y.html").as_uri())
    assert page.get_by_role("button", name="次へ").count() == 1


# ---- エラー -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("root", "error", "words"), [
    (3.0, TypeError, "expected a Value"), (None, TypeError, "expected a Value"),
    ([Value(1.0)], TypeError, "expected a Value"), (Value(1.0), ValueError, "no graph"),
    (mg.tensor([1.0, 2.0], requires_grad=True) * 2, ValueError, "expected a scalar"),
])  # fmt: skip
def test_what_cannot_be_played(root, error, words):
    with pytest.raises(error, match=words):
        play(root)


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"style": "x"}, ValueError, "unknown style"),
    ({"direction": "x"}, ValueError, "unknown direction"),
    ({"learning_rate": 0}, ValueError, "positive number"),
    ({"learning_rate": float("nan")}, ValueError, "positive number"),
    ({"learning_rate": "a"}, TypeError, "[ぁ-ん]"),
    ({"parameters": [1.0]}, TypeError, "expected leaves"),
    ({"parameters": 3}, TypeError, "[ぁ-ん]"),
])  # fmt: skip
def test_options_that_cannot_be(options, error, words):
    with pytest.raises(error, match=words):
        play(line(), **options)


def test_files_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match="unknown file type"):
        play(line()).save(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_inside_no_grad_there_is_no_graph():
    with mg.no_grad():
        y = Value(1.0) * 2
    with pytest.raises(ValueError, match="no graph"):
        play(y)
