"""The likely mistakes and the other right answers of all exercises, by slug."""

from tests.exercises import (
    alternatives_extreme_labels,
    mistakes_contrastive,
    mistakes_double_descent,
    mistakes_dynamic_pruning,
    mistakes_extreme_labels,
    mistakes_high_dimensional,
    mistakes_mixup,
    mistakes_moe_gating,
    mistakes_neural_collapse,
    mistakes_statistical_topk,
)

HINTS = {
    "contrastive": mistakes_contrastive.HINTS,
    "double_descent": mistakes_double_descent.HINTS,
    "dynamic_pruning": mistakes_dynamic_pruning.HINTS,
    "extreme_labels": mistakes_extreme_labels.HINTS,
    "high_dimensional": mistakes_high_dimensional.HINTS,
    "mixup": mistakes_mixup.HINTS,
    "moe_gating": mistakes_moe_gating.HINTS,
    "neural_collapse": mistakes_neural_collapse.HINTS,
    "statistical_topk": mistakes_statistical_topk.HINTS,
}
ALTERNATIVES = {
    "double_descent": mistakes_double_descent.ALTERNATIVES,
    "dynamic_pruning": mistakes_dynamic_pruning.ALTERNATIVES,
    "extreme_labels": alternatives_extreme_labels.ALTERNATIVES,
    "high_dimensional": mistakes_high_dimensional.ALTERNATIVES,
    "mixup": mistakes_mixup.ALTERNATIVES,
    "moe_gating": mistakes_moe_gating.ALTERNATIVES,
    "neural_collapse": mistakes_neural_collapse.ALTERNATIVES,
    "statistical_topk": mistakes_statistical_topk.ALTERNATIVES,
}
ANSWERS = [(slug, answer) for slug, hints in HINTS.items() for answer in hints]
