"""A function over a grid of settings and seeds, on all cores or on a cluster.

A *cell* is one setting with one seed. ``sweep`` runs every cell through joblib: processes on this
machine by default, a Dask cluster inside ``joblib.parallel_config(backend="dask")``. Each result is
stored as it comes, and a second run goes on where the first one stopped. The processes end with a
sweep that took more than 5 seconds, and their memory is free; after a shorter one they wait for the
next.

>>> def error(*, seed, width):
...     return {"error": 1 / width + seed}
>>> result = sweep(error, {"width": [1, 2, 4]}, seeds=range(2), jobs=1)
>>> result
6 cells: 3 settings × 2 seeds
>>> result.values("error", width=4)
array([0.25, 1.25])
>>> result.table("error", rows="width").mean(axis=1)
array([1.5 , 1.  , 0.75])
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from l2s import checks
from l2s.sweep.codec import decode
from l2s.sweep.dask import ClusterError
from l2s.sweep.fingerprint import fingerprint_of
from l2s.sweep.grid import Task, check_signature, read_grid, read_seeds
from l2s.sweep.note import made_by
from l2s.sweep.progress import bar
from l2s.sweep.result import Cell, Failure, Sweep, SweepError, read_csv
from l2s.sweep.run import run_all
from l2s.sweep.sending import pickle
from l2s.sweep.store import CorruptStoreWarning, Store
from l2s.sweep.worker import Outcome

__all__ = [
    "Cell",
    "ClusterError",
    "CorruptStoreWarning",
    "Failure",
    "Sweep",
    "SweepError",
    "made_by",
    "read_csv",
    "sweep",
]


@checks.typed
def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    seeds: Iterable[Any],
    store: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
    timeout: float | None = None,
    on_error: str = "raise",
    keep_workers: bool | None = None,
) -> Sweep:
    """Run ``function(*, seed, **settings)`` for every setting of a grid and every seed.

    The result does not depend on the number of workers or on which cell finishes first: the cells
    stand in the grid's order, and each runs on one thread. (A function that draws random numbers
    does so from its own ``torch.Generator().manual_seed(seed)``.)

    Args:
        function: Called with keywords only. Returns a mapping from metric names to numbers,
            strings, bools, lists, numpy arrays or CPU tensors (which come back as arrays).
        grid: A mapping from names to lists of values (every combination is a setting), or a list
            of settings. Values are numbers, strings, bools, None and tuples of these.
        seeds: Integers, each one once.
        store: The path of a file that keeps finished cells, or None to keep nothing. A cell is
            answered from it if neither the function, nor anything that it uses (helpers, closure,
            defaults, globals, versions of libraries), has changed since. Two things are not seen:
            files that the function reads, and names that it makes from strings. A store that is
            damaged is moved aside, with a ``CorruptStoreWarning``.
        jobs: The number of workers; None uses every core that this process may use, or the
            backend that ``joblib.parallel_config`` names; 1 runs in this process.
        progress: Show a bar on standard error, where a person watches. ``L2S_PROGRESS=0`` in the
            environment hides it everywhere.
        timeout: Seconds that one cell may run; one that runs longer has failed. Compiled code that
            never returns is stopped with its worker, but not in this process or on Dask.
        on_error: What to do once all cells have ended and some have failed: "raise" a
            ``SweepError`` that lists them, or "keep" them as ``Sweep.failures``. Failed cells are
            never stored, so the next run tries them again.
        keep_workers: Whether idle workers wait for the next sweep, which then starts at once
            instead of after seconds; each holds what its cells have loaded, some hundred MiB.
            None keeps them unless this sweep took over a minute. A Dask cluster keeps its own.

    Returns:
        The cells in the grid's order, with ways to read them as arrays over seeds.

    Raises:
        TypeError: If the function does not take the settings or cannot be sent to a worker, or if
            a setting or seed has a wrong type.
        ValueError: If the grid or the seeds are empty or hold something twice, or an argument lies
            outside its range.
        SweepError: If a cell failed and ``on_error`` is "raise".
        ClusterError: If a Dask cluster has no workers, or workers with other libraries.

    Two explicit settings instead of a product:

    >>> def area(*, seed, width, height):
    ...     return {"area": width * height}
    >>> settings = [{"width": 1, "height": 2}, {"width": 3, "height": 4}]
    >>> sweep(area, settings, seeds=[0], jobs=1).values("area", width=3)
    array([12])

    A cell that fails does not lose the others:

    >>> def inverse(*, seed, x):
    ...     return {"inverse": 1 / x}
    >>> result = sweep(inverse, {"x": [0, 2]}, seeds=[0], jobs=1, on_error="keep")
    >>> result
    2 cells: 2 settings × 1 seed (1 failed)
    >>> print(result.failures[0])
    x=0, seed=0: ZeroDivisionError: division by zero
    """
    checks.one_of("on_error", on_error, ("raise", "keep"))
    if jobs is not None:
        checks.at_least("jobs", jobs, 1, "Pass None to use every core, or 1 for this process.")
    if timeout is not None:
        checks.positive("timeout", timeout)
    settings, each = read_grid(grid), read_seeds(seeds)
    check_signature(function, settings)
    payload = pickle(function)
    points = [(setting, seed) for setting in settings for seed in each]
    tasks = [Task(place, *point) for place, point in enumerate(points)]

    with _opened(store, function) as kept:
        answers = {} if kept is None else kept.answers
        outcomes = {t.place: Outcome(answers[t.key]) for t in tasks if t.key in answers}
        open_tasks = [task for task in tasks if task.place not in outcomes]
        answered = len(outcomes)
        running = run_all(function, payload, open_tasks, jobs, timeout, keep_workers)
        with contextlib.closing(running), bar(len(tasks), answered, progress) as tick:
            for place, outcome in running:
                outcomes[place] = outcome
                if kept is not None and outcome.encoded is not None:
                    kept.save(tasks[place].key, outcome.encoded)
                tick()

    cells, failures = _gather(tasks, outcomes)
    result = Sweep(cells, tuple(settings), each, failures, answered)
    if result.failures and on_error == "raise":
        raise SweepError(result)
    return result


@contextlib.contextmanager
def _opened(
    store: str | os.PathLike[str] | None, function: Callable[..., Any]
) -> Iterator[Store | None]:
    if store is None:
        yield None
    else:
        with Store(store, fingerprint_of(function)) as kept:
            yield kept


def _gather(
    tasks: Sequence[Task], outcomes: dict[int, Outcome]
) -> tuple[tuple[Cell, ...], tuple[Failure, ...]]:
    """Sort the outcomes into the grid's order, whatever the order in which they came."""
    cells, failures = [], []
    for task in tasks:
        outcome = outcomes.pop(task.place)
        if outcome.encoded is None:
            failure = Failure(task.settings, task.seed, outcome.error, outcome.traceback)
            failures.append(failure)
        else:
            cells.append(Cell(task.settings, task.seed, decode(outcome.encoded)))
    return tuple(cells), tuple(failures)
