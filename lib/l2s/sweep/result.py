"""What a sweep returns: its cells in order, arrays over seeds, a table on disk."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2s.sweep.table import read_rows, write_rows

_MISSING = object()
_LISTED = 20  # failures that an error lists one by one


@dataclass(frozen=True, eq=False)
class Cell:
    """One finished cell: the settings and the seed it ran with, and the metrics it returned."""

    settings: dict[str, Any]
    seed: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """One cell that failed: its settings and seed, the error in one line, and its traceback."""

    settings: dict[str, Any]
    seed: int
    error: str
    traceback: str

    def __str__(self) -> str:
        return f"{_describe({**self.settings, 'seed': self.seed})}: {self.error}"


class SweepError(ValueError):
    """Some cells failed, after all others finished.

    Attributes:
        failures: The cells that failed.
        sweep: The sweep without them.
    """

    def __init__(self, sweep: "Sweep") -> None:
        self.sweep = sweep
        self.failures = sweep.failures
        lines = [f"  {failure}" for failure in self.failures]
        if len(lines) > _LISTED:
            lines[_LISTED:] = [f"  and {len(lines) - _LISTED} more, in `.failures`"]
        super().__init__(
            f"{len(self.failures)} of {sweep.size} cells failed (the others finished):\n"
            + "\n".join(lines)
            + f"\nThe first one's traceback:\n{self.failures[0].traceback}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """The results of a function over a grid of settings and seeds.

    Attributes:
        cells: The finished cells; settings in the grid's order, and the seeds within each.
        settings: The settings, in the grid's order.
        seeds: The seeds, in the order given.
        failures: The cells that failed (empty unless the sweep was told to keep them).
        answered: How many cells were answered from the store.
    """

    cells: tuple[Cell, ...]
    settings: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]
    failures: tuple[Failure, ...] = ()
    answered: int = 0

    @property
    def size(self) -> int:
        """The number of cells, those that failed included."""
        return len(self.cells) + len(self.failures)

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Each setting's name with its values, in the grid's order."""
        axes: dict[str, dict[Any, None]] = {}
        for settings in self.settings:
            for name, value in settings.items():
                axes.setdefault(name, {})[value] = None
        return {name: tuple(values) for name, values in axes.items()}

    def values(self, metric: str, /, **settings: Any) -> np.ndarray:
        """Return one metric at one setting as an array over seeds.

        Args:
            metric: The name of a metric that the function returned.
            **settings: The setting, as far as it is needed to tell it from all others.

        Returns:
            An array of shape (seeds,), or (seeds, ...) where the metric is itself an array.

        Raises:
            ValueError: If the metric or setting is unknown, or if not exactly one setting matches.

        >>> from l2s.sweep import sweep
        >>> def area(*, seed, width, height):
        ...     return {"area": width * height + seed, "sides": [width, height]}
        >>> result = sweep(area, {"width": [1, 2], "height": [3]}, seeds=[0, 10], jobs=1)
        >>> result.values("area", width=2)
        array([ 6, 16])
        >>> result.values("sides", width=2, height=3)
        array([[2, 3],
               [2, 3]])
        >>> result.values("area")
        Traceback (most recent call last):
        ValueError: 2 settings match no condition, but exactly one must. Give also width.
        """
        self._check_known(settings)
        cells = [cell for cell in self.cells if _matches(cell.settings, settings)]
        failed = [cell for cell in self.failures if _matches(cell.settings, settings)]
        found = {_describe(s) for s in self.settings if _matches(s, settings)}
        if len(found) != 1:
            open_names = [
                name
                for name, values in self.axes.items()
                if len(values) > 1 and name not in settings
            ]
            remedy = f"Give also {' or '.join(open_names)}." if found else "Pass one of the grid."
            raise ValueError(
                f"{len(found)} settings match {_describe(settings) or 'no condition'}, but exactly "
                f"one must. {remedy}"
            )
        if failed:
            raise ValueError(
                f"`{metric}` is missing where the cell failed: {failed[0]}. Mend it and run again; "
                "the cells that finished are in `.cells`."
            )
        return _stack(metric, cells)

    def table(
        self, metric: str, /, *, rows: str, columns: str | None = None, **settings: Any
    ) -> np.ndarray:
        """Return one metric as an array (rows, columns, seeds), or (rows, seeds).

        Args:
            metric: The name of a metric.
            rows: The setting whose values, in the grid's order, run along the first axis.
            columns: The setting along the second axis, if there is one.
            **settings: All other settings that take more than one value.

        Returns:
            Each entry's samples over seeds, along the last axis (further ones for an array metric).

        Raises:
            ValueError: If a name is unknown, or if some entry is not exactly one setting.

        >>> from l2s.sweep import sweep
        >>> def area(*, seed, width, height):
        ...     return {"area": width * height + seed}
        >>> result = sweep(area, {"width": [1, 2], "height": [3, 4, 5]}, seeds=[0, 10], jobs=1)
        >>> result.table("area", rows="width", columns="height").mean(axis=-1)
        array([[ 8.,  9., 10.],
               [11., 13., 15.]])
        >>> result.table("area", rows="height", width=1).shape
        (3, 2)
        """
        axes = self.axes
        for name, axis in {"rows": rows, "columns": columns}.items():
            if axis is not None and axis not in axes:
                raise ValueError(f"`{name}` is {axis!r}. Pass one of {', '.join(axes)}.")
        if columns is None:
            return np.stack([self.values(metric, **settings, **{rows: row}) for row in axes[rows]])
        return np.stack(
            [self.table(metric, rows=columns, **settings, **{rows: row}) for row in axes[rows]]
        )

    def to_csv(self, path: str | os.PathLike[str], *, note: str = "") -> None:
        """Write one row a cell: its settings, its seed, its metrics, with every digit.

        Args:
            path: The file to write.
            note: Lines to put above the table, each behind "# ": the command that made it, the
                machine, the versions.

        Raises:
            ValueError: If a cell failed.
        """
        if self.failures:
            raise ValueError(
                f"{len(self.failures)} cells failed, and a table would hide it. Mend them first: "
                f"{self.failures[0]}."
            )
        rows = [(cell.settings, cell.seed, cell.values) for cell in self.cells]
        write_rows(path, rows, self.axes, note)

    def __repr__(self) -> str:
        notes = []
        if self.answered:
            notes.append(f"{self.answered} answered from the store")
        if self.failures:
            notes.append(f"{len(self.failures)} failed")
        size = f"{_count(len(self.settings), 'setting')} × {_count(len(self.seeds), 'seed')}"
        return f"{_count(self.size, 'cell')}: {size}" + (f" ({', '.join(notes)})" if notes else "")

    def _check_known(self, settings: dict[str, Any]) -> None:
        for name, value in settings.items():
            if name not in self.axes:
                raise ValueError(
                    f"`{name}` is no setting of this sweep. Pass one of {', '.join(self.axes)}."
                )
            if value not in self.axes[name]:
                known = ", ".join(repr(v) for v in self.axes[name])
                raise ValueError(f"`{name}` is {value!r}. Pass one of {known}.")


def read_csv(path: str | os.PathLike[str]) -> Sweep:
    """Read a table that ``Sweep.to_csv`` wrote.

    Args:
        path: The file. Lines that begin with "#" are notes.

    Returns:
        The sweep; a metric that was an array is a list now, with the same numbers.

    Raises:
        ValueError: If the file is no such table.
    """
    cells = tuple(Cell(*row) for row in read_rows(path))
    settings = {_describe(cell.settings): cell.settings for cell in cells}
    seeds = dict.fromkeys(cell.seed for cell in cells)
    return Sweep(cells, tuple(settings.values()), tuple(seeds))


def _matches(settings: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(settings.get(name, _MISSING) == value for name, value in wanted.items())


def _stack(metric: str, cells: Sequence[Cell]) -> np.ndarray:
    for cell in cells:
        if metric not in cell.values:
            raise ValueError(
                f"`metric` is {metric!r}, which {_describe(cell.settings)}, seed={cell.seed} does "
                f"not have. Pass one of {', '.join(cell.values)}."
            )
    samples = [np.asarray(cell.values[metric]) for cell in cells]
    shapes = {sample.shape for sample in samples}
    if len(shapes) > 1:
        raise ValueError(
            f"`{metric}` has the shapes {', '.join(map(str, sorted(shapes)))} over seeds, which do "
            "not stack. Read them one by one from `.cells`."
        )
    return np.stack(samples)


def _describe(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
