"""PyTorch の引数の名前: 名前を付けて渡しても、同じ数になる。"""

import numpy as np
import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional
from micrograd_jp.tensor.registry import FUNCTIONS, METHODS
from tests.reference import pytorch_answers

CALLS = """
    m.cat(tensors=[x, x], dim=0)
    m.concat(tensors=[x, x], dim=0)
    m.stack(tensors=[x, x], dim=0)
    m.hstack(tensors=[x, x])
    m.full(size=(2, 2), fill_value=1.0)
    m.full_like(x, fill_value=2.0)
    m.arange(start=0, end=5, step=2)
    m.linspace(start=0., end=1., steps=5)
    m.logspace(start=0., end=1., steps=5)
    m.randint(low=0, high=5, size=(2, )).shape
    m.zeros(size=(2, 3)).shape
    m.ones(size=(2, 3)).shape
    m.randn(size=(2, 3)).shape
    m.rand(size=(2, 3)).shape
    m.mm(x, mat2=x)
    m.bmm(x[None], mat2=x[None])
    m.mv(x, vec=x[0])
    m.matmul(x, other=x)
    m.outer(x[0], vec2=x[1])
    m.dot(x[0], tensor=x[1])
    m.addmm(x, mat1=x, mat2=x, beta=2., alpha=3.)
    m.baddbmm(x[None], batch1=x[None], batch2=x[None])
    m.scatter(x, dim=0, index=i, src=x)
    m.scatter_add(x, dim=0, index=i, src=x)
    m.scatter_reduce(x, dim=0, index=i, src=x, reduce='sum')
    m.gather(x, dim=0, index=i)
    m.take(x, index=i)
    m.index_select(x, dim=0, index=i[0])
    m.flatten(x, start_dim=0, end_dim=1)
    m.swapaxes(x, axis0=0, axis1=1)
    m.swapdims(x, dim0=0, dim1=1)
    m.transpose(x, dim0=0, dim1=1)
    m.permute(x, dims=(1, 0))
    m.tile(x, dims=(2, 2))
    m.roll(x, shifts=1, dims=0)
    m.flip(x, dims=(0, ))
    m.tril(x, diagonal=-1)
    m.triu(x, diagonal=1)
    m.unflatten(x, dim=0, sizes=(1, 2))
    m.eye(n=2, m=3)
    m.diagonal(x, offset=0, dim1=0, dim2=1)
    m.softmax(x, dim=0)
    m.logsumexp(x, dim=0, keepdim=True)
    m.sum(x, dim=0, keepdim=True)
    m.sum(input=x, dim=0)
    m.mean(input=x)
    m.abs(input=x)
    m.add(input=x, other=x, alpha=2)
    m.mul(input=x, other=x)
    m.pow(input=x, exponent=2)
    m.clamp(input=x, min=0., max=1.)
    m.where(condition=x>0, input=x, other=x)
    m.reshape(input=x, shape=(4, ))
    m.squeeze(input=x[None], dim=0)
    m.unsqueeze(input=x, dim=0)
    m.split(tensor=x, split_size_or_sections=1, dim=0)[0]
    m.chunk(input=x, chunks=2, dim=0)[0]
    m.topk(input=x, k=1, dim=1, largest=True, sorted=True)[0]
    m.sort(input=x, dim=1, descending=True)[0]
    m.argsort(input=x, dim=1)
    m.argmax(input=x, dim=1)
    m.max(input=x, dim=1)[0]
    m.var(input=x, dim=0, unbiased=False)
    m.std(x, dim=0, correction=0)
    m.norm(input=x, p=2, dim=0)
    m.cumsum(input=x, dim=0)
    m.masked_select(input=x, mask=x>0)
    m.masked_fill(input=x, mask=x>0, value=1.)
    m.bernoulli(input=x*0)
    m.multinomial(input=abs(x), num_samples=1).shape
    m.allclose(input=x, other=x, rtol=1e-5, atol=1e-8)
    m.equal(input=x, other=x)
    m.isclose(input=x, other=x)
    m.cross(x3, x3, dim=0)
    m.clone(input=x)
    m.zeros_like(input=x)
    m.ones_like(input=x)
    m.randn_like(input=x).shape
    m.meshgrid(x[0], x[1], indexing='ij')[0]
    m.broadcast_to(x, size=(2, 2, 2))
    m.repeat_interleave(x, repeats=2, dim=0)
    m.diff(input=x, n=1, dim=0)
    m.isin(elements=x, test_elements=x)
    m.bincount(input=i[0])
    m.histc(input=x, bins=3, min=0, max=3)
    m.searchsorted(sorted_sequence=x[0], input=x[1])
    m.cdist(x1=x, x2=x, p=2.)
    m.lerp(input=x, end=x, weight=.5)
    m.addcmul(input=x, tensor1=x, tensor2=x, value=2.)
    m.nan_to_num(input=x, nan=0.)
    m.quantile(input=x, q=.5, dim=0)
    m.median(input=x)
    m.unique(input=x)
    m.trace(input=x)
    m.diag(input=x, diagonal=0)
    m.kron(input=x, other=x)
    m.vander(x=x[0], N=3)
    m.tensordot(a=x, b=x, dims=1)
    m.unbind(input=x, dim=0)[0]
    m.moveaxis(input=x, source=0, destination=1)
    m.movedim(input=x, source=0, destination=1)
    m.t(input=x)
    m.numel(input=x)
    m.sigmoid(input=x)
    m.tanh(input=x)
    m.relu(input=x)
    m.log_softmax(input=x, dim=1)
    m.inverse(input=x)
    m.det(input=x)
    m.normal(mean=0., std=1., size=(2, )).shape
    m.tensor(data=[1., 2.])
    m.as_tensor(data=[1., 2.])
    m.empty(size=(2, )).shape
    m.select(input=x, dim=0, index=0)
    m.narrow(input=x, dim=0, start=0, length=1)
    m.fmod(input=x, other=2)
    m.remainder(input=x, other=2)
    m.floor_divide(input=x, other=2)
    m.logical_and(input=x>0, other=x>0)
    m.bitwise_and(input=i, other=i)
    m.gt(input=x, other=0)
    m.nn.functional.cross_entropy(input=x, target=i[0])
    m.nn.functional.mse_loss(input=x, target=x, reduction='sum')
    m.nn.functional.linear(input=x, weight=x, bias=None)
    m.nn.functional.softmax(input=x, dim=1)
    m.nn.functional.relu(input=x, inplace=False)
    m.nn.functional.dropout(input=x, p=0., training=True)
    m.nn.functional.pad(input=x, pad=(1, 1), mode='constant', value=0)
    m.nn.functional.embedding(input=i, weight=x)
    m.nn.functional.normalize(input=x, p=2., dim=1)
    m.nn.functional.layer_norm(input=x, normalized_shape=(2, ))
    m.nn.functional.conv2d(input=x[None, None], weight=x[None, None])
    m.nn.functional.max_pool2d(input=x[None, None], kernel_size=1)
    m.nn.functional.interpolate(input=x[None, None], scale_factor=2)
    m.nn.functional.leaky_relu(input=x, negative_slope=.1)
    m.nn.functional.binary_cross_entropy_with_logits(input=x, target=abs(x)*0)
    m.nn.functional.cosine_similarity(x1=x, x2=x, dim=1)
    x.scatter_(dim=0, index=i, src=x+0)
    x.sum(dim=(0, 1), keepdim=False)
    x.view(size=(4, ))
    x.reshape(shape=(4, ))
    x.expand(size=(2, 2, 2))
    x.repeat(repeats=(2, 1))
    x.permute(dims=(1, 0))
    x.transpose(dim0=0, dim1=1)
    x.type(dtype=m.float64)
    x.to(dtype=m.float64)
    x.new_zeros(size=(2, ))
    x.new_full(size=(2, ), fill_value=3.)
    x.unsqueeze(dim=0)
    x.index_fill(dim=0, index=i[0], value=1.)
    x.index_add(dim=0, index=i[0], source=x)
    x.masked_fill(mask=x>0, value=0.)
    x.clamp(min=0)
    x.add(other=x, alpha=2)
    x.sub(other=x, alpha=2)
    x.addmm(mat1=x, mat2=x)
    x.mm(mat2=x)
    x.topk(k=1)[0]
    x.split(split_size=1, dim=0)[0]
    x.flatten(start_dim=0)
    x.normal_(mean=0., std=0.)
    x.fill_(value=2.)
    x.std(unbiased=True)
    x.var(dim=0, unbiased=False)
    x.argmax(dim=1, keepdim=True)
    x.gather(dim=1, index=i)
    x.unfold(dimension=0, size=1, step=1)
    x.softmax(dim=0)
    x.cumsum(dim=0)
    x.roll(shifts=1, dims=0)
    x.select(dim=0, index=0)
    x.squeeze(dim=0)
    x.chunk(chunks=2, dim=0)[0]
""".split("\n")[1:-1]


def answer(m, call):
    """The numbers, or the shape of what is drawn."""
    x = m.tensor([[1.0, 2.0], [3.0, 5.0]])
    names = {"m": m, "x": x, "i": m.tensor([[0, 1], [1, 0]]), "x3": m.tensor([1.0, 2.0, 3.0])}
    found = eval(call, names)
    return np.asarray(found).tolist()


@pytorch_answers
def of_pytorch(torch):
    return [answer(torch, call.strip()) for call in CALLS]


def test_named_arguments_are_taken_as_in_pytorch():
    for call, wanted in zip(CALLS, of_pytorch(), strict=True):
        np.testing.assert_allclose(answer(mg, call.strip()), wanted, rtol=1e-5, err_msg=call)


def test_what_may_stand_any_number_of_times_is_given_once():
    x = mg.zeros(2, 3)
    for wrong in (
        lambda: x.permute(1, 0, dims=(1, 0)),
        lambda: x.transpose(0, 1, dim0=1),
        lambda: x.reshape(6, shape=(6,)),
        lambda: mg.tile(x, 2, dims=(2,)),
    ):
        with pytest.raises(TypeError, match="given twice"):
            wrong()
    with pytest.raises(TypeError, match="wrong arguments"):
        mg.permute(dims=(1, 0))


def test_no_other_name_is_a_name_of_the_functions_own():
    """Else one argument would hide another."""
    for table in (FUNCTIONS, METHODS):
        for name, f in table.items():
            own = f.__wrapped__.__code__.co_varnames if hasattr(f, "__wrapped__") else ()
            for theirs, ours in getattr(f, "torch_names", {}).items():
                assert theirs == ours or theirs not in own[: f.__wrapped__.__code__.co_argcount], (
                    name
                )
