"""The documentation's own cross-references: read rightly, split without overlap, offline."""

import inspect

import numpy as np
import pytest
import torch
from l2s.data import docstrings, see_also

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def data():
    return see_also()


@pytest.fixture(scope="module")
def entries():
    return {entry.name: entry for entry in docstrings.read_entries()}


def labels_of(data, name):
    for split in SPLITS:
        part = getattr(data, split)
        if name in part.names:
            row = part.positives[part.names.index(name)]
            return {data.label_names[i] for i in row.nonzero().flatten().tolist()}
    return None


def test_it_is_as_large_as_it_says(data):
    sizes = [len(getattr(data, split)) for split in SPLITS]
    assert sum(sizes) > 1400
    assert sizes[0] > 0.6 * sum(sizes)
    assert len(data.label_names) > 1200
    assert len(data.vocabulary) == data.label_features.width == data.train.features.width > 3000


def test_known_pages_have_the_labels_that_one_reads_there(data):
    assert labels_of(data, "numpy.hstack") >= {"numpy.vstack", "numpy.dstack", "numpy.concatenate"}
    assert labels_of(data, "numpy.linalg.lstsq") == {"scipy.linalg.lstsq"}
    assert "sklearn.cluster.MiniBatchKMeans" in labels_of(data, "sklearn.cluster.KMeans")
    assert "numpy.ma.mean" not in labels_of(data, "numpy.average")


@pytest.mark.parametrize("name", ["scipy.linalg.solve_banded", "sklearn.decomposition.PCA"])
def test_files_say_what_the_imported_objects_say(entries, name):
    module, _, last = name.rpartition(".")
    thing = getattr(__import__(module, fromlist=[last]), last)
    text = inspect.getdoc(thing)
    assert " ".join(text.split()).startswith(entries[name].summary)
    for target in entries[name].see_also:
        assert target.rsplit(".", 1)[-1] in text.split("See Also")[1]


def test_what_compiled_functions_say_is_read_too(entries):
    assert entries["numpy.add"].summary == "Add arguments element-wise."
    assert entries["scipy.special.bdtrc"].see_also == ("bdtr", "betainc")


def test_no_text_holds_its_answers(entries):
    for entry in entries.values():
        lines = entry.text.lower().split("\n")
        assert "see also" not in [line.strip() for line in lines]


def test_splits_share_no_page_and_every_page_has_a_label_but_itself(data):
    names = [name for split in SPLITS for name in getattr(data, split).names]
    assert len(names) == len(set(names))
    column = {name: i for i, name in enumerate(data.label_names)}
    used = torch.zeros(len(data.label_names), dtype=torch.bool)
    for split in SPLITS:
        part = getattr(data, split)
        assert part.positives.any(1).all()
        used |= part.positives.any(0)
        for row, name in enumerate(part.names):
            assert name not in column or not part.positives[row, column[name]]
    assert used.all()


def test_unseen_labels_are_those_of_no_training_page(data):
    assert torch.equal(data.seen, data.train.positives.any(0))
    unseen = data.test.positives[:, ~data.seen]
    assert 0.1 < (unseen.sum() / data.test.positives.sum()).item() < 0.4


def test_features_are_tf_idf_of_unit_length_over_words_of_training_pages(data, entries):
    for rows in (data.train.features, data.test.features, data.label_features):
        lengths = rows.dense().norm(dim=1)
        torch.testing.assert_close(lengths[lengths > 0], torch.ones(int((lengths > 0).sum())))
        assert (lengths > 0).float().mean() > 0.99
    row = data.train.names.index(next(name for name in data.train.names if "numpy" in name))
    words = set(np.array(data.vocabulary)[data.train.features[row : row + 1].columns.numpy()])
    text = f"{data.train.names[row]} {entries[data.train.names[row]].text}".lower()
    assert words
    assert all(word in text for word in words)


def test_the_fixed_splits_never_change_and_a_generator_draws_others(data):
    assert see_also().test.names == data.test.names
    other = see_also(generator=torch.Generator().manual_seed(0))
    again = see_also(generator=torch.Generator().manual_seed(0))
    assert other.test.names == again.test.names != data.test.names
    assert len(other.test) == len(data.test)


PAGE = """Do a thing.

add(x1, x2, /)

More about it.

Parameters
----------
x : number

See also
--------
first : The first.
second, pkg.third
    With a text : that is not a name.
:func:`~pkg.fourth` : The fourth.
`fifth`

Examples
--------
>>> answer()
"""


def test_a_page_falls_into_its_parts():
    entry = docstrings._entry("pkg.thing", PAGE)
    assert entry.summary == "Do a thing."
    assert entry.see_also == ("first", "second", "pkg.third", "pkg.fourth", "fifth")
    assert "More about it." in entry.text
    assert "x : number" in entry.text
    for hidden in ("x1", "third", "answer", "not a name"):
        assert hidden not in entry.text
