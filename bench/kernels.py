"""The operators that read little: statistical top-k, sparse layers, attention over few keys.

    python -m bench.kernels          # bench/results/kernels.{csv,md}
    python -m bench.kernels --quick  # small, writes nothing

Where there is a GPU it measures that, and writes bench/results/kernels_gpu.{csv,md}.

Each group has a floor: what the machine takes to move the memory that must be moved. The dense
products and attention of PyTorch are those of the device's own library.
"""

from collections.abc import Callable

import torch
from l2s.kernels.sparse_ffn import sparse_ffn
from l2s.kernels.statistical_topk import statistical_topk
from l2s.kernels.topk_attention import topk_attention
from torch import Tensor
from torch.nn import functional

from bench import harness
from bench.harness import Goal

Run = Callable[[], object]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHARE = 0.08
ROWS = ((1, 1 << 20), (64, 1 << 14))
CALLS = {"in a row": 5, "after other work": 1}
DIM, NEURONS, PART = 2304, 9216, 1024
HEADS, CONTEXT, HEAD_DIM, TOP_K = 32, 8192, 128, 256
NOTE = (
    "Forward, float32, through the public functions, checks included. Time is the median of "
    "interleaved runs, and the ratio is to the group's first line, the floor. For top-k the rows "
    "lie in the cache, as after the layer that made them, and the floor is a copy into memory that "
    f"is there already; k is {SHARE:.0%} of a row. In a row means the last of "
    f"{CALLS['in a row']} calls, as in a loop, for which all else that a call needs lies in the "
    "cache, too; after other work means a single call, whose code and result the other contenders "
    "have driven out of the caches. For one token of a layer the weights come from the memory: the "
    "caches are emptied before each run. There the floor is the dense layer of the active neurons "
    f"alone ({SHARE:.0%} of {NEURONS}, copied together beforehand), and the line "
    f"with a predictor counts the scores of all neurons from {PART} further dimensions, the "
    "threshold and the choice. For attention of one query a head, the floor reads the predictor's "
    f"keys, and as many keys and values as are chosen, about {TOP_K} of {CONTEXT}."
)


def topk_work(count: int, columns: int, way: str) -> str:
    """The name of a group of runs that choose from rows."""
    return f"top {SHARE:.0%}, {count} x {columns}, {way}"


GOALS = (
    *(
        goal
        for one, many in ([topk_work(*shape, way) for shape in ROWS] for way in CALLS)
        for goal in (
            Goal(one, "torch.topk", "statistical_topk", 100),
            Goal(one, "statistical_topk", "copy (floor)", 2.5, at_least=False),
            Goal(many, "torch.topk", "statistical_topk", 15),
        )
    ),
    Goal("one token", "dense", "sparse_ffn", 9),
    Goal("one token", "sparse_ffn", "active rows alone (floor)", 1.4, at_least=False),
    Goal(
        "attention",
        "scaled_dot_product_attention",
        f"topk_attention, a cache of {HEAD_DIM // 4} in bfloat16",
        6,
    ),
)


@torch.no_grad()
def measure(*, scale: int = 1, repeats: int = 25) -> list[dict[str, object]]:
    """One line for each contender, those of a group timed in turns; sizes divided by ``scale``."""
    rows: list[dict[str, object]] = []
    for count, columns in ROWS:
        x = _normal(count, columns // scale)
        for way, calls in CALLS.items():
            work = topk_work(count, columns // scale, way)
            rows += _group(work, topk_runs(x), repeats, before=x.sum, calls=calls)
    empty = _normal((1 << 24) // scale).sum
    work = f"one token, {DIM // scale} -> {NEURONS // scale} -> {DIM // scale}"
    rows += _group(work, layer_runs(scale), repeats, before=empty)
    work = f"attention, {HEADS} heads x {HEAD_DIM}, {CONTEXT // scale} keys"
    rows += _group(work, attention_runs(scale), repeats, before=empty)
    return rows


def topk_runs(x: Tensor) -> dict[str, Run]:
    """The contenders for the choice of a share of each row."""
    k, out = round(SHARE * x.shape[1]), torch.empty_like(x)
    return {
        "copy (floor)": lambda: out.copy_(x),
        "statistical_topk": lambda: statistical_topk(x, k),
        "the same in PyTorch": lambda: by_moments(x, k),
        "torch.topk": lambda: x.topk(k),
        "torch.topk, unsorted": lambda: x.topk(k, sorted=False),
    }


def by_moments(x: Tensor, k: int) -> Tensor:
    """Statistical top-k in four operations."""
    quantile = torch.special.ndtri(torch.tensor(1 - k / x.shape[1]))
    deviation, mean = torch.std_mean(x, dim=1, keepdim=True)
    return (x - (mean + quantile * deviation)).relu()


def layer_runs(scale: int) -> dict[str, Run]:
    """The contenders for one token of a plain layer, and a gated one with its predictor."""
    dim, neurons, part = DIM // scale, NEURONS // scale, PART // scale
    k = round(SHARE * neurons)
    x, q = _normal(1, dim), _normal(1, part, seed=1)
    keys, values = _normal(neurons, dim, seed=2), _normal(neurons, dim, seed=3)
    predictor = _normal(neurons, part, seed=4)
    active = torch.randperm(neurons, generator=torch.Generator().manual_seed(5))[:k].to(DEVICE)
    own_keys, own_values = keys[active], values[active]
    lists = active[None]

    def gated() -> Tensor:
        gates = functional.gelu(statistical_topk(q @ predictor.T, k))
        return sparse_ffn(x, keys, values, gates != 0, gates=gates, activation="linear")

    return {
        "active rows alone (floor)": lambda: (x @ own_keys.T).relu() @ own_values,
        "sparse_ffn": lambda: sparse_ffn(x, keys, values, lists),
        "gather, then dense": lambda: (x @ keys[active].T).relu() @ values[active],
        "dense": lambda: (x @ keys.T).relu() @ values,
        "predictor, threshold, sparse_ffn": gated,
    }


def attention_runs(scale: int) -> dict[str, Run]:
    """The contenders for one query a head: predictors of a half, a quarter, and all dimensions."""
    context, top_k = CONTEXT // scale, TOP_K // scale
    query = _normal(1, HEADS, 1, HEAD_DIM)
    keys, values = (_normal(1, HEADS, context, HEAD_DIM, seed=seed) for seed in (1, 2))
    caches = {
        width: tuple(each[..., :width].contiguous() for each in (query, keys))
        for width in (HEAD_DIM // 2, HEAD_DIM // 4)
    }
    halved = tuple(each.bfloat16() for each in caches[HEAD_DIM // 4])
    few = keys[:, :, :top_k].contiguous(), values[:, :, :top_k].contiguous()

    def cached(predictor: tuple[Tensor, ...]) -> Run:
        return lambda: topk_attention(query, keys, values, top_k=top_k, predictor=predictor)

    def floor() -> None:
        caches[HEAD_DIM // 2][1].sum()
        few[0].sum()
        few[1].sum()

    def in_pytorch() -> Tensor:
        own_query, own_keys = caches[HEAD_DIM // 2]
        places = (own_query @ own_keys.mT).topk(top_k).indices.mT.expand(-1, -1, -1, HEAD_DIM)
        return functional.scaled_dot_product_attention(
            query, keys.gather(2, places), values.gather(2, places)
        )

    half, quarter = HEAD_DIM // 2, HEAD_DIM // 4
    return {
        f"reading {half} + {top_k} keys and values (floor)": floor,
        f"topk_attention, a cache of {half} dimensions": cached(caches[half]),
        f"topk_attention, a cache of {quarter}": cached(caches[quarter]),
        f"topk_attention, a cache of {quarter} in bfloat16": cached(halved),
        f"topk_attention, the first {half}": lambda: topk_attention(
            query, keys, values, top_k=top_k, predictor=half
        ),
        "topk_attention, all dimensions": lambda: topk_attention(query, keys, values, top_k=top_k),
        "torch.topk, gather, attention": in_pytorch,
        "scaled_dot_product_attention": lambda: functional.scaled_dot_product_attention(
            query, keys, values
        ),
    }


def _group(
    work: str, runs: dict[str, Run], repeats: int, before: Run, calls: int = 1
) -> list[dict[str, object]]:
    waited = {name: _until_done(run) for name, run in runs.items()}
    medians = harness.interleave(waited, repeats=repeats, warmup=3, before=before, calls=calls)
    first = next(iter(medians.values()))
    return [
        {
            "work": work,
            "how": name,
            "time / ms": f"{seconds * 1e3:.3g}",
            "ratio": f"{seconds / first:.2f}",
        }
        for name, seconds in medians.items()
    ]


def _until_done(run: Run) -> Run:
    """A GPU works on after the call: wait for it."""
    if DEVICE == "cpu":
        return run

    def done() -> None:
        run()
        torch.cuda.synchronize()

    return done


def _normal(*shape: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(DEVICE)


if __name__ == "__main__":
    harness.main(
        "kernels" if DEVICE == "cpu" else "kernels_gpu",
        lambda quick: measure(scale=16 if quick else 1),
        note=NOTE,
        goals=GOALS,
    )
