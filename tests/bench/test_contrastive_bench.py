"""The benchmark compares like with like, and its measures measure."""

import csv
import math
import time

import pytest
import torch

from bench import harness
from bench.labels import contrastive as bench


def test_contenders_compute_the_same_losses():
    a, b = torch.randn(2, 20, 8, generator=torch.Generator().manual_seed(0))
    found = {name: loss(a, b).item() for name, loss in bench.losses().items()}
    for name, value in found.items():
        same = "nt_xent" if "metric-learning" in name or name == "nt_xent" else "dcl"
        assert value == pytest.approx(found[same], rel=1e-5), name


def test_the_table_has_a_row_for_each_contender():
    rows = bench.measure((16, 32), repeats=1)
    assert len(rows) == 2 * (1 + len(bench.losses()))
    assert [row["batch"] for row in rows[:: len(rows) // 2]] == ["2 x 16", "2 x 32"]
    floor = rows[0]
    assert (floor["loss"], floor["time / floor"]) == ("three products (floor)", "1.00")


def test_the_median_of_turns():
    turns = []
    pauses = iter([0, 0.001, 0.05, 0.001])

    def slow():
        turns.append("slow")
        time.sleep(next(pauses))

    medians = harness.interleave({"slow": slow, "fast": lambda: turns.append("fast")}, repeats=3)
    assert turns == ["slow", "fast"] * 4
    assert 0.001 <= medians["slow"] < 0.05
    assert medians["fast"] < medians["slow"]


@pytest.mark.measures
def test_peak_memory_sees_what_a_call_takes_and_gives_back():
    def call():
        torch.ones(64 * 2**20 // 4).sum()  # 64 MiB

    peak = harness.peak_memory(call)
    if math.isnan(peak):
        pytest.skip("peak memory can be read on Linux only")
    assert 60 * 2**20 < peak < 80 * 2**20


def test_results_are_a_table_and_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    rows = [{"batch": "2 x 4", "time / ms": "1.0"}, {"batch": "2 x 8", "time / ms": "-"}]
    harness.write("part/chapter", rows, note="A note.")
    assert list(csv.DictReader((tmp_path / "part/chapter.csv").open())) == rows
    page = (tmp_path / "part/chapter.md").read_text()
    assert page.startswith("| batch | time / ms |\n| --- | --- |\n| 2 x 4 | 1.0 |\n")
    assert "A note." in page
    assert "THP_MEM_ALLOC_ENABLE" in page


def test_a_goal_is_reached_or_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    rows = [
        {"work": "sum, 8", "how": "ours", "time / ms": "2.0"},
        {"work": "sum, 8", "how": "theirs", "time / ms": "5.0"},
        {"work": "product", "how": "ours", "time / ms": "9.0"},
    ]
    goals = [
        harness.Goal("sum", "theirs", "ours", 2.5),
        harness.Goal("sum", "ours", "theirs", 0.3, at_least=False),
    ]
    reached, missed = harness.verdicts(rows, goals)
    assert (reached["measured"], reached["verdict"]) == ("2.50", "reached")
    assert (missed["goal"], missed["measured"], missed["verdict"]) == (
        "at most 0.3",
        "0.40",
        "missed",
    )
    harness.write("name", rows, note="A note.", goals=goals)
    assert (
        "| theirs, over ours | sum | at least 2.5 | 2.50 | reached |"
        in (tmp_path / "name.md").read_text()
    )


def test_the_command_line_measures_and_only_in_full_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    goals = [harness.Goal("sum", "ours", "ours", 1)]

    def measure(quick):
        return [{"work": "sum", "how": "ours", "time / ms": "1" if quick else "2"}]

    monkeypatch.setattr("sys.argv", ["name", "--quick"])
    harness.main("part/name", measure, note="A note.", goals=goals)
    printed = capsys.readouterr().out
    assert "| sum | ours | 1 |" in printed
    assert "reached" not in printed
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("sys.argv", ["name"])
    harness.main("part/name", measure, note="A note.", goals=goals)
    assert "reached" in capsys.readouterr().out
    assert "| sum | ours | 2 |" in (tmp_path / "part/name.md").read_text()
