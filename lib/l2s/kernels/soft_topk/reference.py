r"""The definition of the operator, in plain PyTorch.

With x_i = alpha (s_i + t) the sum of sigma(x_i) must be k. It grows with t, so bisection finds t
from any bracket, and this one always holds the root: with L = log(k / (n - k)),

.. math:: L - \alpha\max s \;\le\; \alpha t \;\le\; L - \alpha\min s.

Three things keep all digits, in any dtype. Scores count from a *centre* c near the threshold:
``x = alpha * (s - c) + offset``. The sum minus k is (how many x >= 0) - k + below - above, where
the tails ``below`` and ``above`` are sums of sigma(-|x|): nothing cancels, even if all scores are
far from the threshold. And the tails are compared by their logarithms, which do not underflow.

The *state* of a row, shape (rows, 3), is all that the backward pass needs beside the scores: c, the
offset, and a *gap* m. The derivative v_i = sigma(x_i) sigma(-x_i) may underflow for all i while the
ratios v_i / sum v matter; v_i e^m does not.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

MARKS_BAD_ROWS = False  # so the operator looks at the input first


def forward(scores: Tensor, k: Tensor, sharpness: float, log: bool) -> tuple[Tensor, Tensor]:
    """Return p (or log p) of every row, and the rows' states for ``backward``."""
    centre = scores.amax(dim=1)
    for _ in range(2):  # the second time with the centre near the threshold
        offset = _bisect(scores, k, sharpness, centre)
        nearer = centre - offset / sharpness
        centre = torch.where(nearer.isfinite(), nearer, centre)
    offset = _bisect(scores, k, sharpness, centre)
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


def _bisect(scores: Tensor, k: Tensor, sharpness: float, centre: Tensor) -> Tensor:
    """The offset at which sum sigma(x) = k, as good as the dtype has it."""
    columns = scores.shape[1]
    wanted = k.to(scores)
    logit = (wanted / (columns - wanted)).log()
    lowest, highest = scores.aminmax(dim=1)
    bound = torch.finfo(scores.dtype).max / 4
    low = (logit - sharpness * (highest - centre)).clamp(-bound, bound)
    high = (logit - sharpness * (lowest - centre)).clamp(-bound, bound)
    precision = torch.finfo(scores.dtype).eps / 4
    steps = 2 + math.log2(max(1.0, float((high - low).amax()) / precision))
    for _ in range(math.ceil(steps)):
        middle = low + (high - low) / 2
        is_low = _is_too_low(_x(scores, sharpness, centre, middle), k)
        low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
    return low + (high - low) / 2


def _is_too_low(x: Tensor, k: Tensor) -> Tensor:
    """Whether sum sigma(x) < k: above + (k - count) against below + (count - k)."""
    is_above = x >= 0
    tails = logsigmoid(-x.abs())
    below = tails.masked_fill(is_above, -torch.inf).logsumexp(dim=1)
    above = tails.masked_fill(~is_above, -torch.inf).logsumexp(dim=1)
    surplus = (is_above.sum(dim=1) - k).to(x.dtype)
    return torch.logaddexp(below, surplus.clamp(min=0).log()) < torch.logaddexp(
        above, (-surplus).clamp(min=0).log()
    )


def _x(scores: Tensor, sharpness: float, centre: Tensor, offset: Tensor) -> Tensor:
    # Bounded, so that no difference of two infinities can arise.
    x = sharpness * (scores - centre[:, None]) + offset[:, None]
    return x.clamp(-1e30, 1e30)
