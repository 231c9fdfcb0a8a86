"""どの演算も、NumPy・JAX・jax.jit の中の JAX で同じ値と同じ 1 階・2 階微分を出す。

jit の外では、演算の 1 つ 1 つがコンパイルされる: すべての例は slow で、ふだんは 16 に 1 つ。
"""

import numpy as np
import pytest
from jax_examples import EXAMPLES, derivatives, missing

pytest.importorskip("jax.numpy", reason="jax がありません")

import jax
import jax.numpy as jnp

TOLERANCES = {"float64": (1e-10, 1e-12), "float32": (3e-4, 3e-5)}
GROUP = 24  # examples compiled together: one compilation costs more than all the arithmetic
GROUPS = [EXAMPLES[i : i + GROUP] for i in range(0, len(EXAMPLES), GROUP)]


def test_every_operation_has_an_example():
    assert missing() == set(), "tests/jax/jax_examples.py に行を足してください"


def _require_same(group, got, wanted, dtype):
    rtol, atol = TOLERANCES[dtype]
    for one, found, expected in zip(group, got, wanted, strict=True):
        for order, arrays in expected.items():
            assert len(found[order]) == len(arrays), (one, order)
            for a, b in zip(found[order], arrays):
                assert isinstance(a, jax.Array), (one, order)
                assert a.dtype == b.dtype, (one, order)
                np.testing.assert_allclose(
                    np.asarray(a), b, rtol=rtol, atol=atol, err_msg=f"{one} {order}"
                )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].op.name)
def test_numpy_and_jit_agree(group, dtype):
    with jax.enable_x64(dtype == "float64"):
        inputs = [one.arrays(dtype) for one in group]
        wanted = [derivatives(one, xs) for one, xs in zip(group, inputs)]
        assert all(
            a.__class__ in (np.ndarray, np.float64) or isinstance(a, np.generic)
            for found in wanted for arrays in found.values() for a in arrays
        )  # fmt: skip

        def everything(inputs):
            return [derivatives(one, xs) for one, xs in zip(group, inputs, strict=True)]

        on_jax = [[jnp.asarray(x) for x in xs] for xs in inputs]
        _require_same(group, jax.jit(everything)(on_jax), wanted, dtype)


@pytest.mark.slow  # with XLA's optimizer
@pytest.mark.parametrize("name", ["eigh", "svd", "qr", "pinv", "cholesky"])
def test_decompositions_agree_compiled_alone(name):
    """XLA fuses otherwise where nothing stands beside it: the diagonal of σⱼ² − σᵢ² was not 0."""
    one = next(e for e in EXAMPLES if e.op.name == f"tensor.{name}")
    with jax.enable_x64(True):
        xs = one.arrays("float64")
        got = jax.jit(lambda xs: derivatives(one, xs))([jnp.asarray(x) for x in xs])
        _require_same([one], [got], [derivatives(one, xs)], "float64")


def _outside_jit(examples):
    with jax.enable_x64(True):
        inputs = [one.arrays("float64") for one in examples]
        got = [derivatives(one, [jnp.asarray(x) for x in xs]) for one, xs in zip(examples, inputs)]
        wanted = [derivatives(one, xs) for one, xs in zip(examples, inputs)]
        _require_same(examples, got, wanted, "float64")


def test_numpy_and_jax_agree():
    _outside_jit(EXAMPLES[::16])


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].op.name)
def test_numpy_and_jax_agree_everywhere(group):
    _outside_jit(group)
