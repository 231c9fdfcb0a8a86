"""基本演算 (primitives) の宣言。表をすべてここで読むので、誰が尋ねても、登録は揃っている。"""

# isort: off
from micrograd_jp.ops import elementwise as elementwise, lists as lists
from micrograd_jp.ops import arrays as arrays, linalg as linalg, decompositions as decompositions
from micrograd_jp.ops import conv as conv, pool as pool, norm as norm, loss as loss
from micrograd_jp.ops import recurrent as recurrent, complex as complex
