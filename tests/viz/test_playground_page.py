"""学習を見るページの決まり: 外に何も頼まず、誰にでも読めて、悪意のある名前は動かない。"""

import random
import re

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.data import datasets
from micrograd_jp.viz.playground import playground
from tests.browser import serious_problems
from tests.viz.test_player_page import HOSTILE

X = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]


def made(names=None, classes=3, **options):
    random.seed(0)
    return playground(nn.MLP(2, [4, classes]), datasets.spiral(60, seed=0), names=names, **options)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return made().save(tmp_path_factory.mktemp("playground") / "x.html").as_uri()


# ---- 安全 ---------------------------------------------------------------------------------------


def test_the_policy_allows_this_script_and_nothing_else():
    html = made().html
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    assert all(re.fullmatch(r"'sha256-\S+'", allowed[name]) for name in ("script-src", "style-src"))
    assert "unsafe" not in policy and "http" not in html.replace("http-equiv", "")
    assert len(html.encode()) < 300_000
    assert html.count("<script") == 1
    assert re.findall(r"<[^>]* (?:on\w+|style)=", html.split("<script>")[0]) == []


def test_hostile_names_are_only_names(page, tmp_path):
    events = []
    page.on("dialog", lambda dialog: (events.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("console", lambda message: events.append(message.text))
    page.on("request", lambda r: events.append(r.url))
    path = made(HOSTILE[:3]).save(tmp_path / "x.html")
    page.goto(path.as_uri())
    page.get_by_role("button", name="1 歩学習").click()
    page.locator("summary").click()
    assert events == [path.as_uri()]
    assert page.locator("main script, img, iframe").count() == 0
    said = page.locator("#legend").inner_text()
    assert all(name in said for name in HOSTILE[:3])


def test_labels_of_a_function_are_only_labels(page, tmp_path):
    w = [mg.Value(0.5, label=HOSTILE[0]), mg.Value(0.1, label=HOSTILE[1])]
    path = playground(lambda x: mg.tanh(w[0] * x[0] + w[1] * x[1]), (X, [0, 1, 1, 0]))
    page.goto(path.save(tmp_path / "x.html").as_uri())
    page.locator("summary").click()
    assert page.locator("main script, img").count() == 0 and page.title() != "hacked"


@pytest.mark.slow
def test_in_a_notebook_it_plays_inside_a_sandbox(page):
    html = made(HOSTILE[:3])._repr_html_()
    assert html.count("<iframe") == 1 and 'sandbox="allow-scripts"' in html
    page.set_content(f"<title>notebook</title>{html}")
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="1 歩学習").click()
    assert frame.get_by_role("status").inner_text().startswith("1 歩。")
    assert page.title() == "notebook"


# ---- 誰にでも -----------------------------------------------------------------------------------


def test_every_part_has_its_name_and_role(page, url):
    page.goto(url)
    for name in ("再生", "1 歩学習", "リセット"):
        assert page.get_by_role("button", name=name, exact=True).count() == 1
    for name in ("学習率 η", "雑音 σ", "正則化 λ (L2)"):
        assert page.get_by_role("slider", name=name).count() == 1
    for name in ("活性化関数", "速さ"):
        assert page.get_by_role("combobox", name=name).count() == 1
    assert page.get_by_role("status").count() == 1
    for name in ("決定境界", "損失の曲線"):
        assert page.get_by_role("img", name=name).count() == 1
    for name, count in (("1 層目の 4 個のユニット", 4), ("出力のスコア", 3)):
        assert page.get_by_role("group", name=name).get_by_role("button").count() == count


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_no_serious_problem(page, url, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.goto(url)
    page.locator("summary").click()
    for _ in range(2):
        assert serious_problems(page) == []
        page.get_by_role("button", name="1 歩学習").click()


def test_nothing_is_wider_than_a_phone(browser, url):
    phone = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    phone.goto(url)
    assert phone.evaluate("() => document.documentElement.scrollWidth") == 390
    box = phone.get_by_role("button", name="再生").bounding_box()
    assert min(box["width"], box["height"]) >= 40  # large enough for a finger
    phone.get_by_role("button", name="1 歩学習").tap()
    assert phone.locator("#steps").inner_text() == "1 歩"
    phone.close()


def test_pictures_follow_the_colours_that_are_asked_for(page, url):
    """Dark paper means dark pictures, also when it changes while one looks."""
    page.emulate_media(color_scheme="light")
    page.goto(url)
    darkness = """() => {
      const {data} = $("map").getContext("2d").getImageData(0, 0, 600, 600);
      return data.reduce((a, b) => a + b, 0) / data.length;
    }"""
    light = page.evaluate(darkness)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => colours.paper[0] < 100")
    assert page.evaluate(darkness) < light - 40


def test_who_asks_for_less_motion_sees_fewer_pictures(page, url):
    """Training goes on as fast; the pictures change once a second."""
    drawn = {}
    for motion in ("reduce", "no-preference"):
        page.emulate_media(reduced_motion=motion)
        page.goto(url)
        drawn[motion] = page.evaluate(
            """() => {
              let pictures = 0;
              $("speed").value = 1;
              drawPictures = () => { pictures += 1; };
              for (let t = 5000; t < 7000; t += 100) { frame(t); cancelAnimationFrame(timer); }
              return [pictures, state.steps];
            }"""
        )
    assert drawn["reduce"] == [2, 20] and drawn["no-preference"] == [20, 20]


def test_keys_play_and_step(page, url):
    page.goto(url)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#steps").inner_text() == "2 歩"
    page.keyboard.press(" ")
    page.wait_for_function("() => state.steps > 20")
    page.keyboard.press(" ")
    assert page.evaluate("() => timer") is None
    page.get_by_role("button", name="リセット").click()
    assert page.locator("#steps").inner_text() == "0 歩"
    assert page.evaluate("() => kept.train.length") == 1


def test_a_slider_says_what_it_does(page, url):
    page.goto(url)
    page.get_by_label("学習率 η").fill("1")
    assert (
        page.evaluate("() => state.rate") == 10 and page.locator("#rateText").inner_text() == "10"
    )
    page.get_by_label("正則化").fill("-2")
    assert page.evaluate("() => state.decay") == 0.01
    page.get_by_label("正則化").fill("-5")
    assert page.evaluate("() => state.decay") == 0
    loss = page.evaluate("() => kept.train[0]")
    page.get_by_label("雑音 σ").fill("50")
    assert page.evaluate("() => kept.train[0]") != loss
    page.get_by_label("雑音 σ").fill("0")
    assert page.evaluate("() => kept.train[0]") == loss


@pytest.mark.slow
def test_a_unit_can_be_seen_large(page, url):
    page.goto(url)
    pixels = "() => [...$('map').getContext('2d').getImageData(0, 0, 600, 600).data].join()"
    boundary = page.evaluate(pixels)
    unit = page.get_by_role("group", name="1 層目").get_by_role("button", name="2 番目のユニット")
    unit.click()
    assert unit.get_attribute("aria-pressed") == "true"
    assert page.get_by_role("img", name="2 番目のユニットの出力と点の図").count() == 1
    assert "いまは" in page.locator("#meaning").inner_text()
    assert page.evaluate(pixels) != boundary
    unit.click()
    assert page.evaluate(pixels) == boundary


def test_divergence_is_said(page, url):
    page.goto(url)
    page.evaluate("() => { state.rate = 1e30; learn(3); show(); }")
    assert "発散しています" in page.locator("#numbers").inner_text()
    assert "diverged" in page.locator("#curve").get_attribute("class")


@pytest.mark.parametrize("sign", [1, -1])
def test_the_scale_is_from_zero_to_the_furthest_loss(page, tmp_path, sign):
    w = [mg.Value(0.5), mg.Value(-0.3)]
    found = playground(
        lambda x: w[0] * x[0] + w[1] * x[1], (X, [0, 1, 1, 0]), development=None,
        loss=lambda y, t: sign * (1 + (y - t) ** 2),
    )  # fmt: skip
    page.goto(found.save(tmp_path / "x.html").as_uri())
    page.evaluate("() => { learn(3); show(); }")
    furthest = page.evaluate(
        "() => short(kept.train.reduce((a, b) => Math.abs(a) > Math.abs(b) ? a : b))"
    )
    ends = ["0", furthest] if sign > 0 else [furthest, "0"]
    assert page.locator("#scale").inner_text() == f"（縦 {ends[0]} 〜 {ends[1]}、横 0 〜 3 歩）"


@pytest.mark.slow
def test_a_long_training_keeps_a_bounded_curve(page, url):
    page.goto(url)
    page.evaluate("() => { learn(1500); show(); }")
    kept = page.evaluate("() => [kept.every, kept.train.length, kept.development.length]")
    assert kept == [4, 376, 376]


# ---- 渡せるもの ---------------------------------------------------------------------------------


def test_points_may_come_as_lists_and_labels_as_signs(page, tmp_path):
    found = playground(nn.MLP(2, [4, 1]), (X, [-1, 1, 1, -1]), development=(X, [-1, 1, 1, -1]))
    page.goto(found.save(tmp_path / "x.html").as_uri())
    assert (
        page.evaluate("() => [POINTS.train.labels, POINTS.development.labels]")
        == [[0, 1, 1, 0]] * 2
    )


def test_without_development_data_there_is_one_curve(page, tmp_path):
    found = playground(nn.MLP(2, [4, 1]), datasets.xor())  # four points are too few to share
    page.goto(found.save(tmp_path / "x.html").as_uri())
    assert page.locator("#curve polyline").count() == 1
    assert (
        not page.get_by_text("破線").is_visible()
        and not page.get_by_text("中の抜けた").is_visible()
    )


def test_the_model_stays_as_it_is():
    model = nn.MLP(2, [4, 1])
    before = [(type(p), p.data, p.grad) for p in model.parameters()]
    playground(model, datasets.moons(20, seed=0))
    assert before == [(type(p), p.data, p.grad) for p in model.parameters()]


def test_frozen_layers_do_not_learn(page, tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    found = playground(model, datasets.moons(20, seed=0))
    page.goto(found.save(tmp_path / "x.html").as_uri())
    assert page.evaluate("() => weights.length") == 4


MODEL, MOONS = nn.MLP(2, [3, 1]), datasets.moons(20, seed=0)


@pytest.mark.parametrize(("model", "data", "options", "error", "words"), [
    (3.0, MOONS, {}, TypeError, "expected a Module or a function"),
    (nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)), MOONS, {}, TypeError, "unsupported layer"),
    (nn.Linear(3, 1), MOONS, {}, ValueError, "length mismatch"),
    (nn.MLP(3, [1]), MOONS, {}, ValueError, "length mismatch"),
    (nn.MLP(2, [2]), datasets.spiral(30, seed=0), {}, ValueError, "too few outputs"),
    (nn.MLP(2, [1]), datasets.spiral(30, seed=0), {}, ValueError, "too few outputs"),
    (lambda x: x[0] * 2.0, MOONS, {}, ValueError, "no parameters"),
    (nn.Linear(2, 1).requires_grad_(False), MOONS, {}, ValueError, "no parameters"),
    (MODEL, (np.zeros((5001, 2)), np.zeros(5001, int)), {}, ValueError, "too many points"),
    (lambda x: "a", MOONS, {}, TypeError, "expected numbers"),
    (lambda x: x[0] if x[0] > 0 else x[1], MOONS, {}, TypeError, "[ぁ-ん]"),
    (MODEL, ([[1.0, 2.0, 3.0]], [0]), {}, ValueError, "expected 2-D points"),
    (MODEL, ([[1.0, np.nan]], [0]), {}, ValueError, "finite"),
    (MODEL, ([[1.0, 2.0]], [0.5]), {}, ValueError, "expected class numbers"),
    (MODEL, 3, {}, TypeError, "expected a dataset"),
    (MODEL, MOONS, {"development": 1.5}, ValueError, "out of range"),
    (MODEL, MOONS, {"development": "a"}, TypeError, "[ぁ-ん]"),
    (MODEL, MOONS, {"learning_rate": 0}, ValueError, "positive number"),
    (MODEL, MOONS, {"weight_decay": -1}, ValueError, "must not be negative"),
    (MODEL, MOONS, {"loss": 3}, TypeError, "expected a function"),
    (MODEL, MOONS, {"loss": lambda y, t: [y, t]}, TypeError, "expected a scalar loss"),
    (MODEL, MOONS, {"names": ["a"]}, ValueError, "expected 2 names"),
    (MODEL, MOONS, {"seed": "a"}, TypeError, "[ぁ-ん]"),
])  # fmt: skip
def test_what_cannot_be_played_with(model, data, options, error, words):
    with pytest.raises(error, match=words):
        playground(model, data, **options)


def test_files_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match=r"unknown file type.*\n?.*playground\.html"):
        made().save(tmp_path / "x.png")
