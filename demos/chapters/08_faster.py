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
# # 第 8 章 速くする
#
# 大きなネットワークを学習するには、計算を速くしなければなりません。方法は 4 つあります。**まとめて計算する**、**たくさんの
# 計算機で分ける**、**少ないビットで計算する**、そして**計算しない**。この章では、それぞれが何を引き換えにするのかを確かめます。
#
# - 読むのに必要なもの: 第 5 章
# - 時間: 60 分ほど（演習 6 問）

# %%
try:
    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data]"
    import micrograd_jp as mg

import time

import numpy as np

from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader, datasets, random_split
from micrograd_jp.nn import functional as F
from micrograd_jp.viz import figures

# %% [markdown]
# ## 1. まとめて計算する
#
# 同じ計算を、数を 1 つずつ扱って行うのと、配列でまとめて行うのを比べます。64×32 の行列とベクトルの積です。


# %%
def seconds(work, repeats=5):
    """いちばん速かったときの秒数。"""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


rng = np.random.default_rng(0)
W, x = rng.normal(size=(32, 64)), rng.normal(size=64)
rows, numbers = W.tolist(), x.tolist()


def one_by_one():
    return [sum(w * v for w, v in zip(row, numbers, strict=True)) for row in rows]


assert np.allclose(one_by_one(), W @ x)
print(f"NumPy は {seconds(one_by_one) / seconds(lambda: W @ x):,.0f} 倍の速さ")

# %% [markdown]
# 計算の内容は同じです。違うのは、**1 つの命令でどれだけの計算をするか**です。Python の 1 行には、それだけで数十ナノ秒かかります。
# NumPy は、1 行で 2,048 回の積と和を、機械語で、いくつかずつまとめて計算します。GPU は、それを数千の演算器で同時に行います。
#
# では、1 つ 1 つの数 (`Value`) で書いたネットワークは、遅いままなのでしょうか。

# %%
digits = datasets.digits(flatten=True)
training, development, test = random_split(digits, (0.7, 0.1, 0.2), seed=0)
x, t = training[:]
targets = mg.one_hot(t, 10)

mg.manual_seed(0)
scalar_model = nn.MLP(64, [16, 10])  # 1,210 個の Value


def loss_of_one(x, t):
    """1 枚の損失。x は 64 個、t は 10 個の数。"""
    return mg.cross_entropy(scalar_model(x), t)


slow = seconds(lambda: loss_of_one(x.numpy()[0].tolist(), targets.numpy()[0].tolist()))
print(f"1 枚の損失: {slow * 1e3:.1f} ミリ秒。{len(x):,} 枚なら {slow * len(x):.1f} 秒")

# %% [markdown]
# `mg.compile` は、この関数を 1 度だけ記録して、その中に隠れている**行列の積**を見つけます。

# %%
loss = mg.compile(loss_of_one)
loss(x, targets)  # はじめの 1 度だけ、記録する
fast = seconds(lambda: loss(x, targets))
print(loss.program)
print(f"\n{len(x):,} 枚の損失: {fast * 1e3:.2f} ミリ秒（{slow * len(x) / fast:,.0f} 倍の速さ）")

# %% [markdown]
# 1,210 個の重みの積と和が、2 つの行列の積になりました。勾配も同じように、行列の積で計算されます。プログラムは 1 文字も変えて
# いません。
#
# 行列で計算しても、グラフのたどり方は同じです。標本 2 つをまとめた、小さな層を再生してみます。1 つの箱が、1 つの配列です。

# %%
X = mg.tensor([[1.0, 2.0], [-1.0, 0.5]])
W = mg.tensor([[0.5, -1.0, 0.3], [0.2, 0.4, -0.6]], requires_grad=True)
X.label, W.label = "X", "W"
mg.play(mg.relu(X @ W).sum())

# %% [markdown]
# GPU がある計算機では、配列を GPU に置けば、同じ行列の積が GPU で計算されます。
#
# ```python
# model.to("cuda")                  # pip install "micrograd_jp[accel]"
# mg.fit(model, loader, mg.cross_entropy, optimizer, epochs=10)
# ```
#
# ## 2. たくさんの計算機で分ける
#
# p 台の計算機に同じ重みを置き、ミニバッチを分けて勾配を計算します。それを合わせてから、どの計算機も同じ更新をします。
# **データ並列** (data parallel) です。

# %%
mg.exercise("8-1")


# %%
def combined(g1, n1, g2, n2):
    return (n1 * g1 + n2 * g2) / (n1 + n2)


mg.exercise("8-1").check(combined)

# %% [markdown]
# 勾配を合わせるには、通信が要ります。1 台に集めると、その 1 台の回線が詰まります。そこで、環に並んで隣へ渡していきます。

# %%
mg.exercise("8-2")


# %%
def ring_bytes(p, n):
    return 2 * (p - 1) * n / p


mg.exercise("8-2").check(ring_bytes)

# %% [markdown]
# 台数が増えても、1 台が送る量はほとんど変わりません。それでも、1 回の更新には、通信の時間がいつもかかります。
#
# 2,560 万個の重み（ResNet-50、float32）を、1 台あたり 32 枚（計算に 0.085 秒）で学習するとして、台数と速さを見積もります。1 回渡す
# ごとの遅れは 10 マイクロ秒とします。

# %%
machines = 2.0 ** np.arange(11)
weights = 25_600_000 * 4
figure, axes = figures.subplots(size=(6, 3.4))
for name, bytes_a_second in {
    "1 GbE": 125e6,
    "10 GbE": 1.25e9,
    "100 Gb/s": 12.5e9,
}.items():
    communication = ring_bytes(machines, weights) / bytes_a_second + 2 * (machines - 1) * 1e-5
    axes.loglog(machines, machines * 0.085 / (0.085 + communication), ".-", label=name)
axes.loglog(machines, machines, color="gray", linewidth=0.8, label="理想")
axes.set(xlabel="台数", ylabel="1 台のときの何倍の速さか")
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 遅い回線では、台数を増やしても、待ってばかりになります。待ち時間の割合を減らすには、1 回の更新でもっとたくさんの枚数を計算する
# ことです。つまり、**大規模な分散学習は、巨大なミニバッチの学習**です。
#
# ## 3. 巨大なミニバッチ
#
# ミニバッチを大きくすると、同じエポック数での更新の回数が減ります。

# %%
mg.exercise("8-3")

# %%
mg.exercise("8-3").check(0.1 * 8192 / 256)


# %%
def accuracy(batch, rate, warm_up, epochs=20):
    """開発データの正解率。warm_up が真なら、はじめの 2 割の更新で、学習率を 0 から上げる。"""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    loader = DataLoader(training, batch, shuffle=True, seed=0)
    first = max(1, epochs * len(loader) // 5)
    schedule = optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1.0, (k + 1) / first) if warm_up else 1.0
    )
    for _ in range(epochs):
        for x, t in loader:
            optimizer.zero_grad()
            mg.cross_entropy(model(x), t).backward()
            optimizer.step()
            schedule.step()
    return mg.training.evaluate(model, development).metric


batches = (16, 64, 256, 1024)
rules = {
    "同じ学習率": lambda k: (0.1, False),
    "線形に比例": lambda k: (0.1 * k, False),
    "線形に比例 + warm-up": lambda k: (0.1 * k, True),
}
figure, axes = figures.subplots(size=(6, 3.4))
for name, rule in rules.items():
    axes.semilogx(
        batches, [accuracy(batch, *rule(batch / 16)) for batch in batches], "o-", label=name
    )
axes.set_xticks(batches, labels=[f"{batch:,}" for batch in batches])
axes.minorticks_off()
axes.set(xlabel="1 回の更新の枚数", ylabel="開発データの正解率", ylim=(0, 1.02))
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 学習率を枚数に比例させると、64 枚までは同じように学習できますが、256 枚では崖のように落ちます。はじめは重みが大きく動くので、
# いきなり大きく進むと壊れてしまうからです。**warm-up** は、学習率を少しずつ上げて、それを和らげます。それでも 256 枚で下がりはじめ、
# 1,024 枚では足りません。この小さな問題では、大きく変えすぎるより、同じ学習率のほうがましです。どこまで保つかは、ネットワークとデータによります（`demos/huge_batch.py` が詳しく比べます）。
#
# ## 4. 半精度: 16 ビットで計算する
#
# float32 の数は 4 バイトです。2 バイトの **float16** なら、同じ時間で 2 倍の数を運べます。引き換えに、表せる数が減ります。

# %%
one = np.float16(1.0)
print("1.0 の次に大きい float16:", np.nextafter(one, np.float16(2)))
print("0 より大きい、いちばん小さい float16:", np.nextafter(np.float16(0), one))
print("いちばん大きい float16:", np.finfo(np.float16).max)

w = np.float16(1.0)
for _ in range(1000):
    w = w - np.float16(0.0001)
print("1.0 から 0.0001 を 1,000 回引くと:", w)

# %% [markdown]
# 0.9 になるはずが、1.0 のままです。1 回ごとの更新が小さすぎて、丸められて消えました。だから、**重みは float32 で持ち**、行列の積だけ
# を 16 ビットで計算します（**混合精度**, mixed precision）。
#
# もう 1 つの問題は、小さな勾配です。0 の次の数は $2^{-24} \approx 6 \times 10^{-8}$ なので、その半分より小さな勾配は 0 に丸められます。シグモイドを 5 層重ねたときの、入力に
# 近い層の勾配を見ましょう。

# %%
mg.manual_seed(0)
layers = [nn.Linear(64, 64), nn.Sigmoid()]
for _ in range(4):
    layers += [nn.Linear(64, 64), nn.Sigmoid()]
deep = nn.Sequential(*layers, nn.Linear(64, 10))
mg.cross_entropy(deep(x[:100]), t[:100]).backward()
gradient = np.abs(deep[0].weight.grad.numpy()).ravel()
gradient = gradient[gradient > 0]  # いつも白い画素の重みを除く
exponents = np.log2(gradient)

figure, axes = figures.subplots(size=(6, 3))
axes.hist(exponents, bins=50, alpha=0.7, label="そのまま")
axes.hist(exponents + 16, bins=50, alpha=0.7, label="損失を 2¹⁶ 倍")
axes.axvspan(min(exponents.min(), -40), -25, color="gray", alpha=0.3)
axes.set(xlabel="log₂ |勾配|（灰色は、float16 では 0 になる）", ylabel="重みの数")
axes.legend(fontsize=8)
figure

# %%
for scale in (1, 2**16):
    lost = (gradient * scale).astype(np.float16) == 0
    print(f"損失を {scale:6,} 倍: 0 になる勾配 {lost.mean():.1%}")

# %% [markdown]
# 損失を $2^{16}$ 倍すれば、連鎖律によって、どの勾配も $2^{16}$ 倍になります。更新の前に割り戻せば、もとどおりです。

# %%
mg.exercise("8-4")


# %%
def scaled_step(w, g, scale, lr):
    return w - lr * g / scale if np.isfinite(g).all() else w


mg.exercise("8-4").check(scaled_step)

# %% [markdown]
# `mg.fit` では `precision="16-mixed"` と書くだけで、ここまでのことをします。
#
# ## 5. 2 値化: 1 ビットで計算する
#
# もっと減らすと、どうなるでしょう。重みも、層の出力も、+1 と −1 だけにします（**2 値化ネットワーク**, binarized neural
# network）。

# %%
mg.exercise("8-5")


# %%
def binary_dot(a, b):
    return 2 * (a == b).sum() - len(a)


mg.exercise("8-5").check(binary_dot)

# %% [markdown]
# かけ算がなくなりました。困るのは学習です。符号関数は階段の形なので、傾きはどこでも 0 です。

# %%
mg.exercise("8-6")


# %%
def straight_through(x, g):
    return g * (abs(x) <= 1)


mg.exercise("8-6").check(straight_through)

# %% [markdown]
# 本当の勾配ではないのに、学習できます。更新するのは、隠れている小数の重みです。その符号だけが、計算に使われます。

# %%
values = mg.tensor([-1.5, -0.3, 0.4, 2.0], requires_grad=True)
signs = F.binarize(values)
signs.sum().backward()
print("値:  ", signs.tolist())
print("勾配:", values.grad.tolist())


# %%
def binary(width=128):
    return nn.Sequential(
        nn.BinaryLinear(64, width),
        nn.BatchNorm1d(width),
        nn.Binarize(),
        nn.BinaryLinear(width, width),
        nn.BatchNorm1d(width),
        nn.Binarize(),
        nn.BinaryLinear(width, 10),
        nn.BatchNorm1d(10),
    )


mg.manual_seed(0)
model = binary()
optimizer = optim.Adam(model.parameters(), lr=0.01)
optimizer.register_step_post_hook(lambda *_: nn.utils.clip_weights_(model))
history = mg.fit(
    model,
    DataLoader(training, 50, shuffle=True, seed=0),
    mg.cross_entropy,
    optimizer,
    15,
    development=development,
    progress=False,
)
print(f"評価データの正解率: {mg.training.evaluate(model, test).metric:.1%}")

# %% [markdown]
# 重みが ±1 だけでも、数字を読めます。ビットに詰めると、重みの大きさは 1/32 になります（バッチ正規化の数が残るので、全体では
# もう少し大きくなります）。答えは変わりません。

# %%
packed = nn.PackedNetwork(model)
before = sum(p.numel() * 4 for p in model.parameters())
x, t = test[:]
with mg.no_grad():
    same = np.array_equal(model.eval()(x).numpy().argmax(-1), packed(x).numpy().argmax(-1))
print(f"{before:,} バイト → {packed.nbytes:,} バイト（1/{before / packed.nbytes:.0f}）")
print("詰める前と、答えが同じか:", same)

# %% [markdown]
# ## 6. 計算しない
#
# いちばん速いのは、計算しないことです。
#
# - 勾配が要らないときは記録しない: `with mg.no_grad():`
# - 開発データの損失が下がらなくなったら止める: `early_stopping=5`
# - 小さなネットワークで試してから、大きくする。学習ずみの重みから始める（転移学習）。
#
# ## まとめ
#
# - 同じ計算でも、まとめて行えば速い。`mg.compile` は、数で書いた式から行列の積を見つける。
# - 計算機を増やすと、通信と、巨大なミニバッチという問題が起こる。学習率を枚数に比例させ、warm-up をする。
# - 16 ビットでは、小さな勾配と小さな更新が消える。損失を大きくし、重みは 32 ビットで持つ。
# - 1 ビットでも学習できる。ストレートスルー推定で、符号をまっすぐ通す。
#
# 次の章では、1 つ 1 つの数で GPT を書いて、ここで学んだ `mg.compile` で速くします。
