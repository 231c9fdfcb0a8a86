"""1 つ 1 つの数で書いた GPT: コンパイルしても同じ数、見つかる行列、注意、作った文書。"""

import microgpt as demo
import numpy as np
import pytest

import micrograd_jp as mg

TEXT = demo.Text(["abc", "ba", "c"], ["・", "a", "b", "c"])


def small():
    return demo.GPT(4, TEXT.positions, width=4, heads=2, seed=1)


def in_scalars(gpt, document, following):
    pairs = zip(demo.logits(gpt, document), following, strict=True)
    return sum(mg.cross_entropy(z, t) for z, t in pairs)


def test_compiled_it_is_the_same_program():
    gpt = small()
    documents = [TEXT.arrays(same) for same in demo.by_length(TEXT.documents)]
    pairs = [(x.tolist(), t.tolist()) for xs, ts in documents for x, t in zip(xs, ts)]
    wanted = sum(in_scalars(gpt, *pair) for pair in pairs)
    wanted.backward()
    weights = [w for row in gpt.key + gpt.of_character for w in row]
    gradients = [w.grad for w in weights]
    assert all(any(w.grad for w in row) for row in gpt.key[:1] + gpt.of_character)
    loss = mg.compile(lambda *pair: in_scalars(gpt, *pair), dtype="float64", executor="lift")
    total = sum(loss(*pair).sum() for pair in reversed(documents))
    assert total.item() == pytest.approx(wanted.data, rel=1e-9)
    for w in weights:
        w.grad = 0.0
    total.backward()
    np.testing.assert_allclose([w.grad for w in weights], gradients, rtol=1e-7, atol=1e-12)
    longest = mg.compile(lambda *pair: in_scalars(gpt, *pair)).trace(*documents[-1])
    program = str(longest.program)
    for found in ("4→4", "4→12", "4→16", "16→4", "logsumexp", "を 4 か所で"):  # q k v, MLP, …
        assert found in program
    assert "畳み込み" not in program


def test_documents_of_one_length_are_trained_together():
    groups = demo.by_length(["abc", "a", "cab", "b"])
    assert groups == [["a", "b"], ["abc", "cab"]]
    inputs, targets = TEXT.arrays(groups[1])
    assert inputs.tolist() == [[0, 1, 2, 3], [0, 3, 1, 2]]
    assert targets.tolist() == [[1, 2, 3, 0], [3, 1, 2, 0]]


def test_one_character_after_the_other_it_says_the_same():
    """With the keys and values of before, and not the whole document once more."""
    trained = demo.train(TEXT, 4, 3, 0)
    [inputs], _ = TEXT.arrays(["cab"])
    with mg.no_grad():
        wanted = [[z.data for z in row] for row in demo.logits(trained.gpt, inputs.tolist())]
    keys = values = np.zeros((1, 0, 4), np.float32)
    for i, number in enumerate(inputs):
        scores, key, value = (x.data for x in trained.step(np.array([number]), i, keys, values))
        keys, values = np.append(keys, key[:, None], 1), np.append(values, value[:, None], 1)
        np.testing.assert_allclose(scores[0], wanted[i], rtol=1e-4, atol=1e-5)


def test_attention_looks_back_and_adds_up_to_one():
    trained = demo.train(TEXT, 4, 1, 0)
    weights = demo.attention(trained, TEXT, "abc")
    assert weights.shape == (4, 4, 4) and not np.triu(weights, 1).any()
    np.testing.assert_allclose(weights.sum(-1), 1)


def test_it_learns_by_heart():
    trained = demo.train(TEXT, 8, 150, 0)
    assert trained.losses[-1] < trained.losses[0] / 2
    assert demo.generate(trained, TEXT, 2, ["ab", "b"], temperature=0) == ["abc", "ba"]
    assert len(demo.generate(trained, TEXT, 5)) == 5


def test_the_data_are_what_they_say():
    sizes = {"names": 4000, "towns": 4000, "hyakunin_isshu": 100}
    for name, size in sizes.items():
        text = demo.Text.read(name)
        assert len(text.documents) == len(set(text.documents)) == size
        assert text.characters[0] == "・" and "・" not in "".join(text.documents)


def test_the_demo_itself(run):
    pictures, text = run(demo)
    assert pictures == ["microgpt.png"]
    for line in ("英語の名前: 120 行、27 種類", "町名", "百人一首", "100 首のうち"):
        assert line in text
