"""Test error of gradient descent on a noisy linear teacher (Advani, Saxe & Sompolinsky, 2020).

N weights learn from P samples, α = P / N. Inputs have independent entries of mean 0 and variance
1/N; a weight of the teacher has variance σ̄², of the start σ₀², the noise on a target σ_ε². The
student descends half the *sum* of squared errors, and time is step size times steps. The modes of
X^T X learn at their eigenvalues λ, and share one formula::

    what is left of a mode     d = exp(-λ t), or (1 - η λ)^(t / η) for steps of size η
    generalization error       σ_ε² + average of  (σ̄² + σ₀²) d² + σ_ε² (1 - d)² / λ
    training error             (1/α) average of  λ (σ̄² + σ₀²) d² + σ_ε² d²,  over λ > 0,
                               and (1 - 1/α) σ_ε² more where α > 1

Errors are mean squared errors and include the noise σ_ε² of the targets. α is samples *per weight*:
more weights than samples means α < 1. The average is over the Marchenko-Pastur law (N and P
infinite) or over the eigenvalues of given inputs (``finite_...``). Where inputs, loss or teacher
have another scale, ``theory_time`` and ``theory_variance`` convert.

Results are float64. The chapter is ``generalization/high_dimensional``.
"""

from l2s.generalization.high_dimensional.bounds import rademacher_bound, travel
from l2s.generalization.high_dimensional.conversion import theory_time, theory_variance
from l2s.generalization.high_dimensional.curves import (
    effective_parameters,
    generalization_error,
    training_error,
)
from l2s.generalization.high_dimensional.deep import deep_linear_flow
from l2s.generalization.high_dimensional.finite import (
    finite_generalization_error,
    finite_training_error,
    gradient_flow,
)
from l2s.generalization.high_dimensional.law import (
    mp_atom,
    mp_cdf,
    mp_density,
    mp_edges,
    mp_nodes,
    mp_quantile,
    mp_sample,
    mp_stieltjes,
)
from l2s.generalization.high_dimensional.ridge import (
    RidgePoint,
    optimal_ridge,
    ridge_effective_parameters,
    ridge_error,
)
from l2s.generalization.high_dimensional.stopping import (
    StoppingPoint,
    mode_stopping_time,
    optimal_stopping_time,
)
from l2s.generalization.high_dimensional.subspace import FrozenSubspace, frozen_subspace

__all__ = [
    "FrozenSubspace",
    "RidgePoint",
    "StoppingPoint",
    "deep_linear_flow",
    "effective_parameters",
    "finite_generalization_error",
    "finite_training_error",
    "frozen_subspace",
    "generalization_error",
    "gradient_flow",
    "mode_stopping_time",
    "mp_atom",
    "mp_cdf",
    "mp_density",
    "mp_edges",
    "mp_nodes",
    "mp_quantile",
    "mp_sample",
    "mp_stieltjes",
    "optimal_ridge",
    "optimal_stopping_time",
    "rademacher_bound",
    "ridge_effective_parameters",
    "ridge_error",
    "theory_time",
    "theory_variance",
    "training_error",
    "travel",
]
