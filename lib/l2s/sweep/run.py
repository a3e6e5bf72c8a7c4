"""Run the cells of a sweep through joblib, and hand over each outcome as it comes."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.parallel import get_active_backend

from l2s.sweep.dask import ClusterError, check_libraries, on_dask, sure_of_dask
from l2s.sweep.grid import Task
from l2s.sweep.origin import own_files
from l2s.sweep.worker import Outcome, be_ready, lost, run, run_pickled

# Seconds beyond a cell's time limit, after which its worker is ended: no signal reached the cell.
_GRACE = 10.0


def run_all(
    function: Callable[..., Any],
    payload: bytes,
    tasks: Sequence[Task],
    jobs: int | None,
    timeout: float | None,
) -> Generator[tuple[int, Outcome], None, None]:
    """Run the tasks, and yield each one's place and outcome in the order of completion."""
    jobs = _workers(jobs, len(tasks))
    if jobs == 1:
        for task in tasks:
            yield task.place, run(function, task, timeout)
        return
    if on_dask():
        check_libraries()
    _renew_workers()
    yield from _in_workers(payload, tasks, jobs, timeout)


def _workers(jobs: int | None, cells: int) -> int:
    """Return the number of workers: what the caller says, else joblib's context, else the cores.

    To joblib, -1 means all that the backend has: the cores that this process may use, or a cluster.
    """
    backend, configured = get_active_backend()
    if jobs is None:
        jobs = configured
    if jobs is None:
        jobs = 1 if backend.nesting_level else -1
    if jobs != 1:
        with sure_of_dask():
            jobs = joblib.effective_n_jobs(jobs)
    # With one job joblib would start no worker, but a single cell may need one: it may die.
    return max(2, min(jobs, cells)) if jobs > 1 else 1


_files: dict[str, int] = {}


def _renew_workers() -> None:
    """End the idle workers of earlier sweeps where a module's file has changed since.

    They hold the old code, while this process may have loaded the new.
    """
    files = own_files()
    if any(_files.get(file, changed) != changed for file, changed in files.items()):
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
    _files.update(files)


def _in_workers(
    payload: bytes, tasks: Sequence[Task], jobs: int, timeout: float | None
) -> Iterator[tuple[int, Outcome]]:
    """Run tasks in workers; where a cell breaks the pool, find it and go on with the others."""
    waiting = deque(tasks)
    while waiting:
        sent: dict[int, Task] = {}
        try:
            for place, outcome in _parallel(payload, _send(waiting, sent), jobs, timeout):
                del sent[place]
                yield place, outcome
        except ClusterError:
            raise
        except Exception as error:  # not the cell's own, which comes back as an outcome
            if not sent:
                raise
            if len(sent) == 1:
                yield next(iter(sent)), lost(error)
                continue
            for task in sent.values():
                yield task.place, _alone(payload, task, timeout)


def _send(waiting: deque[Task], sent: dict[int, Task]) -> Iterator[Task]:
    while waiting:
        task = waiting.popleft()
        sent[task.place] = task
        yield task


def _alone(payload: bytes, task: Task, timeout: float | None) -> Outcome:
    try:
        (result,) = _parallel(payload, [task], 2, timeout)
    except ClusterError:
        raise
    except Exception as error:
        return lost(error)
    return result[1]


def _parallel(
    payload: bytes, tasks: Iterable[Task], jobs: int, timeout: float | None
) -> Iterator[tuple[int, Outcome]]:
    if timeout is not None and not on_dask():  # no cell's time is spent on the start of a worker
        joblib.Parallel(n_jobs=jobs)(joblib.delayed(be_ready)() for _ in range(jobs))
    parallel = joblib.Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        pre_dispatch="n_jobs",
        batch_size=1,
        timeout=None if timeout is None else timeout + _GRACE,
    )
    call = joblib.delayed(run_pickled)
    with sure_of_dask():
        results = parallel(call(payload, task, timeout) for task in tasks)
        with contextlib.closing(results):
            yield from results
