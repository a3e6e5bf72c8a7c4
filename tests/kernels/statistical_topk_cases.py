"""What each implementation of statistical top-k must compute: one set of cases for all.

TRITON_INTERPRET=1 python -m tests.kernels.statistical_topk_cases gpu   # one line a failed case
"""

import importlib
import itertools
import sys
from statistics import NormalDist

import torch

# In units of the largest number. Triton's interpreter cuts bfloat16 off where a GPU rounds it.
PRECISION = {
    torch.float32: 2e-6,
    torch.float64: 1e-14,
    torch.bfloat16: 8e-3,
    torch.float16: 5e-4,
}


def inputs():
    """Numbers in float64, and k: odd shapes, ends of blocks, outliers, large means, equal ones."""
    generator = torch.Generator().manual_seed(6)

    def normal(rows, columns):
        return torch.randn(rows, columns, generator=generator, dtype=torch.float64)

    outlier = normal(2, 5000)
    outlier[0, 0], outlier[1, 4321] = 3000.0, -3000.0
    return {
        "two numbers": (normal(3, 2), 1),
        "one row": (normal(1, 7), 2),
        "one block and one more": (normal(3, 2049), 160),
        "ends of chunks": (normal(2, 4097), 4000),
        "many blocks": (normal(2, 9001), 720),
        "an outlier": (outlier, 400),
        "a large mean": (normal(2, 3000) + 500.0, 30),
        "tiny": (1e-4 * normal(2, 1500), 100),
        "two values": ((normal(2, 4100) > 0).double(), 1000),
        "equal": (torch.full((2, 5000), 0.1, dtype=torch.float64), 9),
    }


def by_formula(x, gradient, quantile, correction, hard):
    """The definition and its gradient by autograd, in float64, for a choice that is given."""
    x = x.clone().requires_grad_()
    mean, deviation = x.mean(dim=1, keepdim=True), x.std(dim=1, keepdim=True, correction=correction)
    threshold = mean + quantile * deviation
    is_kept = (x > threshold).detach()
    y = torch.where(is_kept, x if hard else x - threshold, 0)
    flat = (x == x[:, :1]).all(dim=1, keepdim=True)
    (pulled,) = torch.autograd.grad((y * gradient).sum(), x)
    off = torch.zeros(())
    return (each.detach().where(~flat, off) for each in (y, pulled, is_kept))


def failures(name, dtypes=tuple(PRECISION)):
    """Compare with the formula in float64 on the same rounded numbers."""
    implementation = importlib.import_module(f"l2s.kernels.statistical_topk.{name}")
    cases = itertools.product(inputs().items(), dtypes, (0, 1), (False, True))
    for (case, (exact, k)), dtype, correction, hard in cases:
        quantile = NormalDist().inv_cdf(1 - k / exact.shape[1])
        x = exact.to(dtype)
        gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        wide = x.double()
        expected = by_formula(wide, gradient.double(), quantile, correction, hard)
        result, state, is_finite = implementation.forward(x, quantile, correction, hard)
        assert is_finite
        pulled = implementation.backward(gradient, x, state, quantile, correction, hard)
        is_kept = implementation.mask(x, quantile, correction)[0]
        # A number within rounding of the threshold may fall on either side.
        near = (wide - state[:, 2:].double()).abs() < 1e-6 * wide.abs().amax(dim=1, keepdim=True)
        scale = wide.abs().amax(dim=1, keepdim=True), gradient.double().abs().amax()
        found = {"y": result, "gradient": pulled, "mask": is_kept}
        for (part, one), other, size in zip(found.items(), expected, (*scale, 1), strict=True):
            if one.dtype != (torch.bool if part == "mask" else dtype):
                yield f"{case}, {dtype}: {part} is {one.dtype}"
            error = ((one.double() - other.double()).abs() / size).masked_fill(near, 0)
            worst = error.nan_to_num(torch.inf).max().item() / PRECISION[dtype]
            if not worst < 1:
                yield f"{case}, {dtype}, correction {correction}, {hard=}: {part} {worst:.1f}"


if __name__ == "__main__":
    wrong = list(failures(sys.argv[1]))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
