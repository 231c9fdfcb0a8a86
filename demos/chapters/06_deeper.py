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
# # 第 6 章 深くする
#
# 層を増やすほど賢くなりそうですが、ただ重ねると、学習が始まりさえしません。勾配が途中で消えるか、爆発して
# しまうからです。なぜそうなるのかを 1 層ずつ確かめ、直し方を順に試して、最後は 1,000 層を学習します。
#
# - 読むのに必要なもの: 第 4 章と第 5 章
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
# ## 1. 重ねると、学習が始まらない
#
# 手書き数字を読む、シグモイドのネットワークを、2 層と 10 層で学習します。

# %%
digits = datasets.digits(flatten=True)
training, development, _ = random_split(digits, (0.7, 0.1, 0.2), seed=0)


def network(depth, activation, width=64):
    """幅 64 の隠れ層が depth 個と、10 個のロジットを出す層。"""
    layers = []
    for _ in range(depth):
        layers += [nn.Linear(64, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def learn(model, rate, epochs=10):
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    return mg.fit(
        model,
        DataLoader(training, 50, shuffle=True, seed=0),
        mg.cross_entropy,
        optimizer,
        epochs,
        development=development,
        progress=False,
    )


for depth in (2, 10):
    mg.manual_seed(0)
    history = learn(network(depth, nn.Sigmoid), rate=0.1)
    print(f"隠れ層が {depth:2} 個: 開発データの正解率 {history.column('metric')[-1]:.1%}")

# %% [markdown]
# 隠れ層が 10 個になると、でたらめに答えるのと変わりません。過学習ではありません。訓練データの損失も下がって
# いないのです。
#
# ## 2. 勾配はどこまで届いているか
#
# 学習を始める前のネットワークで 1 回だけ逆伝播し、それぞれの隠れ層の出力に届いた勾配の大きさを見ます。

# %%
x, t = training[:200]


def gradient_sizes(model, x, t):
    """隠れ層の出力に届いた勾配の大きさ（ノルム）。入力に近い層から。"""
    outputs = []
    for layer in model:
        x = layer(x)
        if not isinstance(layer, nn.Linear):  # 活性化関数を通ったあと
            x.retain_grad()
            outputs.append(x)
    mg.cross_entropy(x, t).backward()
    return [float(np.linalg.norm(output.grad.numpy())) for output in outputs]


def show_gradients(models, title):
    figure, axes = figures.subplots(size=(6, 3.2))
    for name, model in models.items():
        sizes = gradient_sizes(model, x, t)
        axes.semilogy(range(1, len(sizes) + 1), sizes, ".-", label=name)
    axes.set(xlabel="隠れ層（左が入力）", ylabel="届いた勾配のノルム", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


mg.manual_seed(0)
show_gradients({"シグモイド": network(10, nn.Sigmoid)}, "隠れ層が 10 個")

# %% [markdown]
# 縦軸は 1 目盛りごとに桁が変わる対数です。出力から入力に戻るにつれて、勾配は 1 層ごとに何分の 1 かになり、
# 入力に近い層には、ほとんど何も届いていません。これを**勾配消失** (vanishing gradient) といいます。
#
# ## 3. なぜ消えるのか
#
# 逆伝播は、傾きの**かけ算**でした（第 4 章）。数を 1 つだけにして、$h = \tanh(w h)$ を 2 回続けたグラフを見ましょう。

# %%
h = mg.Value(0.8, label="x")
w = mg.Value(0.5, label="w")
for k in range(1, 3):
    h = mg.tanh(w * h)
    h.label = f"h{k}"
h.backward()
mg.draw(h)

# %% [markdown]
# 右から左へ、矢印の上の ∂（局所的な傾き）を順にかけたものが、x に届く勾配です。1 より小さな数をいくつもかけると、
# あっという間に小さくなります。1 歩ずつ再生すると、かけ算の順も分かります。

# %%
mg.play(h)

# %%
mg.exercise("6-1")

# %%
mg.exercise("6-1").check(0.25**10)

# %%
mg.exercise("6-2")


# %%
def slope(x, w, n):
    product = 1.0
    for _ in range(n):
        x = np.tanh(w * x)
        product *= w * (1 - x * x)
    return product


mg.exercise("6-2").check(slope)

# %% [markdown]
# 解答の関数で、回数を増やしてみます。w が 1 より小さければ消えていきます。では、w を大きくすればよいので
# しょうか。

# %%
counts = range(1, 31)
figure, axes = figures.subplots(size=(6, 3.2))
for weight in (0.5, 0.9, 1.5, 3.0):
    axes.semilogy(counts, [abs(slope(0.1, weight, n)) for n in counts], label=f"w = {weight}")
axes.set(xlabel="tanh(wx) を当てはめた回数", ylabel="傾きの大きさ", ylim=(1e-12, 1e3))
axes.grid(alpha=0.3)
axes.legend(fontsize=8)
figure

# %% [markdown]
# w = 3 では、はじめの数回で傾きが大きくなりますが（**勾配爆発**, exploding gradient の入り口です）、やがて $\tanh$ の
# 平らなところ（値が ±1 に近いところ）に入り、もっと速く消えます。**平らなところのある活性化関数**では、重みを
# 大きくしても解決しません。
#
# ## 4. ReLU と、重みの初期値
#
# ReLU の傾きは、正のところではいつも 1 です。これなら傾きをかけても小さくなりません。残るのは、重みのかけ算です。
# 1 つの層が、入力の大きさを何倍にするかを考えます。

# %%
mg.exercise("6-3")

# %%
mg.exercise("6-3").check((400 * 0.01**2) ** 0.5)

# %% [markdown]
# 1 層で 1/5 になるのなら、逆に大きくなる重みもあります。ちょうどよい大きさはいくつでしょうか。

# %%
mg.exercise("6-4")


# %%
def he_std(n):
    return (2 / n) ** 0.5


mg.exercise("6-4").check(he_std)

# %% [markdown]
# 重みの標準偏差 σ を変えて、幅 100 の 30 層を通るあいだに、値がどうなるかを見ます。

# %%
figure, axes = figures.subplots(1, 3, size=(10, 2.9))
for each, sigma in zip(axes, (0.05, he_std(100), 0.3), strict=True):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 100))
    for layer in range(1, 31):
        values = np.maximum(values @ rng.normal(0, sigma, size=(100, 100)), 0)
        if layer in (1, 10, 20, 30):
            each.hist(
                np.log10(values[values > 0]), bins=40, range=(-16, 16), alpha=0.6,
                label=f"{layer} 層め",
            )  # fmt: skip
    each.set(title=f"σ = {sigma:.3f}", xlabel="値の桁 (log₁₀)")
    each.set_yticks([])
axes[0].legend(fontsize=8)
figure

# %% [markdown]
# 左は小さくなり続け、右は大きくなり続けます。中央の $\sigma = \sqrt{2/n}$ なら、30 層を通っても同じ大きさのままです。これを
# **He の初期値** (He initialization) といいます。
#
# 逆伝播も同じ重みをかけて戻るので、勾配も同じように、消えるか、爆発するか、保たれます。10 層で比べましょう。

# %%


def initialized(model, sigma=None):
    """線形層の重みを、標準偏差 sigma（なければ He の初期値）の正規乱数にする。"""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=sigma or he_std(layer.in_features))
            nn.init.zeros_(layer.bias)
    return model


mg.manual_seed(0)
show_gradients(
    {
        "ReLU、σ = 0.01": initialized(network(10, nn.ReLU), 0.01),
        "ReLU、He の初期値": initialized(network(10, nn.ReLU)),
        "ReLU、σ = 0.5": initialized(network(10, nn.ReLU), 0.5),
    },
    "重みの初期値と、届く勾配",
)

# %%
for name, sigma in {"σ = 0.01": 0.01, "He の初期値": None}.items():
    mg.manual_seed(0)
    history = learn(initialized(network(10, nn.ReLU), sigma), rate=0.01)
    print(f"{name}: 開発データの正解率 {history.column('metric')[-1]:.1%}")

# %% [markdown]
# 同じ形のネットワークなのに、**始める重みを変えただけ**で学習できるようになりました。
#
# ## 5. 爆発したら
#
# 勾配が大きくなりすぎると、1 回の更新で、損失の谷をはるかに飛び越えてしまいます。値が inf や nan になれば、そこで
# おしまいです。手早い手当ては、勾配の長さを切りそろえることです（**勾配のクリッピング**, gradient clipping）。

# %%
mg.exercise("6-5")


# %%
def clip(g, limit):
    return g * min(1, limit / np.sqrt((g * g).sum()))


mg.exercise("6-5").check(clip)

# %% [markdown]
# 向きを変えないことが大事です。要素ごとに切ると、下る向きが変わります。`mg.fit` では `clip_norm=1.0` と書きます。
#
# ## 6. スキップ接続
#
# He の初期値でも、層がもっと増えると、1 層ごとの小さなずれが積もります。幅 16 の層を重ねて、50 層まで見てみます。

# %%
WIDTH = 16


class Block(nn.Module):
    """線形層と ReLU。skip が真なら、入力を足す: H = F(x) + x。"""

    def __init__(self, skip, sigma):
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.skip = skip
        nn.init.normal_(self.linear.weight, std=sigma)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x):
        branch = mg.relu(self.linear(x))
        return x + branch if self.skip else branch


def deep(depth, skip):
    """入口の層、depth 個のブロック、出口の層。"""
    sigma = he_std(WIDTH) / depth if skip else he_std(WIDTH)
    blocks = [Block(skip, sigma) for _ in range(depth)]
    return nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), *blocks, nn.Linear(WIDTH, 2))


moons = datasets.moons(200, noise=0.1, seed=0)
x, t = moons[:]
plain = {}
for seed in range(3):
    mg.manual_seed(seed)
    plain[f"重ねるだけ（種 {seed}）"] = deep(50, skip=False)
mg.manual_seed(0)
show_gradients({**plain, "スキップ接続": deep(50, skip=True)}, "50 層")

# %% [markdown]
# 重ねるだけでは、層ごとに増えたり減ったりしながら、入力に届くまでに 10 分の 1 から 100 分の 1 ほどになりました。どこまで
# 減るかは、乱数の種によって違います。狙いは「ちょうど 1 倍」でも、1 層ごとの倍率はばらつき、それが 50 回かけられるからです。
#
# **スキップ接続** (skip connection) は、層の出力 $F(x)$ に、入力をそのまま足します。

# %%
mg.exercise("6-6")


# %%
def skip_backward(x, W, g):
    return W.T @ (g * (W @ x > 0)) + g


mg.exercise("6-6").check(skip_backward)

# %% [markdown]
# 最後の「+ g」に注目してください。何もかかっていません。$F$ の道がどれだけ勾配を弱めても、もう 1 つの道は、勾配を
# **そのまま**前の層に届けます。グラフで見ると、x から H へ、2 本の道があります。

# %%
x0 = mg.Value(0.5, label="x")
branch = mg.tanh(-0.8 * x0)
branch.label = "F"
out = branch + x0
out.label = "H"
out.backward()
mg.draw(out)

# %% [markdown]
# ## 7. 1,000 層
#
# これで 1,000 層を学習します。2 つの三日月を分けるだけなら 1,000 層も要りませんが、「学習できる」ことを確かめる
# ためです（計算に 1 分ほどかかります）。
#
# 1,000 個の $F$ を足しても大きくなりすぎないように、$F$ の重みは 1/1000 倍から始めます（上の `deep` がそうしています）。

# %%
figure, axes = figures.subplots(size=(6, 3.2))
for skip in (False, True):
    mg.manual_seed(0)
    model = deep(1000, skip)
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), t)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    name = "スキップ接続" if skip else "重ねるだけ"
    axes.plot(losses, label=f"1,000 層、{name}")
    accuracy = mg.training.evaluate(model, moons).metric
    print(f"1,000 層、{name}: 損失 {losses[-1]:.3f}、正解率 {accuracy:.1%}")
axes.axhline(np.log(2), color="gray", linewidth=0.8, label="でたらめに答えたとき (log 2)")
axes.set(xlabel="更新の回数", ylabel="損失", ylim=(0, 1))
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 重ねるだけのネットワークは、でたらめに答えたときの損失から 1 歩も動きません。スキップ接続があれば、はじめは大きく
# 揺れますが、損失は下がっていきます。1,000 層でも学習できるのです。2015 年に ResNet がこの形で 152 層を学習して以来、深いネットワークのほとんどが、GPT も含めて、
# スキップ接続を持っています（第 9 章）。
#
# ## まとめ
#
# - 逆伝播は傾きのかけ算なので、深くすると勾配は消えるか爆発する。
# - シグモイドの傾きは大きくても 1/4。ReLU は、正のところで 1。
# - 重みの初期値は、値の大きさが層を通って変わらないように選ぶ。ReLU なら $\sigma = \sqrt{2/n}$。
# - 爆発した勾配は、向きを変えずに長さを切る。
# - スキップ接続は、勾配をそのまま前の層に届ける。1,000 層でも学習できる。
#
# 次の章では、絵のための層、畳み込みを重ねます。
