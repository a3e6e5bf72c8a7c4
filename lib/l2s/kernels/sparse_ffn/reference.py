"""The definition of the operator, in plain PyTorch: the rows of active neurons are copied."""

import torch
from torch import Tensor
from torch.nn.functional import gelu

from l2s.kernels.precision import wide

ACTIVATIONS = ("relu", "gelu", "linear")
MARKS_BAD_LISTS = False  # so the operator looks at them first


def forward(
    x: Tensor, keys: Tensor, values: Tensor, active: Tensor, gates: Tensor | None, activation: str
) -> Tensor:
    """Return the sum over the neurons that are active for each token: a mask, or lists."""
    kind = wide(x.dtype)
    token, place = torch.where(active if active.dtype == torch.bool else active >= 0)
    neuron = place if active.dtype == torch.bool else active[token, place]
    scores = torch.linalg.vecdot(keys[neuron].to(kind), x[token].to(kind))
    hidden = activate(scores, activation)
    if gates is not None:
        hidden = hidden * gates[token, place].to(kind)
    result = x.new_zeros(len(x), values.shape[1], dtype=kind)
    result.index_add_(0, token, hidden[:, None] * values[neuron].to(kind))
    return result.to(x.dtype)


def activate(scores: Tensor, activation: str) -> Tensor:
    """Return φ of the scores."""
    if activation == "relu":
        return scores.relu()
    return gelu(scores) if activation == "gelu" else scores


def check_lists(active: Tensor, neurons: int) -> None:
    """Raise ``ValueError`` where lists name a neuron that does not exist, or name one twice."""
    if active.dtype == torch.bool or not active.numel():
        return
    low, high = (int(end) for end in active.aminmax())
    if low < -1 or high >= neurons:
        raise ValueError(
            f"`active` names the neurons {low} to {high}, but there are {neurons}: pass 0 to "
            f"{neurons - 1}, and -1 to fill a list."
        )
    ordered = active.sort(dim=1).values
    twice = (ordered.diff(dim=1) == 0) & (ordered[:, 1:] >= 0)
    if twice.any():
        token, place = (int(index[0]) for index in torch.where(twice))
        raise ValueError(
            f"Row {token} of `active` names neuron {int(ordered[token, place])} twice. Name each "
            "neuron once."
        )
