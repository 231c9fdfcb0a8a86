"""`mg.nn`、`mg.nn.functional`、`mg.nn.utils` の行。"""

_ONLY_TAKEN = "PyTorch の中身のための名前です: この行を消してください。"

LAYERS: dict[str, dict[str, str]] = {
    "nn": {
        "DataParallel":
            "1 つの装置で動かすか、mg.distributed で勾配を平均してください。",
        "SyncBatchNorm": "mg.nn.BatchNorm2d を使ってください。",
        "Buffer": 'self.register_buffer("name", t) と書いてください。',
        "Container": "mg.nn.Module を継承してください。",
        "NLLLoss2d": "mg.nn.NLLLoss と書いてください。",
        "CTCLoss": "CTC はまだありません: 系列ごとの mg.nn.CrossEntropyLoss で揃えてください。",
        "AdaptiveLogSoftmaxWithLoss|LinearCrossEntropy\\w+":
            "mg.nn.Linear のあとに mg.nn.CrossEntropyLoss を使ってください。",
        "(Lazy)?ConvTranspose3d":
            "mg.nn.Upsample(scale_factor=2) と mg.nn.Conv3d を使ってください。",
        "CrossMapLRN2d": "mg.nn.LocalResponseNorm と書いてください。",
        r"FractionalMaxPool\dd": "mg.nn.AdaptiveMaxPool2d(…) を使ってください。",
        r"LPPool\dd": "p 乗して mg.nn.AvgPool2d をかけ、1/p 乗してください（窓の大きさ倍）。",
        "RNNBase|RNNCellBase": "mg.nn.RNN、LSTM、GRU か、その Cell を使ってください。",
        r"Uninitialized\w+|factory_kwargs": _ONLY_TAKEN,
        "parallel": "mg.distributed を使ってください。",
        "parameter": "mg.nn.Parameter にあります。",
        "modules": "層はどれも mg.nn にあります: mg.nn.Linear など。",
    },
    "nn.Module": {
        "compile": "mg.jit(model) と書いてください。",
        "register_backward_hook": "register_full_backward_hook と書いてください。",
        "set_submodule":
            'setattr(model.get_submodule("親の名前"), "名前", 新しい部品) と書いてください。',
        r"[gs]et_extra_state":
            'state_dict に入れるものは register_buffer("name", t) で置いてください。',
        r"register_(load_)?state_dict_\w+":
            "state_dict() の返す辞書か、load_state_dict に渡す辞書を、書き換えてください。",
        "type": "model.to(mg.float64) のように書いてください。",
        "xpu|mtia|ipu": 'GPU なら model.to("cuda") と書いてください。',
        "share_memory|to_empty|T_destination|call_super_init|dump_patches": _ONLY_TAKEN,
    },
    "nn.functional": {
        r"\w+_with_indices": "return_indices=True を渡してください。",
        r"fractional_max_pool\dd": "adaptive_max_pool2d(…) を使ってください。",
        r"lp_pool\dd": "(avg_pool2d(x.abs() ** p, k) * k * k) ** (1 / p) と書いてください。",
        "ctc_loss": "CTC はまだありません: 系列ごとの cross_entropy で揃えてください。",
        "grid_sample|affine_grid":
            "画像の変形は mg.data.transforms にあります（勾配なし）。",
        "conv_transpose3d": "interpolate と conv3d を使ってください。",
        "conv_tbc": "conv1d(x.permute(1, 2, 0), …) と書いてください。",
        "linear_cross_entropy": "cross_entropy(linear(x, w), t) と書いてください。",
        "multi_head_attention_forward":
            "scaled_dot_product_attention か mg.nn.MultiheadAttention を使ってください。",
        "upsample_(nearest|bilinear)": 'interpolate(x, scale_factor=2, mode="nearest") です。',
        "Tensor": "mg.Tensor と書いてください。",
        r"(grouped|scaled)\w*_mm": "x @ w と書いてください。",
        r"\w*_?torch_function\w*|BroadcastingList\d|GRID_SAMPLE\w+|\w+_notes|boolean_dispatch"
        "|assert_int_or_pair|DType|(Scaling|Swizzle)Type|native_channel_shuffle":
            _ONLY_TAKEN,
    },
    "nn.utils": {
        "clip_grad_norm": "clip_grad_norm_ と書いてください（_ が付きます）。",
        "clip_grads_with_norm_":
            "clip_grad_norm_(parameters, max_norm) が、クリップして全体のノルムを返します。",
        "get_total_norm":
            'clip_grad_norm_(parameters, float("inf")) が、何も変えずに全体のノルムを返します。',
        r"fuse_\w+": "推論での融合は mg.jit がします。",
        r"(spectral|weight)_norm|remove_\w+_norm|parametri\w+|stateless":
            "重みの作り直し (parametrization) はありません: forward の中で w / mg.linalg.norm(w) "
            "のように計算してください。",
        r"convert_\w+|skip_init": _ONLY_TAKEN,
    },
}  # fmt: skip
