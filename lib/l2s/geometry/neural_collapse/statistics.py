"""Means and covariances of classes, from one pass over batches of features.

The within-class covariance of features that have collapsed is tiny beside their squared length, so
the textbook sum of squares minus square of sums would lose it. Here every class has a point of its
own near its mean (the mean of its first rows), and all sums are about that point.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.geometry.neural_collapse.arguments import Sizes, check_labels, checked_sizes

_ROWS = 8192  # taken at a time: a block of 512 float32 features is 16 MiB
_FOLD = 4 * _ROWS  # rows summed in the features' dtype before they go into float64
_BLOCKS = 4  # column blocks of the covariance; only those on and above the diagonal are computed
_NARROW = 128  # below so many features blocks cost more than they save


class ClassStatistics:
    r"""Counts, means and the within-class covariance of K classes, batch by batch.

    .. math:: \mu_k = \frac1{n_k} \sum_{i: y_i = k} h_i, \qquad
        S_W = \frac1N \sum_i (h_i - \mu_{y_i})(h_i - \mu_{y_i})^\top

    With ``class_sizes`` every class weighs alike, however many samples it has:

    .. math:: S_W = \frac1K \sum_k \frac1{n_k} \sum_{i: y_i = k} (h_i - \mu_k)(h_i - \mu_k)^\top

    The sizes must then be known before the first batch, because one pass cannot weigh what it has
    not counted. In balanced data both are the same. Memory is O(classes x dim + dim^2), however
    many rows pass. Sums are kept in float64; products are taken in the features' dtype (float16 and
    bfloat16 in float32), and relative to a point near each class's mean, so a large common offset
    or a deep collapse costs no digits. An object can be pickled and merged on another machine.

    Args:
        classes: K, at least 2.
        dim: How many features a row has.
        class_sizes: The number of samples that each class will have had in the end; None lets
            every sample weigh alike.
        device: Where the sums are kept; the features must be there too.

    Raises:
        ValueError: One class, no features, or a class size below 1.

    >>> statistics = ClassStatistics(2, 1)
    >>> statistics.update(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]))
    >>> statistics.update(torch.tensor([[9.0], [9.0]]), torch.tensor([1, 1]))
    >>> statistics.class_means()
    tensor([[2.],
            [9.]], dtype=torch.float64)
    >>> statistics.within_covariance()  # (1 + 1 + 0 + 0) / 4
    tensor([[0.5000]], dtype=torch.float64)
    """

    @checks.typed
    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        class_sizes: Sizes | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        checks.at_least("classes", classes, 2, "Nothing is between the classes of one class.")
        checks.at_least("dim", dim, 1, "Pass the number of features.")
        self.classes, self.dim = classes, dim
        self.counts = torch.zeros(classes, dtype=torch.int64, device=device)
        self.class_sizes: Tensor | None = None
        self._shift = torch.zeros(classes, dim, dtype=torch.float64, device=device)
        self._sums = torch.zeros_like(self._shift)  # of h - shift
        self._scatter = self._shift.new_zeros(dim, dim)  # about the shifts, upper blocks only
        self._stretch: _Stretch | None = None  # the rows that are not yet in these sums
        self._weights = self._shift.new_ones(classes)
        if class_sizes is not None:
            sizes = checked_sizes(class_sizes)
            if len(sizes) != classes:
                raise ValueError(
                    f"`class_sizes` holds {len(sizes)} numbers, but `classes` is {classes}. Pass "
                    "how many samples each class has."
                )
            self.class_sizes = torch.from_numpy(sizes).to(self.counts.device)
            self._weights = 1 / (classes * self.class_sizes.double())

    @checks.typed
    @torch.no_grad()
    def update(self, features: Float[Tensor, "batch dim"], labels: Int[Tensor, " batch"]) -> None:
        """Take in a batch of features, shape (batch, dim), and their labels from 0 to K - 1.

        Raises:
            TypeError: Features that are not floating, or labels that are not integers.
            ValueError: Another number of features, labels out of range, or NaN. Nothing of the
                batch has been counted then.
        """
        self._check(features, labels)
        labels = labels.long()
        work = torch.float64 if features.dtype == torch.float64 else torch.float32
        for start in range(0, len(labels), _FOLD):
            stretch = slice(start, start + _FOLD)
            self._add(features[stretch], labels[stretch], work)

    @checks.typed
    @torch.no_grad()
    def merge(self, other: "ClassStatistics") -> None:
        """Take in what another object has seen of the same classes, such as on another machine.

        Raises:
            ValueError: Another number of classes or features, or other class sizes.
        """
        self._check_mergeable(other)
        first, second = self.counts.double(), other.counts.double()
        total = (first + second).clamp(min=1)
        gap = other._means() - self._means()
        means = self._means() + (second / total)[:, None] * gap
        between = (self._weights * first * second / total).sqrt()[:, None] * gap
        scatter = self._exact_scatter() + other._exact_scatter() + between.T @ between
        self._shift = _exact_in_float32(means)
        count = (first + second)[:, None]
        off = (self._weights[:, None] * count).sqrt() * (means - self._shift)
        self.counts = self.counts + other.counts
        self._sums, self._scatter = count * (means - self._shift), scatter + off.T @ off

    @torch.no_grad()
    def class_means(self) -> Float[Tensor, "classes dim"]:
        """Return the means of the classes, float64 of shape (classes, dim).

        Raises:
            ValueError: A class without samples.
        """
        self._check_complete()
        return self._means()

    @torch.no_grad()
    def within_covariance(self) -> Float[Tensor, "dim dim"]:
        """Return S_W, float64 of shape (dim, dim).

        Raises:
            ValueError: A class without samples, or counts that are not the ``class_sizes``.
        """
        self._check_complete()
        scatter = self._exact_scatter()
        return scatter if self.class_sizes is not None else scatter / self.counts.sum()

    @torch.no_grad()
    def shares(self) -> Float[Tensor, " classes"]:
        """Return what each class weighs: n_k / N, or 1 / K where ``class_sizes`` were given."""
        self._check_complete()
        if self.class_sizes is not None:
            return torch.full_like(self._weights, 1 / self.classes)
        return self.counts.double() / self.counts.sum()

    def _add(self, features: Tensor, labels: Tensor, work: torch.dtype) -> None:
        """Add at most ``_FOLD`` rows to the open stretch, which is folded when it is long."""
        if self._place_new_classes(features, labels):
            self._fold()
        if self._stretch is not None and self._stretch.shift.dtype != work:
            self._fold()
        if self._stretch is None:
            weigh = None if self.class_sizes is None else self._weights.sqrt().to(work)
            self._stretch = _Stretch(self._shift.to(work), weigh)
        self._stretch.add(features, labels)
        self.counts += torch.bincount(labels, minlength=self.classes)
        if self._stretch.rows >= _FOLD:
            self._fold()

    def _fold(self) -> None:
        if self._stretch is not None:
            self._sums += self._stretch.sums
            self._scatter += self._stretch.scatter
            self._stretch = None

    def _place_new_classes(self, features: Tensor, labels: Tensor) -> bool:
        """Give classes that are seen for the first time a shift: the mean of their first rows."""
        if bool((self.counts > 0).all()):
            return False
        count = torch.bincount(labels, minlength=self.classes)
        new = (self.counts == 0) & (count > 0)
        rows = new[labels].nonzero().flatten()[:_ROWS]
        count = torch.bincount(labels[rows], minlength=self.classes)
        first = torch.zeros_like(self._shift)
        first.index_add_(0, labels[rows], features[rows].double())
        new &= count > 0
        self._shift[new] = _exact_in_float32(first[new] / count[new, None])
        return bool(new.any())

    def _means(self) -> Tensor:
        self._fold()
        return self._shift + self._sums / self.counts.clamp(min=1)[:, None]

    def _exact_scatter(self) -> Tensor:
        """Return the weighted scatter about the means: about the shifts, less their distance."""
        self._fold()
        upper = self._scatter.triu()
        whole = upper + upper.triu(1).T
        root = (self._weights / self.counts.clamp(min=1)).sqrt()
        off = root[:, None] * self._sums
        return whole - off.T @ off

    def _check(self, features: Tensor, labels: Tensor) -> None:
        if features.shape[1] != self.dim:
            raise ValueError(
                f"`features` has shape {tuple(features.shape)}, but these statistics are of "
                f"{self.dim} features. Pass rows of shape (batch, {self.dim})."
            )
        checks.same_device(features=features, labels=labels, statistics=self.counts)
        checks.finite("features", features)
        check_labels(labels, self.classes)

    def _check_mergeable(self, other: "ClassStatistics") -> None:
        if (self.classes, self.dim) != (other.classes, other.dim):
            raise ValueError(
                f"`other` is of {other.classes} classes and {other.dim} features, these statistics "
                f"are of {self.classes} and {self.dim}. Merge statistics of the same problem."
            )
        if not torch.equal(self._weights, other._weights):
            raise ValueError(
                "`other` was made with other `class_sizes`. Give all workers the sizes of all data."
            )

    def _check_complete(self) -> None:
        empty = (self.counts == 0).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"Class {empty[0]} has no samples ({len(empty)} of {self.classes} have none), so "
                "it has no mean. Leave such classes out, and number the others anew."
            )
        if self.class_sizes is not None and not torch.equal(self.counts, self.class_sizes):
            wrong = int((self.counts != self.class_sizes).nonzero()[0])
            raise ValueError(
                f"Class {wrong} has {int(self.counts[wrong])} samples so far, but `class_sizes` "
                f"says {int(self.class_sizes[wrong])}. Pass all samples, or the right sizes."
            )


class _Stretch:
    """Sums of some rows in their own dtype: fast, and short enough to be right."""

    def __init__(self, shift: Tensor, weigh: Tensor | None) -> None:
        self.shift, self.weigh, self.rows = shift, weigh, 0
        self.sums = torch.zeros_like(shift)
        self.scatter = shift.new_zeros(shift.shape[1], shift.shape[1])
        self._room = shift.new_empty(0, shift.shape[1])

    def add(self, features: Tensor, labels: Tensor) -> None:
        for rows, own in zip(features.split(_ROWS), labels.split(_ROWS), strict=True):
            if len(self._room) < len(own):
                self._room = self.shift.new_empty(len(own), self.shift.shape[1])
            gaps = self._room[: len(own)]
            torch.index_select(self.shift, 0, own, out=gaps)
            torch.sub(rows.to(self.shift.dtype), gaps, out=gaps)
            self.sums.index_add_(0, own, gaps)
            if self.weigh is not None:
                gaps *= self.weigh[own, None]
            _add_upper_products(self.scatter, gaps)
        self.rows += len(labels)


def _add_upper_products(scatter: Tensor, rows: Tensor) -> None:
    """Add rows^T rows to the blocks on and above the diagonal: 5/8 of the work."""
    dim = scatter.shape[0]
    width = dim if dim < _NARROW else -(-dim // _BLOCKS)
    for start in range(0, dim, width):
        end = min(start + width, dim)
        scatter[start:end, start:].addmm_(rows[:, start:end].T, rows[:, start:])


def _exact_in_float32(points: Tensor) -> Tensor:
    """Round points that are to be subtracted, so that every dtype subtracts the same ones."""
    return points.float().double()
