"""学習の動画: 撮ったコマを、本物のブラウザで 1 コマずつ見る。GIF も同じコマ。"""

import io

import pytest

import micrograd_jp as mg
from micrograd_jp.training import History
from micrograd_jp.viz.text import formula_number
from tests.browser import serious_problems

image = pytest.importorskip("PIL.Image")


def png(k):
    buffer = io.BytesIO()
    image.new("RGB", (40 + k, 30), (20 * k, 100, 200)).save(buffer, format="PNG")
    return buffer.getvalue()


def history():
    losses = [2.0, 1.5, float("inf"), 0.5, 0.25, 0.125]
    rows = [{"updates": 3}, {"updates": 6}]
    return History(losses, rows, frames=[(k, png(k)) for k in (0, 1, 3, 4, 6)])


@pytest.fixture
def opened(page, tmp_path):
    trouble = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))
    history().movie(tmp_path / "out.html")
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or trouble.append(r.url))
    page.goto((tmp_path / "out.html").as_uri())
    yield page
    assert trouble == []


def shown(page):
    """The sentence, the width of the picture, and where the dot is on the curve."""
    page.wait_for_function("() => document.querySelector('#frame').complete")
    width = page.evaluate("() => document.querySelector('#frame').naturalWidth")
    dot = float(page.locator("#curve circle").get_attribute("cx"))
    return page.get_by_role("status").inner_text(), width, dot


def test_every_frame_has_its_picture_its_sentence_and_its_place(opened):
    first, width, dot = shown(opened)
    assert (first, width, dot) == ("学習の前", 40, 8)
    expected = [
        (1, "1 更新（エポック 1）: ミニバッチの損失 2"),
        (3, "3 更新（エポック 1）: ミニバッチの損失 inf"),
        (4, f"4 更新（エポック 2）: ミニバッチの損失 {formula_number(0.5)}"),
        (6, "6 更新（エポック 2）: ミニバッチの損失 0.125"),
    ]  # fmt: skip
    for k, sentence in expected:
        opened.get_by_role("button", name="次へ").click()
        assert shown(opened) == (sentence, 40 + k, pytest.approx(8 + (k - 1) / 5 * 304))
    assert opened.get_by_role("img", name="損失の曲線").count() == 1
    assert opened.locator("#frame").get_attribute("alt").endswith("損失 0.125")


def test_keys_scrubber_link_and_play(opened):
    opened.keyboard.press("End")
    assert opened.evaluate("() => at") == 4
    opened.get_by_role("slider", name="コマ (frame)").fill("2")
    assert shown(opened)[1] == 43 and opened.url.endswith("#step=2")
    opened.reload()
    assert shown(opened)[1] == 43
    opened.clock.install(time=0)
    opened.clock.pause_at(60_000)
    opened.keyboard.press("Home")
    opened.keyboard.press(" ")
    opened.clock.run_for(500)
    assert opened.evaluate("() => at") == 2
    opened.clock.run_for(10_000)
    assert opened.evaluate("() => [at, timer]") == [4, None]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_problem_and_nothing_is_wider_than_a_phone(page, tmp_path, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(history().movie().save(tmp_path / "out.html").as_uri())
    assert serious_problems(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390


def test_only_images_of_the_page_are_allowed():
    html = history().movie().html
    assert "img-src data:;" in html and "default-src 'none'" in html
    assert "img-src" not in mg.play(mg.Value(1.0) * 2).html


def test_the_gif_has_the_same_frames_and_the_last_one_stays(tmp_path):
    movie = history().movie(tmp_path / "out.gif")
    gif = image.open(io.BytesIO((tmp_path / "out.gif").read_bytes()))
    assert gif.n_frames == len(movie.frames) == 5 and gif.size == (46, 30)
    times = []
    for k, (update, _) in enumerate(movie.frames):
        gif.seek(k)
        times.append(gif.info["duration"])
        color = gif.convert("RGB").getpixel((10, 10))
        assert color == pytest.approx((20 * update, 100, 200), abs=4)
    assert times == [250] * 4 + [2000]
    with pytest.raises(ValueError, match="unknown file type"):
        movie.save(tmp_path / "out.mp4")


def test_no_spike_of_a_long_training_is_left_out(page, tmp_path):
    losses = [1.0 + k % 2 / 100 for k in range(20_001)]
    spikes = {0: 5.0, 1: 6.0, 777: 9.0, 5_002: 0.5, 10_003: float("inf"), 15_000: 7.0, 20_000: 3.0}
    for k, loss in spikes.items():
        losses[k] = loss
    found = History(losses, [{"updates": 20_001}], frames=[(0, png(0)), (20_001, png(1))])
    page.goto(found.movie().save(tmp_path / "out.html").as_uri())
    points = page.locator("#curve polyline").get_attribute("points").split()
    for k in spikes:
        assert page.evaluate("(k) => pointOf(losses, k, scale).join()", k) in points
    assert len(points) < 3000
    xs = [float(point.split(",")[0]) for point in points]
    assert xs == sorted(xs)


def test_a_training_without_updates_has_one_frame(page, tmp_path):
    page.goto(History(frames=[(0, png(0))]).movie().save(tmp_path / "out.html").as_uri())
    assert page.get_by_role("status").inner_text() == "学習の前"
