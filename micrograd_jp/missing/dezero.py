"""DeZero の名前 (『ゼロから作る Deep Learning ❸』の steps と dezero): ここでは何と書くか。

`sin`、`exp`、`no_grad`、`reshape`、`sum` など、同じ名前のものは、そのまま使える。
"""

DEZERO = {
    "Variable": "mg.tensor(…, requires_grad=True) と書いてください（1 つの数なら mg.Value(…)）。",
    "as_variable": "mg.as_tensor(x) と書いてください。",
    "as_array|as_numpy|as_cupy|get_array_module":
        "配列は x.data か np.asarray(x) で取り出します。",
    "setup_variable": "演算子はいつも使えます: この行を消してください。",
    "using_config|Config":
        "with mg.no_grad(): が enable_backprop=False、model.eval() が train=False です。",
    "test_mode": "model.eval() と書いてください（学習に戻すのは model.train()）。",
    "Function": "mg.autograd.Function を継承してください（forward と backward は staticmethod）。",
    "Parameter": "mg.nn.Parameter(mg.tensor(…)) と書いてください。",
    "Layer|Model|Chain|Link":
        "mg.nn.Module を継承してください（層は __init__ で self に置きます）。",
    "layers|links|models": "層とモデルは mg.nn にあります: mg.nn.Linear、mg.nn.Sequential など。",
    "optimizers": "mg.optim にあります: mg.optim.SGD(model.parameters(), lr=0.1)。",
    "dataloaders|DataLoader|SeqDataLoader|iterators":
        "mg.data.DataLoader(dataset, batch_size=…, shuffle=True) と書いてください。",
    "datasets|Dataset": "mg.data.datasets と mg.data.Dataset にあります。",
    "Spiral|get_spiral": "mg.data.datasets.spiral(…) と書いてください。",
    "MNIST": "mg.data.datasets.mnist() と書いてください。",
    "MomentumSGD": "mg.optim.SGD(…, momentum=0.9) と書いてください。",
    "(Ada)(Grad|Delta)": "mg.optim.Adagrad、mg.optim.Adadelta と書いてください。",
    "(VGG16|ResNet\\w*|SqueezeNet)": "既製のモデルは mg.nn.models にあります。",
    "plot": "mg.draw(y) と書いてください。",
    "TwoLayerNet": "mg.nn.Sequential(mg.nn.Linear(…), mg.nn.Sigmoid(), mg.nn.Linear(…)) です。",
    "WeightDecay": "mg.optim.SGD(…, weight_decay=…) のように、最適化手法に渡してください。",
    "ClipGrad": "optimizer.step() の前に mg.nn.utils.clip_grad_norm_(…) と書いてください。",
    "FreezeParam": "p.requires_grad_(False) と書いてください。",
    "add_hook": "optimizer.register_step_pre_hook(…) と書いてください。",
    "plot_dot_graph|get_dot_graph": "mg.draw(y)、mg.draw_dot(y) と書いてください。",
    "numerical_grad|numerical_diff|gradient_check":
        "mg.testing.gradcheck(f, x) と書いてください。",
    "sum_to": "mg.sum(x, dim=…, keepdim=True) と書いてください（勾配は自動で元の形に戻ります）。",
    "mean_squared_error(_simple)?": "mg.mse_loss(y, t) と書いてください。",
    "softmax_cross_entropy(_simple)?": "mg.cross_entropy(y, t) と書いてください。",
    "BatchNorm": "mg.nn.BatchNorm1d、mg.nn.BatchNorm2d と書いてください。",
    "(linear|sigmoid|softmax|matmul)_simple": "mg.nn.functional か mg の、_simple のない名前です。",
    "sigmoid_cross_entropy": "mg.binary_cross_entropy_with_logits(y, t) と書いてください。",
    "average": "x.mean(…) と書いてください。",
    "accuracy": "(y.argmax(1) == t).float().mean() と書いてください。",
    "get_item": "x[…] と書いてください。",
    "pooling": "mg.nn.functional.max_pool2d(x, kernel_size) と書いてください。",
    "average_pooling": "mg.nn.functional.avg_pool2d(x, kernel_size) と書いてください。",
    "im2col|col2im": "mg.nn.functional.unfold、fold と書いてください。",
    "deconv2d": "mg.nn.functional.conv_transpose2d と書いてください。",
    "embed_id|EmbedID": "mg.nn.functional.embedding(x, W)、mg.nn.Embedding と書いてください。",
    "Deconv2d": "mg.nn.ConvTranspose2d と書いてください。",
    "cleargrads?": "x.grad = None、optimizer.zero_grad() と書いてください。",
    "set_creator|creator|generation": "x.grad_fn が、x を計算した演算です。",
    "unchain(_backward)?": "x = x.detach() と書いてください。",
    "(named)?params|to_gpu|to_cpu":
        'model.parameters()、model.named_parameters()、model.to("gpu") と書いてください。',
    "save_weights|load_weights":
        "mg.save(model, path)、mg.load(path) と書いてください。",
}  # fmt: skip
