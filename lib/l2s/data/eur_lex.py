"""A public set with thousands of labels, fetched once: laws of the European Union."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from l2s import checks
from l2s.data.bags import Bags
from l2s.data.label_sets import label_lists

ADDRESS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multilabel/"
FILES = ("eurlex_tfidf_train.svm.bz2", "eurlex_tfidf_test.svm.bz2")
_VALIDATION = 0.1  # the share of the training file that settings are chosen on


@dataclass(frozen=True, eq=False)
class Documents:
    """Documents and the labels that are right for each.

    Attributes:
        features: The document's words, sparse, float32: tf-idf, of unit length.
        lists: The labels of each document, rising, padded with -1; int64 of shape
            (documents, most). Every document has one.
    """

    features: Bags
    lists: Int[Tensor, "documents most"]

    def __len__(self) -> int:
        return len(self.lists)


@dataclass(frozen=True, eq=False)
class EurLex:
    """The set in three splits that share no document; see ``eur_lex``.

    Attributes:
        train: Documents to learn from.
        validation: Documents to choose settings on.
        test: The set's own test documents.
        labels: How many labels there are in all.
    """

    train: Documents
    validation: Documents
    test: Documents
    labels: int


@checks.typed
def eur_lex(
    *, folder: str | os.PathLike[str] | None = None, generator: torch.Generator | None = None
) -> EurLex:
    """Load EUR-Lex: laws of the European Union and their subjects, about 4,000 of them.

    Some 15,000 training and 3,900 test documents over 186,000 words, five subjects a document. The
    two files (about 40 MB) are read from ``folder`` and fetched from the collection of LIBSVM's
    authors where they are not there yet. A tenth of the training file becomes the validation split.

    **Ground truth:** librarians chose the subjects from the EuroVoc thesaurus. Labels are numbers
    alone, without a text, so each needs a vector of its own. Many have one or two documents; those
    of the test file that no training document has cannot be learned.

    Args:
        folder: Where the two files are, or will be; None for scikit-learn's folder of data sets.
        generator: None gives the book's fixed validation split; a generator draws another one.

    Raises:
        ConnectionError: A file is not there and cannot be fetched.
        ValueError: A file is not what it should be.

    Source: Loza Mencía and Fürnkranz (2008), bibliography key ``loza2008``; the files' address is
    ``l2s.data.eur_lex.ADDRESS``.
    """
    # Half a second: paid only where the set is asked for.
    from sklearn.datasets import get_data_home
    from sklearn.preprocessing import MultiLabelBinarizer

    place = Path(get_data_home()) / "eur_lex" if folder is None else Path(folder)
    words, subjects, test_words, test_subjects = _read(place)
    binary = MultiLabelBinarizer().fit([*subjects, *test_subjects])
    masks, test_masks = (
        torch.from_numpy(binary.transform(each).astype(bool)) for each in (subjects, test_subjects)
    )
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    order, held = torch.randperm(len(masks), generator=generator), int(_VALIDATION * len(masks))
    return EurLex(
        train=_documents(words, masks, order[held:].sort().values),
        validation=_documents(words, masks, order[:held].sort().values),
        test=_documents(test_words, test_masks, torch.arange(len(test_masks))),
        labels=len(binary.classes_),
    )


def _read(place: Path) -> list[Any]:
    """Return words and subjects of both files, the words as sparse matrices of one width."""
    from sklearn.datasets import load_svmlight_files

    paths = [_fetched(place / name) for name in FILES]
    try:
        return load_svmlight_files(paths, multilabel=True)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"`folder` is {str(place)!r}, but its files cannot be read ({error}). Remove "
            f"{' and '.join(FILES)} there, so that they are fetched again."
        ) from error


def _fetched(path: Path) -> Path:
    """Return the path, after fetching the file where it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(ADDRESS + path.name, str(path), progress=False)
        except OSError as error:
            raise ConnectionError(
                f"{path.name} is not in {str(path.parent)!r} and cannot be fetched ({error}). "
                f"Fetch {ADDRESS}{path.name} where there is a network, and pass its folder as "
                "`folder`."
            ) from error
    return path


def _documents(words: Any, masks: Tensor, rows: Tensor) -> Documents:
    """Return some rows whose documents have a label, as bags of unit length."""
    from sklearn.preprocessing import normalize

    rows = rows[masks[rows].any(dim=1)]
    own = normalize(words[rows.numpy()]).astype(np.float32)
    return Documents(
        features=Bags(
            offsets=torch.from_numpy(own.indptr.astype(np.int64)),
            columns=torch.from_numpy(own.indices.astype(np.int64)),
            values=torch.from_numpy(own.data),
            width=own.shape[1],
        ),
        lists=label_lists(masks[rows]),
    )
