"""The run on a public set, tried on a small one of the same form, so that no network is needed."""

import bz2
import functools

import nbformat
import pytest
import torch
from l2s.data.eur_lex import FILES
from l2s.sweep import read_csv, sweep

from book.tools import layout

CELLS = ("parameters", "imports", "imports-measure", "known-code", "known-scores", "known-tune")


@pytest.fixture
def folder(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name, rows in zip(FILES, (120, 20), strict=True):
        subjects = torch.randint(12, (rows, 2), generator=generator)
        lines = [f"{a},{b + 12} {a + 1}:1 {b + 13}:1" for a, b in subjects.tolist()]
        (tmp_path / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    return tmp_path


def test_the_full_profile_learns_a_public_set_and_writes_its_tables(folder, monkeypatch, capsys):
    cells = nbformat.read(layout.ROOT / "chapters/labels/extreme_labels.ipynb", as_version=4).cells
    sources = {cell.id: cell.source for cell in cells}
    names: dict[str, object] = {}
    for cell in CELLS:
        exec(sources[cell], names)
    names |= {"laws": str(folder), "sweep": functools.partial(sweep, jobs=1, progress=False)}
    for cell in ("laws-code", "laws-run"):
        exec(sources[cell], names)
    assert "not run: the profile is 'quick'" in capsys.readouterr().out
    (folder / "results").mkdir()
    monkeypatch.chdir(folder)
    names["LAWS_GRID"] |= {"rate": (0.03,), "temperature": (0.1,)}
    found = names["judge_laws"](steps=60)
    for loss in names["LOSSES"]:  # each subject has a word of its own: anything learns that
        chosen = found.values("P@1", loss=loss, rate=0.03, temperature=0.1, steps=60)
        assert len(chosen) == 3
        assert chosen.mean() > 0.8
    for table in ("laws", "laws_tuning"):
        assert read_csv(f"results/extreme_labels_{table}.csv").settings
