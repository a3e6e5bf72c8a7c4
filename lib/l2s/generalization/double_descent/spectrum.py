"""Least squares mode by mode: one decomposition, then every training rule is a function of it."""

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks


@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""The modes of a least-squares problem; see ``decompose``.

    Attributes:
        left: U, the modes over samples, float64 of shape (samples, modes).
        singular_values: s, falling, float64 of shape (modes,), all above 0.
        right: V, the modes over features, float64 of shape (width, modes).
        coefficients: C = U' Y, the targets in the modes, float64 of shape (modes, outputs).
        floor: The training error that no weights can go below: what of Y lies outside all modes.
    """

    left: Float[Tensor, "samples modes"]
    singular_values: Float[Tensor, " modes"]
    right: Float[Tensor, "width modes"]
    coefficients: Float[Tensor, "modes outputs"]
    floor: float

    @functools.cached_property
    def eigenvalues(self) -> Tensor:
        r"""The curvatures of the loss, :math:`\lambda_i = s_i^2 / P`, falling, shape (modes,)."""
        return self.singular_values.square() / len(self.left)

    @property
    def rank(self) -> int:
        """The number of modes, at most min(samples, width)."""
        return len(self.singular_values)

    @property
    def condition_number(self) -> float:
        r""":math:`\kappa = \lambda_{\max} / \lambda_{\min}` over the eigenvalues that are not 0."""
        return float(self.eigenvalues[0] / self.eigenvalues[-1])

    @property
    def initial_error(self) -> float:
        r"""The training error of zero weights, the mean of :math:`\lVert y \rVert^2`."""
        return self.floor + float(self.coefficients.square().sum()) / len(self.left)

    @checks.typed
    def weights(self, residual: Float[Tensor, " modes"]) -> Float[Tensor, "width outputs"]:
        r"""Return the readout whose residual in mode i is ``residual[i]`` times the target's.

        .. math:: W = V \operatorname{diag}\Big(\frac{1 - e_i}{s_i}\Big) C

        Args:
            residual: e, floating, of shape (modes,). Zeros give the minimum-norm solution.
        """
        fitted = (1 - residual.double()) / self.singular_values
        return self.right @ (fitted[:, None] * self.coefficients)

    @checks.typed
    def training_error(
        self, residual: Float[Tensor, "settings modes"] | Float[Tensor, " modes"]
    ) -> Float[Tensor, " settings"] | Float[Tensor, ""]:
        r"""Return the mean over samples of the squared error, summed over outputs.

        .. math:: \frac1P \lVert Z W - Y \rVert^2
            = \frac1P \sum_i e_i^2 \lVert C_i \rVert^2 + \text{floor}

        Args:
            residual: e for one setting or for several, floating, of shape (modes,) or (settings,
                modes).
        """
        power = self.coefficients.square().sum(1) / len(self.left)
        return residual.double().square() @ power + self.floor


@checks.typed
def decompose(
    features: Float[Tensor, "samples width"],
    targets: Float[Tensor, "samples outputs"],
    *,
    tolerance: float | None = None,
) -> Spectrum:
    r"""Decompose the problem :math:`\min_W \frac{1}{2P} \lVert Z W - Y \rVert^2` into its modes.

    With :math:`Z = U S V^\top` the problem falls apart: mode i is a parabola of curvature
    :math:`\lambda_i = s_i^2 / P`, and all modes share one step size.

    Args:
        features: Z, floating, of shape (samples, width).
        targets: Y, floating, of shape (samples, outputs).
        tolerance: Singular values up to this share of the largest one count as 0, and their modes
            are dropped: features of deficient rank have fewer modes than rows and columns. None
            means rounding, max(samples, width) times the spacing of float64.

    Returns:
        A ``Spectrum``, whose arrays are float64.

    Raises:
        ValueError: Fewer than two samples, no feature, NaN or infinite entries, or features that
            are all 0.

    >>> features = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> spectrum = decompose(features, torch.ones(3, 1))
    >>> spectrum.singular_values.tolist(), spectrum.condition_number
    ([2.0, 1.0], 4.0)
    >>> round(spectrum.floor, 3)  # the third target cannot be fitted
    0.333
    """
    checks.at_least("len(features)", len(features), 2, "Pass two samples or more.")
    checks.at_least("width", features.shape[1], 1, "Pass one feature or more.")
    checks.at_least("outputs", targets.shape[1], 1, "Pass one target or more.")
    checks.finite("features", features)
    checks.finite("targets", targets)
    if tolerance is None:
        tolerance = max(features.shape) * torch.finfo(torch.float64).eps
    checks.in_range("tolerance", tolerance, 0.0, 1.0)
    left, singular, right = torch.linalg.svd(features.double(), full_matrices=False)
    kept = singular > tolerance * singular[0]
    if not kept.any():
        raise ValueError(
            "`features` are all 0, so nothing can be learned from them. Scale the inputs, or draw "
            "other features."
        )
    left, y = left[:, kept], targets.double()
    coefficients = left.T @ y
    outside = (y - left @ coefficients).square().sum() / len(y)
    return Spectrum(left, singular[kept], right[kept].T, coefficients, float(outside))


@dataclass(frozen=True, eq=False)
class Errors:
    """What a readout costs, for several settings at once.

    Attributes:
        training: Training error, float64 of shape (settings,).
        test: Test error in the same unit, float64 of shape (settings,).
        mistakes: The share of test rows whose largest output is not the target's largest, float64
            of shape (settings,); NaN where there is one output.
    """

    training: Float[Tensor, " settings"]
    test: Float[Tensor, " settings"]
    mistakes: Float[Tensor, " settings"]


@checks.typed
def evaluate(
    spectrum: Spectrum,
    test_features: Float[Tensor, "rows width"],
    test_targets: Float[Tensor, "rows outputs"],
    residuals: Float[Tensor, "settings modes"],
) -> Errors:
    r"""Return training and test error of every residual filter, without a training loop.

    .. math:: \text{test} = \frac1M \Big\lVert Z_{\mathrm{test}} V
        \operatorname{diag}\Big(\frac{1 - e_i}{s_i}\Big) C - Y_{\mathrm{test}} \Big\rVert^2

    Args:
        spectrum: The training problem.
        test_features: Floating, of shape (rows, width).
        test_targets: Floating, of shape (rows, outputs).
        residuals: e, one row a setting, floating, of shape (settings, modes).

    Raises:
        ValueError: Shapes that do not fit the spectrum, or NaN.

    >>> features, targets = torch.eye(3), torch.ones(3, 1)
    >>> errors = evaluate(decompose(features, targets), features, targets, torch.zeros(1, 3))
    >>> errors.test
    tensor([0.], dtype=torch.float64)
    """
    _check_fit(spectrum, test_features, test_targets, residuals)
    y = test_targets.double()
    seen = test_features.double() @ spectrum.right
    test, mistakes = [], []
    for residual in residuals.double():
        fitted = (1 - residual) / spectrum.singular_values
        predicted = seen @ (fitted[:, None] * spectrum.coefficients)
        test.append((predicted - y).square().sum() / len(y))
        wrong = (predicted.argmax(1) != y.argmax(1)).double().mean()
        mistakes.append(wrong if y.shape[1] > 1 else torch.full_like(wrong, math.nan))
    return Errors(spectrum.training_error(residuals), torch.stack(test), torch.stack(mistakes))


def _check_fit(
    spectrum: Spectrum, test_features: Tensor, test_targets: Tensor, residuals: Tensor
) -> None:
    checks.at_least("rows", len(test_features), 1, "Pass one test row or more.")
    checks.at_least("settings", len(residuals), 1, "Pass one filter or more.")
    for name, found, needed in (
        ("test_features", test_features.shape[1], len(spectrum.right)),
        ("test_targets", test_targets.shape[1], spectrum.coefficients.shape[1]),
        ("residuals", residuals.shape[1], spectrum.rank),
    ):
        if found != needed:
            raise ValueError(
                f"`{name}` has {found} columns, but the training problem has {needed}. Pass the "
                "test rows and filters of the same problem."
            )
    checks.finite("test_features", test_features)
    checks.finite("test_targets", test_targets)
    checks.finite("residuals", residuals)
