"""小さな Tensor の計算グラフの再生: 行列の積、ブロードキャストのコピー、表の書き換え。"""

import re

import numpy as np
import pytest

import micrograd_jp as mg
from micrograd_jp import nn
from micrograd_jp.viz.player import play
from tests.browser import serious_problems


def named(values, label, **options):
    t = mg.tensor(np.array(values, dtype=float), **options)
    t.label = label
    return t


def layer():
    """Affine, ReLU, softmax, squared error; also the leaves that learn."""
    x = named([[1.0, 2.0], [0.5, -1.0], [-1.0, 0.3]], "X")
    w = named([[0.5, -0.2, 0.1], [0.3, 0.8, -0.5]], "W", requires_grad=True)
    b = named([0.1, 0.0, -0.1], "b", requires_grad=True)
    u = x @ w
    p = u + b
    q = mg.softmax(mg.relu(p), 1)
    loss = ((q - mg.tensor(np.eye(3))) ** 2).sum()
    for t, name in ((u, "u"), (p, "p"), (q, "q"), (loss, "L")):
        t.label = name
    return loss, w, b


def classifier():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    model.double()
    loss = mg.cross_entropy(model(named([[1.0, -1.0], [0.5, 2.0]], "X")), mg.tensor([0, 1]))
    return loss, *model.parameters()


def mixed():
    v = mg.Value(0.5, label="v")
    t = named([1.0, -2.0], "t", requires_grad=True)
    y = (t * 2).sum().to_value() * v
    y.label = "y"
    return y, t, v


@pytest.fixture
def opened(page, tmp_path):
    trouble = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))

    def open_(root, **options):
        page.goto(play(root, **options).save(tmp_path / "play.html").as_uri())
        return page

    yield open_
    assert trouble == []


def leaf_numbers(page, what):
    """Of the leaves that learn, in the order of the page."""
    return page.evaluate(f"() => [...state.learned].map((j) => [{what}[j]].flat())")


def find(page, *words):
    """The sentence and the tables of the first step that says all of this."""
    for _ in range(page.evaluate("() => STEPS.length")):
        text = page.get_by_role("status").inner_text()
        if all(word in text for word in words):
            return text, page.locator("#tables").inner_text()
        page.keyboard.press("ArrowRight")
    raise AssertionError(f"no step says {words}")


def flat(t):
    return np.ravel(t).tolist()


@pytest.mark.parametrize("make", [layer, classifier, mixed])
@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_loss_and_gradients_are_python_s(opened, make, style):
    loss, *leaves = make()
    page = opened(loss, style=style)
    page.keyboard.press("End")
    assert not re.search("[?—]", "".join(page.locator("#picture text").all_text_contents()))
    loss.backward()
    found = leaf_numbers(page, "now.grads")
    expected = [flat(getattr(t.grad, "_data", t.grad)) for t in leaves]
    assert sorted(found) == [pytest.approx(e, rel=1e-10, abs=1e-13) for e in sorted(expected)]
    assert page.evaluate("() => lossOf(now.values)") == pytest.approx(
        loss.item() if hasattr(loss, "item") else loss.data
    )


def test_learning_is_gradient_descent(opened):
    loss, w, b = layer()
    page = opened(loss, learning_rate=0.5)
    page.get_by_role("button", name="10 歩学習").click()
    losses = [loss.item()]
    for _ in range(10):
        w.grad = b.grad = None
        loss.backward(retain_graph=True)
        with mg.no_grad():
            w, b = (named((t - 0.5 * t.grad).data, "", requires_grad=True) for t in (w, b))
        x = mg.tensor(np.array([[1.0, 2.0], [0.5, -1.0], [-1.0, 0.3]]))
        q = mg.softmax(mg.relu(x @ w + b), 1)
        loss = ((q - mg.tensor(np.eye(3))) ** 2).sum()
        losses.append(loss.item())
    assert page.evaluate("() => state.losses") == pytest.approx(losses, rel=1e-10)
    assert leaf_numbers(page, "state.leaves") == [
        pytest.approx(flat(t.data), rel=1e-9) for t in (w, b)
    ]  # fmt: skip


def test_the_gradient_of_a_product_is_a_product_of_tables(opened):
    page = opened(layer()[0])
    text, tables = find(page, "∂L/∂W =")
    assert "∂L/∂W = Xᵀ @ ∂L/∂u（行列の積）" in text
    assert tables.startswith("Xᵀ") and "@" in tables and "∂L/∂W" in tables
    rows = page.locator("#tables table").first.locator("tr").all_inner_texts()
    assert [re.split(r"\s+", row) for row in rows] == [["1", "0.5", "−1"], ["2", "−1", "0.3"]]
    edges = " ".join(page.locator("#picture text").all_text_contents())
    assert "∂ Xᵀ" in edges


@pytest.mark.slow
def test_a_broadcast_shows_its_copies(opened):
    page = opened(layer()[0])
    text, tables = find(page, "∂L/∂b =")
    assert "1 つが 3 回ずつ使われた" in text and "コピーごとの勾配" in tables and "和" in tables
    copies, total = page.locator("#tables table").all()
    read = lambda table: [
        [float(x.replace("−", "-")) for x in row.split()]
        for row in table.locator("tr").all_inner_texts()
    ]
    assert len(read(copies)) == 3
    assert np.sum(read(copies), axis=0).tolist() == pytest.approx(*read(total), abs=2e-3)


def test_one_number_of_a_matrix_is_edited(opened):
    loss, *_ = layer()
    page = opened(loss)
    box = page.get_by_role("spinbutton", name="W[1, 2]", exact=True)
    assert box.input_value() == "-0.5"
    box.fill("4")
    assert leaf_numbers(page, "state.leaves")[0] == [0.5, -0.2, 0.1, 0.3, 0.8, 4]
    assert page.evaluate("() => lossOf(now.values)") != pytest.approx(loss.item())
    assert page.get_by_role("spinbutton", name="X[0, 1]", exact=True).count() == 1


def pulled(page, name, by, touch=False):
    """The number of a box before and after it was pulled sideways."""
    box = page.get_by_role("spinbutton", name=name, exact=True)
    box.scroll_into_view_if_needed()
    where, before = box.bounding_box(), box.input_value()
    x, y = where["x"] + where["width"] / 3, where["y"] + where["height"] / 2
    if touch:
        for event, at in (("pointerdown", x), ("pointermove", x + by), ("pointerup", x + by)):
            page.evaluate(
                """([event, x, clientX, clientY]) => document.elementFromPoint(x, clientY)
                  .dispatchEvent(new PointerEvent(event, {
                    clientX, clientY, pointerType: "touch", pointerId: 1, bubbles: true}))""",
                [event, x, at, y],
            )
    else:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + by, y, steps=4)
        page.mouse.up()
    return float(before), float(box.input_value())


@pytest.mark.slow
def test_one_number_of_a_matrix_is_dragged(opened):
    page = opened(layer()[0])
    assert pulled(page, "W[1, 2]", 40) == (-0.5, pytest.approx(-0.4))
    assert leaf_numbers(page, "state.leaves")[0] == pytest.approx([0.5, -0.2, 0.1, 0.3, 0.8, -0.4])
    assert pulled(page, "X[0, 1]", -80) == (2, 0)
    assert page.evaluate("() => document.activeElement.tagName") == "BODY"
    assert page.evaluate("() => getSelection().toString()") == ""
    x = mg.tensor(np.array([[1.0, 0.0], [0.5, -1.0], [-1.0, 0.3]]))
    w = mg.tensor(np.array([[0.5, -0.2, 0.1], [0.3, 0.8, -0.4]]))
    q = mg.softmax(mg.relu(x @ w + mg.tensor([0.1, 0.0, -0.1])), 1)
    loss = ((q - mg.tensor(np.eye(3))) ** 2).sum().item()
    assert page.evaluate("() => lossOf(now.values)") == pytest.approx(loss)


@pytest.mark.slow
def test_a_click_is_for_typing_and_there_the_mouse_selects_letters(opened):
    page = opened(layer()[0])
    box = page.get_by_role("spinbutton", name="W[0, 0]", exact=True)
    box.click()
    assert page.evaluate("() => document.activeElement.ariaLabel") == "W[0, 0]"
    assert pulled(page, "W[0, 0]", 40) == (0.5, 0.5)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("7")
    assert box.input_value() == "7"
    box.blur()
    assert pulled(page, "W[0, 0]", 40)[1] > 7


@pytest.mark.slow
def test_a_finger_scrolls_a_table_that_is_wider_than_the_window(opened):
    page = opened(layer()[0])
    page.set_viewport_size({"width": 300, "height": 800})
    page.wait_for_function("() => document.querySelectorAll('.leaf-row.wide').length > 0")
    assert pulled(page, "W[0, 0]", 40, touch=True) == (0.5, 0.5)
    page.set_viewport_size({"width": 900, "height": 800})
    page.wait_for_function("() => document.querySelectorAll('.leaf-row.wide').length === 0")
    assert pulled(page, "W[0, 0]", 40, touch=True) == (0.5, 0.6)


def test_the_formula_of_a_layer_is_written_out(opened):
    model_input = named([[1.0, -1.0]], "X")
    w = named([[0.5], [2.0]], "W", requires_grad=True)
    h = mg.relu(model_input @ w + 1.0)
    h.label = "h"
    page = opened((h * h).sum())
    text, _ = find(page, "h = ")
    assert "途中の式も開くと h = max(X @ W + 1, 0)" in text


@pytest.mark.parametrize("make", [
    lambda x: nn.functional.max_pool2d(x, 2).sum(), lambda x: mg.det(x[0, 0, :2, :2]),
])  # fmt: skip
def test_what_a_page_cannot_compute(make):
    with pytest.raises(ValueError, match="cannot be played"):
        play(make(mg.ones(1, 1, 4, 4, requires_grad=True)))


def test_parameters_are_called_by_their_place_in_the_module(opened):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    loss = mg.cross_entropy(model(named([[1.0, -1.0], [0.5, 2.0]], "X")), mg.tensor([0, 1]))
    page = opened(loss, parameters=dict(model.named_parameters()))
    for name in ("0.weight[0, 0]", "0.bias[2]", "2.weight[1, 2]", "2.bias[0]"):
        assert page.get_by_role("spinbutton", name=name, exact=True).count() == 1
    learned = page.evaluate("() => [...state.learned].map(nameOf)")
    assert sorted(learned) == sorted(name for name, _ in model.named_parameters())
    shown = page.locator("#picture text").all_text_contents()
    assert {"0.weight", "2.bias"} <= set(shown)
    page.keyboard.press("End")
    assert "⟨vjp⟩" in page.locator("#picture text").all_text_contents()
    assert "∂ 2.weight" in page.locator("#picture text").all_text_contents()
    page = opened(loss, parameters=nn.Sequential(model[2]))
    assert page.evaluate("() => [...state.learned].map(nameOf)") == ["0.weight", "0.bias"]


def test_a_graph_that_let_go_of_its_arrays():
    part = mg.ones(4000)[:2]  # a view keeps the whole
    loss = (mg.ones(2, requires_grad=True) * part).sum()
    play(loss)
    loss.backward()
    with pytest.raises(ValueError, match="retain_graph=True"):
        play(loss)


def test_arrays_too_large_for_tables():
    x = mg.ones(40, 40, requires_grad=True)
    with pytest.raises(ValueError, match="too large"):
        play((x @ x).sum())


@pytest.mark.slow
def test_axe_finds_no_serious_problem_in_tables(opened):
    page = opened(layer()[0])
    find(page, "∂L/∂W =")
    assert serious_problems(page) == []
