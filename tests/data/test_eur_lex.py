"""The public set is read as its files say, and its absence is said in words."""

import bz2

import pytest
import torch
from l2s.data import eur_lex
from l2s.data.eur_lex import FILES

TRAIN = "".join(f"{i % 3},{3 + i % 2} 1:{1 + i}.0 {2 + i % 4}:1.0\n" for i in range(20))
TEST = "9 1:2.0\n0,3 2:4.0 7:3.0\n"


@pytest.fixture
def folder(tmp_path):
    for name, text in zip(FILES, (TRAIN, TEST), strict=True):
        (tmp_path / name).write_bytes(bz2.compress(text.encode()))
    return tmp_path


def test_the_files_become_unit_rows_and_lists_of_labels(folder):
    data = eur_lex(folder=folder)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 2)
    assert data.labels == 6  # 0, 1, 2, 3, 4 and 9, numbered anew
    assert data.test.lists.tolist() == [[5, -1], [0, 3]]
    expected = torch.zeros(2, 7)
    expected[0, 0], expected[1, 6], expected[1, 1] = 1.0, 0.6, 0.8
    torch.testing.assert_close(data.test.features.dense(), expected)
    assert data.train.features.width == data.test.features.width == 7


def test_the_validation_split_is_fixed_and_shares_no_row(folder):
    first, again = eur_lex(folder=folder), eur_lex(folder=folder)
    other = eur_lex(folder=folder, generator=torch.Generator().manual_seed(5))
    rows = [data.validation.features.dense() for data in (first, again, other)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    both = torch.cat([rows[0], first.train.features.dense()])
    assert len(both.unique(dim=0)) == 20


def test_what_is_not_there_and_cannot_be_fetched_is_said(tmp_path, monkeypatch):
    def refuse(address, path, progress):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ConnectionError, match=r"no route to host.*pass its folder as `folder`"):
        eur_lex(folder=tmp_path)


def test_a_missing_file_is_fetched_from_its_address(folder, monkeypatch):
    asked = []

    def fetch(address, path, progress):
        asked.append(address)
        with open(path, "wb") as file:
            file.write(bz2.compress(TEST.encode()))

    (folder / FILES[1]).unlink()
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    assert len(eur_lex(folder=folder).test) == 2
    assert asked == [
        f"https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multilabel/{FILES[1]}"
    ]


@pytest.mark.parametrize("content", [b"not compressed", bz2.compress(b"<html>moved</html>")])
def test_a_broken_file_is_named(folder, content):
    (folder / FILES[0]).write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot be read.*Remove {FILES[0]}"):
        eur_lex(folder=folder)
