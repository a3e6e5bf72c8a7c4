"""The bar: for a person who watches, and never in a file."""

import io

import pytest
from l2s.sweep import progress, sweep


class Screen(io.StringIO):
    def isatty(self):
        return True


def cell(*, seed):
    return {}


@pytest.mark.parametrize(
    ("stream", "wanted", "variable", "shown"),
    [
        (Screen, True, None, True),
        (Screen, True, "1", True),
        (Screen, True, "0", False),
        (Screen, False, None, False),
        (io.StringIO, True, None, False),
    ],
)
def test_the_bar_is_shown_to_a_person(monkeypatch, stream, wanted, variable, shown):
    screen = stream()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.delenv("L2S_PROGRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("L2S_PROGRESS", variable)
    sweep(cell, [{}], seeds=range(3), jobs=1, progress=wanted)
    assert ("3" in screen.getvalue()) == shown
    assert screen.getvalue().endswith("\r") == shown  # wiped at the end


def test_a_running_notebook_counts_as_a_person(monkeypatch):
    kind = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    monkeypatch.setattr("sys.stderr", kind())
    assert progress._watched()
