"""A layer of experts and the product behind it, forward and backward: ours, loops, a floor.

    python -m bench.sparsity.moe_gating          # bench/results/sparsity/moe_gating.{csv,md}
    python -m bench.sparsity.moe_gating --quick  # small, writes nothing

The floor multiplies as many dense matrices of the same sizes, one by one, into memory that is there
already: no gate, no sorting, no activation, no gradient that has 16 matrices instead of one.
"""

from collections.abc import Callable, Iterable

import torch
from l2s.kernels import buffers
from l2s.kernels.grouped_matmul import grouped_matmul
from l2s.sparsity.moe_gating import MixtureOfExperts
from l2s.sparsity.moe_gating.dispatch import dispatch
from l2s.sparsity.moe_gating.experts import by_operator
from torch import Tensor
from torch.nn import functional

from bench import harness
from bench.harness import Goal

TOKENS, DIM, HIDDEN, EXPERTS, K = 4096, 512, 1024, 16, 2
NOTE = (
    f"Forward and backward, float32, ReLU. The product: {TOKENS} rows of {DIM} numbers in "
    f"{EXPERTS} uneven groups, each times its own {DIM} x {HIDDEN} matrix. The layer: {TOKENS} "
    f"tokens of {DIM} numbers, {EXPERTS} experts of two matrices, K = {K}. Time is the median of "
    "interleaved runs, and the ratio is to the group's first line: dense products of as many "
    "multiplications, into memory that is there already. Memory is the peak beyond inputs and "
    "weights. Fresh memory means that our stock of used memory was emptied before each run. The "
    "loops visit each expert and pick its tokens by a boolean mask, or by the mask's indices."
)
GOALS = (
    Goal("grouped", "grouped_matmul", "dense products (floor)", 1.2, at_least=False),
    Goal("grouped", "grouped_matmul, fresh memory", "dense products (floor)", 1.4, at_least=False),
)

Run = Callable[[], object]


def measure(*, scale: int = 1, repeats: int = 7) -> list[dict[str, object]]:
    """One line for each contender, those of a group timed in turns; tokens divided by ``scale``."""
    return [*product_rows(scale, repeats), *layer_rows(scale, repeats)]


def product_rows(scale: int, repeats: int) -> list[dict[str, object]]:
    """The grouped product and its gradients."""
    rows = TOKENS // scale
    work = f"grouped product, {rows} x {DIM} -> {HIDDEN}, {EXPERTS} groups"
    return _group(work, product_runs(rows), repeats)


def layer_rows(scale: int, repeats: int) -> list[dict[str, object]]:
    """The layer and its gradients."""
    tokens = TOKENS // scale
    work = f"layer of {EXPERTS} experts, {tokens} x {DIM}, K = {K}"
    return _group(work, layer_runs(tokens), repeats)


def product_runs(rows: int) -> dict[str, Run]:
    """The contenders for one product of rows in groups."""
    x, pull = _normal(rows, DIM), _normal(rows, HIDDEN, seed=1)
    weights = _normal(EXPERTS, DIM, HIDDEN, seed=2) / DIM**0.5
    sizes = _uneven(rows)
    single = weights[0].clone()
    leaves = [tensor.requires_grad_() for tensor in (x, weights, single)]

    def ours() -> Tensor:
        return grouped_matmul(x, weights, sizes)

    def by_group() -> Tensor:
        parts = zip(x.split(sizes.tolist()), weights, strict=True)
        return torch.cat([part @ weight for part, weight in parts])

    runs = {
        "dense products (floor)": _products(rows, [(DIM, HIDDEN)]),
        "one dense product, autograd": _differentiated(lambda: x @ single, leaves, pull),
        "grouped_matmul": _differentiated(ours, leaves, pull),
        "grouped_matmul, fresh memory": _fresh(_differentiated(ours, leaves, pull)),
        "a product for each group": _differentiated(by_group, leaves, pull),
    }
    if hasattr(functional, "grouped_mm"):
        ends = sizes.cumsum(0).int()
        runs["F.grouped_mm"] = _differentiated(
            lambda: functional.grouped_mm(x, weights, offs=ends), leaves, pull
        )
    return runs


def layer_runs(tokens: int) -> dict[str, Run]:
    """The contenders for a layer: all have the same gate and the same weights."""
    generator = torch.Generator().manual_seed(0)
    layer = MixtureOfExperts(DIM, HIDDEN, experts=EXPERTS, k=K, generator=generator)
    x, pull = _normal(tokens, DIM).requires_grad_(), _normal(tokens, DIM, seed=1)
    leaves = [x, *layer.parameters()]
    ways: dict[str, Callable[[], Tensor]] = {
        "MixtureOfExperts": lambda: layer(x).outputs,
        "gate, sort, grouped_matmul twice": lambda: unfused(layer, x),
        "loop over experts, masks": lambda: by_masks(layer, x),
        "loop over experts, indices": lambda: by_indices(layer, x),
    }
    runs: dict[str, Run] = {
        "dense products (floor)": _products(tokens * K, [(DIM, HIDDEN), (HIDDEN, DIM)])
    }
    runs |= {name: _differentiated(way, leaves, pull) for name, way in ways.items()}
    runs["MixtureOfExperts, fresh memory"] = _fresh(runs["MixtureOfExperts"])
    return runs


def unfused(layer: MixtureOfExperts, x: Tensor) -> Tensor:
    """The layer's outputs from whole tensors of rows."""
    routing = layer.gate(x)
    plan = dispatch(routing.experts, EXPERTS)
    return by_operator(x, routing.weights, layer.w_in, layer.w_out, plan, "relu")


def by_masks(layer: MixtureOfExperts, x: Tensor) -> Tensor:
    """The layer's outputs, from a mask of tokens for each expert."""
    routing = layer.gate(x)
    outputs = torch.zeros_like(x)
    for expert in range(EXPERTS):
        is_chosen = routing.experts == expert
        own = is_chosen.any(dim=1)
        share = (routing.weights * is_chosen).sum(dim=1)[own]
        hidden = functional.relu(x[own] @ layer.w_in[expert])
        outputs[own] += share[:, None] * (hidden @ layer.w_out[expert])
    return outputs


def by_indices(layer: MixtureOfExperts, x: Tensor) -> Tensor:
    """The layer's outputs, from a list of tokens for each expert."""
    routing = layer.gate(x)
    outputs = torch.zeros_like(x)
    for expert in range(EXPERTS):
        token, rank = torch.where(routing.experts == expert)
        hidden = functional.relu(x.index_select(0, token) @ layer.w_in[expert])
        share = routing.weights[token, rank, None]
        outputs.index_add_(0, token, share * (hidden @ layer.w_out[expert]))
    return outputs


def _products(rows: int, matrices: Iterable[tuple[int, int]]) -> Run:
    """For each matrix the product with rows, and those of its two gradients."""
    made: list[tuple[Tensor, ...]] = []

    def run() -> None:
        if not made:  # at the first run, so that the second shows what it takes: nothing
            for inner, outer in matrices:
                x, y, w = _normal(rows, inner), _normal(rows, outer), _normal(inner, outer)
                made.append((x, y, w, *map(torch.empty_like, (y, x, w))))
        for x, y, w, out, d_x, d_w in made:
            torch.mm(x, w, out=out)
            torch.mm(y, w.T, out=d_x)
            torch.mm(x.T, y, out=d_w)

    return run


def _differentiated(function: Callable[[], Tensor], leaves: list[Tensor], pull: Tensor) -> Run:
    def run() -> None:
        function().backward(pull)
        for leaf in leaves:
            leaf.grad = None

    return run


def _fresh(run: Run) -> Run:
    def emptied() -> None:
        buffers.clear()
        run()

    return emptied


def _uneven(rows: int) -> Tensor:
    """Sizes that grow from half of an even share to three halves of it."""
    shares = torch.linspace(0.5, 1.5, EXPERTS) * rows / EXPERTS
    sizes = shares.long()
    sizes[-1] += rows - sizes.sum()
    return sizes


def _group(work: str, runs: dict[str, Run], repeats: int) -> list[dict[str, object]]:
    for run in runs.values():
        run()
    peaks = {name: harness.peak_memory(run) for name, run in runs.items()}
    medians = harness.interleave(runs, repeats=repeats)
    first = next(iter(medians.values()))
    return [
        {
            "work": work,
            "how": name,
            "time / ms": f"{seconds * 1e3:.1f}",
            "ratio": f"{seconds / first:.2f}",
            "peak / MiB": f"{peaks[name] / 2**20:.0f}",
        }
        for name, seconds in medians.items()
    ]


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


if __name__ == "__main__":
    harness.main(
        "sparsity/moe_gating",
        lambda quick: measure(scale=16 if quick else 1),
        note=NOTE,
        goals=GOALS,
    )
