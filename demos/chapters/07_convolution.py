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
# # 第 7 章 畳み込み
#
# 絵の中の文字は、少しずれても同じ文字です。ところが、これまでのネットワークは画素の場所を覚えているだけなので、1 画素
# ずれると、別の絵に見えてしまいます。絵のための層、**畳み込み** (convolution) を手で書き、重ね、中を覗きます。
#
# - 読むのに必要なもの: 第 5 章（できれば第 6 章も）
# - 時間: 60 分ほど（演習 7 問）

# %%
try:
    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data]"
    import micrograd_jp as mg

import numpy as np

from micrograd_jp import nn, optim
from micrograd_jp.data import DataLoader, TensorDataset, datasets, random_split
from micrograd_jp.data import transforms as T
from micrograd_jp.nn import functional as F
from micrograd_jp.viz import figures

# %% [markdown]
# ## 1. 1 画素ずらすと
#
# 手書き数字（8×8 画素）を 12×12 画素に引き伸ばし、まわりに 2 画素の余白をつけて、第 5 章のネットワークで学習します。

# %%
x, t = datasets.digits()[:]
small = x.reshape(-1, 1, 8, 8)
images = F.pad(F.interpolate(small, size=(12, 12), mode="bilinear"), (2, 2, 2, 2))
training, development, test = random_split(TensorDataset(images, t), (0.6, 0.2, 0.2), seed=0)
print(images.shape, len(training), len(development), len(test))


def learn(model, epochs=12, transform=None, seed=0):
    return mg.fit(
        model,
        DataLoader(training, 50, shuffle=True, seed=seed, transform=transform),
        mg.cross_entropy,
        optim.Adam(model.parameters(), lr=0.002),
        epochs,
        development=development,
        progress=False,
    )


def shifted(data, right):
    """絵を右に right 画素ずらしたもの。"""
    x, t = data[:]
    return TensorDataset(mg.roll(x, right, -1), t)


mg.manual_seed(0)
dense = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10))
learn(dense)
shifts = range(-4, 5)
of_dense = [mg.training.evaluate(dense, shifted(test, k)).metric for k in shifts]
print(f"そのまま: {of_dense[4]:.1%}、右に 2 画素: {of_dense[6]:.1%}")

# %% [markdown]
# 右に 2 画素ずらしただけで、これだけ読めなくなります。人間なら気づきもしません。全結合の層は、画素の 1 つ 1 つに別の
# 重みを持っているので、「ずれた同じもの」を、同じものとは知らないのです。
#
# ## 2. 同じフィルタを、どこでも使う
#
# そこで、小さな**フィルタ** (filter) を 1 つ用意して、画像の上をずらしながら、どこでも同じ重みで計算します。

# %%
mg.exercise("7-1")


# %%
def convolution(x, w):
    k = len(w)
    out = np.empty((x.shape[0] - k + 1, x.shape[1] - k + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = (x[i : i + k, j : j + k] * w).sum()
    return out


mg.exercise("7-1").check(convolution)

# %% [markdown]
# フィルタの重みを手で決めて、数字にかけてみます。左右の差を取るフィルタと、上下の差を取るフィルタです。

# %%
picture = images[3, 0].numpy()
across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
filtered = [convolution(picture, w) for w in (across, across.T)]
figure, axes = figures.subplots(1, 3, size=(8, 2.9))
figures.show_images(axes[:1], [picture], ["もとの絵"])
figures.show_images(axes[1:], filtered, ["左右の差", "上下の差"], signed=True)
figure

# %% [markdown]
# 左右の差は**縦の線**に、上下の差は**横の線**に反応しています。文字がどこにあっても、線のあるところで反応します。ずれた
# 絵なら、反応も同じだけずれます。
#
# これまでは人が重みを決めました。ここからは、フィルタの重みも**学習**で決めます。画素 3 つ、重み 2 つの、いちばん小さな
# 畳み込みを再生してみましょう。$w_1$ も $w_2$ も 2 か所で使われるので、勾配は **2 か所から来たものの和**になります。

# %%
x1, x2, x3 = (mg.Value(v, label=name) for v, name in ((1.0, "x₁"), (2.0, "x₂"), (-1.0, "x₃")))
w1, w2 = mg.Value(0.5, label="w₁"), mg.Value(-1.0, label="w₂")
y1, y2 = w1 * x1 + w2 * x2, w1 * x2 + w2 * x3
y1.label, y2.label = "y₁", "y₂"
mg.play(y1 + y2, parameters=[w1, w2])

# %% [markdown]
# ## 3. 大きさと、重みの数

# %%
mg.exercise("7-2")


# %%
def output_size(n, k, stride, padding):
    return (n + 2 * padding - k) // stride + 1


mg.exercise("7-2").check(output_size)

# %% [markdown]
# ふつうは、フィルタをいくつも並べます。フィルタ 1 つが出す絵を**チャネル** (channel)、全体を**特徴マップ** (feature map) と
# いいます。2 層めからは、入力のすべてのチャネルにまたがるフィルタを使います。重みの形は
# (出力のチャネル, 入力のチャネル, 縦, 横) です。

# %%
layer = nn.Conv2d(1, 6, 3, padding=1)
print("重みの形:", layer.weight.shape)
print("1 枚の絵から:", layer(images[:1]).shape, " 式では 1 辺", output_size(16, 3, 1, 1))

# %%
mg.exercise("7-3")

# %%
mg.exercise("7-3").check([28 * 28 * 16 * 28 * 28, 16 * 3 * 3])

# %% [markdown]
# ## 4. フィルタを学習する
#
# 学習するには、フィルタの勾配が要ります。1 つの重みが、たくさんの場所で使われていることに注意してください。

# %%
mg.exercise("7-4")


# %%
def filter_gradient(w, x, g):
    gradient = np.empty_like(w)
    for a in range(w.shape[0]):
        for b in range(w.shape[1]):
            gradient[a, b] = (g * x[a : a + g.shape[0], b : b + g.shape[1]]).sum()
    return gradient


mg.exercise("7-4").check(filter_gradient)

# %% [markdown]
# 本当に学習できるか、試してみましょう。「左右の差」の絵を見せて、それを作ったフィルタを当てさせます。乱数から始めて、
# この勾配で下るだけです。

# %%
original = small[3, 0].numpy()  # 引き伸ばす前の 8×8 の絵
target = convolution(original, across)
w = np.random.default_rng(0).normal(size=(3, 3))
for _ in range(1000):
    y = convolution(original, w)
    w -= 0.01 * filter_gradient(w, original, y - target)
print("学習したフィルタ:")
print(np.array2string(w, precision=2, suppress_small=True))
print("もとのフィルタ:")
print(across)

# %% [markdown]
# ## 5. プーリング
#
# 特徴マップを半分に縮めます。2×2 の中でいちばん強い反応だけを残すのが**最大値プーリング** (max pooling) です。1 画素くらい
# ずれても、同じ組の中なら、結果は変わりません。

# %%
mg.exercise("7-5")


# %%
def max_pool(x):
    height, width = x.shape
    return x.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3))


mg.exercise("7-5").check(max_pool)

# %% [markdown]
# ## 6. 畳み込みネットワーク
#
# 畳み込み、ReLU、プーリングを 2 回重ねます。最後は、チャネルごとに平均して（どこにあったかを忘れて）、1 つの線形層で
# 答えます。


# %%
def convolutional(width=12):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )


mg.manual_seed(0)
model = convolutional()
learn(model)
print(model.summary((1, 1, 16, 16)))

# %%
of_model = [mg.training.evaluate(model, shifted(test, k)).metric for k in shifts]
figure, axes = figures.subplots(size=(5.6, 3))
axes.plot(shifts, of_dense, "o-", label="全結合")
axes.plot(shifts, of_model, "o-", label="畳み込み")
axes.set(xlabel="右にずらした画素数", ylabel="評価データの正解率", ylim=(0, 1.02))
axes.legend()
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 重みの数は全結合とあまり変わらないのに、ずれに強くなりました。学習したときに、ずれた絵は 1 枚も見ていません。
#
# ## 7. どこまで見えているか: 受容野
#
# 出力の 1 画素に見える入力の範囲を、**受容野** (receptive field) といいます。

# %%
mg.exercise("7-6")

# %%
mg.exercise("7-6").check([7, 27 / 49])

# %%
for name, field in mg.viz.receptive_fields(model[:11]).items():
    if isinstance(model[int(name)], nn.Conv2d | nn.MaxPool2d):
        print(f"{type(model[int(name)]).__name__:9} まで: {field.size[0]}×{field.size[1]} 画素")

# %% [markdown]
# 深い層ほど、広い範囲を見ています。浅い層は線や縁、深い層は数字の部分を受け持ちます。
#
# 畳み込みを重ねるネットワークは、2014 年から 2015 年に、次の 3 つの考え方で深くなりました。
#
# | 名前 | 考え方 | 層 |
# | --- | --- | --- |
# | **VGG** | 3×3 だけを重ねる（演習 7-6） | 16〜19 |
# | **GoogLeNet** | 1×1、3×3、5×5 を並べ、結果をつなぐ。1×1 でチャネルを減らしてから重い計算をする | 22 |
# | **ResNet** | スキップ接続（第 6 章） | 50〜152 |
#
# どれも `nn.models` にあります。手書き数字に合わせて小さくしたものの、重みの数を比べましょう。

# %%
networks = {
    "VGG": nn.models.vgg11_bn(num_classes=10, in_channels=1, width=8, pooled=1),
    "GoogLeNet": nn.models.GoogLeNet(num_classes=10, in_channels=1, width=8, aux_logits=False),
    "ResNet": nn.models.resnet_small(14, num_classes=10, in_channels=1, width=8),
}
for name, network in networks.items():
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    count = sum(p.numel() for p in network.parameters())
    print(f"{name:10} 畳み込み {len(convolutions):2} 層、重み {count:8,} 個")

# %% [markdown]
# ## 8. データ拡張
#
# 数字を少し回したり、ずらしたりしても、同じ数字です。それなら、学習のたびに少しずつ変えた絵を見せれば、データが増えたのと
# 同じことになります。**データ拡張** (data augmentation) です。

# %%
augmentation = T.Compose([T.RandomRotation(10), T.RandomTranslate(2)])
pictures = [augmentation(images[5:6], generator=k)[0, 0].numpy() for k in range(8)]
figure, axes = figures.subplots(1, 8, size=(10, 1.5))
figures.show_images(axes, pictures)
figure

# %%
mg.manual_seed(0)
augmented = convolutional()
learn(augmented, transform=augmentation)
of_augmented = [mg.training.evaluate(augmented, shifted(test, k)).metric for k in shifts]
for k in (0, 2, 4):
    print(f"右に {k} 画素: 拡張なし {of_model[4 + k]:.1%}、拡張あり {of_augmented[4 + k]:.1%}")

# %% [markdown]
# ## 9. アンサンブル
#
# 違う重みから始めたネットワークは、違うところを間違えます。何人かの答えを合わせれば、1 人よりよくなります。**アンサンブル
# 学習** (ensemble) です。

# %%
mg.exercise("7-7")


# %%
def ensemble(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = e / e.sum(axis=-1, keepdims=True)
    return probabilities.mean(axis=0).argmax(axis=-1)


mg.exercise("7-7").check(ensemble)

# %%
members = [augmented]
for seed in (1, 2):
    mg.manual_seed(seed)
    members.append(convolutional())
    learn(members[-1], transform=augmentation, seed=seed)

x, t = test[:]
with mg.no_grad():
    logits = np.stack([member.eval()(x).numpy() for member in members])
for k, member in enumerate(logits):
    print(f"{k + 1} 人め: {(member.argmax(-1) == t.numpy()).mean():.1%}")
print(f"3 人で: {(ensemble(logits) == t.numpy()).mean():.1%}")

# %% [markdown]
# ## 10. 中を覗く
#
# ネットワークは、絵のどこを見て答えたのでしょうか。**Grad-CAM** は、最後の特徴マップのうち、答えのロジットを大きくした
# ところを塗ります。使うのは、やはり逆伝播で求めた勾配です。

# %%
chosen = x[:6]
heat = mg.viz.grad_cam(augmented, chosen, "10").numpy()
figure, axes = figures.subplots(2, 6, size=(9, 3.2))
figures.show_images(axes[0], chosen[:, 0].numpy(), [f"{int(label)}" for label in t[:6].numpy()])
figures.show_images(axes[1], heat)
figure

# %%
mg.viz.misread(augmented, test)

# %% [markdown]
# ## まとめ
#
# - 畳み込みは、小さなフィルタを、画像のどこでも同じ重みで使う。重みは少なく、ずれに強い。
# - フィルタの勾配は、すべての場所の和。それもまた畳み込みになる。
# - プーリングで縮め、重ねるほど、広い範囲が見える。3×3 を重ねれば、大きなフィルタの代わりになる。
# - データ拡張は、変わってはいけないものをデータで教える。アンサンブルは、違う間違いを打ち消し合う。
#
# 次の章では、ここまでの計算を速くします。
