"""Drawn retrieval problems whose best scores are known: many labels, and queries unequally hard."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from l2s import checks

_SHARPNESS = 2.5  # the size of a label's score, against Gumbel noise of standard deviation 1.28
_POPULARITY = -0.6  # times the log of the rank: the head has most positives
_MOST_POSITIVES = 20
_FEATURES_PER_TOPIC = 3
_FEATURE_NOISE = 0.1
_QUERY_NOISE = (0.1, 1.3)
_DOCUMENT_NOISE = 0.1


@dataclass(frozen=True, eq=False)
class LabelledQueries:
    """Queries and the labels that are right for each.

    Attributes:
        features: Float32 of shape (queries, topics).
        positives: Bool of shape (queries, labels); every row has a label.
    """

    features: Float[Tensor, "queries topics"]
    positives: Bool[Tensor, "queries labels"]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, eq=False)
class LabelRetrieval:
    """Queries with several right labels each, and what drew them; see ``label_retrieval``.

    Attributes:
        train: The training queries. No unseen label is right for any of them.
        test: The test queries. All labels may be right.
        label_features: What can be known of a label without any query, float32 of shape
            (labels, label features): its vector and popularity in other coordinates, with noise.
        seen: Whether training queries may have a label, bool of shape (labels,).
        label_vectors: Float32 of shape (labels, topics).
        popularity: Float32 of shape (labels,).
    """

    train: LabelledQueries
    test: LabelledQueries
    label_features: Float[Tensor, "labels label_features"]
    seen: Bool[Tensor, " labels"]
    label_vectors: Float[Tensor, "labels topics"]
    popularity: Float[Tensor, " labels"]

    @checks.typed
    def best_scores(
        self, features: Float[Tensor, "queries topics"]
    ) -> Float[Tensor, "queries labels"]:
        """Return the scores before the noise: no others have a higher precision@k or recall@k.

        Args:
            features: Queries of shape (queries, topics); these need not be the sample's own.

        Raises:
            ValueError: Queries with another number of topics, or NaN.

        >>> problem = label_retrieval(10, 10, labels=40)
        >>> problem.best_scores(problem.test.features).shape
        torch.Size([10, 40])
        """
        topics = self.label_vectors.shape[1]
        if features.shape[1] != topics:
            raise ValueError(
                f"`features` has shape {tuple(features.shape)}, but this problem has {topics} "
                "topics. Pass queries with one feature a topic."
            )
        checks.finite("features", features)
        matches = features @ self.label_vectors.to(features).T
        return _SHARPNESS * matches / topics**0.5 + self.popularity.to(features)


@checks.typed
def label_retrieval(
    train: int = 600,
    test: int = 1000,
    *,
    labels: int = 300,
    topics: int = 10,
    unseen: int = 0,
    generator: torch.Generator | None = None,
) -> LabelRetrieval:
    r"""Draw queries that have from 1 to 20 right labels each, a few popular labels and many rare.

    .. math:: s_j = 2.5\,\frac{\langle z, w_j\rangle}{\sqrt{\text{topics}}} - 0.6\log r_j + g_j,
        \qquad z, w_j \sim N(0, I), \quad g_j \sim \text{Gumbel}

    The positives of query z are its c highest s, with :math:`c = \min(1 + \lfloor 20u^2 \rfloor,
    20)` and u uniform; :math:`r_j` is the rank of label j in popularity, which is its number plus
    1, but for unseen labels.

    **Ground truth:** the scores before the noise (``best_scores``). With Gumbel noise the c labels
    are drawn one by one with probabilities softmax(s), so the order of those scores is the best
    order for every query, whatever c is.

    Args:
        train: How many training queries; at least 1.
        test: How many test queries; at least 1.
        labels: How many labels there are; at least 21.
        topics: The dimension of queries and label vectors; at least 1.
        unseen: How many labels no training query has, drawn from all ranks of popularity; training
            positives are the best of the others. At most ``labels - 21``.
        generator: The source of randomness; None means PyTorch's default generator.

    Raises:
        ValueError: A value is out of its range.

    >>> problem = label_retrieval(generator=torch.Generator().manual_seed(0))
    >>> problem.train.positives.shape, problem.test.features.shape
    (torch.Size([600, 300]), torch.Size([1000, 10]))
    >>> problem.train.positives.sum(1).min(), problem.train.positives.sum(1).max()
    (tensor(1), tensor(20))
    """
    for name, value in {"train": train, "test": test, "topics": topics}.items():
        checks.at_least(name, value, 1, "Ask for one or more.")
    least = _MOST_POSITIVES + 1
    checks.at_least("labels", labels, least, "A query may have 20 right labels, and one is wrong.")
    checks.in_range("unseen", unseen, 0, labels - least)
    vectors = torch.randn(labels, topics, generator=generator)
    popularity = _POPULARITY * torch.arange(1, labels + 1).log()
    seen = torch.ones(labels, dtype=torch.bool)
    if unseen:
        seen[torch.randperm(labels, generator=generator)[:unseen]] = False
    clean = torch.cat([vectors, popularity[:, None]], dim=1)
    width = _FEATURES_PER_TOPIC * topics
    turn = torch.randn(topics + 1, width, generator=generator) / (topics + 1) ** 0.5
    noise = _FEATURE_NOISE * torch.randn(labels, width, generator=generator)

    def queries(number: int, allowed: Tensor) -> LabelledQueries:
        z = torch.randn(number, topics, generator=generator)
        scores = _SHARPNESS * z @ vectors.T / topics**0.5 + popularity
        positives = _highest(scores.masked_fill(~allowed, -torch.inf), generator)
        return LabelledQueries(features=z, positives=positives)

    return LabelRetrieval(
        train=queries(train, seen),
        test=queries(test, torch.ones_like(seen)),
        label_features=clean @ turn + noise,
        seen=seen,
        label_vectors=vectors,
        popularity=popularity,
    )


@dataclass(frozen=True, eq=False)
class QueryDocumentPairs:
    """Queries, each with the one document that is right for it.

    Attributes:
        queries: Float32 of shape (pairs, latent + 1): the noisy latent, and log noise.
        documents: Float32 of shape (pairs, document features); row i belongs to query i.
        noise: The standard deviation of each query's noise, float32 of shape (pairs,).
        latent: What both were made from, float32 of shape (pairs, latent).
    """

    queries: Float[Tensor, "pairs query_features"]
    documents: Float[Tensor, "pairs document_features"]
    noise: Float[Tensor, " pairs"]
    latent: Float[Tensor, "pairs latent"]

    def __len__(self) -> int:
        return len(self.queries)

    def best_scores(self) -> Float[Tensor, "pairs pairs"]:
        r"""Return the log likelihood ratio of every query and document, given the latent.

        .. math:: S_{ij} = \log\frac{N(q_i;\, z_j,\, \sigma_i^2 I)}{N(q_i;\, 0,\, (1+\sigma_i^2)I)}

        By the lemma of Neyman and Pearson no other score that sees the query and the latent of the
        document has a higher expected AUC, or a higher true positive rate at any false positive
        rate. Each row is in the best order as well.

        >>> pairs = unequal_queries(5, 50).test
        >>> pairs.best_scores().shape
        torch.Size([50, 50])
        """
        noisy, variance = self.queries[:, :-1].double(), self.noise.double()[:, None].square()
        right = torch.cdist(noisy, self.latent.double()).square() / variance
        chance = noisy.square().sum(dim=1, keepdim=True) / (1 + variance)
        volume = self.latent.shape[1] * torch.log1p(1 / variance)
        return ((volume + chance - right) / 2).float()


@dataclass(frozen=True, eq=False)
class UnequalQueries:
    """Training and test pairs made by the same map; see ``unequal_queries``."""

    train: QueryDocumentPairs
    test: QueryDocumentPairs


@checks.typed
def unequal_queries(
    train: int = 3000,
    test: int = 500,
    *,
    latent: int = 8,
    document_features: int = 30,
    generator: torch.Generator | None = None,
) -> UnequalQueries:
    r"""Draw pairs of a query and its document, with queries from clear to hopeless.

    .. math:: x = \tanh(zM) + 0.1\,\epsilon, \qquad q = [\,z + \sigma_q\epsilon',\ \log\sigma_q\,],
        \qquad \sigma_q \sim U(0.1, 1.3)

    with z from N(0, I) and Gaussian M of variance 1 / latent. The query says how noisy it is, so a
    model can learn to give hard queries low scores: only then can one threshold serve all queries.

    **Ground truth:** the likelihood ratio of any query and document (``best_scores``).

    Args:
        train: How many training pairs; at least 2.
        test: How many test pairs; at least 2. Each test query is asked against all test documents.
        latent: The dimension of z; at least 1.
        document_features: The dimension of x; at least 1.
        generator: The source of randomness; None means PyTorch's default generator.

    Raises:
        ValueError: A value is out of its range.

    >>> data = unequal_queries(100, 20)
    >>> data.train.queries.shape, data.test.documents.shape
    (torch.Size([100, 9]), torch.Size([20, 30]))
    """
    checks.at_least("train", train, 2, "A pair alone has no negative.")
    checks.at_least("test", test, 2, "A pair alone has no negative.")
    checks.at_least("latent", latent, 1, "Ask for one dimension or more.")
    checks.at_least("document_features", document_features, 1, "Ask for one feature or more.")
    turn = torch.randn(latent, document_features, generator=generator) / latent**0.5

    def pairs(number: int) -> QueryDocumentPairs:
        z = torch.randn(number, latent, generator=generator)
        low, high = _QUERY_NOISE
        noise = low + (high - low) * torch.rand(number, generator=generator)
        noisy = z + noise[:, None] * torch.randn(number, latent, generator=generator)
        blur = torch.randn(number, document_features, generator=generator)
        return QueryDocumentPairs(
            queries=torch.cat([noisy, noise.log()[:, None]], dim=1),
            documents=(z @ turn).tanh() + _DOCUMENT_NOISE * blur,
            noise=noise,
            latent=z,
        )

    return UnequalQueries(train=pairs(train), test=pairs(test))


def _highest(scores: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return the mask of each row's highest noisy scores, from 1 to 20 of them."""
    uniform = torch.rand(scores.shape, generator=generator)
    noisy = scores - (-uniform.clamp(min=1e-30).log()).clamp(min=1e-30).log()
    u = torch.rand(len(scores), 1, generator=generator)
    count = (1 + (_MOST_POSITIVES * u.square()).floor()).clamp(max=_MOST_POSITIVES)
    top = noisy.topk(_MOST_POSITIVES, dim=1).indices
    within = torch.arange(_MOST_POSITIVES) < count
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, top, within)
