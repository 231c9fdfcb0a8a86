"""公開する名前 (public names): `mg.名前` が、どのモジュールのものか。

名前を加えたら `python -m micrograd_jp.stub` を実行する（エディタが読む `__init__.pyi` を書く）。
"""

from __future__ import annotations

MODULES = (
    "amp", "autograd", "compiler", "data", "distributed", "distributions", "engine", "functions",
    "graph", "namespace", "native", "nn", "ops", "optim", "saving", "testing", "training",
    "transforms", "utils", "viz", "xla",
)  # fmt: skip
"""`mg.nn` のように、モジュールそのもの。"""

WHOLE = ("functions", "tensor.creation", "tensor.generator", "tensor.random", "nn.losses.elements")
"""`__all__` のすべてが公開されるモジュール。名前はこの順に探される。"""

_SINGLE = {
    "compiler": "compile",
    "engine": "Value",
    "exercises": "exercise",
    "graph": "AnomalyError detect_anomaly enable_grad inference_mode is_grad_enabled no_grad"
    " set_grad_enabled",
    "nn.functional": "adaptive_avg_pool1d alpha_dropout avg_pool1d bilinear celu channel_shuffle"
    " conv1d conv2d conv3d conv_transpose1d conv_transpose2d cosine_similarity dropout group_norm"
    " hardshrink layer_norm max_pool1d max_pool2d max_pool3d pairwise_distance pdist"
    " pixel_shuffle pixel_unshuffle prelu rms_norm rrelu selu threshold",
    "saving": "LoadError load save",
    "tensor": "Tensor fft linalg tensor",
    "tensor.accelerators": "accelerator backends cuda",
    "tensor.autocast": "autocast",
    "tensor.constants": "Size can_cast dtype e finfo iinfo inf nan newaxis numel pi promote_types"
    " result_type",
    "tensor.devices": "device",
    "tensor.dtypes": "bfloat16 bool_ cdouble cfloat complex64 complex128 double float_ float16"
    " float32 float64 get_default_dtype half int_ int8 int16 int32 int64 long set_default_dtype"
    " short uint8",
    "training": "History fit",
    "transforms": "grad hessian hvp jacobian jvp value_and_grad vjp",
    "viz": "Drawing draw draw_dot explain play",
    "xla": "jit",
}

# What has the name of one of Python's own is called int_ at its place.
SINGLE = {name.rstrip("_"): (where, name) for where in _SINGLE for name in _SINGLE[where].split()}
"""1 つ 1 つ公開される名前から、そのモジュールと、そこでの名前へ。"""

EXTRA = ("bfloat16",)
"""追加の依存が要る名前。`import *` と `dir` には含めない。"""
