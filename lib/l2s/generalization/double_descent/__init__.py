"""Double descent and the optimizer (Liu and Flanigan, 2023).

Least squares on features Z (P samples, width N) falls apart into modes of curvature
``λ_i = s_i² / P``. Each training rule leaves a share e of a mode's target::

    gradient descent    e = (1 - ηλ)^k
    heavy ball          e_(k+1) = (1 + β - ηλ) e_k - β e_(k-1)
    ridge               e = γ / (λ + γ)
    minimum norm        e = 0

and training and test error of all of them follow from one decomposition. Errors are means over
samples of the squared error, summed over outputs; the loss is half of that.

Beside the spectral forms stand real loops for every optimizer, two-layer networks, curves along
width, samples and steps, and what theory predicts for random features.
"""

from l2s.generalization.double_descent.collapse import Collapse, collapse
from l2s.generalization.double_descent.curves import Curve, epoch_wise, model_wise, sample_wise
from l2s.generalization.double_descent.descent import Run, readout, train_to_error
from l2s.generalization.double_descent.features import RandomFeatures, random_features
from l2s.generalization.double_descent.filters import (
    descent_filter,
    largest_stable_step,
    ridge_filter,
    steps_to_error,
)
from l2s.generalization.double_descent.networks import (
    TwoLayerNetwork,
    tangent_features,
    two_layer_threshold,
)
from l2s.generalization.double_descent.problems import Regression, noisy_digits, preprocess
from l2s.generalization.double_descent.spectrum import Errors, Spectrum, decompose, evaluate
from l2s.generalization.double_descent.theory import (
    SphereSpectrum,
    minimum_norm_error,
    random_feature_error,
    sphere_spectrum,
)

__all__ = [
    "Collapse",
    "Curve",
    "Errors",
    "RandomFeatures",
    "Regression",
    "Run",
    "Spectrum",
    "SphereSpectrum",
    "TwoLayerNetwork",
    "collapse",
    "decompose",
    "descent_filter",
    "epoch_wise",
    "evaluate",
    "largest_stable_step",
    "minimum_norm_error",
    "model_wise",
    "noisy_digits",
    "preprocess",
    "random_feature_error",
    "random_features",
    "readout",
    "ridge_filter",
    "sample_wise",
    "sphere_spectrum",
    "steps_to_error",
    "tangent_features",
    "train_to_error",
    "two_layer_threshold",
]
