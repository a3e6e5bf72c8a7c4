"""What each implementation of the sparse feed-forward layer must compute: one set of cases for all.

TRITON_INTERPRET=1 python -m tests.kernels.sparse_ffn_cases gpu   # one line a failed case
"""

import importlib
import itertools
import sys

import torch
from torch.nn.functional import gelu

# Relative to the sum of the terms' sizes. Triton's interpreter cuts bfloat16 off.
PRECISION = {
    torch.float32: 1e-6,
    torch.float64: 1e-14,
    torch.bfloat16: 8e-3,
    torch.float16: 1e-3,
}
# Tokens, inputs, neurons, outputs, and the share of neurons that are active.
SHAPES = {
    "one of each": (1, 1, 1, 1, 1.0),
    "one token": (1, 300, 90, 33, 0.3),
    "odd": (3, 257, 67, 129, 0.2),
    "many neurons": (2, 24, 1500, 40, 0.1),
    "sixteen tokens": (16, 40, 50, 30, 0.1),
    "all active": (2, 10, 35, 12, 1.0),
    "none active": (2, 10, 35, 12, 0.0),
}
ACTIVATIONS = {"relu": torch.relu, "gelu": gelu, "linear": torch.clone}


def inputs(tokens, size, neurons, outputs, share):
    """x, keys, values, a mask, and gates for every neuron, in float64."""
    generator = torch.Generator().manual_seed(7)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mask = torch.rand(tokens, neurons, generator=generator) < share
    if share < 1 and tokens > 1:
        mask[-1] = False  # a token without neurons
    drawn = normal(tokens, size), normal(neurons, size) / size**0.5, normal(neurons, outputs)
    return *drawn, mask, normal(tokens, neurons)


def as_lists(mask, everywhere):
    """The same neurons as shuffled lists, filled with -1 at random places, and entries beside."""
    width = int(mask.sum(dim=1).max()) + 2
    lists = torch.full((len(mask), width), -1)
    generator = torch.Generator().manual_seed(8)
    for row, active in zip(lists, mask, strict=True):
        neurons = active.nonzero().flatten()
        row[torch.randperm(width, generator=generator)[: len(neurons)]] = neurons
    return lists, everywhere.gather(1, lists.clamp(min=0))


def dense(x, keys, values, mask, gates, activation):
    """The layer with all its neurons and a mask."""
    hidden = ACTIVATIONS[activation](x @ keys.T)
    return torch.where(mask, hidden if gates is None else hidden * gates, 0) @ values


def failures(name, quick=False):
    """Compare with the dense layer in float64 on the same rounded numbers."""
    implementation = importlib.import_module(f"l2s.kernels.sparse_ffn.{name}")
    cases = itertools.product(SHAPES.items(), PRECISION, ACTIVATIONS, (False, True))
    for (case, shape), dtype, activation, is_gated in cases:
        if quick and dtype != torch.float32 and activation != "gelu":
            continue
        *drawn, mask, gates = inputs(*shape)
        x, keys, values, gates = (tensor.to(dtype) for tensor in (*drawn, gates))
        wide = [tensor.double() for tensor in (x, keys, values)]
        gate = gates.double() if is_gated else None
        expected = dense(*wide, mask, gate, activation)
        usual = dense(*(tensor.abs() for tensor in wide), mask, gates.double().abs(), "linear") + 1
        lists, beside = as_lists(mask, gates)
        for active, own in ((mask, gates), (lists, beside)):
            own = own.contiguous() if is_gated else None
            found = implementation.forward(x, keys, values, active, own, activation)
            error = ((found.double() - expected).abs() / usual).nan_to_num(torch.inf).max().item()
            if found.dtype != dtype or not error < PRECISION[dtype]:
                how = f"{dtype}, {active.dtype}, {activation}, {is_gated=}"
                yield f"{case}, {how}: {found.dtype}, {error / PRECISION[dtype]:.1f}"


if __name__ == "__main__":
    wrong = list(failures(sys.argv[1], quick=True))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
