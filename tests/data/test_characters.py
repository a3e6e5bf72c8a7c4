"""The manual as characters: what is in it, that its parts share nothing, and windows of it."""

import sys

import pytest
import torch
from l2s.data import python_manual, windows


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_text_reads_as_it_is_written():
    manual = python_manual()
    assert "for_stmt ::=" in manual.text(manual.train) + manual.text(manual.test)
    assert set(manual.alphabet) == {"\n", *map(chr, range(32, 127))}
    assert manual.train.max() < len(manual.alphabet)


def test_the_parts_share_no_topic():
    from pydoc_data.topics import topics

    manual = python_manual()
    train, test = manual.text(manual.train), manual.text(manual.test)
    heads = [text[:60] for text in topics.values() if text[:60].isascii() and len(text) > 60]
    assert len(heads) > 40
    assert all((head in train) != (head in test) for head in heads)
    held = sum(head in test for head in heads) / len(heads)
    assert 0.08 < held < 0.2  # one in eight


def test_windows_are_pieces_of_the_text_and_reach_its_last_character():
    text = torch.arange(10)
    found = windows(text, 500, 4, generator=drawn())
    assert found.shape == (500, 4)
    assert (found.diff(dim=1) == 1).all()
    assert (found[:, 0].min(), found[:, -1].max()) == (0, 9)
    assert windows(text, 2, 10, generator=drawn()).tolist() == [list(range(10))] * 2


def test_windows_follow_their_generator():
    text = torch.arange(100)
    first, second = (windows(text, 5, 3, generator=drawn(seed)) for seed in (1, 1))
    assert first.equal(second)
    assert not first.equal(windows(text, 5, 3, generator=drawn(2)))


@pytest.mark.parametrize(
    ("count", "length", "words"),
    [(0, 3, "`count` is 0"), (2, 0, "`length` is 0"), (2, 11, "`length` is 11")],
)
def test_bad_sizes_are_refused_by_name(count, length, words):
    with pytest.raises(ValueError, match=words):
        windows(torch.arange(10), count, length, generator=drawn())


def test_a_python_without_its_manual_is_told_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ImportError, match="Install Python's standard library in full"):
        python_manual()
