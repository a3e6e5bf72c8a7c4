"""What is known of each set of exercises: likely mistakes with their hints, other right answers."""

from tests.exercises import (
    alternatives_extreme_labels,
    mistakes_contrastive,
    mistakes_extreme_labels,
    mistakes_mixup,
    mistakes_neural_collapse,
)

HINTS = {
    "contrastive": mistakes_contrastive.HINTS,
    "extreme_labels": mistakes_extreme_labels.HINTS,
    "mixup": mistakes_mixup.HINTS,
    "neural_collapse": mistakes_neural_collapse.HINTS,
}
ALTERNATIVES = {
    "extreme_labels": alternatives_extreme_labels.ALTERNATIVES,
    "mixup": mistakes_mixup.ALTERNATIVES,
    "neural_collapse": mistakes_neural_collapse.ALTERNATIVES,
}
ANSWERS = [(slug, answer) for slug, hints in HINTS.items() for answer in hints]
