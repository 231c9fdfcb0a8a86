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
# # 第 3 章 勾配降下法
#
# 坂を下る向きに、少しずつ動く。それだけの方法ですが、**どれだけ動くか**（学習率）で、速くも、遅くも、
# 発散もします。1 変数、2 変数の順に、図と数で確かめます。
#
# - 読むのに必要なもの: 第 2 章
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
# ## 1. 1 変数: 放物線を下る
#
# $f(s) = s^2$ を、$s = 2$ から下ります。傾きは $f'(s) = 2s$ なので、学習率 $\alpha = 0.2$ なら
#
# $$s \leftarrow s - 0.2 \cdot 2s = 0.6\, s$$

# %%
mg.exercise("3-1")

# %%
mg.exercise("3-1").check(2 * 0.6**3)

# %%
mg.exercise("3-2")


# %%
def descend(slope, s, rate, steps):
    for _ in range(steps):
        s = s - rate * slope(s)
    return s


mg.exercise("3-2").check(descend)

# %% [markdown]
# 傾きの関数を自分で書かなくても、`mg.grad(f)` は、`f` の傾きを計算する関数を返します。


# %%
def f(s):
    return s**2


slope = mg.grad(f)
print(slope(2.0))  # Value。数は .data

# %%
figure, axes = figures.subplots(1, 3, size=(11, 3.2), sharey=True)
s = np.linspace(-2.4, 2.4, 100)
for each, rate in zip(axes, (0.2, 0.9, 1.05), strict=True):
    path = [descend(lambda s: 2 * s, 2.0, rate, k) for k in range(8)]
    each.plot(s, s**2, color="gray")
    each.plot(path, np.square(path), "o-", markersize=4)
    each.set(xlabel="s", title=f"学習率 {rate}", ylim=(-0.3, 6))
axes[0].set_ylabel("f(s) = s²")
figure

# %% [markdown]
# - 学習率 0.2: 1 歩ごとに 0.6 倍になり、まっすぐ下ります。
# - 学習率 0.9: 1 歩ごとに −0.8 倍になり、谷の両側を行き来しながら下ります。
# - 学習率 1.05: 1 歩ごとに −1.1 倍になり、**上っていきます**。発散 (divergence) です。
#
# 1 歩で $1 - 2\alpha$ 倍になるので、$|1 - 2\alpha| < 1$、つまり $\alpha < 1$ でなければなりません。
#
# 下の「学習率」を動かして「1 歩学習」を押し、自分でも確かめてみましょう。

# %%
mg.play(f(mg.Value(2.0, label="s")), learning_rate=0.2)

# %%
mg.exercise("3-5")

# %%
n = 0
s = 2.0
while s >= 0.001:
    s, n = descend(lambda s: 2 * s, s, 0.2, 1), n + 1
mg.exercise("3-5").check(n)

# %% [markdown]
# ## 2. 2 変数: 勾配
#
# 変数が 2 つになると、傾きも 2 つになります。並べたものが**勾配** (gradient) です。
#
# $$\nabla f = \left( \frac{\partial f}{\partial x_1}, \frac{\partial f}{\partial x_2} \right)$$
#
# $f = x_1^2 + x_2^2$ の勾配は $(2x_1, 2x_2)$。勾配は等高線に直交し、最も急に上る向きを指します。逆に進むのが
# **最急降下法** (steepest descent) です。


# %%
def bowl(x1, x2):
    return x1**2 + x2**2


side = np.linspace(-2, 2, 9)
points = [(p, q) for p in side for q in side]
gradients = np.array([[g.data for g in mg.grad(bowl, (0, 1))(p, q)] for p, q in points])
grid = np.linspace(-2.3, 2.3, 101)
figure, axes = figures.subplots(size=(4.4, 4))
axes.contour(grid, grid, bowl(grid[None, :], grid[:, None]), levels=8, linewidths=0.7)
axes.quiver(*np.transpose(points), *-gradients.T, color=figures.COLORS[1], width=0.005)
axes.set(xlabel="x₁", ylabel="x₂", title="−∇f: 最も急に下る向き", aspect="equal")
figure

# %% [markdown]
# ## 3. 細い谷
#
# 第 2 章の地形は細長い谷でした。いちばん簡単な細長い谷は
#
# $$f(x_1, x_2) = \tfrac12 x_1^2 + 5 x_2^2$$
#
# です。$x_2$ の向きの曲がりは、$x_1$ の向きの 10 倍あります。

# %%
mg.exercise("3-3")


# %%
def valley_gradient(x1, x2):
    return x1, 10 * x2


mg.exercise("3-3").check(valley_gradient)


# %%
def valley(x1, x2):
    return 0.5 * x1**2 + 5 * x2**2


def valley_path(rate, steps=30):
    x = np.array([4.0, 1.5])
    path = [x]
    for _ in range(steps):
        x = x - rate * np.array(valley_gradient(*x))
        path.append(x)
    return np.array(path)


wide, high = np.linspace(-5, 5, 121), np.linspace(-2.5, 2.5, 81)
figure, axes = figures.subplots(2, 2, size=(10, 5.4), sharex=True, sharey=True)
for each, rate in zip(axes.flat, (0.02, 0.1, 0.19, 0.205), strict=True):
    each.contour(wide, high, valley(wide[None, :], high[:, None]), levels=12, linewidths=0.6)
    each.plot(*valley_path(rate).T, "o-", markersize=3)
    each.set(title=f"学習率 {rate}", xlim=(-5, 5), ylim=(-2.5, 2.5))
figure

# %% [markdown]
# 1 歩ごとに、$x_1$ は $1 - \alpha$ 倍、$x_2$ は $1 - 10\alpha$ 倍になります。
#
# - 0.02: 遅い。$x_1$ は 1 歩で 2 % しか縮みません。
# - 0.1: $x_2$ は 1 歩で 0 になり、あとは谷底を進みます。
# - 0.19: 谷を横切って行き来しますが、下っています。
# - 0.205: 谷を横切る向きに発散します。

# %%
mg.exercise("3-4")

# %%
mg.exercise("3-4").check(2 / 10)

# %% [markdown]
# **学習率を決めるのは、いちばん曲がりの急な向きです。** ほかの向きは、そのせいで遅くなります。急な向きと
# ゆるい向きの曲がりの比（ここでは 10）が大きいほど、学習に時間がかかります。
#
# 曲がりは 2 階微分で、`mg.hessian` が計算します。

# %%
for row in mg.hessian(valley, (0, 1))(4.0, 1.5):
    print([h.data for h in row])

# %% [markdown]
# ## 4. 学習の地形
#
# $p = wx$ に、3 つのデータ $(x, t)$ をあてはめます。損失 $L = \frac12 \sum (t - wx)^2$ は、データが決まれば
# $w$ だけの関数で、放物線です。

# %%
x, t = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 7.0])


def loss(w):
    return sum(0.5 * (ti - w * xi) ** 2 for xi, ti in zip(x, t, strict=True))


curvature = mg.grad(mg.grad(loss))(0.0).data
print(f"曲がり L″ = {curvature}、発散する学習率 = {2 / curvature:.4f}")

# %%
ws = np.linspace(-1, 5, 100)
figure, axes = figures.subplots(size=(5, 3.2))
axes.plot(ws, [loss(w) for w in ws], color="gray")
for rate in (0.02, 0.13):
    path = [descend(lambda w: mg.grad(loss)(w).data, -0.5, rate, k) for k in range(10)]
    axes.plot(path, [loss(w) for w in path], "o-", markersize=4, label=f"学習率 {rate}")
axes.set(xlabel="w", ylabel="損失 L", title="損失地形 (loss landscape)")
axes.legend()
figure

# %% [markdown]
# 曲がりは $\sum x^2 = 14$ なので、学習率は $2/14 \approx 0.143$ より小さくなければなりません。データの値を 10 倍に
# すると、曲がりは 100 倍になり、使える学習率は 1/100 になります。**入力の大きさを揃える**（正規化）のは、
# このためです。
#
# ## まとめ
#
# - 1 歩で $1 - \alpha \times$ 曲がり 倍になる。絶対値が 1 を超えると発散する。
# - 勾配は、最も急に上る向き。等高線に直交する。
# - 曲がりの急な向きが学習率の限りを決め、ゆるい向きが遅くなる。
#
# 次の章では、勾配を計算する方法そのものを作ります。
