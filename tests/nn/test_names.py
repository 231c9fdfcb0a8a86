"""`nn` と `nn.functional` の引数の名前と順。名前そのものは tests/compat/test_missing.py。"""

import inspect
import re

import pytest

import micrograd_jp as mg
import micrograd_jp.nn.functional
from tests.reference import pytorch_answers

# The arguments that PyTorch has and we have not, and why.
LACKING = {
    "nn": {
        **{f"AdaptiveMaxPool{n}d": "return_indices" for n in (1, 2, 3)},
        # bias: since PyTorch 2.13
        **{
            f"{lazy}{kind}Norm{n}d": "bias"
            for lazy in ("", "Lazy")
            for kind in ("Batch", "Instance")
            for n in (1, 2, 3)
        },
        "GroupNorm": "bias",
        # padding_mode: only "zeros" is allowed there
        **{f"{lazy}ConvTranspose{n}d": "padding_mode" for lazy in ("", "Lazy") for n in (1, 2)},
        "Hardtanh": "min_value max_value",  # old names
    },
    "nn.functional": {
        **{f"adaptive_max_pool{n}d": "return_indices" for n in (1, 2, 3)},
        "interpolate": "antialias",
        "normalize": "out",
    },
}
EVERYWHERE = {"self", "dtype", "device"}  # of the factories; PyTorch's stand where they like


def names_of(f):
    """The names of its arguments in order, or nothing where PyTorch takes whatever comes."""
    try:
        names = list(inspect.signature(f).parameters)
    except ValueError:
        names = ["args", "kwargs"]
    if names == ["args", "kwargs"]:  # of a C function: its documentation begins with the call
        call = re.match(
            rf"\s*{f.__name__.removeprefix('_')}\((.*?)\)( ->|$)", f.__doc__ or "", re.M
        )
        given = re.sub(r"\([^)]*\)", "", call[1]).split(",") if call else []
        names = [name.partition("=")[0].strip(" *") for name in given]
    return [n for n in names if n and n[0] != "_" and n not in EVERYWHERE]


@pytorch_answers
def arguments_of_pytorch(torch, place):
    for part in place.split("."):
        torch = getattr(torch, part)
    found = {name: getattr(torch, name) for name in dir(torch) if name[0] != "_"}
    return {n: names_of(f) for n, f in found.items() if callable(f) and not inspect.ismodule(f)}


@pytest.mark.parametrize("place", LACKING)
def test_arguments_have_pytorchs_names_in_its_order(place):
    here = mg.nn if place == "nn" else mg.nn.functional
    compared = 0
    for name, theirs in arguments_of_pytorch(place).items():
        if theirs and hasattr(here, name) and theirs != ["args"]:
            lacking = LACKING[place].get(name, "").split()
            ours = names_of(getattr(here, name))
            if name.endswith("_"):
                ours = [n for n in ours if n != "inplace"]
            assert ours == [n for n in theirs if n not in lacking], name
            assert {*lacking} <= {*theirs}, name
            compared += 1
    assert compared > 80
