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
    return sum(mg.cross_entropy(z, t) for z, t in pairs if sum(t))


def test_compiled_it_is_the_same_program():
    gpt, inputs = small(), TEXT.arrays(TEXT.documents)
    wanted = sum(in_scalars(gpt, *pair) for pair in zip(*(x.tolist() for x in inputs)))
    wanted.backward()
    weights = [w for row in gpt.key + gpt.of_character for w in row]
    gradients = [w.grad for w in weights]
    assert all(any(w.grad for w in row) for row in gpt.key[:1] + gpt.of_character)

    @mg.compile(dtype="float64", executor="lift")
    def loss(document, following):
        pairs = zip(demo.logits(gpt, document), following, strict=True)
        return sum(mg.cross_entropy(z, t) for z, t in pairs)

    total = loss(*inputs).sum()
    assert total.item() == pytest.approx(wanted.data, rel=1e-9)
    for w in weights:
        w.grad = 0.0
    total.backward()
    np.testing.assert_allclose([w.grad for w in weights], gradients, rtol=1e-7, atol=1e-12)
    for found in ("4→4", "4→12", "4→16", "16→4", "logsumexp"):  # embedding, q k v, MLP, softmax
        assert found in str(loss.program)


def test_what_follows_the_end_of_a_document_does_not_count():
    inputs, targets = TEXT.arrays(TEXT.documents)
    assert inputs.shape == targets.shape == (3, 4, 4)
    assert targets.sum((1, 2)).tolist() == [4, 3, 2]  # every character, and the end
    assert [row.argmax() for row in targets[1][:3]] == [2, 1, 0]


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
