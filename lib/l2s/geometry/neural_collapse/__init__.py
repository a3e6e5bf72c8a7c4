"""Neural collapse: how to measure it, and what it must be in a model that can be solved.

*Measure*: ``ClassStatistics`` takes features batch by batch, in one pass and with little memory,
and ``nc1`` to ``nc4`` read off the four measures of Papyan, Han and Donoho (2020).

*Predict*: ``linear_head_solution`` gives the global minimum of a deep linear head on free features
under the squared loss, for any class sizes and decays (Dang et al., 2023): which classes live, how
long their means and rows are, the loss, and an explicit minimiser. ``cross_entropy_solution`` does
it for cross-entropy where it is known: balanced classes and one layer.

*Train*: ``train_free_features`` and ``train_linear_head`` minimise the same objective,
``head_objective``, from several starts.

Features are rows, (samples, dim); a weight is (width after, width before); the chapter is
``geometry/neural_collapse``.
"""

from l2s.geometry.neural_collapse.cross_entropy import CrossEntropySolution, cross_entropy_solution
from l2s.geometry.neural_collapse.metrics import DualityGap, FrameGap, nc1, nc2, nc3, nc4
from l2s.geometry.neural_collapse.solution import LinearHeadSolution
from l2s.geometry.neural_collapse.statistics import ClassStatistics
from l2s.geometry.neural_collapse.theory import (
    class_output,
    class_prices,
    collapse_price,
    linear_head_solution,
    metastable_price,
)
from l2s.geometry.neural_collapse.training import (
    TrainedHead,
    head_objective,
    train_free_features,
    train_linear_head,
)

__all__ = [
    "ClassStatistics",
    "CrossEntropySolution",
    "DualityGap",
    "FrameGap",
    "LinearHeadSolution",
    "TrainedHead",
    "class_output",
    "class_prices",
    "collapse_price",
    "cross_entropy_solution",
    "head_objective",
    "linear_head_solution",
    "metastable_price",
    "nc1",
    "nc2",
    "nc3",
    "nc4",
    "train_free_features",
    "train_linear_head",
]
