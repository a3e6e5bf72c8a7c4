"""Small real images that ship in a package: scikit-learn's handwritten digits."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks

_HELD_OUT = 30  # images a class, in the validation and in the test split
_DARKEST = 16.0  # the digits are stored as counts from 0 to 16


@dataclass(frozen=True, eq=False)
class Images:
    """Images and their classes.

    Attributes:
        images: Float32 of shape (samples, channels, height, width).
        labels: Int64 of shape (samples,).
    """

    images: Float[Tensor, "samples channels height width"]
    labels: Int[Tensor, " samples"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Digits:
    """The digits in three splits that share no image; see ``digits``."""

    train: Images
    validation: Images
    test: Images


@checks.typed
def digits(*, generator: torch.Generator | None = None) -> Digits:
    """Load scikit-learn's 1797 handwritten digits as tensors, in three stratified splits.

    Images are float32 of shape (samples, 1, 8, 8) with values in [0, 1] (0 is paper, 1 is full
    ink); labels are int64 from 0 to 9. Validation and test hold 30 images of each digit (300
    each), the training split the other 1197. The splits are always the same unless a generator
    asks for others. Nothing is downloaded.

    **Ground truth:** the label that the writer was asked to write. The same writers occur in all
    splits, so a test accuracy says nothing about a new writer.

    Args:
        generator: None gives the book's fixed splits; a generator draws other splits of the same
            sizes.

    Source: the copy in ``sklearn.datasets.load_digits`` of Alpaydin and Kaynak (1998), bibliography
    key ``alpaydin1998``.

    >>> data = digits()
    >>> len(data.train), len(data.validation), len(data.test)
    (1197, 300, 300)
    >>> data.train.images.shape, data.train.images.dtype
    (torch.Size([1197, 1, 8, 8]), torch.float32)
    >>> data.test.labels.bincount()
    tensor([30, 30, 30, 30, 30, 30, 30, 30, 30, 30])
    """
    from sklearn.datasets import load_digits  # half a second: paid only where digits are asked for

    stored = load_digits()
    images = torch.from_numpy(stored.images).float()[:, None] / _DARKEST
    labels = torch.from_numpy(stored.target).long()
    held_out, train = _stratified(labels, _order(len(labels), generator))
    validation, test = held_out[:, :_HELD_OUT].flatten(), held_out[:, _HELD_OUT:].flatten()
    return Digits(
        *(
            Images(images[chosen], labels[chosen])
            for chosen in (train, validation.sort().values, test.sort().values)
        )
    )


def _order(samples: int, generator: torch.Generator | None) -> Tensor:
    """Draw a permutation; without a generator, one that no version of any library will change."""
    if generator is not None:
        return torch.randperm(samples, generator=generator)
    # numpy promises that the stream of RandomState never changes.
    return torch.from_numpy(np.random.RandomState(0).permutation(samples))


def _stratified(labels: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Split indices into the first of each class in ``order``, (class, chosen), and the rest."""
    taken = torch.stack(
        [order[labels[order] == digit][: 2 * _HELD_OUT] for digit in labels.unique()]
    )
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[taken.flatten()] = False
    return taken, rest.nonzero().flatten()
