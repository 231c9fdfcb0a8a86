"""りんごの買い物を計算グラフにする（斎藤『ゼロから作る Deep Learning』5 章の例）。

1 個 100 円のりんごを 2 個買い、10 % の消費税を払う。支払いは 220 円。
りんごが 1 円上がると支払いは 2.2 円、個数が 1 増えると 110 円、税率が 1 増えると 200 円増える。

    python demos/apple.py [保存先.svg]
"""

from pathlib import Path

import command

import micrograd_jp as mg

FIGURE = Path(__file__).parent / "figures" / "apple.svg"


def shopping() -> mg.Value:
    """支払い金額の計算グラフ。勾配まで求めて返す。"""
    apple = mg.Value(100, label="りんご")
    count = mg.Value(2, label="個数")
    tax = mg.Value(1.1, label="消費税")
    subtotal = apple * count
    subtotal.label = "小計"
    payment = subtotal * tax
    payment.label = "支払い"
    payment.backward()
    return payment


if __name__ == "__main__":
    command.save(mg.draw(shopping(), style="textbook"), command.destination(__doc__, FIGURE))
