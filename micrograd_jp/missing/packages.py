"""`mg.optim`、`mg.utils.data`、`mg.linalg`、`mg.fft`、`mg.autograd`、`mg.distributions` の行。"""

_PIPES = "DataPipe はありません: mg.data.IterableDataset を継承してください。"

PACKAGES: dict[str, dict[str, str]] = {
    "optim": {
        "Adafactor|Muon": "mg.optim.AdamW か mg.optim.LAMB を使ってください。",
        "SparseAdam": "疎な勾配はありません: mg.optim.Adam を使ってください。",
        r"swap_in_optimizer\w+": "optimizer.load_state_dict(…) を使ってください。",
    },
    "nn.utils.rnn": {"invert_permutation": "order.argsort() と書いてください。"},
    "utils.data": {
        "DistributedSampler":
            "DataLoader(dataset, …, distributed=True) が、プロセスごとに分けます。",
        "get_worker_info": "標本の番号から分けてください: 読み込みは 1 つのプロセスがします。",
        "default_convert": "mg.as_tensor(x) と書いてください。",
        r"\w*(Pipe|pipe|DataChunk)\w*|argument_validation|non_deterministic|runtime_validation\w*"
        r"|guaranteed_\w+": _PIPES,
    },
    "linalg": {
        r"(cholesky|inv|solve|lu_factor|ldl_factor)_ex|ldl_\w+|lu\w*":
            "mg.linalg.solve、cholesky、inv を使ってください。",
        "eigvals": "対称行列なら mg.linalg.eigvalsh(a) です。",
        "LinAlgError": "np.linalg.LinAlgError か ValueError を使ってください。",
        "householder_product": "mg.linalg.qr(a) と書いてください。",
        "tensorinv|tensorsolve": "2 次元に reshape して mg.linalg.inv、solve を使ってください。",
        "matrix_exp": "scipy.linalg.expm(t.numpy()) と書いてください（勾配なし）。",
        "common_notes": "PyTorch の説明のための名前です。",
    },
    "autograd": {
        "gradgradcheck": "mg.testing.gradcheck に、勾配を返す関数を渡してください。",
        "variable": "mg.autograd.Variable にあります。",
        "grad_mode": "mg.no_grad、mg.enable_grad、mg.set_grad_enabled にあります。",
        "NestedIOFunction": "mg.autograd.Function を継承してください。",
        r"enforce_\w+|set_multithreading_enabled": "この行を消してください。",
    },
    "distributions": {
        r"\w*Transform|biject_to|transform_to|identity_transform|TransformedDistribution":
            "分布の変換はありません: mg.distributions.Normal から引いた値を計算してください。",
        "Independent|MultivariateNormal|LowRankMultivariateNormal":
            "mg.distributions.Normal の log_prob(x).sum(-1) を使ってください。",
        "OneHot\\w+|RelaxedOneHotCategorical|RelaxedBernoulli":
            "mg.nn.functional.gumbel_softmax か、Categorical と mg.nn.functional.one_hot です。",
        "register_kl": "引いた値で p.log_prob(x) - q.log_prob(x) を平均してください。",
        r"(?!Normal$|Categorical$|Bernoulli$|Distribution$|[A-Z_]+$)[A-Z]\w+":
            "ここにあるのは Normal、Categorical、Bernoulli です。",
    },
}  # fmt: skip
