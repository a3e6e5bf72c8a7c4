"""Run the cells of a sweep through joblib, and hand over each outcome as it comes."""

import contextlib
import ctypes
import gc
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.parallel import get_active_backend

from l2s.sweep.dask import ClusterError, on_dask, prepare_workers, sure_of_dask
from l2s.sweep.grid import Task
from l2s.sweep.origin import own_files
from l2s.sweep.worker import Outcome, be_ready, is_timeout, lost, run, run_pickled

# Seconds beyond a cell's time limit, after which its worker is ended: no signal reached the cell.
_GRACE = 10.0

# Seconds of a sweep beside which the start of new workers, up to 7 s with all of torch, counts for
# little.
_LONG = 60.0

_workers_know: dict[str, object] = {}  # what this process was like when it last used workers
_users_lock = threading.Lock()
_users = 0  # sweeps that use joblib's worker processes now


def run_all(
    function: Callable[..., Any],
    payload: bytes,
    tasks: Sequence[Task],
    jobs: int | None,
    timeout: float | None,
    keep_workers: bool | None,
) -> Generator[tuple[int, Outcome], None, None]:
    """Run the tasks, and yield each one's place and outcome in the order of completion."""
    if not tasks:
        return
    jobs = _workers(jobs, len(tasks))
    if jobs == 1:
        for task in tasks:
            yield task.place, run(function, task, timeout)
        return
    if on_dask():
        prepare_workers()
        yield from _in_workers(payload, tasks, jobs, timeout)
        return
    _hand_back_memory()
    with _lent_workers(keep_workers):
        _renew_workers()
        yield from _in_workers(payload, tasks, jobs, timeout)


def _hand_back_memory() -> None:
    """Give the system what this process has freed, so that the workers have it; on Linux alone."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


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


@contextlib.contextmanager
def _lent_workers(keep: bool | None) -> Iterator[None]:
    """End the worker processes after the sweep where the caller, or its length, says so.

    Each holds what its cells have loaded, and joblib would keep it for 5 minutes.
    """
    global _users
    with _users_lock:
        _users += 1
    start = time.monotonic()
    try:
        yield
    finally:
        with _users_lock:
            _users -= 1
            long = time.monotonic() - start > _LONG
            if _users == 0 and (long if keep is None else not keep):
                _end_workers()


def _end_workers() -> None:
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _renew_workers() -> None:
    """End the idle workers of earlier sweeps where they know another world than this process.

    They hold the old code of a module that has changed since, and look in the old places.
    """
    world = {**own_files(), "path": tuple(sys.path), "folder": os.getcwd()}
    if any(_workers_know.get(name, state) != state for name, state in world.items()):
        _end_workers()
    _workers_know.update(world)


def _in_workers(
    payload: bytes, tasks: Sequence[Task], jobs: int, timeout: float | None
) -> Iterator[tuple[int, Outcome]]:
    """Run tasks in workers; where a cell breaks the pool, find it and go on with the others."""
    waiting = deque(tasks)
    while waiting:
        sent: dict[int, Task] = {}
        suspects: list[Task] = []
        try:
            for place, outcome in _parallel(payload, _send(waiting, sent), jobs, timeout):
                task = sent.pop(place)
                if outcome.lost:
                    suspects.append(task)
                else:
                    yield place, outcome
        except ClusterError:
            raise
        except Exception as error:  # not the cell's own, which comes back as an outcome
            if not sent:
                raise
            if is_timeout(error) and on_dask():  # nothing ends a worker there
                raise ClusterError(_stuck_message(sent)) from error
            if len(sent) == 1 and not suspects:
                yield next(iter(sent)), lost(error)
                continue
            suspects.extend(sent.values())
        for task in suspects:
            yield task.place, _alone(payload, task, timeout)


def _send(waiting: deque[Task], sent: dict[int, Task]) -> Iterator[Task]:
    while waiting:
        task = waiting.popleft()
        sent[task.place] = task
        yield task


def _alone(payload: bytes, task: Task, timeout: float | None) -> Outcome:
    """Run one cell with no other beside it, so that it bears the blame alone."""
    try:
        (result,) = _parallel(payload, [task], 2, timeout)
    except ClusterError:
        raise
    except Exception as error:
        return lost(error)
    return result[1]


def _stuck_message(sent: Mapping[int, Task]) -> str:
    cells = "; ".join(f"{task.settings}, seed={task.seed}" for task in sent.values())
    return (
        f"Among the cells {cells} one or more ran for longer than `timeout` and could not be "
        "interrupted, so that their Dask workers are stuck. Restart those workers, mend or leave "
        "out the cells, and run again."
    )


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
