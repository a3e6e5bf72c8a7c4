"""Scores of a representation and of a ranking.

``linear_r2``, ``linear_probe`` and ``knn_accuracy`` fit on training rows and return one number
measured on test rows. The others rate scores that a model gave: the ``..._at_k`` and ``mrr`` rate
the order of the labels within each row, ``auc`` and ``tpr_at_fpr`` tell all positives from all
negatives with one threshold, and ``reliability`` and ``calibration_error`` ask whether a confidence
is an accuracy.
"""

from l2s.metrics.calibration import (
    CalibrationError,
    Reliability,
    calibration_error,
    fit_temperature,
    reliability,
    top_label,
)
from l2s.metrics.probes import PROBE_GRID, knn_accuracy, linear_probe, linear_r2
from l2s.metrics.ranking import (
    mrr,
    ndcg_at_k,
    precision_at_k,
    propensities,
    propensity_precision_at_k,
    recall_at_k,
)
from l2s.metrics.threshold import auc, tpr_at_fpr

__all__ = [
    "PROBE_GRID",
    "CalibrationError",
    "Reliability",
    "auc",
    "calibration_error",
    "fit_temperature",
    "knn_accuracy",
    "linear_probe",
    "linear_r2",
    "mrr",
    "ndcg_at_k",
    "precision_at_k",
    "propensities",
    "propensity_precision_at_k",
    "recall_at_k",
    "reliability",
    "top_label",
    "tpr_at_fpr",
]
