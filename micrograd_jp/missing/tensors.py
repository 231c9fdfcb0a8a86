"""`mg` だけ、`Tensor` だけの行。"""

_FUNCTIONS = (
    "batch_norm ctc_loss embedding embedding_bag feature_alpha_dropout feature_dropout"
    " conv_transpose3d instance_norm kl_div hinge_embedding_loss cosine_embedding_loss"
    " margin_ranking_loss poisson_nll_loss triplet_margin_loss max_pool[123]d_with_indices"
    " adaptive_max_pool1d"
).replace(" ", "|")
_INTERNAL = (
    r"(cudnn|miopen|mkldnn|fbgemm|native|sym|batch_norm)_\w+|Sym(Bool|Float|Int)|\w*(_by_tensor|convolution)|conv_tbc"
    r"|norm_except_dim|(import|parse|merge|unify)_\w+|(un)?set_flush\w*|fork|wait|cond|cpp"
    r"|constant_pad_nd|embedding_renorm_|fused_\w+|choose_qparams_optimized|slice_inverse|int_repr"
    r"|q_\w+|qscheme|is_(vulkan_available|distributed|inference|neg|conj|same_size|shared|set_to)"
    r"|(thread_safe_|default_)generator|init_num_threads|has_(lapack|mkl|openmp|spectral)|hash_tensor|typename|bit(s\w+)?"
    r"|AVG|SUM|clear_autocast_cache|vulkan\w*|ipu|mtia|xpu|as_subclass|dim_order|grad_dtype"
    r"|module_load|output_nr|const_data_ptr|volatile|is_(ipu|maia|meta|mkldnn|mps|mtia|xla|xpu"
    r"|vulkan|nested|quantized|sparse\w*|coalesced|inference_mode_enabled)|segment_reduce"
    r"|get_(device_module|deterministic_debug_mode|file_path)|is_(storage|warn_always_enabled)"
    r"|to_(mkldnn|padded_tensor)|compile[dr]\w*|Tag|saddmm|nonzero_static|hspmm"
    r"|(crow|ccol|col|row)_indices|(dense)_dim|set_warn_always|is_anomaly_check_nan_enabled"
    r"|is_deterministic_algorithms_warn_only_enabled"
)

_BOTH = {
    _INTERNAL: "PyTorch の装置や中身のための名前です: この行を消してください。",
    "matrix_exp": "scipy.linalg.expm(t.numpy()) と書いてください（勾配なし）。",
    "renorm_?": "x * mg.clip(maxnorm / mg.linalg.norm(x, dim=1, keepdim=True), max=1) のように"
        "書いてください。",
    "index_reduce_?": "scatter_reduce か index_add を使ってください。",
    "put_?": "t = mg.scatter(t, 0, index, source) か、t[index] = source と書いてください。",
    "as_strided_scatter|diagonal_scatter":
        "新しい Tensor に t.diagonal().copy_(…) のように書き込んでください。",
    "frexp": "NumPy の np.frexp(t.numpy()) を使ってください。",
    "cholesky_inverse": "mg.linalg.inv(l @ l.mT) と書いてください。",
    "geqrf|orgqr|ormqr": "mg.linalg.qr(a) と書いてください。",
    "lu|lu_solve|lu_unpack": "mg.linalg.solve(a, b) と書いてください。",
    "lobpcg|(pca|svd)_lowrank": "mg.linalg.svd(a) と mg.linalg.eigh(a) を使ってください。",
    "get_device": "t.device と書いてください。",
    "is_signed": 't.dtype.kind in "if" と書いてください。',
    "is_cuda|is_cpu": 't.device.type == "cuda" のように書いてください。',
    "detach_": "t = t.detach() と書いてください。",
}  # fmt: skip

TENSORS: dict[str, dict[str, str]] = {
    "mg": {
        **_BOTH,
        _FUNCTIONS: "mg.nn.functional.{0}(…) と書いてください。",
        r"(rnn_tanh|rnn_relu|lstm|gru)(_cell)?":
            "層を使ってください: mg.nn.RNN、LSTM、GRU、mg.nn.LSTMCell など。",
        "grid_sampler\\w*|affine_grid_generator":
            "画像の変形は mg.data.transforms にあります（勾配なし）。",
        "detach|fill": "メソッドです: t.{0}(…) と書いてください。",
        r"\w+_": "その場で書き換えるのはメソッドです: t.{0}_(…) と書いてください。",
        "asarray|scalar_tensor": "mg.as_tensor(x) と書いてください。",
        "from_file|frombuffer": "mg.from_numpy(np.frombuffer(…)) と書いてください。",
        "empty_(permuted|strided|quantized)": "mg.empty(形) と書いてください。",
        "binomial|poisson": "NumPy で引いてください: mg.tensor(rng.poisson(rate.numpy())) など。",
        "gradient": "np.gradient(y.numpy()) か、mg.diff(y) を使ってください。",
        "histogramdd": "np.histogramdd(x.numpy()) と書いてください。",
        "rsub": "y - x と書いてください。",
        "vmap":
            "関数は、まとめた配列をそのまま計算します。標本ごとの勾配は mg.jacobian(f) です。",
        "dsmm|hsmm|spmm": "密な行列の積 a @ b を使ってください。",
        "seed|initial_seed": "mg.manual_seed(…) で決めてください。",
        "(get|set)_float32_matmul_precision":
            "CPU の行列積はいつも float32 です: この行を消してください（GPU では "
            'jax.config.update("jax_default_matmul_precision", "float32")）。',
        "float8_\\w+|float4_\\w+|u?int[1-7]|uint(16|32|64)":
            "この型の Tensor は使えません: mg.float16、mg.int8、mg.uint8 などを使ってください。",
        "get_default_device": 'いつも mg.device("cpu") です。',
        "GradScaler": "mg.amp.GradScaler() と書いてください。",
        "Event|Stream": "装置の列 (stream) はありません: この行を消してください。",
        "OutOfMemoryError|AcceleratorError": "MemoryError と RuntimeError を使ってください。",
        "layout|strided|memory_format|\\w+_format|channels_last(_3d)?":
            "配列の並べ方は 1 つです: この指定を消してください。",
    },
    "Tensor": {
        **_BOTH,
        "name": "t.label と書いてください。",
        "new": "t.new_zeros(形) か t.new_tensor(…) と書いてください。",
        "new_empty_strided": "t.new_empty(形) と書いてください。",
        "solve": "mg.linalg.solve(a, b) と書いてください。",
        "sum_to_size": "t.sum(dim=…, keepdim=True) と書いてください。",
        "hardshrink|prelu": "mg.nn.functional.{0}(t) と書いてください。",
        "(cauchy|geometric|log_normal)_":
            "NumPy で引いてください: t.copy_(mg.tensor(rng.geometric(p, t.shape))) など。",
        "layout|storage_(offset|type)": "配列の並べ方は 1 つです: この行を消してください。",
        "(indices|values|index)": "疎な Tensor (sparse) はありません: t[…] と t.nonzero() です。",
    },
}  # fmt: skip
