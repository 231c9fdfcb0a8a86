"""モジュールの名前 (`mg.func`、`mg.utils.checkpoint` など) と、torchvision のデータと変換の行。"""

_QUANTIZED = (
    "量子化 (quantization) はありません: 2 値のネットワークは mg.nn.BinaryLinear にあります。"
)
_STAMPED = "時間は time.perf_counter()、どこが遅いかは cProfile で測ってください。"

MODULES: dict[str, dict[str, str]] = {
    "mg": {
        "func": "mg.grad、mg.vjp、mg.jvp、mg.jacobian、mg.hessian にあります。",
        "special": "mg.erf、mg.sigmoid、mg.logsumexp などは、そのまま mg にあります。",
        "functional": "mg と mg.nn.functional にあります。",
        "random": "mg.manual_seed、mg.get_rng_state、mg.set_rng_state にあります。",
        "hub": "モデルは mg.nn.models にあり、重みは mg.load で読みます。",
        "onnx": "ONNX へは書き出せません: 重みは mg.save で .safetensors に書けます。",
        "serialization": "mg.save と mg.load にあります。",
        "profiler|monitor": _STAMPED,
        "nested|masked": "長さの違う並びは mg.nn.utils.rnn.pad_sequence で揃えてください。",
        "quantization": _QUANTIZED,
        "multiprocessing|futures":
            "Python の multiprocessing を使ってください。学習を分けるのは mg.distributed です。",
        "library|overrides|classes": "自分の演算は mg.autograd.Function で書いてください。",
        "version|torch_version": "mg.__version__ と書いてください。",
        "signal|quasirandom": "scipy.signal、scipy.stats.qmc を使ってください（勾配なし）。",
        "cpu|mps": 'x.to("cpu") のように、置く場所を書いてください。',
        "package": "mg.save と mg.load を使ってください。",
    },
    "nn": {
        "attention": "mg.nn.functional.scaled_dot_product_attention を使ってください。",
        "intrinsic|qat|quantizable": _QUANTIZED,
        "parameter": "mg.nn.Parameter にあります。",
    },
    "nn.utils": {"prune": "with mg.no_grad(): の中で w *= mask と書いてください。"},
    "utils": {
        "checkpoint":
            "途中の値の計算し直しはありません: ミニバッチを小さくし、mg.fit(…, accumulate=k) で"
            "勾配を足してください。",
        "tensorboard": "mg.fit の返す history の history.plot() で描いてください。",
        "benchmark|bottleneck": _STAMPED,
        "flop_counter": "積和の数は model.summary(入力の形) に出ます。",
        "model_zoo": "モデルは mg.nn.models にあり、重みは mg.load で読みます。",
        "dlpack": "np.from_dlpack と t.numpy() を使ってください。",
    },
    "testing": {
        "assert_(close|allclose)":
            "np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5) と書いてください。",
        "make_tensor": "mg.randn(形) と書いてください。",
    },
    "distribution": {
        "icdf": "scipy.stats.norm.ppf(p) * σ + μ と書いてください（勾配なし）。",
        "cdf": "cdf は mg.distributions.Normal にあります。",
        "perplexity": "d.entropy().exp() と書いてください。",
        "sample_n": "d.sample((n,)) と書いてください。",
        "expand": "パラメータを mg.broadcast_to で広げてから、分布を作ってください。",
        "enumerate_support": "mg.arange(クラスの数) と書いてください。",
    },
    "nn.models": {
        r"(alexnet|densenet|efficientnet|mobilenet|convnext|vit|swin|squeezenet|inception|regnet|"
        r"resnext|wide_resnet|mnasnet|shufflenet)\w*|\w+_Weights|get_\w+|list_models":
            "ここにあるのは LeNet、DeepConvNet、VGG、GoogLeNet、ResNet です。ほかは mg.nn の層で"
            "書き、重みは mg.load で読んでください。",
    },
    "distributed": {
        r"(all_)?gather\w*|scatter\w*|reduce\w*|all_to_all\w*|all_gather\w*|i?(send|recv)\w*|P2POp":
            "通信は mg.distributed.all_reduce、broadcast、barrier の 3 つです。",
        "ReduceOp": 'mg.distributed.all_reduce(x, op="sum") のように、名前を文字列で書きます。',
        "fsdp|pipelining|tensor|rpc|elastic":
            "モデルは分けられません: 分けるのはデータで、mg.distributed が勾配を平均します。",
    },
    "data.datasets": {
        r"\w+":
            "ここにあるのは MNIST、FashionMNIST、KMNIST、EMNIST、CIFAR10、ImageFolder と、digits、"
            "moons、circles、spiral、line、xor です。ほかの画像は、クラスごとのフォルダに分ければ "
            "ImageFolder で読めます。",
    },
    "data.transforms": {
        "v2": "変換はどれも mg.data.transforms にあります: v2 を除いてください。",
        "functional": "functional.resize(x, 16) は Resize(16)(x) のように書いてください。",
        "ConvertImageDtype|ToDtype|ToImage": "ToTensor() を使ってください。",
        r"[A-Z]\w+":
            "自分の変換は、1 枚ずつなら Lambda(関数)、まとめてなら Transform の派生クラスの "
            "apply(images, generator) です。",
    },
}  # fmt: skip
