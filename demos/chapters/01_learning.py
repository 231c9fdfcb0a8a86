# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 第 1 章 プログラムが自分で学習する
#
# ふつうのプログラムでは、どう計算するかを人が全部書きます。手書きの数字を読むプログラムも、そう
# 書けるでしょうか。この章では、まず規則を書いて行きづまり、次に、**数を自分で決めるプログラム**を
# 書きます。使うのは、足し算とかけ算だけです。
#
# - 読むのに必要なもの: Python の `for` と関数、NumPy の配列を少し
# - 時間: 40 分ほど（演習 5 問）
#
# はじめのセルは、ライブラリがなければ入れます（Colab など）。

# %%
try:
    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data]"
    import micrograd_jp as mg

import numpy as np

from micrograd_jp.viz import figures

# %% [markdown]
# ## 1. 4×3 画素の数字
#
# 電卓のような小さな数字を考えます。縦 4 個、横 3 個の画素 (pixel) が、光る (1) か、光らない (0) か。
# `#` が光る画素です。

# %%
PATTERNS = """
.#. .#. ##. ### #.. ### #.. ### ### ###
#.# ##. ..# .## #.# ##. ### ..# #.# #.#
#.# .#. .#. ..# ### ..# #.# .#. #.# ###
.#. ### ### ### ..# ##. ### .#. ### ..#
"""
rows = [line.split() for line in PATTERNS.strip().splitlines()]
digits = np.array([[float(c == "#") for row in rows for c in row[k]] for k in range(10)])
print(digits.shape)  # 10 個の数字、12 画素

# %%
figure, axes = figures.subplots(1, 10, size=(10, 1.6))
figures.show_images(axes, [x.reshape(4, 3) for x in digits], vmin=0, vmax=1)
for k, each in enumerate(axes):
    each.set_title(str(k))
figure

# %% [markdown]
# ## 2. 規則を書いてみる
#
# いちばん簡単な規則は、「手本とまったく同じなら、その数字」です。


# %%
def by_rule(x):
    """手本と同じ数字。どれとも違えば、分からない (−1)。"""
    for k in range(10):
        if (x == digits[k]).all():
            return k
    return -1


print([by_rule(x) for x in digits])

# %% [markdown]
# 手本は全部読めます。では、画素が 1 つだけ反転したらどうでしょう。10 個の数字の、12 画素の
# どれか 1 つを反転した 120 枚で試します。

# %%
flipped = np.repeat(digits, 12, axis=0)
place = np.tile(np.arange(12), 10)
flipped[np.arange(120), place] = 1 - flipped[np.arange(120), place]
labels = np.repeat(np.arange(10), 12)

right = sum(by_rule(x) == k for x, k in zip(flipped, labels, strict=True))
print(f"120 枚のうち、読めたのは {right} 枚")

# %% [markdown]
# 1 枚も読めません。「左上の画素が消えていても、残りが合っていれば 0」のような規則を書き足していくと、
# 数字ごと、画素ごとに例外が増えて、きりがなくなります。本物の手書き数字は 28×28 画素あり、同じ形は 2 度と
# 現れません。
#
# **規則を書く代わりに、数で表せないでしょうか。**
#
# ## 3. 「らしさ」を 1 次式で
#
# 「真ん中が空いていれば 0 らしい」「右上が光っていれば 5 らしくない」——こういう弱い証拠を、数で
# 足し合わせます。数字 0 の「らしさ」を、画素 $x_1, \dots, x_{12}$ の 1 次式で表しましょう。
#
# $$p_0 = w_1 x_1 + w_2 x_2 + \dots + w_{12} x_{12} + b$$
#
# 光っていると 0 らしくなる画素の重み (weight) $w$ は正、0 らしくなくなる画素の重みは負です。
# $b$ はバイアス (bias) といい、どの画素も光っていないときの値です。

# %%
mg.exercise("1-2")


# %%
def score(w, x, b):
    return (w * x).sum() + b


mg.exercise("1-2").check(score)

# %% [markdown]
# 数字は 10 個あるので、この式も 10 個あります。重みを 10 行 12 列に並べて行列 $W$ とすると、10 個の式は
# 行列の積 1 つになります。
#
# $$p = Wx + b$$

# %%
mg.exercise("1-1")

# %%
mg.exercise("1-1").check(10 * 12 + 10)

# %%
mg.exercise("1-3")


# %%
def scores(W, x, b):
    return W @ x + b


mg.exercise("1-3").check(scores)

# %% [markdown]
# ヒントは `mg.exercise("1-3").hint(1)` から 3 段あります。解答は `mg.exercise("1-3").answer()` です。
# 間違えたときは、何が違うかを言います。たとえば、積を間違えると:

# %%
mg.exercise("1-3").check(lambda W, x, b: W @ x)

# %% [markdown]
# 答えは、いちばん「らしい」数字です。何枚もの絵をまとめて計算するときは、絵を 1 行ずつに並べて
# $p = xW^\top + b$ とします（形は 枚数 × 10）。

# %%
mg.exercise("1-4")


# %%
def answers(p):
    return p.argmax(axis=1)


mg.exercise("1-4").check(answers)

# %% [markdown]
# ## 4. 数を決めるのは誰か
#
# 130 個の数を人が決めるのは大変です。はじめは全部 0 にしておきましょう。どの絵を見せても $p$ は 0 で、
# 何も分かりません。そこで、**正解を見せて、$p$ をどれだけ変えたいか**を計算します。
#
# 正解の数字だけ 5、ほかは −5 になってほしい、としましょう（5 という数に深い意味はありません）。
# これが理想 $t$ です。

# %%
mg.exercise("1-5")


# %%
def wanted(p, label):
    t = np.full(10, -5.0)
    t[label] = 5.0
    return t - p


mg.exercise("1-5").check(wanted)

# %% [markdown]
# $p$ は $W$ と $b$ で決まるので、変えるのは $W$ と $b$ です。
#
# - $b_k$ は $p_k$ にそのまま足されているので、$p_k$ を変えたいだけ変えたい: $\Delta b = \Delta p$
# - $w_{kj}$ は $x_j$ とかけてから足されるので、**光っている画素の重みだけ**を変えたい:
#   $\Delta w_{kj} = \Delta p_k \, x_j$
#
# 光っていない画素の重みは、いくら変えてもこの絵の答えを変えません。だから動かさないのです。
#
# 1 度に全部変えると、ほかの数字が読めなくなります。そこで、少しだけ（0.05 倍だけ）変えることを、10 個の
# 数字について何度もくり返します。この 0.05 を**学習率** (learning rate) と呼びます。

# %%
W, b = np.zeros((10, 12)), np.zeros(10)
history = []
for epoch in range(30):
    for k in range(10):  # 数字を 1 つずつ見せる
        dp = wanted(scores(W, digits[k], b), k)
        W += 0.05 * np.outer(dp, digits[k])
        b += 0.05 * dp
    history.append((answers(digits @ W.T + b) == np.arange(10)).mean())

print([f"{a:.0%}" for a in history[:12]], "…", f"{history[-1]:.0%}")

# %% [markdown]
# 十数回くり返すと、10 個の数字を全部読めるようになりました。**どこにも、数字の形についての規則は
# 書いていません。** 書いたのは「理想との差だけ、少し変える」ことだけです。これが学習です。
#
# では、さきほど 1 枚も読めなかった、画素が 1 つ反転した絵はどうでしょう。

# %%
print(f"120 枚の正解率: {(answers(flipped @ W.T + b) == labels).mean():.0%}")

# %% [markdown]
# 見たことのない絵も、多くは読めました。手本と「同じか、違うか」ではなく、証拠を足し合わせているからです。
#
# 学習の 1 歩を、画素 3 つで見てみましょう。光っているのは 1 番目と 3 番目、理想は 5 です。下の「1 歩学習」を押すと、
# $w_1$、$w_3$、$b$ が動きます。光っていない画素の $w_2$ は、何度押しても変わりません。

# %%
w1, w2, w3 = (mg.Value(0.0, label=name) for name in ("w₁", "w₂", "w₃"))
b0 = mg.Value(0.0, label="b")
p = w1 * 1 + w2 * 0 + w3 * 1 + b0
p.label = "p"
mg.play((p - 5) ** 2 / 2, learning_rate=0.05)

# %% [markdown]
# 右端の数は、理想との差を表す $(p - 5)^2 / 2$ です。これを減らす向きを計算しているのが、図の「勾配」です
# （第 3 章と第 4 章で説明します）。
#
# ## 5. 何を学習したのか
#
# 重み $W$ の 1 行は 12 個の数なので、4×3 に並べて絵にできます。橙が正（光っていると、その数字らしい）、
# 紫が負（光っていると、その数字らしくない）です。

# %%
figure, axes = figures.subplots(1, 10, size=(10, 1.6))
figures.show_images(axes, [w.reshape(4, 3) for w in W], signed=True)
for k, each in enumerate(axes):
    each.set_title(str(k))
figure

# %% [markdown]
# 手本の写しではありません。**ほかの 9 個の数字と見分けるのに役立つ画素**ほど、重みが、正にも負にも大きく
# なっています。
#
# ## 6. 雑音のある絵で学習する
#
# はじめから雑音 (noise) のある絵を見せて学習したら、もっと強くなるでしょうか。画素に、標準偏差 0.3 の
# 正規乱数を足した絵を毎回作って学習し、雑音の大きさを変えて比べます。

# %%
rng = np.random.default_rng(0)


def learn(noise, epochs=200):
    W, b = np.zeros((10, 12)), np.zeros(10)
    for _ in range(epochs):
        for k in rng.permutation(10):
            x = digits[k] + noise * rng.normal(size=12)
            dp = wanted(W @ x + b, k)
            W += 0.02 * np.outer(dp, x)
            b += 0.02 * dp
    return W, b


def accuracy(W, b, noise, copies=200):
    x = np.tile(digits, (copies, 1))
    x = x + noise * rng.normal(size=x.shape)
    return (answers(x @ W.T + b) == np.tile(np.arange(10), copies)).mean()


noises = np.arange(0, 1.01, 0.1)
curves = {
    name: [accuracy(*weights, noise) for noise in noises]
    for name, weights in {
        "雑音なしで学習": learn(0.0),
        "雑音 0.3 で学習": learn(0.3),
    }.items()
}
figure, axes = figures.subplots(size=(6, 3.2))
for name, curve in curves.items():
    axes.plot(noises, curve, marker="o", label=name)
axes.set(xlabel="評価する絵の雑音（標準偏差）", ylabel="正解率", ylim=(0, 1.05))
axes.legend()
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 雑音のある絵で学習したほうが、雑音に強くなりました。**何を見せるかで、何を学習するかが決まります。**
#
# ## まとめ
#
# - 規則を書く代わりに、画素から「らしさ」を計算する式 $p = Wx + b$ を用意した。
# - 式の中の数（パラメータ, parameter）は、正解との差 $\Delta p$ が小さくなる向きに、少しずつ変えた。
# - 見たことのない絵も読めた。
#
# でも、なぜ $\Delta w_{kj} = \Delta p_k\, x_j$ でよいのでしょう。層がもっとあったら、どう変えればよいので
# しょう。次の章では、いちばん小さな問題——直線を 1 本引く——で、変え方を式から導きます。
