"""Statistical top-k and what is built on it: its calibration, Spark layers, and a small model.

The operators themselves are in ``l2s.kernels``; the chapter on statistical top-k derives all of
it.
"""

from l2s.sparsity.statistical_topk.calibration import (
    Law,
    count_variance,
    gaussian_threshold,
    limiting_share,
)
from l2s.sparsity.statistical_topk.costs import attention_flops, ffn_flops
from l2s.sparsity.statistical_topk.layers import CausalAttention, GatedFFN, SparkFFN
from l2s.sparsity.statistical_topk.model import Cache, CharacterModel

__all__ = [
    "Cache",
    "CausalAttention",
    "CharacterModel",
    "GatedFFN",
    "Law",
    "SparkFFN",
    "attention_flops",
    "count_variance",
    "ffn_flops",
    "gaussian_threshold",
    "limiting_share",
]
