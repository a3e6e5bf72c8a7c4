"""What each implementation of the grouped product must compute: one set of cases for all.

TRITON_INTERPRET=1 python -m tests.kernels.grouped_matmul_cases gpu   # one line a failed case
"""

import importlib
import itertools
import sys

import torch

PRECISION = {torch.float32: 2e-6, torch.float64: 4e-15, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def inputs():
    """Shapes (sizes, inputs, outputs): less than a tile, full tiles, one more, empty groups."""
    return {
        "one row": ([1], 1, 1),
        "one column": ([3, 2], 5, 1),
        "one input": ([3, 2], 1, 4),
        "less than a tile": ([2, 5, 3], 7, 9),
        "a full tile": ([128], 64, 64),
        "one more than a tile": ([129, 1], 65, 129),
        "empty groups": ([0, 40, 0, 0, 31, 0], 33, 17),
        "uneven groups": ([200, 3, 1, 70], 40, 30),
    }


def by_row(x, weights, sizes):
    """Each row times its matrix, one at a time."""
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return torch.stack([row @ weights[g] for row, g in zip(x, group.tolist(), strict=True)])


def outer_by_row(x, y, sizes):
    """The sums of outer products, one row at a time."""
    result = torch.zeros(len(sizes), x.shape[1], y.shape[1], dtype=x.dtype)
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    for left, right, g in zip(x, y, group.tolist(), strict=True):
        result[g] += left[:, None] * right
    return result


def failures(name, quick=False):
    """Compare with the loops over rows in float64 on the same rounded numbers."""
    implementation = importlib.import_module(f"l2s.kernels.grouped_matmul.{name}")
    generator = torch.Generator().manual_seed(6)
    cases = itertools.product(inputs().items(), PRECISION, ("contiguous", "strided"))
    for (case, (sizes, width, outputs)), dtype, layout in cases:
        if quick and layout == "strided" and dtype != torch.float32:
            continue

        def normal(*shape, dtype=dtype, layout=layout):
            exact = torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
            if layout == "contiguous":
                return exact
            return exact.transpose(-1, -2).contiguous().transpose(-1, -2)  # the same numbers

        x, y = normal(sum(sizes), width), normal(sum(sizes), outputs)
        weights = normal(len(sizes), width, outputs)
        found = {
            "product": implementation.multiply(x, weights, sizes),
            "product with the transposed": implementation.multiply(y, weights.mT, sizes),
            "sums of outer products": implementation.outer(x, y, sizes),
        }
        wide = [tensor.double() for tensor in (x, y, weights)]
        expected = {
            "product": by_row(wide[0], wide[2], sizes),
            "product with the transposed": by_row(wide[1], wide[2].mT, sizes),
            "sums of outer products": outer_by_row(wide[0], wide[1], sizes),
        }
        for part, one in found.items():
            error = _error(one, expected[part]) / PRECISION[dtype]
            if one.dtype != dtype or not error < 1:
                yield f"{case}, {dtype}, {layout}: {part} {error:.1f}"


def _error(found, expected):
    """The largest error, relative to the number or, for small ones, to the largest."""
    usual = expected.abs() + 0.3 * expected.abs().max()
    return float(((found.double() - expected).abs() / usual).nan_to_num(torch.inf).max())


if __name__ == "__main__":
    wrong = list(failures(sys.argv[1], quick=True))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
