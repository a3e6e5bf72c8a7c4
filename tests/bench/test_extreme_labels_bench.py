"""The benchmark of soft top-k and decoupled softmax compares like with like."""

import torch

from bench.labels import extreme_labels as bench


def test_the_table_has_a_line_for_each_contender():
    rows = bench.measure(scale=256, repeats=1)
    groups = list(dict.fromkeys(row["work"] for row in rows))
    assert len(groups) == 2 * len(bench.SIZES) + 1
    for group in groups:
        first = next(row for row in rows if row["work"] == group)
        assert first["ratio"] == "1.00"
        assert first["how"] in ("torch.topk, forward", "F.cross_entropy")


def test_the_ways_of_the_loss_leave_one_gradient(monkeypatch):
    scores = torch.randn(4, 300, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(bench, "_normal", lambda *_: scores)
    gradients = {}
    runs = bench.loss_runs(4, 300)
    scores.register_hook(lambda gradient: gradients.setdefault(name, gradient.clone()))
    for name, run in runs.items():  # noqa: B007 - the hook reads the name
        run()
    torch.testing.assert_close(gradients["decoupled, lists"], gradients["decoupled, readable"])
    assert gradients["decoupled, lists"].equal(gradients["decoupled, mask"])
    assert not gradients["decoupled, lists"].allclose(gradients["F.cross_entropy"])
