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
# # 第 2 章 直線を手で学習する
#
# 第 1 章では、130 個の数を「変えたいだけ、少し変える」ことで学習しました。なぜそれでよいのかを、数が
# 2 つしかない問題で確かめます。**全部、手で計算できます。** 紙と鉛筆を用意してください。
#
# - 読むのに必要なもの: 第 1 章、2 次関数。微分は「傾き」だと知っていれば十分です
# - 時間: 40 分ほど（演習 5 問）

# %%
try:
    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data]"
    import micrograd_jp as mg

import numpy as np

from micrograd_jp.viz import figures

# %% [markdown]
# ## 1. 問題
#
# データは 2 つだけ。$x = 3$ のとき $t = 7$、$x = 9$ のとき $t = 13$ です（$t$ は正解, target）。直線
#
# $$y = wx + b$$
#
# の $w$ と $b$ を、この 2 点を通るように決めたい。2 点を通る直線なら、中学校の方法で $y = x + 4$ と分かり
# ます。でもここでは、答えを知らないふりをして、$y = 3x - 8$ から**学習で**近づきます。点が 100 個に
# なっても、式が複雑になっても、同じ方法が使えるからです。

# %%
x, t = np.array([3.0, 9.0]), np.array([7.0, 13.0])
w, b = 3.0, -8.0


def draw_line(axes, w, b, label, **style):
    ends = np.array([0.0, 12.0])
    axes.plot(ends, w * ends + b, label=label, **style)


figure, axes = figures.subplots(size=(5, 3.4))
axes.plot(x, t, "o", color="black", markersize=8, label="データ")
draw_line(axes, w, b, "はじめの直線 y = 3x − 8")
for xi, ti in zip(x, t, strict=True):
    axes.annotate("", (xi, ti), (xi, w * xi + b), arrowprops={"arrowstyle": "->", "color": "gray"})
axes.set(xlabel="x", ylabel="y", xlim=(0, 12), ylim=(-10, 30))
axes.legend()
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 矢印が、$y$ を変えたい量 $t - y$ です。

# %%
mg.exercise("2-1")

# %%
mg.exercise("2-1").check([3 * 3 - 8, 3 * 9 - 8])

# %% [markdown]
# ## 2. どれだけ悪いかを 1 つの数で
#
# 2 つの矢印を、1 つの数にまとめます。そのまま足すと、正と負が打ち消し合います。そこで 2 乗して足し、半分に
# します。これを**二乗和誤差** (sum of squares error) と呼びます。
#
# $$E = \frac12 \sum_i (t_i - y_i)^2$$
#
# ½ は、あとで微分したときの 2 を消すためのものです。

# %%
mg.exercise("2-2")

# %%
mg.exercise("2-2").check(((7 - 1) ** 2 + (13 - 19) ** 2) / 2)

# %% [markdown]
# $E$ は $w$ と $b$ で決まります。だから $E(w, b)$ は、$w$ と $b$ を横の 2 方向に取った**地形**です。高さが $E$。
# いちばん低いところが、いちばんよい直線です。


# %%
def error(w, b):
    return ((t - (w * x + b)) ** 2).sum() / 2


grid_w, grid_b = np.linspace(-1, 4, 101), np.linspace(-12, 12, 101)
height = np.array([[error(p, q) for p in grid_w] for q in grid_b])
figure, axes = figures.subplots(size=(5, 3.6))
drawn = axes.contourf(grid_w, grid_b, np.log10(height + 1), levels=20)
figure.colorbar(drawn, label="log₁₀(E + 1)")
axes.plot(3, -8, "o", color="white", markeredgecolor="black", label="はじめ")
axes.plot(1, 4, "*", color="white", markeredgecolor="black", markersize=12, label="y = x + 4")
axes.set(xlabel="w", ylabel="b", title="損失地形 (loss landscape)")
axes.legend()
figure

# %% [markdown]
# 細長い谷です。上から全部見えているので、どこが低いかすぐに分かりますが、数が 130 個なら、地形を見渡す
# ことはできません。分かるのは**今いるところの傾き**だけです。霧の中の山を下りるのと同じで、足もとの傾きを
# 頼りに、下る向きへ 1 歩ずつ進みます。
#
# ## 3. 傾きを計算する
#
# $w$ をほんの少し動かすと、$E$ はどれだけ変わるでしょう。1 つの点について考えます。
#
# 1. $E = \frac12 (t - y)^2$ を $y$ で微分すると $\dfrac{\partial E}{\partial y} = y - t$
# 2. $y = wx + b$ なので、$w$ を動かすと $y$ は $x$ 倍だけ動く: $\dfrac{\partial y}{\partial w} = x$
# 3. $b$ を動かすと $y$ は同じだけ動く: $\dfrac{\partial y}{\partial b} = 1$
#
# 「$w$ が $y$ を動かし、$y$ が $E$ を動かす」ので、2 つをかけます（**連鎖律**, chain rule）。
#
# $$\frac{\partial E}{\partial w} = (y - t)\, x, \qquad \frac{\partial E}{\partial b} = y - t$$
#
# 点がいくつもあれば、$w$ はどの点の計算にも使われているので、足し合わせます。
#
# $$\frac{\partial E}{\partial w} = \sum_i (y_i - t_i)\, x_i, \qquad
#   \frac{\partial E}{\partial b} = \sum_i (y_i - t_i)$$

# %%
mg.exercise("2-3")


# %%
def slopes(w, b, x, t):
    d = w * x + b - t
    return (d * x).sum(), d.sum()


mg.exercise("2-3").check(slopes)

# %% [markdown]
# はじめの直線では、$\partial E/\partial w = (-6)\cdot 3 + 6 \cdot 9 = 36$、
# $\partial E/\partial b = -6 + 6 = 0$ です。$w$ を増やすと $E$ は増え、$b$ は、今は動かしても $E$ がほとんど
# 変わりません。

# %%
print(slopes(3.0, -8.0, x, t))

# %% [markdown]
# ところで、第 1 章の「変えたい量」は $\Delta p_k\, x_j$、つまり $(t - y)\, x$ でした。**これは
# $-\partial E/\partial w$ です。** 「変えたいだけ、少し変える」とは、坂を下ることだったのです。
#
# ## 4. 1 歩進む
#
# 傾きと逆の向きに、学習率 (learning rate) $\alpha = 0.02$ をかけた分だけ動きます。
#
# $$w \leftarrow w - \alpha \frac{\partial E}{\partial w}, \qquad
#   b \leftarrow b - \alpha \frac{\partial E}{\partial b}$$

# %%
mg.exercise("2-4")

# %%
mg.exercise("2-4").check([3 - 0.02 * 36, -8 - 0.02 * 0])

# %%
mg.exercise("2-5")


# %%
def update(w, b, x, t, rate):
    dw, db = slopes(w, b, x, t)
    return w - rate * dw, b - rate * db


mg.exercise("2-5").check(update)

# %% [markdown]
# ## 5. くり返す

# %%
w, b = 3.0, -8.0
path = [(w, b)]
while error(w, b) > 1e-9:
    w, b = update(w, b, x, t, 0.02)
    path.append((w, b))
print(f"{len(path) - 1} 回の更新で y = {w:.4f} x + {b:.4f}")

# %%
figure, (left, right) = figures.subplots(1, 2, size=(10, 3.6))
left.plot(x, t, "o", color="black", markersize=8)
for k in (0, 1, 30, 100, len(path) - 1):
    draw_line(left, *path[k], f"{k} 回")
left.set(xlabel="x", ylabel="y", xlim=(0, 12), ylim=(-10, 30), title="直線が 2 点に近づく")
left.legend()
right.contour(grid_w, grid_b, np.log10(height + 1), levels=20, linewidths=0.6)
right.plot(*zip(*path, strict=True), ".-", markersize=3)
right.plot(1, 4, "*", color="black", markersize=12)
right.set(xlabel="w", ylabel="b", title="谷底に沿って下る")
figure

# %% [markdown]
# 谷を横切って行き来しながら谷底に下り、そのあとは、ゆるい谷底に沿ってゆっくり進みます。谷が細長いと、こうなります
# （第 3 章）。
#
# ## 6. 傾きの公式を書かない
#
# ここまでは、傾きの公式を人が導きました。式が長くなると、それも大変です。`mg.Value` は、ふつうの数の式を
# 書くだけで、**計算の順序を覚えておき** (計算グラフ, computational graph)、傾きを自動で計算します
# (自動微分, automatic differentiation)。

# %%
w, b = mg.Value(3.0, label="w"), mg.Value(-8.0, label="b")
y1, y2 = w * 3 + b, w * 9 + b
E = 0.5 * ((7 - y1) ** 2 + (13 - y2) ** 2)
y1.label, y2.label, E.label = "y₁", "y₂", "E"
E.backward()
print(E.data, w.grad, b.grad)

# %% [markdown]
# 手で計算した 36、36、0 と同じです。計算グラフを描いてみましょう。箱の中が値と勾配、矢印の青い数が局所微分
# （右の値を、左の値で微分したもの）です。

# %%
mg.draw(E)

# %% [markdown]
# どうやって計算しているのかは、第 4 章で、1 歩ずつ見ます。先に見たい人は、次の図を再生してください。
# 「次へ」を押すたびに、式と数が出ます。

# %%
mg.play(E)

# %% [markdown]
# ## まとめ
#
# - 学習とは、誤差 $E$ の地形を、足もとの傾きだけを頼りに下ることである。
# - 傾きは連鎖律で計算できる。何か所かで使われる数の傾きは、足し合わせる。
# - 「変えたい量」は、傾きに負号をつけたものだった。
#
# 次の章では、下り方——学習率——を調べます。大きすぎると何が起こるでしょうか。
