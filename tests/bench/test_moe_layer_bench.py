"""The benchmark of the layer of experts compares like with like."""

import torch
from l2s.sparsity.moe_gating import MixtureOfExperts

from bench.sparsity import moe_gating as bench


def test_the_table_has_a_line_for_each_contender():
    rows = [*bench.product_rows(64, 1), *bench.layer_rows(64, 1)]
    groups = list(dict.fromkeys(row["work"] for row in rows))
    assert len(groups) == 2
    for group in groups:
        own = [row for row in rows if row["work"] == group]
        assert own[0]["how"] == "dense products (floor)"
        assert own[0]["ratio"] == "1.00"
        assert len(own) >= 5


def test_all_ways_are_one_layer():
    generator = torch.Generator().manual_seed(0)
    options = {"experts": bench.EXPERTS, "k": bench.K, "generator": generator}
    layer = MixtureOfExperts(6, 5, **options).double()
    x = torch.randn(40, 6, generator=generator, dtype=torch.float64).requires_grad_()
    pull = torch.randn(40, 6, generator=generator, dtype=torch.float64)

    def gradients(value):
        return torch.autograd.grad(value, [x, *layer.parameters()], pull)

    expected = layer(x).outputs
    for way in (bench.unfused, bench.by_masks, bench.by_indices):
        found = way(layer, x)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(gradients(found), gradients(layer(x).outputs))


def test_the_floor_multiplies_as_much():
    counted = []

    class Counter(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function is torch.ops.aten.mm.out or function is torch.ops.aten.mm.default:
                counted.append(args[0].shape[0] * args[0].shape[1] * args[1].shape[1])
            return function(*args, **(kwargs or {}))

    totals = {}
    runs = bench.layer_runs(64)
    for name in ("dense products (floor)", "loop over experts, masks"):
        runs[name]()
        counted.clear()
        with Counter():
            runs[name]()
        totals[name] = sum(counted)
    gate = 3 * 64 * bench.DIM * bench.EXPERTS
    assert totals["loop over experts, masks"] == totals["dense products (floor)"] + gate


def test_uneven_groups_hold_all_rows():
    sizes = bench._uneven(4096)
    assert sizes.sum() == 4096
    assert sizes.min() < 256 < sizes.max() < 2 * 256
