"""What is known of each set of exercises: likely mistakes with their hints, other right answers."""

from tests.exercises import (
    alternatives_extreme_labels,
    mistakes_contrastive,
    mistakes_double_descent,
    mistakes_extreme_labels,
    mistakes_high_dimensional,
)

HINTS = {
    "contrastive": mistakes_contrastive.HINTS,
    "double_descent": mistakes_double_descent.HINTS,
    "extreme_labels": mistakes_extreme_labels.HINTS,
    "high_dimensional": mistakes_high_dimensional.HINTS,
}
ALTERNATIVES = {
    "double_descent": mistakes_double_descent.ALTERNATIVES,
    "extreme_labels": alternatives_extreme_labels.ALTERNATIVES,
    "high_dimensional": mistakes_high_dimensional.ALTERNATIVES,
}
ANSWERS = [(slug, answer) for slug, hints in HINTS.items() for answer in hints]
