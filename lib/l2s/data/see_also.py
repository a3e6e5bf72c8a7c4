"""A real problem with several right labels: which functions does a documentation page point to?"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from l2s import checks
from l2s.data.bags import Bags
from l2s.data.docstrings import Entry, read_entries

_SHARES = (0.65, 0.1)  # of the training and of the validation split; the rest is for the test
_FEWEST = 2  # pages and labels that a word must occur in
_MOST = 0.5  # a word in more of them than this share says nothing
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, eq=False)
class Pages:
    """Documentation pages and the labels that are right for each.

    Attributes:
        names: The function or class that each page is about.
        features: The page's words, sparse, float32: tf-idf, of unit length.
        positives: Bool of shape (pages, labels); every row has a label.
        itself: Bool of shape (pages, labels): the page's own name among the labels. A page never
            points to itself, yet nothing is more like it: leave this label out, in training and
            in ranking.
    """

    names: tuple[str, ...]
    features: Bags
    positives: Bool[Tensor, "pages labels"]
    itself: Bool[Tensor, "pages labels"]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class SeeAlso:
    """The problem in three splits that share no page; see ``see_also``.

    Attributes:
        train: Pages to learn from.
        validation: Pages to choose settings on.
        test: Pages to measure on.
        label_names: The function or class that each label is.
        label_features: The words of its name and of its own summary, sparse, over the same
            vocabulary: tf-idf, of unit length.
        seen: Whether a training page points to the label, bool of shape (labels,).
        vocabulary: The word of each feature.
    """

    train: Pages
    validation: Pages
    test: Pages
    label_names: tuple[str, ...]
    label_features: Bags
    seen: Bool[Tensor, " labels"]
    vocabulary: tuple[str, ...]


@checks.typed
def see_also(*, generator: torch.Generator | None = None) -> SeeAlso:
    """Build a real multi-label problem from the documentation of NumPy, SciPy and scikit-learn.

    A query is what a function's or a class's documentation says of it; its right labels are the
    functions and classes that its section "See Also" names. That section, the examples and the
    references are cut out of the query. About 1,500 pages and 1,400 labels, two or three a page;
    the exact numbers depend on the installed versions, and are always the same for those. Nothing
    is downloaded, and SciPy and scikit-learn are read as files, not imported.

    **Ground truth:** the labels are meaningful because authors chose them by hand, for a reader who
    is on the page and may need something related. They are incomplete: a related function that
    nobody thought of counts as wrong, and rarely named functions are named too rarely. That is the
    setting for which propensity-scored metrics were made. Many labels are named once; those that
    only held-out pages name are *unseen*, and can be told from their own summaries alone.

    Args:
        generator: None gives the book's fixed splits; a generator draws other splits of the same
            sizes.

    >>> data = see_also()
    >>> len(data.train) > 900, len(data.label_names) > 1200, len(data.vocabulary) > 4000
    (True, True, True)
    >>> row = data.train.positives[data.train.names.index("numpy.allclose")]
    >>> [data.label_names[label] for label in row.nonzero().flatten()]
    ['numpy.all', 'numpy.any', 'numpy.equal', 'numpy.isclose']
    """
    entries = read_entries()
    named = _resolved(entries)
    pages = [entry for entry in entries if named[entry.name]]
    label_names = sorted({label for page in pages for label in named[page.name]})
    summaries = {entry.name: entry.summary for entry in entries}
    texts = [_words(f"{page.name} {page.text}") for page in pages]
    label_texts = [_words(f"{name} {summaries[name]}") for name in label_names]
    column = {name: i for i, name in enumerate(label_names)}
    positives = torch.zeros(len(pages), len(label_names), dtype=torch.bool)
    for row, page in enumerate(pages):
        positives[row, [column[label] for label in named[page.name]]] = True

    order = _order(len(pages), generator)
    ends = [0, *(int(sum(_SHARES[: i + 1]) * len(pages)) for i in range(2)), len(pages)]
    splits = [order[a:b].sort().values.tolist() for a, b in pairwise(ends)]
    vocabulary, weights = _vocabulary([texts[row] for row in splits[0]] + label_texts)

    def part(rows: Sequence[int]) -> Pages:
        own = [pages[row] for row in rows]
        return Pages(
            names=tuple(page.name for page in own),
            features=_tf_idf([texts[row] for row in rows], vocabulary, weights),
            positives=positives[rows],
            itself=torch.tensor([[page.name == label for label in label_names] for page in own]),
        )

    train, validation, test = (part(rows) for rows in splits)
    return SeeAlso(
        train=train,
        validation=validation,
        test=test,
        label_names=tuple(label_names),
        label_features=_tf_idf(label_texts, vocabulary, weights),
        seen=train.positives.any(dim=0),
        vocabulary=tuple(vocabulary),
    )


def _resolved(entries: Iterable[Entry]) -> dict[str, set[str]]:
    """Return which entries each entry's section See Also means."""
    by_last = defaultdict(list)
    for entry in entries:
        by_last[entry.name.rsplit(".", 1)[-1]].append(entry.name)
    return {
        entry.name: {
            _meant(target, entry.name, by_last[target.rsplit(".", 1)[-1]])
            for target in entry.see_also
            if target.rsplit(".", 1)[-1] in by_last
        }
        - {entry.name}
        for entry in entries
    }


def _meant(target: str, page: str, candidates: list[str]) -> str:
    """Return the candidate that ends as the target does, and else is nearest to the page."""

    def fit(name: str) -> tuple[int, int, int]:
        parts = name.split(".")
        written = _shared(parts[::-1], target.split(".")[::-1])
        return written, _shared(parts, page.split(".")), -len(parts)

    return max(candidates, key=fit)  # the first where several fit equally well


def _shared(first: list[str], second: list[str]) -> int:
    """Return how many parts two names share from the start."""
    same = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        same += 1
    return same


def _words(text: str) -> Counter[str]:
    """Return the words in lower case: names fall into parts at dots, underscores and capitals."""
    return Counter(word.lower() for word in _WORD.findall(text) if len(word) > 1)


def _vocabulary(texts: list[Counter[str]]) -> tuple[dict[str, int], np.ndarray]:
    """Return the column of each word that is neither rare nor everywhere, and its idf."""
    counts = Counter(word for text in texts for word in text)
    kept = sorted(word for word, count in counts.items() if _FEWEST <= count <= _MOST * len(texts))
    idf = np.log(len(texts) / np.array([counts[word] for word in kept]))
    return {word: i for i, word in enumerate(kept)}, idf


def _tf_idf(texts: list[Counter[str]], column: dict[str, int], idf: np.ndarray) -> Bags:
    rows = [
        sorted((column[word], n) for word, n in text.items() if word in column) for text in texts
    ]
    sizes = np.array([len(row) for row in rows])
    columns = np.array([place for row in rows for place, _ in row])
    values = (1 + np.log([count for row in rows for _, count in row])) * idf[columns]
    row = np.repeat(np.arange(len(rows)), sizes)
    values /= np.sqrt(np.bincount(row, values**2, minlength=len(rows)))[row]
    return Bags(
        offsets=torch.from_numpy(np.concatenate([[0], sizes.cumsum()])),
        columns=torch.from_numpy(columns),
        values=torch.from_numpy(values).float(),
        width=len(column),
    )


def _order(pages: int, generator: torch.Generator | None) -> Tensor:
    """Draw a permutation; without a generator, one that no version of any library will change."""
    if generator is not None:
        return torch.randperm(pages, generator=generator)
    # numpy promises that the stream of RandomState never changes.
    return torch.from_numpy(np.random.RandomState(0).permutation(pages))
