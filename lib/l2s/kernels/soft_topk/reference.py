r"""The definition of the operator, in plain PyTorch.

With x_i = alpha (s_i + t) the sum of sigma(x_i) must be k. What the k largest scores of a row lack
of 1 then equals what the others have:

.. math:: A = \sum_{i \le k} \sigma(-x_i) \;=\; \sum_{i > k} \sigma(x_i) = B.

The error log B - log A grows with alpha t. Its slope is the mean of sigma(-x) over the terms of B,
each weighed by its part of B, plus that of sigma(x) over A. That is at most 2, and at least 1/2:
where no x outside the k largest is above 0 the first mean is at least 1/2, and else all of the k
largest are above 0, and the second is. So the root lies between 1/2 and 2 times the error away, and
Newton's steps, kept within these bounds, arrive.

Three things keep all digits, in any dtype. Scores count from a *centre* c near the threshold:
``x = alpha * (s - c) + offset``. A and B are sums of positive terms: nothing cancels, even if all
scores are far from the threshold. And they are compared by their logarithms, which do not
underflow.

The *state* of a row, shape (rows, 3), is all that the backward pass needs beside the scores: c, the
offset, and a *gap* m. The derivative v_i = sigma(x_i) sigma(-x_i) may underflow for all i while the
ratios v_i / sum v matter; v_i e^m does not.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

MARKS_BAD_ROWS = False  # so the operator looks at the input first
_STEPS = 100  # of the search, at most; it takes 2 to 15


def forward(scores: Tensor, k: Tensor, sharpness: float, log: bool) -> tuple[Tensor, Tensor]:
    """Return p (or log p) of every row, and the rows' states for ``backward``."""
    is_large, centre = _split(scores, k)
    offset = _search(scores, is_large, sharpness, centre)
    nearer = centre - offset / sharpness
    centre = torch.where(nearer.isfinite(), nearer, centre)
    offset = _search(scores, is_large, sharpness, centre)
    x = _x(scores, sharpness, centre, offset)
    result = logsigmoid(x) if log else x.sigmoid()
    return result, torch.stack([centre, offset, x.abs().amin(dim=1)], dim=1)


def backward(
    gradient: Tensor, scores: Tensor, state: Tensor, sharpness: float, log: bool
) -> Tensor:
    r"""Return the gradient for the scores, given the one for p (or log p).

    .. math:: \alpha\Big(u_i - \frac{v_i}{\sum v}\sum_j u_j\Big),\qquad v_i = p_i (1 - p_i),

    where u_i = g_i v_i for p, and g_i (1 - p_i) for log p.
    """
    centre, offset, gap = state.unbind(dim=1)
    x = _x(scores, sharpness, centre, offset)
    share = torch.sigmoid(x.abs())
    enlarged = (gap[:, None] - x.abs()).exp() * share**2  # v e^gap
    weight = enlarged / enlarged.sum(dim=1, keepdim=True)
    if log:
        u = gradient * torch.sigmoid(-x)
        return sharpness * (u - weight * u.sum(dim=1, keepdim=True))
    mean = (gradient * weight).sum(dim=1, keepdim=True)
    return sharpness * (x.sigmoid() * torch.sigmoid(-x) * (gradient - mean))


def _split(scores: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Which scores are the k largest of their row, and the middle of the gap below them."""
    values, order = scores.sort(dim=1, descending=True)
    wanted = k[:, None]
    ranks = torch.arange(scores.shape[1], device=scores.device)
    is_large = torch.zeros_like(order, dtype=torch.bool).scatter(1, order, ranks < wanted)
    middle = values.gather(1, wanted - 1) / 2 + values.gather(1, wanted) / 2
    return is_large, middle[:, 0]


def _search(scores: Tensor, is_large: Tensor, sharpness: float, centre: Tensor) -> Tensor:
    """The offset at which A = B, as good as the dtype has it."""
    offset = torch.zeros_like(centre)
    low, high = offset - torch.inf, offset + torch.inf
    from_centre = _x(scores, sharpness, centre, offset)
    precision = 4 * torch.finfo(scores.dtype).eps
    for _ in range(_STEPS):
        x = from_centre + offset[:, None]
        terms = logsigmoid(torch.where(is_large, -x, x))  # the logs of those of A, and of B
        log_a = terms.masked_fill(~is_large, -torch.inf).logsumexp(dim=1, keepdim=True)
        log_b = terms.masked_fill(is_large, -torch.inf).logsumexp(dim=1, keepdim=True)
        parts = (terms - torch.where(is_large, log_a, log_b)).exp()
        slope = (parts * -terms.expm1()).sum(dim=1)
        error = (log_b - log_a)[:, 0]
        ends = torch.stack([offset - 2 * error, offset - error / 2])
        low, high = torch.maximum(low, ends.amin(dim=0)), torch.minimum(high, ends.amax(dim=0))
        before, offset = offset, (offset - error / slope).clamp(low, high)
        if ((offset - before).abs() <= precision * (1 + offset.abs() + log_a[:, 0].abs())).all():
            break
    return offset


def _x(scores: Tensor, sharpness: float, centre: Tensor, offset: Tensor) -> Tensor:
    # Bounded, so that no difference of two infinities can arise.
    x = sharpness * (scores - centre[:, None]) + offset[:, None]
    return x.clamp(-1e30, 1e30)
