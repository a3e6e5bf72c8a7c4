"""What each of two processes does in the test of spread experts, and one process with all."""

import torch
import torch.distributed as dist
from l2s.sparsity.moe_gating import MixtureOfExperts

from tests.kernels.drawn import normal
from tests.ranks import RANKS, error_of

DIM, HIDDEN, EXPERTS = 5, 7, 6
SETTINGS = {
    "two": {"k": 2, "balance": 0.3, "z": 0.1},
    "one, of all": {"k": 1, "softmax_over": "all", "balance": 0.3},
    "three, biased": {"k": 3, "bias": True, "activation": "gelu"},
    "everyone": {"k": EXPERTS},
    "crowded": {"k": 2, "capacity": 0.6, "balance": 0.3},
}
TOKENS = 12  # a rank


def layer_of(name, dtype, group=None):
    """The layer of a setting, the same on all ranks but for the experts that a rank holds."""
    generator = torch.Generator().manual_seed(0)
    layer = MixtureOfExperts(
        DIM, HIDDEN, experts=EXPERTS, group=group, generator=generator, **SETTINGS[name]
    )
    return layer.to(dtype)


def inputs_of(rank, dtype):
    """The tokens of a rank, and the weights of its loss."""
    return normal(TOKENS, DIM, seed=rank, dtype=dtype), normal(TOKENS, DIM, seed=9 + rank)


def loss_and_gradients(layer, ranks, dtype):
    """The mean over ranks of each one's loss, its gradients, outputs, load and dropped share.

    One process does it for all ranks; each of several, for itself.
    """
    tokens, pulls = zip(*(inputs_of(rank, dtype) for rank in ranks), strict=True)
    inputs = torch.cat(tokens).requires_grad_()
    mixed = layer(inputs)
    loss = (mixed.outputs * torch.cat(pulls).to(dtype)).sum() / len(ranks) + mixed.loss
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {
        "loss": loss.detach(),
        "gradients": gradients | {"inputs": inputs.grad},
        "outputs": mixed.outputs.detach(),
        "load": mixed.load,
        "dropped": mixed.dropped,
    }


def job(rank):
    """Compute each setting on this rank's tokens and experts."""
    found = {
        (name, dtype): loss_and_gradients(layer_of(name, dtype, dist.group.WORLD), [rank], dtype)
        for name in SETTINGS
        for dtype in (torch.float32, torch.float64)
    }
    layer = layer_of("two", torch.float64, dist.group.WORLD)
    wrong = inputs_of(rank, torch.float64)[0]
    if rank == 0:
        wrong[3, 2] = torch.nan
    found["nan"] = error_of(lambda: layer(wrong))
    found["uneven"] = error_of(
        lambda: MixtureOfExperts(DIM, HIDDEN, experts=RANKS + 1, k=1, group=dist.group.WORLD)
    )
    found["idle"] = _idle(layer, rank)
    return found


def _idle(layer, rank):
    """One rank has no tokens: its experts work for the other one all the same."""
    inputs = inputs_of(0, torch.float64)[0][: TOKENS * (rank == 0)].requires_grad_()
    layer.zero_grad()
    layer(inputs).outputs.square().sum().backward()
    return layer.w_in.grad
