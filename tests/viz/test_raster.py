"""PNG と PDF: matplotlib で描いた図が、SVG と同じ図であること。"""

import io
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from micrograd_jp import Value
from micrograd_jp.viz import draw, fonts, raster

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib_fontja")
np = pytest.importorskip("numpy")

SVG = "{http://www.w3.org/2000/svg}"


def labelled(label="りんご"):
    y = Value(100.0, label=label) * Value(1.1, label="消費税")
    y.backward()
    return draw(y)


def pixels(drawing):
    return matplotlib.image.imread(io.BytesIO(drawing.pipe("png")))[..., :3]


@pytest.fixture(autouse=True)
def _image_module():
    import matplotlib.image  # noqa: F401


def test_the_png_has_the_size_of_the_svg_and_is_not_blank():
    drawing = labelled()
    root = ET.fromstring(drawing.pipe("svg"))
    _, _, width, height = map(float, root.get("viewBox").split())
    image = pixels(drawing)
    scale = raster.DOTS_PER_INCH / 72
    assert image.shape[:2] == pytest.approx((height * scale, width * scale), abs=2)
    assert 0.02 < (image.min(axis=2) < 0.7).mean() < 0.5
    reddish = (image[..., 0] > 0.6) & (image[..., 1] < 0.3)
    bluish = (image[..., 2] > 0.6) & (image[..., 0] < 0.3)
    assert reddish.sum() > 50  # gradients
    assert bluish.sum() > 50  # local derivatives


def test_shapes_stand_where_the_svg_has_them():
    drawing = labelled()
    root = ET.fromstring(drawing.pipe("svg"))
    image = pixels(drawing)
    scale = raster.DOTS_PER_INCH / 72
    dx, dy = map(
        float,
        re.search(r"translate\((\S+) (\S+)\)", root.find(SVG + "g").get("transform")).groups(),
    )
    ellipse = next(root.iter(SVG + "ellipse"))
    cx, cy = float(ellipse.get("cx")) + dx, float(ellipse.get("cy")) + dy
    rim = image[round(cy * scale), round((cx - float(ellipse.get("rx"))) * scale)]
    inside = image[round((cy - 8) * scale), round((cx - 6) * scale)]
    assert rim.max() < 0.6
    assert inside == pytest.approx((0xF1 / 255, 0xF1 / 255, 0xF6 / 255), abs=0.01)


def test_different_labels_give_different_pictures():
    assert not np.array_equal(pixels(labelled("りんご")), pixels(labelled("みかん")))


@pytest.mark.slow
def test_characters_in_no_font_are_boxes_and_dollars_are_not_formulas():
    # Warnings are errors in the tests: a missing glyph would fail here.
    for label in ("𠮷\U0001f9ff", r"$\frac$", "$", "ܐ", "é σ ∂ ⏎ ʸ"):
        assert labelled(label).pipe("png").startswith(b"\x89PNG")
        assert labelled(label).pipe("pdf").startswith(b"%PDF")


def test_the_pdf_is_whole_and_has_the_size_of_the_svg():
    drawing = labelled()
    content = drawing.pipe("pdf")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(content) > 3000
    box = re.search(rb"/MediaBox \[ ?([\d. ]+?) ?\]", content)[1].split()
    root = ET.fromstring(drawing.pipe("svg"))
    assert [float(x) for x in box[2:]] == pytest.approx(
        [float(x) for x in root.get("viewBox").split()[2:]], abs=1
    )


def test_texts_fit_their_cells_in_the_png():
    """Measured with the font the picture is drawn in."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    fonts.register()
    root = ET.fromstring(labelled("とても長い日本語の名前と Latin WWWW 1234567890").pipe("svg"))
    for group in root.iter(SVG + "g"):
        outline = (
            group.find(SVG + "polygon")
            if group.find(SVG + "path") is None
            else group.find(SVG + "path")
        )
        if "node" not in group.get("class").split() or group.find(SVG + "polyline") is None:
            continue
        numbers = re.findall(r"-?[\d.]+", outline.get("points") or outline.get("d"))
        xs = list(map(float, numbers[::2]))
        for text in group.iter(SVG + "text"):
            font = FontProperties(family=list(fonts.FAMILIES))
            size = float(text.get("font-size")) * raster._FONT_SCALE
            extent = TextPath((0, 0), text.text, size=size, prop=font).get_extents()
            assert extent.width < max(xs) - min(xs)


def test_the_users_figures_keep_their_settings():
    before = dict(matplotlib.rcParams)
    labelled().pipe("png")
    assert dict(matplotlib.rcParams) == before


def test_very_long_pictures_stay_within_what_can_be_opened(monkeypatch):
    x = Value(1.0)
    for _ in range(100):
        x = x + 1.0
    monkeypatch.setattr(raster, "LONGEST_SIDE", raster.LONGEST_SIDE // 4)
    height, width, _ = pixels(draw(x)).shape
    assert max(height, width) <= raster.LONGEST_SIDE + 1


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    svg = labelled().pipe("svg", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "micrograd_jp\[viz\]"'):
        raster.render(svg, "png")


def test_without_the_japanese_font_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(fonts.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ImportError, match="matplotlib-fontja"):
        labelled().pipe("png")


def test_without_matplotlib_the_systems_dot_writes_png(monkeypatch):
    def run(command, **_):
        svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><g/></svg>'
        output = svg if command[1] == "-Tsvg" else " ".join(command).encode()
        return subprocess.CompletedProcess(command, 0, output, b"")

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    assert labelled().pipe("png") == b"dot -Tpng"
