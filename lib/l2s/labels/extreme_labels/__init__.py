"""Losses for rows with several right labels among very many (Gupta et al., 2024).

A row holds the scores s of all labels: its positives P, its negatives N, and ``l = log of the sum
of exp(s_j) over N``::

    multilabel softmax   mean over P of  log(sum over P and N of e^s) - s_i
    decoupled softmax    mean over P of  softplus(l - s_i)
    soft top-k           mean over P of  softplus(-α (s_i + t)),  where all σ(α (s_j + t)) sum to k
    one versus all       sum over P of softplus(-s_i)  +  sum over N of softplus(s_j)

The rest of the chapter ``labels/extreme_labels`` is here too: samples of labels, labels that lie on
several ranks, the dual encoder with exact gradient caching, and the losses of in-batch pairs
(Sheikholeslami et al., 2025), which differ in *which* pairs of scores they compare.

Scores may be float16, bfloat16, float32 or float64; the work is done in float32 or float64, and the
result has the scores' dtype.
"""

from l2s.labels.extreme_labels.caching import cached_backward
from l2s.labels.extreme_labels.encoder import DualEncoder, Tower
from l2s.labels.extreme_labels.losses import (
    decoupled_softmax,
    multilabel_softmax,
    one_versus_all,
    soft_topk_loss,
)
from l2s.labels.extreme_labels.pairs import (
    contrastive,
    in_batch_pairs,
    mann_whitney,
    pairwise_logistic,
)
from l2s.labels.extreme_labels.sampling import LabelSample, sample_labels
from l2s.labels.extreme_labels.sharded import (
    sharded_decoupled_softmax,
    sharded_soft_topk_loss,
)

__all__ = [
    "DualEncoder",
    "LabelSample",
    "Tower",
    "cached_backward",
    "contrastive",
    "decoupled_softmax",
    "in_batch_pairs",
    "mann_whitney",
    "multilabel_softmax",
    "one_versus_all",
    "pairwise_logistic",
    "sample_labels",
    "sharded_decoupled_softmax",
    "sharded_soft_topk_loss",
    "soft_topk_loss",
]
