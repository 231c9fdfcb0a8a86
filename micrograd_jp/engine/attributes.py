"""属性の書き間違い: `v.gard = 0` は覚え書きにせず、断る。

`Value` には好きな名前の属性を置ける (`p.m = 0.0`)。だから書き間違えた代入は、黙って何もしない
属性になってしまう。よくある間違いだけは名前を決めて断り、ほかの名前には何の手間もかけない。
"""

from __future__ import annotations

from typing import Any, NoReturn

# What a slip of the fingers makes of the names that are assigned to.
SLIPS = {
    "grad": "gard grd grads gradient",
    "data": "dat deta datas value",
    "label": "lable lavel labels",
}


class Refused:
    """代入できない名前。読むと `value`、それがなければ、ない属性のエラー。"""

    def __init__(self, advice: str, *value: Any) -> None:
        self.advice, self.value = advice, value
        self.__doc__ = f"代入できない。{advice}"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, v: Any, owner: type) -> Any:
        if self.value:
            return self.value[0]
        if v is None:  # asked of the class: tools look at everything that dir names
            return self
        text = f"{owner.__name__!r} object has no attribute {self.name!r}"
        raise AttributeError(text, name=self.name, obj=v)

    def __set__(self, v: Any, x: Any) -> NoReturn:
        raise AttributeError(
            f"v.{self.name} には代入できません (not an attribute of Value): {self.advice}",
            name=self.name,
            obj=v,
        )


class Attributes:
    """`Value` の、代入を断る名前。"""

    __slots__ = ()

    requires_grad = Refused(
        "Value はいつも勾配を求めます。止めるには v.detach() か with mg.no_grad(): を使います。",
        True,
    )
    _backward = Refused(
        "逆伝播は演算の宣言から決まり、この関数は呼ばれません。新しい公式は、v.exp() や a * b の"
        "ような演算を組み合わせて書いてください。"
    )

    def __dir__(self) -> list[str]:
        slips = " ".join(SLIPS.values()).split()
        return [name for name in object.__dir__(self) if name not in slips]


for _name, _slips in SLIPS.items():
    for _slip in _slips.split():
        _refused = Refused(f"v.{_name} の書き間違いではありませんか。")
        setattr(Attributes, _slip, _refused)
        _refused.__set_name__(Attributes, _slip)
