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
# # 第 4 章 計算グラフと誤差逆伝播法
#
# 勾配の公式を、式ごとに人が導くのをやめます。どんな式も、足し算やかけ算のような小さな計算をつないだもの
# です。**小さな計算の微分だけを知っていれば、つないだ全体の勾配は、機械的に求まります。** これが誤差逆伝播法
# (backpropagation) です。この章では、それを自分で作ります。
#
# - 読むのに必要なもの: 第 2 章。Python のクラスを少し
# - 時間: 60 分ほど（演習 6 問）

# %%
try:
    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data]"
    import micrograd_jp as mg

import numpy as np

from micrograd_jp.testing import gradcheck

# %% [markdown]
# ## 1. りんごの買い物
#
# 100 円のりんごを 2 個。消費税をかけて、支払いは $100 \times 2 \times 1.1 = 220$ 円です。この計算を
# 図にします。

# %%
price, count, tax = (
    mg.Value(100.0, label="値段"),
    mg.Value(2.0, label="個数"),
    mg.Value(1.1, label="消費税"),
)
paid = price * count * tax
paid.label = "支払い"
mg.draw(paid)

# %% [markdown]
# これが**計算グラフ** (computational graph) です。左から右へ計算するのが**順伝播** (forward)。
#
# 問題: **値段が 1 円上がったら、支払いはいくら増えますか。** 個数が 1 個増えたら？ こういう「入力を少し動かした
# とき、出力がどれだけ動くか」が偏微分です。

# %%
mg.exercise("4-1")

# %%
mg.exercise("4-1").check([2 * 1.1, 100 * 1.1, 100 * 2])

# %% [markdown]
# 3 つを別々に考えると、同じかけ算を何度もします。そこで、**右から左へ**考えます。支払いを 1 として、1 つ前の
# ノードが 1 動いたら支払いがどれだけ動くかを、順に書いていきます。これが**逆伝播** (backward) です。

# %%
paid.backward()
mg.draw(paid)

# %% [markdown]
# 箱のいちばん下の段が勾配です。矢印の青い数 ∂ は、そのノードだけの微分（**局所微分**, local derivative）です。
# どの矢印でも、
#
# **右の勾配（上流の勾配） × 局所微分 ＝ 左の勾配**
#
# になっています。これが**連鎖律** (chain rule) です。覚えることは、これだけです。
#
# ## 2. 小さな計算の逆伝播
#
# かけ算 $z = xy$ の局所微分は、$x$ については $y$、$y$ については $x$ です。

# %%
mg.exercise("4-2")


# %%
def mul_backward(x, y, g):
    return g * y, g * x


mg.exercise("4-2").check(mul_backward)

# %% [markdown]
# 足し算 $z = x + y$ の局所微分はどちらも 1 なので、上流の勾配がそのまま流れます。
#
# ReLU $y = \max(0, x)$ は、$x > 0$ なら通し、$x < 0$ なら止めます。折れている $x = 0$ では、止めることに
# します（PyTorch と同じ約束です）。

# %%
mg.exercise("4-3")


# %%
def relu_backward(x, g):
    return g * (x > 0)


mg.exercise("4-3").check(relu_backward)

# %% [markdown]
# ## 3. 自分で作る自動微分
#
# 計算するたびに「どの値から、どんな局所微分で」作られたかを覚えておけば、あとから右から左へたどれます。
# 足し算とかけ算だけの自動微分は、これだけで書けます。


# %%
class Number:
    """値と、どこから来たか。"""

    def __init__(self, data, parents=()):
        self.data, self.parents, self.grad = data, parents, 0.0

    def __add__(self, other):
        return Number(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Number(self.data * other.data, [(self, other.data), (other, self.data)])

    def backward(self, upstream=1.0):
        self.grad += upstream  # 何か所かで使われた値には、足し込まれる
        for parent, local in self.parents:
            parent.backward(upstream * local)  # 連鎖律


a, b = Number(3.0), Number(4.0)
c = a * b + a  # a は 2 か所で使われる
c.backward()
print(c.data, a.grad, b.grad)

# %% [markdown]
# $c = ab + a$ なので、$\partial c/\partial a = b + 1 = 5$、$\partial c/\partial b = a = 3$。合っています。
# **2 か所で使われた $a$ には、2 つの道から戻ってきた勾配 4 と 1 が足し合わされました。**
#
# これで動きますが、弱点があります。同じ値が何度も使われると、同じところを何度もたどるのです。12 回のかけ算でも、道の
# 数は 2 の 12 乗、4,096 本あります。1 回増えるたびに 2 倍です。

# %%
x = Number(1.0)
y = x
for _ in range(12):  # 25 にすると、30 秒ほどかかる
    y = y * y
y.backward()
print(f"x.grad = {x.grad:.0f}、たどった道は {2**12:,} 本")

# %% [markdown]
# `mg.Value` は、右から左へ**順番に**（トポロジカル順序, topological order）1 度ずつたどるので、計算と同じ
# 手間で済みます。100 万個のノードでも動きます。

# %%
x = mg.Value(1.0)
y = x
for _ in range(20):
    y = y * y
y.backward()
print(f"x.grad = {x.grad:,.0f}")

# %% [markdown]
# ## 4. 層の逆伝播
#
# ネットワークの 1 つの層は、全結合 (affine) と活性化関数でできています。$N$ 枚の絵をまとめて入れると
#
# $$p = xW^\top + b$$
#
# $x$ は $(N, 入力)$、$W$ は $(出力, 入力)$、$b$ は $(出力)$ です。$b$ は 1 つですが、**$N$ 枚のどの絵の計算にも
# 使われています**。さきほどの $a$ と同じです。

# %%
mg.exercise("4-4")


# %%
def bias_gradient(b, x, W, g):
    return g.sum(axis=0)


mg.exercise("4-4").check(bias_gradient)

# %% [markdown]
# 和を取り忘れると、こう言われます。

# %%
mg.exercise("4-4").check(lambda b, x, W, g: g)

# %% [markdown]
# 重みの勾配を 1 つだけ考えてみましょう。$w_{kj}$ は、どの絵 $n$ でも $x_{nj}$ とかけられて $p_{nk}$ に足されます。
# だから
#
# $$\frac{\partial L}{\partial w_{kj}} = \sum_n \frac{\partial L}{\partial p_{nk}}\, x_{nj}$$
#
# これは行列の積 $g^\top x$ の $(k, j)$ 要素です。転置は、「$n$ について足す」ことから出てきます。入力の勾配も、
# 同じように考えてください。

# %%
mg.exercise("4-5")


# %%
def layer_gradients(W, x, b, g):
    return g.T @ x, g @ W


mg.exercise("4-5").check(layer_gradients)

# %% [markdown]
# `mg.Tensor` は、配列の計算グラフを作ります。小さな例を 1 歩ずつ再生してみてください。

# %%
X = mg.tensor([[1.0, -2.0], [0.5, 1.0]], label="x")
W = mg.tensor([[1.0, 0.0], [-1.0, 2.0]], requires_grad=True, label="W")
b = mg.tensor([0.1, -0.1], requires_grad=True, label="b")
L = (mg.relu(X @ W.T + b) ** 2).sum()
L.label = "L"
L.backward()
mg.play(L)

# %% [markdown]
# ## 5. 2 層のネットワークを自分で
#
# ここまでの部品で、2 層のネットワークの勾配をすべて計算できます。順伝播で使った値を取っておき、逆の順に
# 戻ります。

# %%
rng = np.random.default_rng(0)
x, t = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
W1, b1 = rng.normal(size=(4, 3)), np.zeros(4)
W2, b2 = rng.normal(size=(2, 4)), np.zeros(2)


def by_hand(W1, b1, W2, b2):
    # 順伝播
    h = x @ W1.T + b1
    a = np.maximum(h, 0)
    p = a @ W2.T + b2
    loss = ((p - t) ** 2).sum() / 2
    # 逆伝播
    dp = p - t
    dW2, da = layer_gradients(W2, a, b2, dp)
    dh = relu_backward(h, da)
    dW1, _ = layer_gradients(W1, x, b1, dh)
    return loss, (dW1, dh.sum(axis=0), dW2, dp.sum(axis=0))


loss, gradients = by_hand(W1, b1, W2, b2)

# %% [markdown]
# `mg` に同じ計算をさせて、比べます。


# %%
def network(W1, b1, W2, b2):
    a = mg.relu(mg.tensor(x) @ W1.T + b1)
    return ((a @ W2.T + b2 - mg.tensor(t)) ** 2).sum() / 2


by_mg = mg.grad(network, (0, 1, 2, 3))(W1, b1, W2, b2)
for ours, theirs in zip(gradients, by_mg, strict=True):
    print(ours.shape, np.abs(ours - theirs.detach().numpy()).max() < 1e-12)

# %% [markdown]
# 2 つが同じでも、両方が同じ間違いをしているかもしれません。連鎖律を使わない方法、つまり、入力を本当に少し
# 動かしてみる**数値微分** (numerical differentiation) とも比べましょう。`gradcheck` は、すべての入力で比べ、
# 違えばエラーを出します。これを**勾配確認** (gradient check) と呼びます。

# %%
report = gradcheck(network, [W1, b1, W2, b2])
print(f"{len(report.rows)} 個の偏微分は、どれも数値微分と同じ")

# %% [markdown]
# ## 6. 足し込みと zero_grad
#
# `backward()` は、葉の `grad` に**足し込み**ます。2 か所で使われた値に足すのと同じ仕組みです。だから、前の
# 勾配を消さずに 2 度呼ぶと、2 回分が足されます。

# %%
mg.exercise("4-6")

# %%
x = mg.Value(3.0)
y = x**2
y.backward()
y.backward()
mg.exercise("4-6").check(x.grad)

# %% [markdown]
# 学習のくり返しでは、更新のたびに `zero_grad()` で 0 に戻します。忘れると、学習率がだんだん大きくなったような
# 動きをして、たいてい発散します。
#
# ## 7. なぜその勾配なのか
#
# 勾配が思った値にならないときは、`mg.explain` に尋ねます。どの道から、いくつ戻ってきたかが分かります。

# %%
w, b = mg.Value(3.0, label="w"), mg.Value(-8.0, label="b")
E = 0.5 * ((7 - (w * 3 + b)) ** 2 + (13 - (w * 9 + b)) ** 2)
E.backward()
print(mg.explain(w, E))

# %% [markdown]
# ## まとめ
#
# - どんな式も、小さな計算をつないだ計算グラフである。
# - 上流の勾配 × 局所微分 を、右から左へくり返す（連鎖律）。
# - 何か所かで使われた値には、戻ってきた勾配を足す。バイアスの勾配が和なのも、`grad` が足し込まれるのも、
#   同じことである。
# - 勾配は、数値微分で確かめられる。
#
# 次の章では、この仕組みの上に、ニューラルネットワークを作ります。
