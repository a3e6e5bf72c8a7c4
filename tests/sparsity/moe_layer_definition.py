"""The layer of experts as a loop over tokens, and as a loop over choices that fill places."""

import torch
from torch.nn import functional as F

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


def choice(scores, k):
    """The K best of one token's scores: by size, and then by index."""
    numbers = scores.tolist()
    return sorted(range(len(numbers)), key=lambda i: (-numbers[i], i))[:k]


def weights_of(logits, chosen, softmax_over):
    """The gate's weights of one token."""
    pool = logits if softmax_over == "all" else logits[chosen]
    return logits[chosen].exp() / pool.exp().sum()


def by_token(layer, tokens, kept=None):
    """The layer's outputs, one token after the other; ``kept`` says which choices are worked on."""
    gate = layer.gate
    outputs = []
    for number, token in enumerate(tokens):
        scores = gate.slopes @ token
        chosen = choice(scores, gate.k)
        logits = scores if gate.biases is None else scores + gate.biases
        output = torch.zeros_like(token)
        shares = weights_of(logits, chosen, gate.softmax_over)
        for rank, (expert, share) in enumerate(zip(chosen, shares, strict=True)):
            if kept is None or (number, rank) in kept:
                hidden = ACTIVATIONS[layer.activation](token @ layer.w_in[expert])
                output = output + share * (hidden @ layer.w_out[expert])
        outputs.append(output)
    return torch.stack(outputs)


def places(layer, tokens, most):
    """Which choices find a place: first choices in the order of tokens, then second ones."""
    taken, kept = [0] * layer.experts, set()
    for rank in range(layer.gate.k):
        for number, token in enumerate(tokens):
            expert = choice(layer.gate.slopes @ token, layer.gate.k)[rank]
            if taken[expert] < most:
                taken[expert] += 1
                kept.add((number, rank))
    return kept, taken
