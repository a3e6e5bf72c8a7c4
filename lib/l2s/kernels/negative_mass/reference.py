r"""The definition of the operator, in plain PyTorch: a masked logsumexp and a softplus.

The positives are hidden before the sum. To subtract them from the sum over all would be shorter,
and wrong where they dominate it: nothing of the negatives is left then.
"""

import torch
from torch import Tensor
from torch.nn.functional import softplus

MARKS_BAD_ROWS = False  # so the operator looks at the input first
_EXACT = 40  # softplus(x) is x to all digits from here on; the default, 20, is 2e-9 off


def forward(scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return l, the loss of every row, and the rows' states (l in two parts) for ``backward``."""
    hidden = as_mask(positives, scores.shape[1])
    shift = _largest_negative(scores, hidden)
    rest, loss = _from_shifted(scores - shift[:, None], hidden)
    return shift + rest, loss, torch.stack([shift, rest], dim=1)


def differentiable(scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """Return l and the loss of every row; autograd differentiates both as often as asked."""
    hidden = as_mask(positives, scores.shape[1])
    shift = _largest_negative(scores.detach(), hidden)
    rest, loss = _from_shifted(scores - shift[:, None], hidden)
    return shift + rest, loss


def backward(
    for_mass: Tensor, for_loss: Tensor, scores: Tensor, positives: Tensor, state: Tensor
) -> Tensor:
    r"""Return the gradient for the scores, given those for l and for the loss.

    With q_i = sigma(l - s_i) a positive has -q_i / |P| times the loss's gradient, and a negative
    e^(s_j - l) times (l's gradient + the mean of q times the loss's).
    """
    hidden = as_mask(positives, scores.shape[1])
    shift, mass = state.unsqueeze(1).unbind(dim=2)
    scores = scores - shift
    share = for_loss[:, None] / hidden.sum(dim=1, keepdim=True).clamp(min=1)
    on_positives = torch.sigmoid(mass - scores).masked_fill(~hidden, 0) * share
    pull = for_mass[:, None] + on_positives.sum(dim=1, keepdim=True)
    return torch.where(hidden, -on_positives, (scores - mass).exp() * pull)


def _largest_negative(scores: Tensor, hidden: Tensor) -> Tensor:
    """What rows are counted from, so that no digit is lost where all scores are large."""
    largest = scores.masked_fill(hidden, -torch.inf).amax(dim=1)
    return torch.where(largest.isfinite(), largest, 0)


def _from_shifted(scores: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    mass = scores.masked_fill(hidden, -torch.inf).logsumexp(dim=1)
    is_real = mass.isfinite()  # there is a negative
    above = torch.where(is_real, mass, 0)[:, None] - scores
    losses = softplus(above, threshold=_EXACT).where(hidden & is_real[:, None], 0)
    return mass, losses.sum(dim=1) / hidden.sum(dim=1).clamp(min=1)


def as_mask(positives: Tensor, columns: int) -> Tensor:
    """Positives as a boolean mask, from a mask or from index lists padded with -1."""
    if positives.dtype == torch.bool:
        return positives
    mask = positives.new_zeros(len(positives), columns + 1, dtype=torch.bool)
    return mask.scatter_(1, positives % (columns + 1), True)[:, :columns]  # -1 is the last column
