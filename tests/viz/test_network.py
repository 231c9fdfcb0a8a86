"""ネットワークの図: 線の太さと種類は重み、円の数はそのときの出力。ページでは名前と数も出る。"""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn, viz
from micrograd_jp.viz.network import layers
from micrograd_jp.viz.network.layers import boxes
from micrograd_jp.viz.network.units import DASHES, WIDEST
from micrograd_jp.viz.text import formula_number
from tests.browser import serious_problems


def parsed(drawing):
    return ET.fromstring(drawing.svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1))


def edges(drawing):
    """Every edge, from "layer.unit.unit" to its signed width."""
    found = {}
    for line in parsed(drawing).iter("polyline"):
        if "edge" in line.get("class").split():
            negative = "negative" in line.get("class").split()
            assert (line.get("stroke-dasharray") == DASHES) is negative
            width = float(line.get("stroke-width"))
            found[line.get("data-edge")] = -width if negative else width
    return found


def inside(drawing, column):
    units = [
        g for g in parsed(drawing).iter("g") if g.get("data-unit", "").startswith(f"{column}.")
    ]
    return [g.findtext("text") for g in units]


def texts(drawing):
    return [t.text for t in parsed(drawing).iter("text")]


def trained():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3), nn.ReLU(), nn.Linear(3, 2))
    mg.cross_entropy(model(mg.randn(8, 2)), mg.tensor([0, 1] * 4)).backward()
    return model


# ---- 静かな図 -----------------------------------------------------------------------------------


def test_widths_and_dashes_are_the_weights():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    model[0].weight.data = np.array([[1.0, -2.0], [0.5, 4.0], [0.0, 1.0]])
    found = edges(viz.network(model))
    for (i, j), w in np.ndenumerate(model[0].weight.data):
        assert found[f"1.{i}.{j}"] == pytest.approx(WIDEST * w / 4, rel=1e-2)
    assert len(found) == 6 + 3


@pytest.mark.parametrize("scalar", [True, False])
def test_the_circles_hold_what_the_units_gave_out(scalar):
    if scalar:
        model = nn.MLP(2, [3, 1])
        hidden = [h.data for h in model.layers[0]([0.5, -1.0])]
    else:
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.9), nn.Linear(3, 1))
        hidden = model[:2](mg.tensor([[0.5, -1.0]])).detach().numpy()[0].tolist()
    before = [np.copy(p.data) for p in model.parameters()]
    drawing = viz.network(model, [0.5, -1.0], names=(["x", "y"], ["犬"]))
    assert inside(drawing, 1) == [formula_number(float(f"{h:.2g}")) for h in hidden]
    assert {"x", "y", "犬"} <= set(texts(drawing))
    assert all(np.array_equal(a, p.data) for a, p in zip(before, model.parameters(), strict=True))


def shown(drawing, column):
    return [float(text.replace("−", "-")) for text in inside(drawing, column)]


@pytest.mark.parametrize("make", [
    lambda: nn.Sequential(nn.Linear(2, 3), act := nn.Tanh(), nn.Linear(3, 2), act),
    lambda: nn.Sequential(layer := nn.Linear(2, 2), nn.Tanh(), layer),
    lambda: nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
                          nn.Dropout(0.5), nn.Linear(3, 2), nn.Softmax()),
])  # fmt: skip
def test_the_last_circles_hold_what_the_model_gives_out(make):
    """Also where one layer is passed twice: each time is a column, or part of one."""
    model = make()
    drawing = viz.network(model, [0.5, -1.0])
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    passed = 2 if len(linear) == 1 else len(linear)
    out = model.eval()(mg.tensor([[0.5, -1.0]])).detach().numpy()[0]
    assert shown(drawing, passed) == pytest.approx(out, rel=0.06)
    assert inside(drawing, passed + 1) == []


def test_a_model_with_a_forward_of_its_own_is_drawn_as_the_data_went():
    """Its layers alone say neither their order nor what happens between them."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(3, 2), nn.Linear(2, 3)

        def forward(self, x):
            return x + self.last(mg.relu(self.first(x)))

    model = Skip()
    drawing = viz.network(model, [0.5, -1.0])
    assert "data-edge" not in drawing.svg
    found = boxes(model, layers.example(model, [0.5, -1.0]))
    assert [(box.name or box.kind, box.shape, box.sources) for box in found] == [
        ("first", (1, 3), [-1]), ("ReLU", (1, 3), [0]), ("last", (1, 2), [1]),
        ("+", (1, 2), [-1, 2]),
    ]  # fmt: skip
    assert {"first", "last", "+", "ReLU", "3", "2"} <= set(texts(drawing))


def test_wide_layers_are_elided_and_gradients_are_drawn_when_asked():
    model = nn.Sequential(nn.Linear(30, 2))
    drawing = viz.network(model)
    assert "⋮" in texts(drawing)
    assert len(edges(drawing)) == 10 * 2
    with pytest.raises(ValueError, match="勾配がまだありません"):
        viz.network(model, show="grad")
    model(mg.ones(1, 30)).sum().backward()
    assert set(edges(viz.network(model, show="grad")).values()) == {WIDEST}


def test_it_is_saved_in_every_form(tmp_path):
    pytest.importorskip("matplotlib_fontja")
    drawing = viz.network(trained(), [0.5, -1.0])
    for format, start in (("svg", b"<svg"), ("html", b"<!doctype html>"), ("png", b"\x89PNG")):
        assert drawing.save(tmp_path / f"net.{format}").read_bytes().startswith(start)
    with pytest.raises(ValueError, match="unknown file type"):
        drawing.save(tmp_path / "net.gif")
    assert drawing._repr_html_().startswith('<iframe sandbox="allow-scripts"')


@pytest.mark.parametrize(
    "bad",
    [
        lambda: viz.network(nn.Conv2d(1, 2, 3)),
        lambda: viz.network(nn.models.LeNet()),
        lambda: viz.network(3),
        lambda: viz.network(nn.Linear(2, 1), [1.0]),
        lambda: viz.network(nn.Linear(2, 1), show="bias"),
        lambda: viz.network(nn.Linear(2, 1), names=(["x"], ["y"])),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(bad):
    with pytest.raises((TypeError, ValueError), match=r"(?s)[ぁ-ん].*\([a-zA-Z].*。"):
        bad()


# ---- 触れるページ -------------------------------------------------------------------------------


@pytest.fixture
def opened(page, tmp_path):
    trouble = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))

    def open_(drawing):
        page.goto(drawing.save(tmp_path / "net.html").as_uri())
        return page

    yield open_
    assert trouble == []


def said(page):
    return page.get_by_role("status").inner_text()


def test_a_unit_that_is_touched_says_its_name_and_numbers(opened):
    model = trained()
    page = opened(viz.network(model, [0.5, -1.0], names=(["x", "y"], ["犬", "猫"])))
    page.locator('[data-unit="3.1"]').hover()
    out = model(mg.tensor([[0.5, -1.0]])).detach().numpy()[0, 1]
    bias = model[4].bias
    assert "猫（4.weight のユニット 1）" in said(page) and f"出力 {formula_number(out)}" in said(
        page
    )
    b, grad = (formula_number(x[1]) for x in (bias.data, bias.grad.numpy()))
    assert f"バイアス 4.bias[1] = {b}、勾配 {grad}" in said(page)
    rows = page.locator("#tables tr").all_inner_texts()[1:]
    hidden = model[:4](mg.tensor([[0.5, -1.0]])).detach().numpy()[0]
    for j, row in enumerate(rows):
        w, g = model[4].weight.data[1, j], model[4].weight.grad.numpy()[1, j]
        assert row.split("\t") == [
            f"{j}", f"4.weight[1, {j}]", *map(formula_number, (w, g, w * hidden[j])),
        ]  # fmt: skip
    page.locator('[data-unit="1.0"]').click()
    assert "0.weight → Tanh のユニット 0" in said(page)
    assert page.locator("#tables th[scope=row]").all_inner_texts() == ["x", "y"]


def test_an_edge_says_its_name_weight_and_gradient(opened):
    model = trained()
    page = opened(viz.network(model, [0.5, -1.0]))
    page.locator('.hit[data-edge="1.15.1"]').dispatch_event("pointerover")
    w, g = model[0].weight.data[15, 1], model[0].weight.grad.numpy()[15, 1]
    assert f"0.weight[15, 1] = {formula_number(w)}、勾配 {formula_number(g)}" in said(page)
    assert f"× (−1) = {formula_number(-w)}" in said(page)
    assert "入力 1 から 0.weight → Tanh のユニット 15 へ" in said(page)


def test_names_of_values_and_a_model_without_gradients(opened):
    model = nn.MLP(2, [2, 1])
    page = opened(viz.network(model))
    page.locator('[data-unit="2.0"]').hover()
    assert "layers.1.neurons.0.b = 0、勾配はまだありません" in said(page)
    assert "layers.1.neurons.0.w.1" in page.locator("#tables").inner_text()
    assert "出力" not in said(page).splitlines()[1:] and page.get_by_role("checkbox").is_disabled()


def test_weights_that_are_no_numbers_any_more_are_told(opened):
    model = nn.Linear(3, 1)
    model.weight.data = np.array([[np.nan, np.inf, -np.inf]])
    page = opened(viz.network(model, [1.0, 1.0, 1.0]))
    page.locator('[data-unit="1.0"]').hover()
    assert "出力 nan" in said(page)
    rows = page.locator("#tables tr").all_inner_texts()[1:]
    assert [row.split("\t")[2] for row in rows] == ["nan", "inf", "−inf"]


def test_the_keyboard_reaches_every_unit_and_edge(opened):
    page = opened(viz.network(trained(), [0.5, -1.0]))
    page.get_by_role("checkbox").focus()
    page.keyboard.press("Tab")
    assert "入力 0" in said(page)
    page.keyboard.press("ArrowRight")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    assert "0.weight → Tanh のユニット 15" in said(page)
    page.keyboard.press("Enter")
    assert "0.weight[15, 0] = " in said(page)
    page.keyboard.press("ArrowDown")
    assert "0.weight[15, 1] = " in said(page)
    page.keyboard.press("Escape")
    assert "のユニット 15" in said(page).splitlines()[2]
    page.keyboard.press("ArrowRight")
    assert "2.weight → ReLU のユニット 2" in said(page)


def test_the_lines_become_gradients_and_weights_again(opened):
    model = trained()
    drawing = viz.network(model)
    page = opened(drawing)
    read = """() => Object.fromEntries([...document.querySelectorAll(".edge")].map((line) => [
      line.dataset.edge,
      (line.classList.contains("negative") ? -1 : 1) * line.getAttribute("stroke-width")]))"""
    page.get_by_role("checkbox").check()
    assert page.evaluate(read) == pytest.approx(edges(viz.network(model, show="grad")), rel=1e-2)
    assert "正の ∂L/∂w" in page.locator("#picture").inner_text()
    page.get_by_role("checkbox").uncheck()
    assert page.evaluate(read) == pytest.approx(edges(drawing), rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_problem_and_nothing_is_wider_than_a_phone(page, tmp_path, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    connected = viz.network(trained(), [0.5, -1.0], names=(["<b>x</b>", "y"], ["犬", "猫"]))
    for drawing in (connected, viz.network(nn.models.LeNet(), (1, 1, 28, 28))):
        page.goto(drawing.save(tmp_path / "net.html").as_uri())
        if drawing is connected:
            page.locator('[data-unit="3.1"]').dispatch_event("click")
        assert serious_problems(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") == 390
        assert page.locator("#picture b").count() == 0


# ---- 層の箱 -------------------------------------------------------------------------------------


class Residual(nn.Module):
    """x + b(relu(a(x))), twice through the same activation."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(x + self.b(self.act(self.a(x))))


def test_boxes_are_joined_by_where_the_data_went():
    found = boxes(Residual().eval(), mg.ones(1, 2, 4, 4))
    assert [(box.name, box.kind, box.sources) for box in found] == [
        ("a", "Conv2d 3 × 3、padding 1 × 1", [-1]), ("act", "ReLU", [0]),
        ("b", "Conv2d 3 × 3、padding 1 × 1", [1]), ("", "+", [-1, 2]), ("act", "ReLU", [3]),
    ]  # fmt: skip
    assert [box.parameters for box in found] == [38, 0, 36, 0, 0]


def test_functions_between_layers_and_whole_numbers_are_followed():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 3)

        def forward(self, x):
            return mg.softmax(self.head(self.embedding(x).mean(1).tanh()), -1)

    found = boxes(Tokens(), mg.tensor([[1, 2, 3]]))
    assert [(box.name or box.kind, box.sources) for box in found] == [
        ("embedding", [-1]), ("平均", [0]), ("tanh", [1]), ("head", [2]), ("softmax", [3]),
    ]  # fmt: skip


def test_layers_say_their_shapes_and_parameters():
    model = nn.models.LeNet()
    model.train()
    drawing = viz.network(model, mg.ones(1, 28, 28))  # an image without an axis of samples
    found = texts(drawing)
    for row in (
        "features.0",
        "Conv2d 5 × 5、padding 2 × 2",
        "6 × 28 × 28",
        "パラメータ 156",
        "400",
    ):
        assert row in found
    assert any(f"{sum(p.size for p in model.parameters()):,}" in text for text in found)
    assert model.training and not any(p.has_grad for p in model.parameters())
    shapes = [box.shape for box in boxes(model, mg.ones(1, 1, 28, 28))]
    leaves = [layer for layer in model.summary((1, 1, 28, 28)).model if not layer.layers]
    assert shapes == [layer.output for layer in leaves]


def test_large_models_are_drawn_by_their_outer_parts():
    found = boxes(nn.models.resnet18(), mg.ones(1, 3, 32, 32))
    assert len([box for box in found if box.name]) <= 40
    assert {"layer1.0", "layer4.1", "fc"} <= {box.name for box in found}
