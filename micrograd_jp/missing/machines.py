"""`mg.cuda`、`mg.backends`、`mg.accelerator` の行。"""

_ONLY_HERE = "JAX が装置を動かします: この行を消してください。"

MACHINES: dict[str, dict[str, str]] = {
    "cuda": {
        "amp": "with mg.autocast(mg.bfloat16): と mg.amp.GradScaler() を使ってください。",
        r"\w*Tensor": "mg.tensor(…, device=\"cuda\") と書いてください。",
        r"(device_memory|(max_)?memory|reset_\w+|host_memory|mem_get|get_per_process|set_per_process"
        r")\w*": "記憶域の量は jax.devices()[0].memory_stats() で分かります。",
        "get_(device_(properties|capability)|arch_list|gencode_flags)|list_gpu_processes"
        "|utilization|temperature|power_draw|clock_rate":
            "装置のことは jax.devices()[0] か nvidia-smi で分かります。",
        "device|device_of|set_device|can_device_access_peer":
            'x.to("cuda") のように、置く場所を書いてください。',
        r"(get|set)_rng_state(_all)?|initial_seed|seed(_all)?":
            "乱数の列は装置によらず 1 つです: mg.manual_seed(…)、mg.get_rng_state() です。",
        r"is_(?!available$)\w+|init|has_\w+": "mg.cuda.is_available() だけで確かめてください。",
        "current_device": "mg.device(\"cuda\") と書いてください。",
        r"Cuda\w+|CUDA\w+|DeferredCudaCallError|Event|ExternalStream|GreenContext|MemPool|Stream\w*"
        r"|\w*(caching_allocator|allocator|stream|cublas|blas|solver|sync_\w+|nccl|graph|cudart)\w*"
        r"|ipc_collect|\w*mem_pool|check_error|cudaStatus|jiterator|memory|nvtx"
        r"|profiler|random|tunable|default_generators|get_allocator_backend|current_\w+_handle":
            _ONLY_HERE,
    },
    "backends": {"mkl|mkldnn|openmp|opt_einsum|xeon|nnpack|cpu|cusparselt": _ONLY_HERE},
    "accelerator": {
        r"(?!device_count$)\w*(stream|memory|device|cache)\w*|synchronize|Graph": _ONLY_HERE,
    },
}  # fmt: skip
