"""本物のブラウザで再生する: 順伝播、逆伝播、更新、書き換え。数は Python の計算と同じ。"""

import re

import pytest
from hypothesis import given, settings

import micrograd_jp as mg
from micrograd_jp import Value
from micrograd_jp.testing import strategies
from micrograd_jp.viz.player import play


def apple():
    price, count, tax = Value(100, "りんご"), Value(2, "個数"), Value(1.1, "消費税")
    total = price * count * tax
    total.label = "支払い"
    return total


def line(w=3.0, b=-8.0):
    """E = ½ Σ (t − y)² of y = wx + b: at first E = 36, ∂E/∂w = 36, ∂E/∂b = 0."""
    w, b, terms = Value(w, "w"), Value(b, "b"), []
    for i, (x, t) in enumerate([(3.0, 7.0), (9.0, 13.0)], start=1):
        y = w * x + b
        y.label = f"y{i}"
        terms.append((t - y) ** 2)
    error = 0.5 * mg.sum(terms)
    error.label = "E"
    return error


def learned(steps, rate):
    """(w, b, E) before and after each step."""
    w, b, out = 3.0, -8.0, []
    for _ in range(steps + 1):
        error = line(w, b)
        error.backward()
        leaves = {x.label: x for x in mg.graph.topological_order(error) if x.is_leaf}
        out.append((w, b, error.data))
        w, b = w - rate * leaves["w"].grad, b - rate * leaves["b"].grad
    return out


def neuron():
    w, x, b = (Value(n, label=name) for n, name in ((0.5, "w"), (2.0, "x"), (-0.3, "b")))
    y = mg.tanh(w * x + b)
    y.label = "y"
    return y


def mlp():
    mg.manual_seed(0)
    model = mg.nn.MLP(2, [3, 1])
    loss = (model([Value(0.5), Value(-1.0)]) - 1.0) ** 2
    loss.label = "L"
    return loss


GRAPHS = {"apple": apple, "line": line, "neuron": neuron, "mlp": mlp}


@pytest.fixture
def opened(page, tmp_path):
    """Opens the page of a graph; an error in it, or a request to anywhere, fails the test."""
    trouble = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))

    def open_(root, **options):
        path = play(root, **options).save(tmp_path / "play.html")
        page.on("request", lambda r: r.url.startswith(path.as_uri()) or trouble.append(r.url))
        page.goto(path.as_uri())
        return page

    yield open_
    assert trouble == []


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def said(page):
    return page.get_by_role("status").inner_text()


def leaf(page, name):
    return page.get_by_role("spinbutton", name=name, exact=True)


def numbers(page):
    return page.evaluate("() => ({values: now.values, grads: now.grads})")


def python_numbers(root):
    order = mg.graph.topological_order(root)
    root.backward()
    return [x.data for x in order], [x.grad for x in order]


# ---- 数 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_every_value_and_gradient_is_python_s(opened, name, style):
    root = GRAPHS[name]()
    found = numbers(opened(root, style=style))
    leaves = [x for x in mg.graph.topological_order(root) if x.is_leaf]
    for x in leaves:
        x.grad = 0.0
    values, grads = python_numbers(root)
    assert found["values"] == pytest.approx(values, rel=1e-13)
    assert found["grads"] == pytest.approx(grads, rel=1e-13, abs=1e-14)


@settings(max_examples=5)
@given(e=strategies.expressions(max_ops=6))
def test_the_gradients_of_any_expression(page, e):
    root = e(*map(Value, e.inputs))
    another = page.context.new_page()
    another.set_content(play(root).html)
    found = numbers(another)
    another.close()
    values, grads = python_numbers(root)
    assert found["values"] == pytest.approx(values, rel=1e-12, abs=1e-13, nan_ok=True)
    assert found["grads"] == pytest.approx(grads, rel=1e-9, abs=1e-12, nan_ok=True)


# ---- 再生 ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_line_forward_backward_update(opened):
    page = opened(line(), learning_rate=0.02)
    sentences = [said(page)]
    for _ in range(page.evaluate("() => STEPS.length - 1")):
        press(page, "次へ")
        sentences.append(said(page))
    text = "\n".join(sentences)
    assert len(set(sentences)) == len(sentences)
    assert "u₁ = w × 3 = 3 × 3 = 9" in text and "E = 0.5 × u₇ = 0.5 × 72 = 36" in text
    assert "∂E/∂y1 = 上流の勾配 × 局所微分 = ∂E/∂u₂ × ∂u₂/∂y1 = 6 × (−1) = −6" in text
    assert re.search(r"足し合わせる: ∂E/∂w = (−18 \+ 54|54 \+ \(−18\)) = 36", text)
    assert "w ← 3 − 0.02 × 36 = 2.28" in sentences[-1] and "b ← −8 − 0.02 × 0 = −8" in text
    press(page, "最初へ")
    assert said(page) == sentences[0]
    press(page, "最後へ")
    press(page, "前へ")
    assert said(page) == sentences[-2]


@pytest.mark.slow
def test_one_node_lights_up_forward_and_one_edge_backward(opened):
    page = opened(apple())
    for step in page.evaluate("() => STEPS.map((s) => [s.phase, !!s.key])"):
        lit = page.locator("#picture .edge.now").count()
        assert lit == step[1]
        if step[0] == "forward":
            nodes = page.locator("#picture .node.now").evaluate_all(
                "all => [...new Set(all.map((g) => g.dataset.node))]"
            )
            assert len(nodes) == 1
        press(page, "次へ")


@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_a_number_is_written_when_its_step_has_come(opened, style):
    page = opened(apple(), style=style)
    shown = lambda: " ".join(page.locator("#picture text").all_text_contents())
    assert "?" in shown() and "220" not in shown() and "110" not in shown()
    page.keyboard.press("End")
    assert "?" not in shown() and "—" not in shown()
    assert {"100", "2.2", "110", "200", "220"} <= set(re.findall(r"[\d.]+", shown()))


def test_keys_scrubber_and_address(opened):
    page = opened(line())
    step = lambda: page.evaluate("() => at")
    for key, wanted in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Home", 0)):
        page.keyboard.press(key)
        assert step() == wanted
    page.get_by_role("slider", name="歩").fill("7")
    assert step() == 7 and page.url.endswith("#step=7")
    sentence = said(page)
    page.goto(page.url.replace("#step=7", "#step=3"))  # only the hash: no new page
    page.wait_for_function("() => at === 3")
    page.goto(page.url.replace("#step=3", "#step=7"))
    page.wait_for_function("() => at === 7")
    assert said(page) == sentence
    leaf(page, "w").press("ArrowRight")  # moves the cursor in the number
    assert step() == 7


@pytest.mark.slow
def test_playing_and_its_speed(opened):
    page = opened(apple())
    page.clock.install(time=0)
    page.clock.pause_at(60_000)  # from here on time moves only when told to
    page.keyboard.press(" ")
    page.clock.run_for(2500)
    assert page.evaluate("() => at") == 2
    page.get_by_label("速さ").select_option("4")
    page.clock.run_for(650)
    assert page.evaluate("() => at") == 4
    press(page, "一時停止")
    page.clock.run_for(5000)
    assert page.evaluate("() => at") == 4
    press(page, "再生")
    page.clock.run_for(60_000)
    assert page.evaluate("() => [at === STEPS.length - 1, timer]") == [True, None]
    assert page.get_by_role("button", name="再生", exact=True).count() == 1


# ---- 学習 ---------------------------------------------------------------------------------------


def test_learning_goes_python_s_way_and_back(opened):
    page = opened(line(), learning_rate=0.02)
    steps = learned(11, 0.02)
    values = lambda: page.evaluate("() => [...Object.values(state.leaves), ...state.losses]")
    press(page, "1 歩学習")
    assert values() == pytest.approx([*steps[1][:2], 36, steps[1][2]])
    assert leaf(page, "w").input_value() == "2.28"
    press(page, "10 歩学習")
    assert values() == pytest.approx([*steps[11][:2], *[e for _, _, e in steps]])
    assert "発散" not in said(page)
    press(page, "戻る")
    press(page, "戻る")
    assert values() == [3, -8, 36] and leaf(page, "w").input_value() == "3"
    press(page, "戻る")
    assert "戻る先がありません" in said(page)


@pytest.mark.slow
def test_a_rate_too_large_diverges_visibly(opened):
    page = opened(line(), learning_rate=0.02)
    page.get_by_label("学習率 η").fill("0.1")
    for _ in range(3):
        press(page, "10 歩学習")
    assert "発散しています" in said(page)
    assert "発散しています" in page.locator("#losses").inner_text()
    assert "diverged" in page.locator("#curve").get_attribute("class")
    for _ in range(40):
        press(page, "10 歩学習")
    assert "nan" in said(page) or "inf" in said(page)


@pytest.mark.slow
def test_accumulated_gradients(opened):
    w = Value(1.0, label="w")
    page = opened(w * 3, learning_rate=0.1)
    page.get_by_label("勾配の累積").check()
    press(page, "1 歩学習")  # 1 − 0.1·3
    press(page, "1 歩学習")  # 0.7 − 0.1·(3 + 3)
    assert page.evaluate("() => state.leaves[0]") == pytest.approx(0.1)
    press(page, "最後へ")
    press(page, "前へ")
    assert "6 + 3 = 9" in said(page)
    press(page, "zero_grad")
    assert page.evaluate("() => now.grads[0]") == 3
    page.get_by_label("勾配の累積").uncheck()
    press(page, "1 歩学習")
    assert page.evaluate("() => state.leaves[0]") == pytest.approx(-0.2)


def test_which_leaves_learn(opened):
    y = neuron()
    w, _, b = (v for v in mg.graph.topological_order(y) if v.is_leaf)
    page = opened(y, parameters=[w, b])
    press(page, "1 歩学習")
    assert leaf(page, "x").input_value() == "2" and leaf(page, "w").input_value() != "0.5"
    page.get_by_role("checkbox", name="w を更新する").uncheck()
    before = leaf(page, "w").input_value()
    press(page, "1 歩学習")
    assert leaf(page, "w").input_value() == before


# ---- 書き換える ---------------------------------------------------------------------------------


def test_a_leaf_that_is_edited(opened):
    page = opened(apple())
    page.keyboard.press("End")
    leaf(page, "りんご").fill("150")
    values, grads = numbers(page).values()
    assert values == pytest.approx([150, 2, 300, 1.1, 330])
    assert grads == pytest.approx([2.2, 165, 1.1, 300, 1])
    assert "値 330" in page.locator("#picture").text_content()
    assert page.locator("#losses").inner_text().startswith("損失 330")
    leaf(page, "りんご").fill("")
    assert leaf(page, "りんご").get_attribute("aria-invalid") == "true"
    leaf(page, "りんご").blur()
    assert leaf(page, "りんご").input_value() == "150"


@pytest.mark.slow
@pytest.mark.parametrize("style", ["cell", "textbook"])
def test_a_leaf_that_is_dragged_in_the_picture(opened, style):
    page = opened(neuron(), style=style)
    where = page.locator('#picture [data-slot="v0"]').first.bounding_box()
    x, y = where["x"] + where["width"] / 2, where["y"] + where["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=4)
    page.mouse.up()
    w = float(leaf(page, "w").input_value())
    assert w == pytest.approx(0.6)
    assert numbers(page)["values"][-1] == pytest.approx(mg.tanh(Value(w * 2 - 0.3)).data)
    page.mouse.move(x, y)
    assert float(leaf(page, "w").input_value()) == w
