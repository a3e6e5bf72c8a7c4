"""The statistics of top-K softmax gating (Nguyen, Akbarian, Yan and Ho, 2023), and the layer.

Two halves share one idea. A *mixture* of Gaussian experts is a conditional density that is fitted by
maximum likelihood. A *layer* of experts is a part of a network that is trained by its gradient. In
both a gate scores the experts for an input, the K best take part, and softmax shares among them.

The chapter is ``sparsity/moe_gating``.
"""

__all__: list[str] = []
