"""A dual encoder: queries and labels pass through towers, and a score is a dot product."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from l2s import checks
from l2s.data import Bags

Features = Tensor | Bags
"""Rows of features: dense (rows, features) floating, sparse CSR of that shape, or ``Bags``."""


class Tower(nn.Module):
    """A small network from dense or sparse features to embeddings.

    A first layer that reads only the entries that are there (``nn.EmbeddingBag``), then for each
    further layer GELU, dropout and a linear map. Dense and sparse rows of the same numbers have the
    same embedding.

    Args:
        features: How many features a row has.
        dim: The embedding's dimension.
        hidden: The widths of hidden layers; () for a linear map.
        dropout: The probability of dropping a hidden unit in training, from 0 to below 1.
    """

    def __init__(
        self, features: int, dim: int, *, hidden: Sequence[int] = (64,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [features, *hidden, dim]
        for name, width in zip(["features", *["hidden"] * len(hidden), "dim"], widths, strict=True):
            checks.at_least(name, width, 1, "A layer has one unit or more.")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` is {dropout!r}, but must be at least 0 and below 1.")
        self.first = nn.EmbeddingBag(features, widths[1], mode="sum", include_last_offset=True)
        nn.init.uniform_(self.first.weight, -(features**-0.5), features**-0.5)
        self.bias = nn.Parameter(torch.zeros(widths[1]))
        self.rest = nn.Sequential()
        for i in range(1, len(widths) - 1):
            self.rest.extend([nn.GELU(), nn.Dropout(dropout), nn.Linear(widths[i], widths[i + 1])])

    def forward(self, rows: Features) -> Float[Tensor, "rows dim"]:
        """Return one embedding a row."""
        return self.rest(self._first_layer(rows) + self.bias)

    def _first_layer(self, rows: Features) -> Tensor:
        features, dtype = len(self.first.weight), self.first.weight.dtype
        width = rows.width if isinstance(rows, Bags) else rows.shape[-1]
        if width != features or (isinstance(rows, Tensor) and rows.ndim != 2):
            shape = (len(rows), width) if isinstance(rows, Bags) else tuple(rows.shape)
            raise ValueError(
                f"The rows have shape {shape}, but this tower reads {features} features. Pass rows "
                f"of shape (rows, {features})."
            )
        if isinstance(rows, Bags):
            return self.first(rows.columns, rows.offsets, rows.values.to(dtype))
        if rows.layout == torch.sparse_csr:
            return self.first(rows.col_indices(), rows.crow_indices(), rows.values().to(dtype))
        if not rows.is_floating_point():
            raise TypeError(
                f"The rows have dtype {rows.dtype}, but must be floating. Convert them with "
                ".float(), or lists of columns with l2s.data.bags(...)."
            )
        return rows @ self.first.weight


class DualEncoder(nn.Module):
    r"""Scores of queries and labels as dot products of their embeddings (gupta2024).

    .. math:: s_{ij} = \langle \phi(x_i), \psi(y_j) \rangle / \tau + b

    Labels pass through a tower from their features, so a label that no training query had can be
    scored, and the number of parameters does not grow with the number of labels. With
    ``free_labels`` each label has a vector of its own instead: the baseline.

    Args:
        query_features: How many features a query has.
        label_features: How many features a label has; None with ``free_labels`` or ``shared``.
        free_labels: How many labels there are, each with its own vector; None for towers.
        shared: Queries and labels pass through one tower.
        dim: The embeddings' dimension.
        hidden: The widths of each tower's hidden layers; () for linear towers.
        dropout: The probability of dropping a hidden unit in training, from 0 to below 1.
        normalize: Divide embeddings by their length, so that scores are cosines / τ. A zero
            embedding stays zero.
        temperature: τ, above 0.
        bias: What the learned number b starts from; None for no b. Softmax and top-k losses cannot
            see it; ``one_versus_all`` needs it (about -log of the number of labels), because most
            labels are wrong and cosines cannot all be low.

    Raises:
        ValueError: Not exactly one of ``label_features``, ``free_labels`` and ``shared``, or a
            number out of its range.

    >>> model = DualEncoder(query_features=10, label_features=6, dim=4)
    >>> model(torch.randn(3, 10), torch.randn(5, 6)).shape
    torch.Size([3, 5])
    >>> model = DualEncoder(query_features=10, free_labels=5, dim=4)
    >>> model(torch.randn(3, 10)).shape  # all labels
    torch.Size([3, 5])
    >>> model(torch.randn(3, 10), torch.tensor([4, 0])).shape  # two of them
    torch.Size([3, 2])
    """

    def __init__(
        self,
        query_features: int,
        *,
        label_features: int | None = None,
        free_labels: int | None = None,
        shared: bool = False,
        dim: int = 64,
        hidden: Sequence[int] = (64,),
        dropout: float = 0.0,
        normalize: bool = True,
        temperature: float = 0.05,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        checks.positive("temperature", temperature)
        if (label_features is not None) + (free_labels is not None) + shared != 1:
            raise ValueError(
                f"`label_features` is {label_features}, `free_labels` is {free_labels} and "
                f"`shared` is {shared}. Pass exactly one of the three."
            )
        self.normalize, self.temperature = normalize, temperature
        self.bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))
        self.query_tower = Tower(query_features, dim, hidden=hidden, dropout=dropout)
        self.label_tower: nn.Module
        if free_labels is not None:
            checks.at_least("free_labels", free_labels, 1, "Say how many labels there are.")
            self.label_tower = nn.Embedding(free_labels, dim)
            nn.init.normal_(self.label_tower.weight, std=dim**-0.5)  # about unit length
        elif shared:
            self.label_tower = self.query_tower
        else:
            assert label_features is not None  # one of the three is given
            self.label_tower = Tower(label_features, dim, hidden=hidden, dropout=dropout)

    def embed_queries(self, queries: Features) -> Float[Tensor, "queries dim"]:
        """Return the queries' embeddings, divided by the temperature's square root.

        Scores are ``score(embed_queries(...), embed_labels(...))``, as ``cached_backward`` needs.
        """
        return self._scaled(self.query_tower(queries))

    def embed_labels(
        self, labels: Features | Int[Tensor, " labels"] | None = None
    ) -> Float[Tensor, "labels dim"]:
        """Return the labels' embeddings, divided by the temperature's square root.

        Args:
            labels: The labels' features. With free labels their numbers, or None for all.
        """
        if isinstance(self.label_tower, nn.Embedding):
            return self._scaled(_free(self.label_tower.weight, labels))
        if labels is None:
            raise ValueError(
                "`labels` is None, but these labels pass through a tower. Pass their features."
            )
        return self._scaled(self.label_tower(labels))

    def forward(
        self, queries: Features, labels: Features | Int[Tensor, " labels"] | None = None
    ) -> Float[Tensor, "queries labels"]:
        """Return the score of every query and label.

        Args:
            queries: The queries' features: dense, sparse CSR, or ``Bags``.
            labels: The labels' features. With free labels their numbers, or None for all.
        """
        return self.score(self.embed_queries(queries), self.embed_labels(labels))

    def score(
        self, queries: Float[Tensor, "queries dim"], labels: Float[Tensor, "labels dim"]
    ) -> Float[Tensor, "queries labels"]:
        """Return the scores of embedded queries and labels."""
        scores = queries @ labels.T
        return scores if self.bias is None else scores + self.bias

    def _scaled(self, embeddings: Tensor) -> Tensor:
        if self.normalize:
            embeddings = F.normalize(embeddings, dim=1)
        return embeddings / self.temperature**0.5


def _free(vectors: Tensor, labels: object) -> Tensor:
    """Return the vectors of all labels, or of those that are named."""
    if labels is None:
        return vectors
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.ndim != 1:
        raise TypeError(
            "`labels` must be None or numbers of labels, int64 of shape (labels,), where each "
            "label has a vector of its own: such labels have no features."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(vectors):
        raise ValueError(
            f"`labels` goes from {int(labels.min())} to {int(labels.max())}, but there are "
            f"{len(vectors)} labels, numbered from 0. A label that is not among them has no vector."
        )
    return F.embedding(labels, vectors)
