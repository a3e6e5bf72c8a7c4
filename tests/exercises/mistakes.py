"""What is known of each set of exercises: likely mistakes with their hints, other right answers."""

from tests.exercises import (
    alternatives_extreme_labels,
    mistakes_contrastive,
    mistakes_extreme_labels,
)

HINTS = {
    "contrastive": mistakes_contrastive.HINTS,
    "extreme_labels": mistakes_extreme_labels.HINTS,
}
ALTERNATIVES = {"extreme_labels": alternatives_extreme_labels.ALTERNATIVES}
ANSWERS = [(slug, answer) for slug, hints in HINTS.items() for answer in hints]
