"""Decoding by trained models of characters, one dense and one sparse from the start.

    python -m bench.sparsity.statistical_topk          # bench/results/sparsity/statistical_topk.*
    python -m bench.sparsity.statistical_topk --quick  # small, writes nothing

Both have as many weights. They are trained first, for some minutes each: how many neurons a sparse
layer uses is for its weights to say.
"""

import torch
from l2s.data import Characters, python_manual, windows
from l2s.sparsity.statistical_topk import CharacterModel
from l2s.train import cosine_with_warmup, fit
from torch import Tensor
from torch.nn import functional

from bench import harness
from bench.harness import Goal

DIM, WIDTH, HEAD_DIM, LAYERS, SHARE = 2304, 9216, 128, 2, 0.08
STEPS, BATCH, LENGTH = 200, 8, 64
NOTE = (
    f"A Transformer of {LAYERS} layers over characters, tokens of {DIM} numbers, {WIDTH} neurons "
    f"in a dense layer and {3 * WIDTH // 2} in a sparse one, which is asked for {SHARE:.0%} of "
    f"them; attention is to all tokens. Both were trained for {STEPS} steps of {BATCH} x {LENGTH} "
    "characters at one rate; the loss on unseen text only shows that they have learned, and the "
    "chapter compares such models. Active is the share of neurons that the trained model uses. "
    f"Time is the median of interleaved runs, in each of which a model decodes {LENGTH} characters "
    "one by one, float32, everything counted. Read is what a token must read of the weights."
)

GOALS = (Goal(f"{LAYERS} layers", "dense", "sparse", 1.79),)


def measure(*, scale: int = 1, steps: int = STEPS, repeats: int = 25) -> list[dict[str, object]]:
    """One line a model, timed in turns; sizes are divided by ``scale``."""
    text = python_manual()
    models = {
        name: trained(untrained(text, scale, is_sparse=name == "sparse"), text, steps)
        for name in ("dense", "sparse")
    }
    one = text.test[:LENGTH]
    medians = harness.interleave(
        {name: lambda model=model: decoded(model, one) for name, model in models.items()},
        repeats=repeats,
    )
    unseen = windows(text.test, 64, LENGTH + 1, generator=torch.Generator().manual_seed(7))
    rows: list[dict[str, object]] = []
    for name, model in models.items():
        seconds = medians[name] / LENGTH
        active = model.activity(one[None])["neurons"].mean().item() if name == "sparse" else 1.0
        bytes_read = 4 * numbers_read(model, active)
        with torch.no_grad():
            loss = nats(model, unseen).item()
        rows.append(
            {
                "work": f"{LAYERS} layers, {DIM // scale} -> {WIDTH // scale}",
                "how": name,
                "weights / million": f"{sum(w.numel() for w in model.parameters()) / 1e6:.1f}",
                "loss / nats": f"{loss:.2f}",
                "active": f"{active:.1%}",
                "read / MB": f"{bytes_read / 1e6:.0f}",
                "time / ms": f"{1e3 * seconds:.2f}",
                "read / GB a second": f"{bytes_read / seconds / 1e9:.0f}",
                "ratio": f"{medians['dense'] / medians[name]:.2f}",
            }
        )
    return rows


def untrained(text: Characters, scale: int, *, is_sparse: bool) -> CharacterModel:
    """Return a model; a sparse layer has half as many neurons again, and as many weights."""
    dim, width = DIM // scale, (3 * WIDTH // 2 if is_sparse else WIDTH) // scale
    torch.manual_seed(0)
    return CharacterModel(
        len(text.alphabet),
        dim,
        max(1, dim // HEAD_DIM),
        LAYERS,
        width,
        k=round(SHARE * width) if is_sparse else None,
    )


def trained(model: CharacterModel, text: Characters, steps: int) -> CharacterModel:
    """Train a model; the products are in bfloat16, which these processors multiply fastest."""
    generator = torch.Generator().manual_seed(1)
    adam = torch.optim.Adam(model.parameters(), lr=3e-4, betas=(0.9, 0.99), fused=True)

    def loss(_: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return nats(model, windows(text.train, BATCH, LENGTH + 1, generator=generator))

    schedule = cosine_with_warmup(adam, steps=steps, warmup=min(20, steps // 2))
    fit(model, loss, range, optimizer=adam, schedule=schedule, steps=steps)
    return model.eval()


def nats(model: CharacterModel, text: Tensor) -> Tensor:
    """Return the loss per character."""
    logits = model(text[:, :-1]).float()
    return functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())


def decoded(model: CharacterModel, text: Tensor) -> Tensor:
    """Return the logits after each character, the cache filled one by one."""
    cache = model.cache(len(text))
    return torch.cat([model.decode(character, cache) for character in text[:, None]])


def numbers_read(model: CharacterModel, active: float) -> float:
    """Return how many weights a character needs, with that share of neurons active."""
    total = sum(weight.numel() for weight in model.parameters()) - model.embed.weight.numel()
    rows = [w for block in model.blocks for w in (block.ffn.keys, block.ffn.values)]
    return total - (1 - active) * sum(weight.numel() for weight in rows)


if __name__ == "__main__":
    harness.main(
        "sparsity/statistical_topk",
        lambda quick: measure(scale=18 if quick else 1),
        note=NOTE,
        goals=GOALS,
    )
