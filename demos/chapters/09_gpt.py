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
# # 第 9 章 GPT を 1 つ 1 つの数で
#
# 文章を書く AI の中心にあるのは、**次の 1 文字を当てる**という、ただ 1 つの問題です。この章では、町名を
# 200 個だけ読んで、どこにもない、けれどありそうな町名を作る小さな GPT (generative pre-trained transformer)
# を書きます。行列も配列も使いません。第 4 章の `mg.Value` の、足し算とかけ算だけで書き、最後に、同じ
# プログラムを 1 行で速くします。
#
# - 読むのに必要なもの: 第 4 章（連鎖律）と、第 5 章（ソフトマックス関数、交差エントロピー誤差）
# - 時間: 60 分ほど（演習 8 問）

# %%
try:
    import micrograd_jp as mg
except ModuleNotFoundError:
    # %pip install -q "micrograd_jp[viz,data]"
    import micrograd_jp as mg

import time

import numpy as np

from micrograd_jp import optim
from micrograd_jp.viz import figures

# %% [markdown]
# ## 1. 文字を番号にする
#
# 日本郵便の郵便番号データから無作為に選んだ、3〜5 文字の町名の読みです。

# %%
TOWNS = """
あいば あけし あさばたけ あしだに あとえ いがみ いくし いくな いくらの いしおろし いしが いしと いしもと いちばだい いのしま
いまなか いもごや いろうざき いわやさわ うちみ うどの うのいけ うまがみ うまき うらわ うるしじょ えいのまる えじり おいがわ おうみしん
おおあと おおつき おおら おかまえ おきのす おくせきや おざきやま おしおまち おだま おところ おどの おはらた おばまたが おまえだ かざし
かしん かたうら かたばた かとり かない かないけ かみあち かみおうぎ かみたるき かみとみい かやたいら かりま かわもり きたおおい
きたかしわ きたこが きたまつど きなか きょうやま きよはし きわたはた ぎおんまち くきなが くやままち くらがさき くらだ くらば くるみの
くろかわ けさお こいさご こうすいじ こうちだい こぎた こくえい こしごえ こちよ こふなこし こまわたり ごはち さいのはら さかいまつ
さかまた さがた さきやま ささがわろ ささみち さだみつ さみた さらしな ざいじ しおばみ したぎり しまなみ しもい しもかのう しもごや
しもひがの しょうがの しょうだい しらおがわ しんさわ しんざく しんとく しんなかの しんふご しんまん じょうしん すがちょう すがや
すぎないけ すぎのすえ すなごだに すみえまち するがまち せいし せきもと たおばる たかおり たかにし たきのまえ たきもと たけし たのしり
たるもと だいふく ちよのうら つかばる つがるいし つしまなか つちざか つちやま とうのはら とおひがし ともすぎ どどまち なかはこい
ながふち ななさと なみきだい なりひら なるとう なわじ なんせい にしかくま にししかた にしつが にしのさと にしはる にしひかさ のだごう
のとの はまがわ はらら ばしょう ひがしなら ひじまち ひだか ひらさく ひらばら ひろなだ ふくさだ ふこの ふじえまち ふじまき ふじまつ
ふたしか ふたじま ふるいしば ふるえだ まついり まるいど みかわじり みさきの みなみまた みのがいと みはら みまきはら もちばる
もものいち もりなが やえしま やおぎきた やすえ やなぎばし やましろ やまはな ようが よなばり らいざん るすつ ろくごう わかさまち
わかたまち わたまえ
"""
towns = TOWNS.split()
characters = ["・", *sorted(set("".join(towns)))]
print(f"町名 {len(towns)} 個、文字 {len(characters)} 種類")
print("".join(characters))

# %% [markdown]
# 文字には、並べた順に番号をつけます。番号 0 の「・」は、町名の境目です。学習の問題は、「ここまで読んで、
# 次は何か」です。1 つの町名から、その長さより 1 つ多い問題ができます。

# %%
mg.exercise("9-1")


# %%
def pairs(numbers):
    return [0, *numbers], [*numbers, 0]


mg.exercise("9-1").check(pairs)


# %%
def numbers_of(town):
    return [characters.index(c) for c in town]


now, following = pairs(numbers_of("あけし"))
for a, b in zip(now, following, strict=True):
    print(f"{characters[a]} ({a}) の次は {characters[b]} ({b})")

# %% [markdown]
# ## 2. 番号を数の列にする
#
# 番号の大きさに意味はありません。18 番が 9 番の 2 倍あるわけではないのです。そこで、**文字ごとに 8 個の数**を
# 用意し、その列で文字を表します。これを**埋め込み** (embedding) といいます。8 個の数は、ほかの重みと同じ
# ように学習で決めます。似た使われ方をする文字は、似た列になっていきます。
#
# 同じ「し」でも、はじめの「し」と終わりの「し」では、次に来る文字が違います。そこで、**場所**（何文字目か）の
# 列も 8 個ずつ用意して、足します。

# %%
rng = np.random.default_rng(0)
WIDTH = 8  # 1 文字を表す数の個数


def matrix(rows, columns):
    return [[mg.Value(rng.normal(0, 0.1)) for _ in range(columns)] for _ in range(rows)]


of_character = matrix(len(characters), WIDTH)
of_position = matrix(max(map(len, towns)) + 1, WIDTH)


def added(x, y):
    return [a + b for a, b in zip(x, y, strict=True)]


x = added(mg.take(of_character, now[1]), mg.take(of_position, 1))  # 1 文字目の「あ」
print([round(a.data, 2) for a in x])

# %% [markdown]
# `mg.take(並び, 番号)` は、`並び[番号]` と同じものを選びます。第 7 節でコンパイルするときに、番号が町名ごとに
# 違ってもよいように、こう書いておきます。
#
# ## 3. アテンション: どの文字を見るか
#
# 次の文字を当てるには、今の文字だけでは足りません。「ま」の次には「ち」がよく来ますが、1 つ前が「や」なら、「やま」で
# 終わることも多いのです。**前の文字のうち、どれを、どれだけ見るか**を、その場で決めるのが
# **アテンション** (attention, 注意機構) です。
#
# どの文字も、自分の列から 3 種類の列を作ります。
#
# - **クエリ** (query) $q$: 何を探しているか
# - **キー** (key) $k$: 何を持っているか
# - **バリュー** (value) $v$: 見られたら渡すもの
#
# 3 つの文字で、手で計算してみましょう。数は 2 個ずつです。今、3 文字目を読んでいて、そのクエリが
# $q = (2, 0)$ だとします。

# %%
q = np.array([2.0, 0.0])
K = np.array([[2.0, 1.0], [0.0, 2.0], [1.0, 0.0]])  # 1、2、3 文字目のキー
V = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # 同じく、バリュー
print("内積 q·k:", K @ q)

# %% [markdown]
# 内積 $q \cdot k$ は、2 つの列の向きが揃っているほど大きくなります。1 文字目が 4、2 文字目が 0、
# 3 文字目（自分）が 2。これを $\sqrt d$（$d$ は列の数の個数、ここでは 2）で割り、ソフトマックス関数で、
# 正で和が 1 の**アテンションの重み**にします。
#
# $$a_j = \mathrm{softmax}_j\!\left(\frac{q \cdot k_j}{\sqrt d}\right)$$

# %%
mg.exercise("9-2")


# %%
def attention_weights(q, K):
    s = K @ q / np.sqrt(len(q))
    e = np.exp(s - s.max())
    return e / e.sum()


mg.exercise("9-2").check(attention_weights)

# %%
attention_weights(q, K).round(3)

# %% [markdown]
# 1 文字目を 8 割、自分を 2 割ほど見ています。この重みで、バリューを平均します。
#
# $$y = \sum_j a_j v_j$$

# %%
mg.exercise("9-3")


# %%
def attend(q, K, V):
    return attention_weights(q, K) @ V


mg.exercise("9-3").check(attend)

# %%
attend(q, K, V).round(3)

# %% [markdown]
# もし「いちばん合うものを 1 つ選ぶ」なら、重みは 0 か 1 で、少し動かしても何も変わらず、勾配が 0 になって学習
# できません。**少しずつ混ぜる**から、微分できます。
#
# 1 文字目と 2 文字目も、同じように自分のクエリで前を見ます。ただし、**自分より後ろは見ません**。次の文字を
# 当てる問題なのに、答えが見えてしまうからです（**因果的**, causal）。

# %%
Q = np.array([[1.0, 1.0], [0.0, 2.0], q])  # 1、2、3 文字目のクエリ
table = np.zeros((3, 3))
for i in range(3):
    table[i, : i + 1] = attention_weights(Q[i], K[: i + 1])
table.round(3)

# %%
mg.exercise("9-4")

# %%
mg.exercise("9-4").check(1 + 2 + 3 + 4 + 5)

# %% [markdown]
# アテンションも、足し算、かけ算、指数関数をつないだだけの計算グラフです。2 つの文字の、いちばん小さなアテンション
# を描いて、逆伝播してみましょう。

# %%
q1, q2 = mg.Value(2.0, label="q₁"), mg.Value(0.0, label="q₂")
keys = [[mg.Value(2.0), mg.Value(1.0)], [mg.Value(1.0), mg.Value(0.0)]]
values = [mg.Value(1.0, label="v₁"), mg.Value(-1.0, label="v₂")]
weights = mg.softmax([mg.dot([q1, q2], k) / 2**0.5 for k in keys])
y = mg.dot(weights, values)
weights[0].label, weights[1].label, y.label = "a₁", "a₂", "y"
y.backward()
mg.draw(y)

# %% [markdown]
# どの順に計算しているのかは、再生すると分かります。

# %%
mg.play(y)

# %% [markdown]
# バリュー $v_1$、$v_2$ の勾配が、重み $a_1$、$a_2$ と同じ数になっています。

# %%
mg.exercise("9-5")


# %%
def value_gradient(V, q, K, g):
    return np.outer(attention_weights(q, K), g)


mg.exercise("9-5").check(value_gradient)

# %% [markdown]
# クエリの勾配は「どちらのキーに近づけば $y$ が増えるか」です。**見るべきものを見るように、クエリとキーが
# 直されていきます。** どこを見ろとは、誰も教えていません。
#
# ## 4. そのほかの部品
#
# アテンションは文字と文字の間の計算でした。残りは、文字ごとの計算です。
#
# **全結合** (linear): $Wx$。行ごとの内積です。クエリ、キー、バリューも、これで作ります。


# %%
def linear(W, x):
    return [sum(w * a for w, a in zip(row, x, strict=True)) for row in W]


# %% [markdown]
# **RMSNorm**: 数の列の大きさを揃えます。揃えないと、層を通るたびに、数が大きくなったり小さくなったりします
# （第 6 章）。

# %%
mg.exercise("9-6")

# %%
mg.exercise("9-6").check(lambda x: x / np.sqrt((x**2).mean()))


# %%
def rms_norm(x):
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5  # 1e-5: 0 で割らない
    return [a * scale for a in x]


print([round(a.data, 2) for a in rms_norm(x)])

# %% [markdown]
# **MLP** (multi-layer perceptron): 第 5 章の 2 層のネットワークです。間を 4 倍に広げて、活性化関数をかけ、元の
# 8 個に戻します。
#
# **スキップ接続** (skip connection): アテンションも MLP も、結果を元の列に**足します**。$y = x + f(x)$ なら、
# $\partial y/\partial x = 1 + f'(x)$。$f$ が何であっても、勾配はいつも 1 の道を通って戻れます。
#
# ## 5. 全部をつなぐ

# %%
query, key, value, output = (matrix(WIDTH, WIDTH) for _ in range(4))
up, down = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
head = matrix(len(characters), WIDTH)


def attention(q, keys, values):
    """アテンションの重みと、それによるバリューの平均。"""
    dots = [sum(a * b for a, b in zip(q, k, strict=True)) for k in keys]
    weights = mg.softmax([s / len(q) ** 0.5 for s in dots])
    mixed = [sum(a * v[i] for a, v in zip(weights, values, strict=True)) for i in range(len(q))]
    return weights, mixed


def gpt(character, position, keys, values, seen):
    """次の文字のロジット。これまでの keys、values、アテンションの重み seen に、今の分を足す。"""
    x = rms_norm(added(mg.take(of_character, character), mg.take(of_position, position)))
    # 文字と文字の間: アテンション
    h = rms_norm(x)
    keys.append(linear(key, h))
    values.append(linear(value, h))
    weights, mixed = attention(linear(query, h), keys, values)
    seen.append(weights)
    x = added(x, linear(output, mixed))
    # 文字ごと: MLP
    hidden = [a.relu() ** 2 for a in linear(up, rms_norm(x))]
    x = added(x, linear(down, hidden))
    return linear(head, x)


# %% [markdown]
# これが GPT の全部です。後ろの文字は、まだ `keys` に入っていないので、見ようがありません。活性化関数には、ReLU の
# 2 乗を使いました。大きな GPT とのおもな違いは、数の個数と、次の 3 つです: 文字の代わりに、よく出てくる文字のかたまり
# （トークン, token）に番号をつけること。アテンションをいくつも並べること（ヘッド, head）。層を何十も重ねること。
#
# 損失は、どの場所でも、次の文字の交差エントロピー誤差です。1 文字あたりの平均にします。


# %%
def loss_of(now, following):
    keys, values, seen, total = [], [], [], 0.0
    for position, (character, target) in enumerate(zip(now, following, strict=True)):
        logits = gpt(character, position, keys, values, seen)
        total = total + mg.cross_entropy(logits, target)
    return total / len(now)


mg.exercise("9-7")

# %%
mg.exercise("9-7").check(np.log(45))

# %%
loss = loss_of(*pairs(numbers_of("あけし")))
nodes = len(mg.graph.node.topological_order(loss))
print(f"損失 {loss.data:.2f}（log {len(characters)} = {np.log(len(characters)):.2f}）")
print(f"3 文字の町名 1 つの計算グラフ: {nodes:,} 個のノード")

# %% [markdown]
# 損失は log 45 に近い値です。まだ何も知らないので、どの文字もほぼ同じ確率だと思っています。
#
# ## 6. 1 つ 1 つの数のまま学習する
#
# 勾配は、第 4 章と同じ `backward()` で求まります。勾配を使って重みを少しずつ変える方法には、Adam を使います。
# 町名を 1 つずつ、30 個見せます。

# %%
weights = [of_character, of_position, query, key, value, output, up, down, head]
parameters = [w for W in weights for row in W for w in row]
optimizer = optim.Adam(parameters, lr=0.01)
shuffled = np.random.default_rng(0).permutation(towns).tolist()

eager = []
started = time.perf_counter()
for town in shuffled[:30]:
    loss = loss_of(*pairs(numbers_of(town)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    eager.append(loss.data)
eager_time = (time.perf_counter() - started) / len(eager)
print(f"パラメータ {len(parameters):,} 個")
first, last = np.mean(eager[:5]), np.mean(eager[-5:])
print(f"損失: はじめの 5 個の平均 {first:.2f} → 終わりの 5 個の平均 {last:.2f}")
print(f"町名 1 つに {eager_time * 1000:.0f} ミリ秒")

# %% [markdown]
# 損失は下がりはじめました。でも、200 個の町名を、100 回ずつは見せたいのです。これでは待ちきれません。
#
# ## 7. 同じプログラムを、行列で
#
# 10,000 個を超えるノードは、でたらめに並んでいるのではありません。`linear` は、行列とベクトルの積
# でした。`@mg.compile` は、関数を 1 度だけ動かして計算グラフを記録し、**その中から行列を見つけ**、配列の
# プログラムに書き直します。`loss_of` は 1 字も変えません。

# %%
compiled = mg.compile(loss_of)


def batch_of(same):
    """長さの同じ町名の、今の文字と次の文字の番号。どちらも（町名の数, 長さ + 1）の配列。"""
    both = [pairs(numbers_of(town)) for town in same]
    return np.array([now for now, _ in both]), np.array([following for _, following in both])


by_length = {n: [town for town in towns if len(town) == n] for n in (3, 4, 5)}
print({n: len(same) for n, same in by_length.items()})
compiled(*batch_of(by_length[5]))  # いちばん長い町名。どの場所の列も使う

for line in str(compiled.program).splitlines():
    if "W" in line or "exp" in line:
        print(line)

# %% [markdown]
# $W_1$ は埋め込み、8→24 はクエリとキーとバリュー（8 行ずつを 1 つの行列に）、exp はソフトマックス関数、
# 8→8 はアテンションの出力、8→32 と 32→8 は MLP、最後の 8→45 は次の文字のロジットです。「6 か所で」は、境目も入れた
# 6 文字が同じ行列を使うこと。**ばらばらの数で書いたプログラムから、GPT の設計図が出てきました。**

# %%
print(compiled.explain())

# %% [markdown]
# 配列のプログラムは、長さの同じ町名を 1 度にまとめて計算できます。**ミニバッチ**（第 5 章）です。長さの違う
# 町名は、長さごとに記録されます。パラメータは、さきほどの続きからです。

# %%
optimizer = optim.Adam(compiled.parameters(), lr=0.02, betas=(0.9, 0.99))
STEPS = 600
schedule = optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=STEPS)
batches = {n: batch_of(same) for n, same in by_length.items()}
chooser = np.random.default_rng(0)
share = [len(same) / len(towns) for same in by_length.values()]

curve, times = [], []
for _ in range(STEPS):
    now, following = batches[chooser.choice([*batches], p=share)]
    chosen = chooser.choice(len(now), 32, replace=False)
    started = time.perf_counter()
    loss = compiled(now[chosen], following[chosen]).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    times.append((time.perf_counter() - started) / len(chosen))
    curve.append(loss.item())

compiled_time, last = np.median(times), np.mean(curve[-50:])
print(f"町名 1 つに {compiled_time * 1e6:.0f} マイクロ秒。", end="")
print(f"1 つ 1 つの数のままより {eager_time / compiled_time:,.0f} 倍速い")
print(f"損失: {curve[0]:.2f} → 終わりの 50 回の平均 {last:.2f}")
print(f"正解の文字の確率: 1/{np.exp(curve[0]):.0f} → 1/{np.exp(last):.0f}")

# %%
figure, axes = figures.subplots(size=(6, 3.2))
axes.plot(curve, linewidth=1, label="GPT")
axes.axhline(np.log(len(characters)), color="gray", linestyle=":", label="どの文字も同じ確率")
axes.set(xlabel="更新の回数", ylabel="1 文字あたりの損失", ylim=(0, 4.2))
axes.legend()
axes.grid(alpha=0.3)
figure

# %% [markdown]
# 損失 $L$ は、正解の文字につけた確率に直すと $e^{-L}$ です。でたらめなら 1/45 ですから、ずいぶん絞り込めています。
# 次の文字は、いつも 1 つに決まるわけではないので、損失は 0 にはなりません。
#
# ## 8. 町名を作る
#
# 境目「・」から始めて、次の文字の確率で 1 文字を選び、それを読ませて、また次を選びます。境目が出たら
# 終わりです。選ぶ前に、ロジットを**温度** (temperature) $T$ で割って、冒険の度合いを変えられます。

# %%
mg.exercise("9-8")


# %%
def with_temperature(z, T):
    e = np.exp((z - z.max()) / T)
    return e / e.sum()


mg.exercise("9-8").check(with_temperature)


# %%
def make(rng, temperature):
    character, town = 0, ""
    keys, values, seen = [], [], []
    with mg.no_grad():  # 勾配は要らない
        for position in range(len(of_position)):
            logits = np.array([z.data for z in gpt(character, position, keys, values, seen)])
            p = with_temperature(logits, temperature)
            character = int(rng.choice(len(characters), p=p))
            if character == 0:
                break
            town += characters[character]
    return town


for temperature in (0.3, 0.8, 1.5):
    rng = np.random.default_rng(0)
    made = [make(rng, temperature) for _ in range(10)]
    known = sum(town in towns for town in made)
    print(f"T = {temperature}: {' '.join(made)}（{known} 個は手本にある）")

# %% [markdown]
# 学習したパラメータは、はじめに作った `Value` に入っているので、`gpt` をそのまま動かせます。温度が低いと、ありそうな
# 文字ばかりが選ばれ、高いと、読みにくい町名が混ざります。
#
# ## 9. どこを見ているか
#
# 町名を読んでいるときのアテンションの重みを描きます。横 1 行が、今の文字がどの文字を見ているかです。


# %%
def attention_of(town):
    keys, values, seen = [], [], []
    with mg.no_grad():
        for position, character in enumerate([0, *numbers_of(town)]):
            gpt(character, position, keys, values, seen)
    table = np.zeros((len(seen), len(seen)))
    for i, row in enumerate(seen):
        table[i, : i + 1] = [a.data for a in row]
    return table


figure, axes = figures.subplots(1, 3, size=(11, 3.6))
for each, town in zip(axes, ("ふじまつ", "きたかしわ", "しんなかの"), strict=True):
    image = each.imshow(attention_of(town), cmap="Blues", vmin=0, vmax=1)
    letters = ["・", *town]
    each.set_xticks(range(len(letters)), letters)
    each.set_yticks(range(len(letters)), letters)
    each.set_xlabel("見ている文字")
    each.set_ylabel("今の文字", labelpad=8)
figure.colorbar(image, ax=axes, label="アテンションの重み")
figure

# %% [markdown]
# どの行も和は 1 で、右上（未来）は 0 です。1 つ前の文字を見る行もあれば、2 つ以上前の文字や、はじめの「・」を見る行も
# あります。何を見るかは、文字と場所から、その場で決まります。
#
# ## まとめ
#
# - 言語モデルは、次の 1 文字を当てる。損失は交差エントロピー誤差。
# - アテンションは、クエリとキーの内積で重みを決め、バリューを平均する。未来は見ない。
# - GPT は、埋め込み、アテンション、MLP を、RMSNorm とスキップ接続でつないだもの。全部が、足し算とかけ算の計算
#   グラフなので、勾配は `backward()` だけで求まる。
# - 1 つ 1 つの数で書いても、行列は見つけられる。
#
# もっと大きなもの（町名 4,000 個、百人一首の暗記）は `demos/microgpt.py` にあります。次の章では、演算そのものを自分で
# 作ります。その微分が正しいことは、どうすれば確かめられるでしょうか。
