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
# # 第 5 章 ニューラルネットワーク
#
# 直線では分けられないものを分けます。層を重ね、間に活性化関数をはさみ、損失を決め、少しずつのデータで学習
# する。部品を 1 つずつ確かめて、最後に手書き数字を読みます。
#
# - 読むのに必要なもの: 第 4 章
# - 時間: 60 分ほど（演習 6 問）

# %%
try:
    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data]"
    import micrograd_jp as mg

import numpy as np

from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader, datasets, random_split
from micrograd_jp.viz import figures

# %% [markdown]
# ## 1. 直線では分けられない
#
# 2 つの三日月の点を分けます。まず、第 1 章と同じ 1 次式 $p = Wx + b$ で。

# %%
moons = datasets.moons(200, noise=0.15, seed=0)


def train(model, data, epochs=60, rate=0.1, batch=20):
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    loader = DataLoader(data, batch, shuffle=True, seed=0)
    return mg.fit(model, loader, mg.cross_entropy, optimizer, epochs, progress=False)


mg.manual_seed(0)
linear = nn.Linear(2, 2)
train(linear, moons)
print(f"1 次式の正解率: {mg.training.evaluate(linear, moons).metric:.1%}")
mg.viz.decision_boundary(linear, moons)

# %% [markdown]
# 境界は直線です。どう動かしても、三日月の先は分けられません。
#
# ## 2. 重ねるだけでは変わらない
#
# では、2 層に重ねたらどうでしょう。

# %%
mg.exercise("5-1")


# %%
def as_one_layer(W1, b1, W2, b2):
    return W2 @ W1, W2 @ b1 + b2


mg.exercise("5-1").check(as_one_layer)

# %%
mg.manual_seed(0)
two_linear = nn.Sequential(nn.Linear(2, 16), nn.Linear(16, 2))
train(two_linear, moons)
print(f"1 次式を 2 つ重ねた正解率: {mg.training.evaluate(two_linear, moons).metric:.1%}")

# %% [markdown]
# ほとんど変わりません。**1 次式をいくつ重ねても 1 次式**だからです。
#
# ## 3. 活性化関数
#
# 間に、1 次式でないものをはさみます。これが**活性化関数** (activation function) です。1 つ 1 つの数に、同じ関数を
# かけるだけです。

# %%
x = np.linspace(-4, 4, 161)
functions = {
    "ReLU": mg.relu,
    "シグモイド (sigmoid)": mg.sigmoid,
    "双曲線正接 (tanh)": mg.tanh,
}
figure, axes = figures.subplots(1, 3, size=(10, 2.8))
for each, (name, function) in zip(axes, functions.items(), strict=True):
    t = mg.tensor(x, requires_grad=True)
    y = function(t)
    y.sum().backward()
    each.plot(x, y.detach().numpy(), label="値")
    each.plot(x, t.grad.numpy(), "--", label="傾き")
    each.set(title=name, ylim=(-1.2, 2.2))
    each.grid(alpha=0.3)
axes[0].legend()
figure

# %%
mg.exercise("5-2")


# %%
def sigmoid_backward(x, g):
    y = 1 / (1 + np.exp(-x))
    return g * y * (1 - y)


mg.exercise("5-2").check(sigmoid_backward)

# %%
mg.manual_seed(0)
network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
train(network, moons)
print(f"間に ReLU をはさんだ正解率: {mg.training.evaluate(network, moons).metric:.1%}")
mg.viz.decision_boundary(network, moons)

# %% [markdown]
# 境界が曲がりました。ReLU は折れ線なので、16 個の折れ線を足し合わせた境界です。
#
# その 1 個を取り出して、再生します。左の「葉の値」で $x_1$ を小さくすると、かけて足した数が負になり、ReLU の値は 0、
# そこから先の勾配も 0 になります。

# %%
x1, x2 = mg.Value(1.0, label="x₁"), mg.Value(-0.5, label="x₂")
w1, w2, b = mg.Value(0.8, label="w₁"), mg.Value(0.6, label="w₂"), mg.Value(0.1, label="b")
mg.play(mg.relu(w1 * x1 + w2 * x2 + b), parameters=[w1, w2, b])

# %% [markdown]
# ## 4. 損失: どれだけ外れたか
#
# 分類では、出力 $z$（**ロジット**, logits）を**ソフトマックス関数** (softmax) で確率にして、正解の確率の対数に
# 負号をつけます。**交差エントロピー誤差** (cross entropy) です。

# %%
mg.exercise("5-3")


# %%
def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


mg.exercise("5-3").check(softmax)

# %%
mg.exercise("5-4")


# %%
def cross_entropy(z, label):
    return -np.log(softmax(z)[label])


mg.exercise("5-4").check(cross_entropy)

# %% [markdown]
# なぜ二乗誤差ではないのでしょう。自信を持って間違えたとき（正解の確率が 0 に近いとき）を比べてください。
# 交差エントロピー誤差の傾きは大きいままですが、確率の二乗誤差の傾きは 0 に近づき、**間違っているのに動けなく
# なります**。

# %%
z = np.linspace(-8, 8, 161)
losses = {
    "交差エントロピー −log p": lambda z: -mg.log(mg.sigmoid(z)),
    "二乗誤差 (1 − p)²": lambda z: (1 - mg.sigmoid(z)) ** 2,
}
figure, axes = figures.subplots(size=(5.4, 3))
for name, loss in losses.items():
    t = mg.tensor(z, requires_grad=True)
    loss(t).sum().backward()
    axes.plot(z, -t.grad.numpy(), label=name)
axes.set(xlabel="正解のロジット（左ほど、ひどく間違えている）", ylabel="傾きの大きさ")
axes.legend()
axes.grid(alpha=0.3)
figure

# %%
mg.exercise("5-5")


# %%
def cross_entropy_gradient(z, label):
    gradient = softmax(z)
    gradient[label] -= 1
    return gradient


mg.exercise("5-5").check(cross_entropy_gradient)

# %% [markdown]
# 「確率 − 正解」です。$y - t$ と同じ形が、また出てきました。
#
# ## 5. 少しずつのデータで
#
# 1 回の更新に、何枚の絵を使うか。
#
# - 全部: **バッチ法** (batch)。勾配は正確ですが、1 回の更新に全部の計算が要ります。
# - 1 枚: **オンライン法** (online)。すぐに更新できますが、勾配は 1 枚ごとにばらつきます。
# - 数十枚: **ミニバッチ法** (mini-batch)。その間です。

# %%
mg.exercise("5-6")

# %%
mg.exercise("5-6").check(-(-1437 // 50))

# %% [markdown]
# 手書き数字（8×8 画素、1,797 枚）を、訓練データ、開発データ、評価データに分けます。
#
# - **訓練データ** (training data): パラメータを決める
# - **開発データ** (development data、検証データ validation data とも): 学習率や層の数を選ぶ
# - **評価データ** (test data): 最後に 1 度だけ使う

# %%
digits = datasets.digits(flatten=True)
training, development, test = random_split(digits, (0.7, 0.1, 0.2), seed=0)
print(len(training), len(development), len(test))

# %%
figure, axes = figures.subplots(size=(5.4, 3))
for batch in (len(training), 50, 1):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = optim.SGD(model.parameters(), lr=0.2 if batch > 1 else 0.02)
    loader = DataLoader(training, batch, shuffle=True, seed=0)
    history = mg.fit(
        model, loader, mg.cross_entropy, optimizer, 5, development=development, progress=False
    )
    epochs, accuracies = history.column("epoch"), history.column("metric")
    axes.plot(
        epochs, accuracies, "o-", label=f"{batch:,} 枚ずつ（1 エポックに {len(loader):,} 回）"
    )
axes.set(xticks=range(1, 6), xlabel="エポック", ylabel="開発データの正解率", ylim=(0, 1))
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 同じ 5 エポックでも、全部をまとめると 5 回しか更新できません。
#
# ## 6. 学習しすぎる
#
# 訓練データをわざと 100 枚に減らして、長く学習します。

# %%
few = mg.data.TensorDataset(*training[:100])
mg.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
history = mg.fit(
    model,
    DataLoader(few, 20, shuffle=True, seed=0),
    mg.cross_entropy,
    optim.Adam(model.parameters(), lr=0.01),
    60,
    development=development,
    progress=False,
)
history.plot()

# %% [markdown]
# 訓練データの損失は 0 に近づきますが、開発データの損失は、途中から下がらなくなります。100 枚を**覚えて**しまい、
# ほかの絵には役に立たないことまで学習しているのです。**過学習** (overfitting) といいます。開発データを見て
# いなければ、気づけません。
#
# 防ぐ方法はいくつもあります。データを増やす（第 7 章のデータ拡張）、重みを大きくしない（荷重減衰）、開発
# データの損失が下がらなくなったら止める（早期終了, early stopping）。
#
# ## 7. 全部をまとめて

# %%
mg.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
history = mg.fit(
    model,
    DataLoader(training, 50, shuffle=True, seed=0),
    mg.cross_entropy,
    optim.Adam(model.parameters(), lr=0.01),
    20,
    development=development,
    early_stopping=5,
    progress=False,
)
print(f"評価データの正解率: {mg.training.evaluate(model, test).metric:.1%}")
print(model.summary((1, 64)))

# %%
mg.viz.misread(model, test)

# %% [markdown]
# ## まとめ
#
# - 1 次式を重ねても 1 次式。間に活性化関数をはさむと、曲がった境界が作れる。
# - 分類の損失は交差エントロピー誤差。勾配は「確率 − 正解」。
# - ミニバッチで、少しずつ更新する。
# - 開発データで過学習に気づき、評価データは最後に 1 度だけ使う。
#
# 次の章では、層を深くします。深くすると、勾配に何が起こるでしょうか。
