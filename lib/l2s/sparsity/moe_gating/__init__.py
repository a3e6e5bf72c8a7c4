r"""The statistics of top-K softmax gating (nguyen2024), and the layer of experts that it is about.

Two halves share one idea. A *mixture* of Gaussian experts is a conditional density that is fitted
by maximum likelihood. A *layer* of experts is a part of a network that is trained by its gradient.
In both a gate scores the experts for an input, the K best take part, and softmax shares among them.

In the mixture, selection looks at the scores :math:`\beta_1^\top x` alone and the bias
:math:`\beta_0` comes afterwards; σ is a variance. Fits run side by side: parameters may have a
first axis of fits, and ``fit_em`` and ``fit_gradient`` take all of them through the same passes
over the data.

The chapter is ``sparsity/moe_gating``.
"""

from l2s.sparsity.moe_gating.ascent import fit_gradient
from l2s.sparsity.moe_gating.density import log_density, log_likelihood, sample_targets
from l2s.sparsity.moe_gating.distance import hellinger, sampled_distance, total_variation
from l2s.sparsity.moe_gating.em import fit_em
from l2s.sparsity.moe_gating.fitting import Fit
from l2s.sparsity.moe_gating.gate import active_sets, select, topk_log_gate
from l2s.sparsity.moe_gating.layer import Mixed, MixtureOfExperts
from l2s.sparsity.moe_gating.mixture import Mixture, fix_gauge, shift_gate, split_expert, stack
from l2s.sparsity.moe_gating.routing import (
    Routing,
    TopKGate,
    load_balancing_loss,
    router_z_loss,
)
from l2s.sparsity.moe_gating.starts import kmeans_starts, starts_near
from l2s.sparsity.moe_gating.voronoi import (
    parameter_errors,
    polynomial_system,
    solution_order,
    voronoi_cells,
    voronoi_loss,
)

__all__ = [
    "Fit",
    "Mixed",
    "Mixture",
    "MixtureOfExperts",
    "Routing",
    "TopKGate",
    "active_sets",
    "fit_em",
    "fit_gradient",
    "fix_gauge",
    "hellinger",
    "kmeans_starts",
    "load_balancing_loss",
    "log_density",
    "log_likelihood",
    "parameter_errors",
    "polynomial_system",
    "router_z_loss",
    "sample_targets",
    "sampled_distance",
    "select",
    "shift_gate",
    "solution_order",
    "split_expert",
    "stack",
    "starts_near",
    "topk_log_gate",
    "total_variation",
    "voronoi_cells",
    "voronoi_loss",
]
