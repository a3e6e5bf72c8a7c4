"""What each implementation of the soft top-k operator must compute: one set of cases for all.

TRITON_INTERPRET=1 python -m tests.kernels.soft_topk_cases gpu   # one line a failed case
"""

import importlib
import itertools
import sys

import torch
from l2s.kernels.soft_topk import reference

SHARPNESS = (1e-3, 1.0, 1e3, 1e12)
PRECISION = {torch.float32: 8e-6, torch.float64: 2e-14}


def inputs():
    """Scores in float64, and k: odd shapes, blocks that are full or not, ties, far outliers."""
    generator = torch.Generator().manual_seed(3)

    def normal(rows, columns):
        return torch.randn(rows, columns, generator=generator, dtype=torch.float64)

    outlier = normal(2, 700)
    outlier[:, 13] = 500.0
    two_levels = torch.zeros(1, 9, dtype=torch.float64)
    two_levels[:, ::3] = 1.0
    return {
        "two scores": (normal(2, 2), [1, 1]),
        "a k for each row": (normal(4, 7), [1, 2, 5, 6]),
        "one block and one more": (normal(3, 513), [1, 200, 512]),
        "many blocks": (normal(2, 5000), [5, 100]),
        "nearly all": (normal(2, 3000), [2999, 2500]),
        "all equal": (torch.full((2, 1025), 0.1, dtype=torch.float64), [3, 1000]),
        "an outlier": (outlier, [1, 4]),
        "two levels": (two_levels, [3]),
        "large scores": (normal(2, 600) + 1e4, [2, 50]),
    }


def failures(name, quick=False):
    """Compare with the definition in float64 on the same rounded scores."""
    dtypes = (torch.float32, torch.float64)
    implementation = importlib.import_module(f"l2s.kernels.soft_topk.{name}")
    cases = itertools.product(inputs().items(), dtypes, SHARPNESS, (False, True))
    for (case, (exact, ks)), dtype, sharpness, log in cases:
        if quick and dtype == torch.float64 and sharpness != 1:
            continue
        scores, k = exact.to(dtype), torch.tensor(ks)
        gradient = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        wide = scores.double()
        expected, expected_state = reference.forward(wide, k, sharpness, log)
        pulled = reference.backward(gradient.double(), wide, expected_state, sharpness, log)
        result, state = implementation.forward(scores, k, sharpness, log)
        found = implementation.backward(gradient, scores, state, sharpness, log)
        # Across a wide gap the pull of log p is shared by scores at x = sharpness (s - c), and
        # rounding moves x, and with it the shares, by that many units in the last place.
        reach = 1 + float(expected_state[:, 2].max()) / 10 if log else 1
        errors = {
            "forward": _error(result, expected) / PRECISION[dtype],
            "backward": _error(found, pulled, sharpness) / (reach * PRECISION[dtype]),
        }
        for part, error in errors.items():
            if not error < 1:
                yield f"{case}, {dtype}, sharpness {sharpness}, log={log}: {part} {error:.1f}"


def _error(found, expected, scale=1.0):
    """The largest error, relative to the number or, for small ones, to what is usual in its row."""
    usual = 0.03 * expected.abs().amax(dim=1, keepdim=True).clamp(min=scale)
    error = (found - expected).abs() / torch.maximum(expected.abs(), usual)
    return float(error.nan_to_num(torch.inf).max())


if __name__ == "__main__":
    wrong = list(failures(sys.argv[1], quick=True))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
