"""フック (hook): 持ち主の仕事のたびに呼ばれる、利用者の関数。"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from micrograd_jp.locks import Lock

_numbers = count()
_hanging = Lock()


class HookHandle:
    """取り付けたフック (hook)。`remove()` で外れる。

    持ち主の属性 `place` に、{番号: 関数} の dict として置かれる。フックがなければ、その属性もない。
    """

    def __init__(
        self, owner: Any, place: str, hook: Callable[..., Any], prepend: bool = False
    ) -> None:
        self._owner, self._place, self._key = owner, place, next(_numbers)
        mine = {self._key: hook}
        with _hanging:
            others = vars(owner).get(place, {})  # whoever calls them now goes on with these
            vars(owner)[place] = {**mine, **others} if prepend else {**others, **mine}

    def remove(self) -> None:
        """取り外す。2 度呼んでもよい。"""
        with _hanging:
            hooks = vars(self._owner).get(self._place, {})
            hooks.pop(self._key, None)
            if not hooks:
                vars(self._owner).pop(self._place, None)
