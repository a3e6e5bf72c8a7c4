"""Mixup, where its features go, and its decoupled regulariser.

A mixed sample holds the share λ of class i and 1 - λ of class j; its target is
``y = λ e_i + (1 - λ) e_j``. With a classifier W of K rows that form a simplex frame, a penalty
λ_H/2 ‖h‖² on the feature, s = W h and r = softmax(s), cross-entropy is least at::

    s = ν (y - r),     h = W' (y - r) / λ_H,     ν = κ² K / ((K - 1) λ_H)

one equation in one unknown, since s + ν r has the same shape for all classes. Under squared error
h is linear in y instead. With U the sum of e^s over the classes other than i and j::

    mixup cross-entropy   -λ log r_i - (1 - λ) log r_j
    decoupled mixup       the same  +  η (w_i softplus(log U - s_i) + w_j softplus(log U - s_j))

Scores may be float16, bfloat16, float32 or float64; losses are computed in float32 or float64 and
have the scores' dtype. The theory is computed in float64.

Sources: fisher2024 for the geometry, liu2023 for the regulariser; the chapter is
``geometry/mixup``.
"""

from l2s.geometry.mixup.decoupled import (
    decoupled_mixup,
    decoupled_mixup_binary,
    mixup_cross_entropy,
)
from l2s.geometry.mixup.measure import (
    MixupGeometry,
    channel_coordinates,
    classifier_plane,
    mixup_geometry,
)
from l2s.geometry.mixup.mixing import Mixed, cutmix, manifold_mixup, mixup, soft_targets
from l2s.geometry.mixup.optimal import (
    limit_norm_ratio,
    optimal_features,
    optimal_scores,
    pull_strength,
    squared_error_features,
)

__all__ = [
    "Mixed",
    "MixupGeometry",
    "channel_coordinates",
    "classifier_plane",
    "cutmix",
    "decoupled_mixup",
    "decoupled_mixup_binary",
    "limit_norm_ratio",
    "manifold_mixup",
    "mixup",
    "mixup_cross_entropy",
    "mixup_geometry",
    "optimal_features",
    "optimal_scores",
    "pull_strength",
    "soft_targets",
    "squared_error_features",
]
