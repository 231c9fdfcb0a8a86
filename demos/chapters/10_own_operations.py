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
# # 第 10 章 自分の演算を足し、勾配を性質ベーステストで確かめる
#
# 自分で考えた関数を、ネットワークの部品にしたい。それには、値の式と、微分の式が要ります。では、その微分は
# **本当に正しいでしょうか**。微分の間違いは、エラーにならず、学習もそれなりに進むので、なかなか気づけません。
# この章では、自分の演算を 1 つ作り、間違いを見つける方法を、数値微分、勾配確認、性質ベーステストの順に身に
# つけます。
#
# - 読むのに必要なもの: 第 4 章（連鎖律）、第 5 章（活性化関数）。テイラー展開を少し
# - 時間: 60 分ほど（演習 8 問）

# %%
try:
    import hypothesis

    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data,verify]"
    import hypothesis

    import micrograd_jp as mg

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from micrograd_jp import nn, optim
from micrograd_jp.data import datasets
from micrograd_jp.ops.primitive import Elementwise, lookup, register
from micrograd_jp.tensor.operations import function
from micrograd_jp.testing import faults, gradcheck, strategies
from micrograd_jp.viz import figures

# %% [markdown]
# ## 1. 演算を 1 つ作る
#
# 作るのは、どんな数も −1 と 1 の間に押し込む関数です。双曲線正接 (tanh) に似ていますが、指数関数を使いません
# （Carlile et al. (2017) が ISRU と呼んだもの。ここでは squash と呼びます）。
#
# $$z = \frac{x}{\sqrt{1 + x^2}}$$

# %%
mg.exercise("10-1")


# %%
def squash_backward(x, g):
    return g * (1 + x * x) ** -1.5


mg.exercise("10-1").check(squash_backward)

# %% [markdown]
# 演算は、**1 つの宣言**です。値の式と、引数ごとの局所微分の式を書きます。`x` は入力、`z` は出力。`m` は「誰が計算
# するか」で、ふつうの数にも、NumPy の配列にも、計算グラフにもなります。だから、式は 1 度だけ書きます。
# `function` は、宣言を、`Value` にも `Tensor` にも使える関数にします。

# %%
squash_op = Elementwise(
    name="squash",
    symbol="squash",
    summary="−1 と 1 の間に押し込む x/√(1 + x²)",
    value=lambda m, x: x / m.sqrt(1 + x * x),
    partials=(lambda m, z, x: (1 + x * x) ** -1.5,),
)
squash = function(squash_op)

print(squash(mg.Value(2.0)))
print(squash(mg.tensor([-100.0, 0.0, 2.0])))

# %%
x = mg.Value(2.0, label="x")
y = 3 * squash(x)
y.label = "y"
y.backward()
mg.draw(y)

# %% [markdown]
# ## 2. 間違った微分は、気づかれない
#
# 微分の式を、うっかり $1/(1 + x^2)$ と書いた演算も作ってみます。そして、第 5 章の三日月の点を、2 つの演算で
# 学習します。

# %%
wrong_op = Elementwise(
    name="squash",
    symbol="squash",
    summary="微分を間違えた squash",
    value=squash_op.value,
    partials=(lambda m, z, x: 1 / (1 + x * x),),
)
wrong_squash = function(wrong_op)


class Network(nn.Module):
    def __init__(self, activation):
        self.first, self.second = nn.Linear(2, 16), nn.Linear(16, 2)
        self.activation = activation

    def forward(self, x):
        return self.second(self.activation(self.first(x)))


def learn(activation, steps=200):
    points, labels = datasets.moons(200, noise=0.15, seed=0)[:]
    mg.manual_seed(0)
    network = Network(activation)
    optimizer = optim.SGD(network.parameters(), lr=0.3, momentum=0.9)
    losses = []
    for _ in range(steps):
        loss = mg.cross_entropy(network(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    right = network(points).detach().numpy().argmax(axis=1) == np.asarray(labels)
    return losses, right.mean()


figure, axes = figures.subplots(size=(6, 3.2))
for name, activation in {"演算 A": squash, "演算 B": wrong_squash}.items():
    losses, accuracy = learn(activation)
    axes.plot(losses, label=f"{name}（正解率 {accuracy:.0%}）")
axes.set(xlabel="更新の回数", ylabel="損失", ylim=(0, None))
axes.legend()
axes.grid(alpha=0.3)
figure

# %% [markdown]
# どちらが間違った微分でしょう。曲線を見ても、正解率を見ても、分かりません。B です。間違った微分も符号は正しいので、
# 坂は下れるのです。もっと大きなネットワークなら、「なぜか少しだけ精度が出ない」原因を、何週間も探すことになりかねません。
#
# **学習が進むことは、微分が正しい証拠にはなりません。**
#
# ## 3. 数値微分と、その誤差
#
# 正しいかどうかを知るには、微分の式を使わない方法と比べます。入力を本当に少し動かして、出力がどれだけ動くかを
# 見るのが**数値微分** (numerical differentiation) です。
#
# - 前進差分 (forward difference): $\dfrac{f(x + h) - f(x)}{h}$
# - 中心差分 (central difference): $\dfrac{f(x + h) - f(x - h)}{2h}$

# %%
mg.exercise("10-2")


# %%
def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


mg.exercise("10-2").check(central)

# %% [markdown]
# 刻み $h$ は、いくつにすればよいのでしょう。$f(x) = e^x$ の $x = 1$ での微分は $e$ なので、本当の誤差を調べられます。

# %%
steps = 10.0 ** np.arange(-15, 0.1, 0.25)
methods = {
    "前進差分": lambda f, x, h: (f(x + h) - f(x)) / h,
    "中心差分": central,
    "複素ステップ法": lambda f, x, h: np.imag(f(x + 1j * h)) / h,
}
figure, axes = figures.subplots(size=(6, 3.8))
for name, method in methods.items():
    errors = [abs(method(np.exp, 1.0, h) / np.e - 1) for h in steps]
    axes.loglog(steps, np.maximum(errors, 1e-17), marker=".", label=name)  # 0 は描けない
axes.set(xlabel="刻み h", ylabel="相対誤差", title="eˣ の微分の誤差")
axes.legend()
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 前進差分と中心差分は、**U 字**になります。
#
# - 右側では、$h$ が大きすぎて、曲線が直線に見えません。**打ち切り誤差** (truncation error) です。
# - 左側では、$h$ が小さすぎて、ほとんど同じ 2 つの数の引き算になります。上の桁が消え、丸めの誤差だけが残り、それを
#   小さな $h$ で割るので、大きくなります。**丸め誤差** (rounding error) です。
#
# 打ち切り誤差は、テイラー展開で分かります。

# %%
mg.exercise("10-3")

# %%
mg.exercise("10-3").check(0.1**2)

# %%
mg.exercise("10-4")

# %%
mg.exercise("10-4").check(np.sqrt(4))

# %% [markdown]
# 複素ステップ法 (complex step) は、虚数の向きに動かすので引き算がなく、U 字になりません。ただ、関数が複素数でも
# 計算できなければなりません。`mg.testing.numerical_gradient` は、どの方法も使えます。
#
# 刻みを人が選ばなくてすむように、`gradcheck` は、刻みを変えながら何度も計算し、誤差の大きさも見積もります。
#
# ## 4. 勾配確認
#
# 演算 A と B を、`gradcheck` で確かめます（**勾配確認**, gradient check）。

# %%
print(gradcheck(squash, (0.5,)))

# %%
print(gradcheck(wrong_squash, (0.5,), raise_exception=False))

# %% [markdown]
# 見つかりました。「数値」の列は、値の式だけから計算した数です。`raise_exception=False` がなければ、例外になるので、
# そのままテストに書けます。
#
# では、入力が 0 ならどうでしょう。

# %%
print(bool(gradcheck(wrong_squash, (0.0,), raise_exception=False)))

# %% [markdown]
# **合格してしまいました。** $x = 0$ では、正しい微分も間違った微分も 1 だからです。1 つの点で合っていても、正しいとは
# 言えません。しかも、0 や 1 のような、人がまっ先に試す数で、間違いは見えなくなりがちです。

# %%
mg.exercise("10-5")

# %%
mg.exercise("10-5").check([0, 1])

# %% [markdown]
# ## 5. 性質ベーステスト
#
# 例を 1 つずつ考える代わりに、**「どんな入力でも成り立つこと」**を書き、入力は道具に探させます。これが
# **性質ベーステスト** (property-based testing) です。Python では Hypothesis を使います。
#
# `@given(…)` に渡す**戦略** (strategy) が、入力の作り方です。`strategies.values()` は、0、1、−1 のような丸い数を
# 先に、それから半端な数を試します。


# %%
quickly = hypothesis.settings(
    max_examples=100, derandomize=True, database=None, deadline=None
)  # いつも同じ 100 個の入力


@quickly
@given(strategies.values())
def squash_is_right(x):
    gradcheck(squash, (x,), order=2)


@quickly
@given(strategies.values())
def wrong_squash_is_right(x):
    gradcheck(wrong_squash, (x,), order=2)


def tell(test):
    """テストを動かし、成り立たなければ、Hypothesis の見つけた反例を印字する。"""
    try:
        test()
    except AssertionError as error:
        print(error.__notes__[0])
    else:
        print("どの入力でも成り立ちました。")


tell(squash_is_right)
tell(wrong_squash_is_right)

# %% [markdown]
# 反例 (failing test case) は `x=1.0` でした。はじめに見つけたのは、もっと半端な数だったかもしれません。Hypothesis は、
# 反例を見つけると、**それより簡単な反例を探し続け**、いちばん簡単なものを報告します（**縮小**, shrinking）。どこが
# 悪いのかを考えるには、`x=-1.359375` より `x=1.0` のほうがずっと楽です。
#
# `order=2` は、2 階微分も確かめます。なぜそこまでするのでしょう。わざと誤らせた規則で、テストをテストします。

# %%
for fault in faults.planted(squash_op):
    found = [
        not gradcheck(function(fault.primitive), (0.5,), order=order, raise_exception=False)
        for order in (1, 2)
    ]
    first, second = ("見つかる" if f else "見逃す" for f in found)
    print(f"{fault.name:<16} order=1: {first}  order=2: {second}")

# %% [markdown]
# `×1.01` は微分を 1 % 大きくしたもの、`sign` は符号を、`zero` は 0 を返すものです。1 % の間違いも見つかります。
# `detached` と `second×1.01` は、値は正しいのに、もう 1 度微分すると間違うもの。これは `order=2` でなければ見つかり
# ません。
#
# ### 公式を知らなくても確かめられる
#
# 微分には、どんな関数でも成り立つ**法則**があります。
#
# - 線形性 (linearity): $(f + g)' = f' + g'$
# - 積の法則 (product rule): $(f g)' = f' g + f g'$
# - 連鎖律 (chain rule): $(f \circ g)'(x) = f'(g(x))\, g'(x)$

# %%
mg.exercise("10-6")


# %%
def chain(df, g, dg, x):
    return df(g(x)) * dg(x)


mg.exercise("10-6").check(chain)

# %% [markdown]
# 第 4 章で作った自動微分 `Number` に、よくある間違いを入れてみます。勾配を**足し込まずに、上書き**しています。


# %%
class Number:
    def __init__(self, data, parents=()):
        self.data, self.parents, self.grad = data, parents, 0.0

    def __add__(self, other):
        return Number(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Number(self.data * other.data, [(self, other.data), (other, self.data)])

    def backward(self, upstream=1.0):
        self.grad = upstream  # 正しくは +=
        for parent, local in self.parents:
            parent.backward(upstream * local)


def identity(x):
    return x


def square(x):
    return x * x


def cube_and_itself(x):
    return x * x * x + x


def slope_of_number(f, x):
    leaf = Number(x)
    f(leaf).backward()
    return leaf.grad


simple = st.sampled_from([identity, square, cube_and_itself])


@quickly
@given(simple, simple, strategies.values())
def product_rule(f, g, x):
    df, dg = slope_of_number(f, x), slope_of_number(g, x)
    together = slope_of_number(lambda t: f(t) * g(t), x)
    assert np.isclose(together, df * g(x) + f(x) * dg)


tell(product_rule)

# %% [markdown]
# いちばん簡単な反例は、$x \cdot x$ の $x = 1$ での微分でした（`# or any other generated value` は、$f$ や $g$ がほかの
# 関数でも失敗する、という意味です）。ここまで縮めば、「$x$ が 2 か所で使われると間違う」と分かります。**正しい微分の公式も、数値微分も、1 つも使っていません。** 法則だけで見つかったのです。
#
# では、`mg` は 3 つの法則を守っているでしょうか。


# %%
def slope(f, x):
    return mg.grad(f)(x).data


many = st.sampled_from([mg.sin, mg.tanh, mg.sigmoid, mg.exp, squash, square])


@quickly
@given(many, many, strategies.values())
def three_laws(f, g, x):
    df, dg = slope(f, x), slope(g, x)
    fx, gx = f(mg.Value(x)).data, g(mg.Value(x)).data
    assert np.isclose(slope(lambda t: f(t) + g(t), x), df + dg)
    assert np.isclose(slope(lambda t: f(t) * g(t), x), df * gx + fx * dg)
    by_chain_rule = chain(lambda t: slope(f, t), lambda t: g(mg.Value(t)).data, lambda _: dg, x)
    assert np.isclose(slope(lambda t: f(g(t)), x), by_chain_rule)


tell(three_laws)

# %% [markdown]
# ## 6. 折れ点と約束
#
# ReLU は $x = 0$ で折れています。左の傾きは 0、右の傾きは 1 です。`gradcheck` は何と言うでしょう。

# %%
print(gradcheck(mg.relu, (0.0,), raise_exception=False))

# %% [markdown]
# 「不合格」ではなく**「判定できません」**です。折れ点 (kink) には、微分がありません。

# %%
mg.exercise("10-7")

# %%
mg.exercise("10-7").check(0.5)

# %%
x = np.linspace(-1, 1, 401)
figure, axes = figures.subplots(size=(6, 3.4))
for h in (0.5, 0.2, 0.02):
    axes.plot(x, central(lambda x: np.maximum(x, 0), x, h), label=f"中心差分 h = {h}")
leaf = mg.tensor(x, requires_grad=True)
mg.relu(leaf).sum().backward()
axes.plot(x, leaf.grad.numpy(), color="black", linewidth=1, linestyle=":", label="規則")
axes.plot(0, 0, "o", color="black", label="約束 ReLU′(0) = 0")
axes.set(xlabel="x", ylabel="傾き", title="ReLU の傾き")
axes.legend(fontsize=8)
axes.grid(alpha=0.3)
figure

# %% [markdown]
# $h$ を小さくすると、規則に近づきます。でも、ちょうど 0 では、いつまでも ½ です。
#
# それでもプログラムは、0 での傾きとして何かを返さなければなりません。左右の傾きの間の数なら、どれでも筋が
# 通っています（**劣微分**, subgradient）。そこで**約束** (convention) を決めます。PyTorch と `mg` の約束は、
# $\mathrm{ReLU}'(0) = 0$、$|x|$ の $x = 0$ での傾きも 0 です。どれが正しいかではなく、**みなが同じ約束を使う**ことに
# 意味があります。約束が違うと、同じネットワークの学習が、少しずつずれていくからです。
#
# 約束は数値微分では確かめられないので、別のテストで、値を直接確かめます。勾配確認のほうは、折れ点を避けます。
# 演算の宣言に折れ点の場所 (`kink`) が書いてあれば、`strategies.inputs(演算)` は、そこから離れた入力だけを作ります。

# %%
assert slope(mg.relu, 0.0) == 0  # 約束


@quickly
@given(strategies.inputs(lookup("relu")))
def relu_is_right(xs):
    gradcheck(mg.relu, xs, allow_zero=True)  # 負のところの傾きは、本当に 0


tell(relu_is_right)

# %% [markdown]
# ## 7. 登録して、使う
#
# 確かめた演算を**登録** (register) すると、名前で引けるようになり、`strategies` の作るでたらめな式にも混ざります。同じ
# 名前は 1 度しか登録できません。

# %%
try:
    register(squash_op)
except ValueError as error:  # このセルを 2 度動かしたとき
    print(error)

with_squash = []


@hypothesis.settings(quickly, max_examples=300)
@given(strategies.expressions(max_ops=3))
def every_expression_is_right(e):
    gradcheck(e, e.inputs)
    if "squash" in e.source:
        with_squash.append(e)


tell(every_expression_is_right)
print(f"squash の入った式: {len(with_squash)} 個。たとえば:")
for e in [e for e in with_squash if 30 < len(e.source) < 90][:3]:
    print(" ", e.source, " 入力", e.inputs)

# %% [markdown]
# ほかの演算とどう組み合わせても、正しい勾配になっています。この 300 個の式は、1 つも人が書いていません。
#
# いよいよ、ネットワークの部品にします。第 9 章と同じように、1 つ 1 つの数で書いて、`@mg.compile` で速くします。
# 8 個の squash を足し合わせて、曲線をまねます。

# %%
rng = np.random.default_rng(0)
w, b, v = ([mg.Value(rng.normal()) for _ in range(8)] for _ in range(3))


def network(x):
    return sum(vi * squash(wi * x + bi) for wi, bi, vi in zip(w, b, v, strict=True))


@mg.compile
def loss_of(x, t):
    return (network(x) - t) ** 2


x = np.linspace(-3, 3, 60)
t = np.sin(2 * x) * np.exp(-x * x / 6)
loss_of(x, t)
print(loss_of.program)

# %% [markdown]
# コンパイラーは、第 1 節の宣言を読んで、`squash` の入った配列のプログラムを書きました。微分の式も、宣言のものです。

# %%
optimizer = optim.Adam(loss_of.parameters(), lr=0.05)
for _ in range(800):
    loss = loss_of(x, t).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"損失 {loss.item():.5f}")

figure, axes = figures.subplots(size=(6, 3.2))
axes.plot(x, t, ".", color="gray", label="データ")
fitted = [network(xi).data for xi in x]
axes.plot(x, fitted, label="8 個の squash の和")
for wi, bi, vi in zip(w, b, v, strict=True):
    part = vi.data * squash(mg.tensor(wi.data * x + bi.data)).numpy()
    axes.plot(x, part, color="gray", linewidth=0.6, linestyle="-")
axes.set(xlabel="x", ylabel="y", ylim=(-3, 3))
axes.legend()
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 細い線が、1 つ 1 つの squash です。
#
# 図も、1 歩ずつの再生も、同じ宣言から作られます。「次へ」を押していくと、squash の式と微分が出ます。

# %%
x1, w1, b1 = mg.Value(0.5, label="x"), mg.Value(-1.5, label="w"), mg.Value(0.25, label="b")
z = squash(w1 * x1 + b1)
z.label = "z"
z.backward()
mg.play(z)

# %% [markdown]
# ## 8. 引数が 2 つの演算
#
# 引数がいくつあっても同じです。局所微分を、引数の順に並べます。長さ $r = \sqrt{x^2 + y^2}$ を演算にしてみましょう。

# %%
mg.exercise("10-8")


# %%
def length_backward(x, y, g):
    r = np.sqrt(x * x + y * y)
    return g * x / r, g * y / r


mg.exercise("10-8").check(length_backward)

# %%
length = function(
    Elementwise(
        name="length",
        symbol="√(x²+y²)",
        summary="長さ",
        value=lambda m, x, y: m.sqrt(x * x + y * y),
        partials=(lambda m, z, x, y: x / z, lambda m, z, x, y: y / z),
        arguments=("x", "y"),
        domain=((-3.0, 3.0), (-3.0, 3.0)),
    )
)


@quickly
@given(strategies.values(), strategies.values())
def length_is_right(x, y):
    gradcheck(length, (x, y), allow_zero=True)


tell(length_is_right)

# %% [markdown]
# $(0, 0)$ は、円錐の先——折れ点です。しかも、規則は 0 ÷ 0 で nan を返します。**性質ベーステストは、考えていなかった
# 入力を教えてくれます。** 使う前に、原点での約束（PyTorch の `norm` は 0）を決めなければなりません。ここでは、原点を
# 避けて確かめます。


# %%
@quickly
@given(strategies.values(0.25, 3), strategies.values(-3, 3))
def length_is_right_elsewhere(x, y):
    gradcheck(length, (x, y), allow_zero=True)


tell(length_is_right_elsewhere)

# %% [markdown]
# ## まとめ
#
# - 間違った微分でも、学習は進む。学習が進むことは、正しい証拠にならない。
# - 数値微分の誤差は U 字。刻みが大きいと打ち切り誤差、小さいと丸め誤差。
# - 1 つの点では足りない。性質ベーステストが、いろいろな入力を試し、反例をいちばん簡単な形に縮める。
# - 線形性、積の法則、連鎖律のような法則は、公式を知らなくても確かめられる。
# - 折れ点の傾きは約束。約束は、値を直接確かめる。
# - 演算は 1 つの宣言。そこから、値、微分、図、コンパイルしたプログラムが作られる。
#
# 第 1 章の、たった 130 個の数の学習から、ここまで来ました。次に何を作るかは、あなたが決めてください。
