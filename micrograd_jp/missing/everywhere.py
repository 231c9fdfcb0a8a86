"""どこで尋ねても同じことを言う行: `mg.名前`、`t.名前`、ほかのどの場所でも。"""

EVERYWHERE = {
    r"(Float|Double|Half|Long|Int|Short|Byte|Char|Bool|BFloat16)Tensor":
        "型の付いたクラスはありません: mg.tensor(…, dtype=mg.float32) と型を書いてください。",
    r"\w*Storage|storage|untyped_storage|data_ptr":
        "記憶域 (storage) はありません: 値は t.detach().numpy() の ndarray です。",
    r"complex32|chalf":
        "mg.complex64 を使ってください: t.to(mg.complex64)。",
    r"stft|istft":
        "短時間フーリエ変換はありません: t.unfold(-1, 窓の長さ, 間隔) に窓を掛けて mg.fft.rfft を"
        "使ってください。",
    r"(to_)?sparse\w*|resize_as_sparse_|to_dense|coalesce|hspmm|sspaddmm|smm":
        "疎な Tensor (sparse) はありません: 密な Tensor と mg.where、index_add を使ってください。",
    r"quantize\w*|quantized\w*|dequantize|qint\d+|quint\w+|fake_quantize\w*|ao":
        "量子化 (quantization) はありません: 2 値のネットワークは mg.nn.BinaryLinear にあります。",
    r"fx|export|Script\w+|Graph|CompilationUnit|jit_\w+":
        "TorchScript と fx はありません: 速くするのは mg.jit（Tensor）と mg.compile（Value）です。",
    r"unsafe_\w+|(?!index)\w+_copy|split_with_sizes":
        "この写しの関数はありません: もとの名前の結果に .clone() と書いてください。",
    r"(set|get|is)_autocast\w*|autocast_\w+|is_autocast\w*":
        "自動混合精度は with mg.autocast(dtype): の中で使います。",
    r"set_default_tensor_type|set_default_device":
        "既定の型は mg.set_default_dtype(mg.float64)、装置は device= で決めます。",
    r"(use|are|set)_deterministic\w*":
        "計算は、同じ種からいつも同じ結果になります: mg.manual_seed(…) だけを書いてください。",
    r"(set|get)_num_(interop_)?threads":
        "スレッドの数は、環境変数 OMP_NUM_THREADS で決めてください。",
    r"set_printoptions":
        "表示の設定は NumPy のものです: np.set_printoptions(…) と書いてください。",
    r"set_anomaly_enabled|is_anomaly_enabled":
        "nan や inf の生まれた場所は with mg.detect_anomaly(): で見つけます。",
    r"erfc_?": "erfc(x) は 1 - mg.erf(x) と書いてください。",
    r"(erfinv|digamma|lgamma|mvlgamma|polygamma|igammac?|i0)_?":
        "この特殊関数はありません: scipy.special を ndarray に使ってください（勾配なし）。",
    r"(bartlett|blackman|hamming|hann|kaiser)_window":
        "窓関数はありません: mg.tensor(np.hanning(n)) のように NumPy で作ってください。",
    r"symeig": "mg.linalg.eigh(a) と書いてください。",
    r"eig": "対称でない行列の eig はありません: 対称行列なら mg.linalg.eigh(a) です。",
    r"lstsq|matrix_rank|cholesky_solve|triangular_solve":
        "mg.linalg の lstsq、matrix_rank、solve、solve_triangular を使ってください。",
    r"chain_matmul": "mg.linalg.multi_dot([a, b, c]) と書いてください。",
    r"nuclear_norm": 'mg.linalg.norm(a, "nuc") と書いてください。',
    r"frobenius_norm": "mg.linalg.norm(a) と書いてください。",
    r"range": "mg.arange(start, end, step) と書いてください（end は含まれません）。",
    r"(squeeze|unsqueeze|transpose|t|swapaxes|swapdims)_":
        "形をその場で変えるメソッドはありません: t = t.{0}(…) のように、結果を受け取ってください。",
    r"resize_?|resize_as_?|set_|as_strided_?":
        "記憶域の並べ直しはありません: t.reshape(…) か、新しい Tensor を作ってください。",
    r"apply_|map_|map2_": "mg の関数を配列のまま使ってください: mg.where(t > 0, t, 0) など。",
    r"share_memory_|pin_memory|is_pinned|record_stream":
        "CUDA や別プロセスのための記憶域はありません: この行を消してください。",
    r"element_size|itemsize": "t.dtype.itemsize と書いてください。",
    r"nbytes": "t.numel() * t.dtype.itemsize と書いてください。",
    r"ndimension": "t.dim() か t.ndim と書いてください。",
    r"is_nonzero": "bool(t) と書いてください。",
    r"reinforce": "損失に -log_prob * reward を足してください（REINFORCE）。",
}  # fmt: skip
