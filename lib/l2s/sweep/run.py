"""Run the cells of a sweep through joblib, and hand over each outcome as it comes."""

import contextlib
import functools
import inspect
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import cloudpickle
import joblib
from joblib.parallel import get_active_backend

from l2s.sweep.grid import Task
from l2s.sweep.worker import Outcome, run, run_pickled

# Beyond a cell's own time limit, for code that no signal reaches: time for workers to start.
_GRACE = 30.0


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
    else:
        yield from _in_workers(payload, tasks, jobs, timeout)


def pickle(function: Callable[..., Any]) -> bytes:
    """Pickle the function as joblib does, or raise a ``TypeError`` that names the obstacle."""
    try:
        return cloudpickle.dumps(function)
    except Exception as error:
        raise TypeError(
            f"`function` cannot be sent to a worker: {error}{_obstacles(function)}. Make such "
            "objects inside the function."
        ) from error


def _workers(jobs: int | None, cells: int) -> int:
    """Return the number of workers: what the caller says, else joblib's context, else the cores.

    A negative number is joblib's own way to say "all that the backend has".
    """
    backend, configured = get_active_backend()
    if jobs is None:
        jobs = configured
    if jobs is None:
        jobs = joblib.cpu_count() if not backend.nesting_level else 1
    # one cell still gets a worker: it may end its process
    return max(2, min(jobs, cells)) if jobs > 1 else jobs


def _in_workers(
    payload: bytes, tasks: Sequence[Task], jobs: int, timeout: float | None
) -> Iterator[tuple[int, Outcome]]:
    """Run tasks in workers; where one breaks the pool, find it and go on with the others."""
    waiting = deque(tasks)
    while waiting:
        sent: dict[int, Task] = {}
        try:
            for place, outcome in _parallel(payload, _send(waiting, sent), jobs, timeout):
                del sent[place]
                yield place, outcome
        except Exception as error:  # not the cell's own, which comes back as an outcome
            if not sent:
                raise
            suspects = list(sent.values())
            if len(suspects) == 1:
                yield suspects[0].place, _lost(error)
            else:
                for task in suspects:
                    yield task.place, _alone(payload, task, timeout)


def _send(waiting: deque[Task], sent: dict[int, Task]) -> Iterator[Task]:
    while waiting:
        task = waiting.popleft()
        sent[task.place] = task
        yield task


def _alone(payload: bytes, task: Task, timeout: float | None) -> Outcome:
    try:
        (result,) = _parallel(payload, [task], 2, timeout)
    except Exception as error:
        return _lost(error)
    return result[1]


def _lost(error: Exception) -> Outcome:
    if isinstance(error, TimeoutError):
        text = "the cell ran for longer than `timeout` and could not be interrupted"
    else:
        name = type(error).__name__
        text = f"its worker ended or could not run it ({name}: {str(error).strip()})"
    return Outcome(None, text, f"{text}\n")


def _parallel(
    payload: bytes, tasks: Iterable[Task], jobs: int, timeout: float | None
) -> Iterator[tuple[int, Outcome]]:
    limit = None if timeout is None else timeout + _GRACE
    parallel = joblib.Parallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        pre_dispatch="n_jobs",
        batch_size=1,
        timeout=limit,
    )
    call = joblib.delayed(run_pickled)
    with _errors_reported():
        results = parallel(call(payload, task, timeout) for task in tasks)
        with contextlib.closing(results):
            yield from results


@contextlib.contextmanager
def _errors_reported() -> Iterator[None]:
    """Make joblib's Dask backend report a task that Dask gave up, for which it waits forever.

    Dask marks the future as failed (its workers died, or they lack this library), but the backend
    then leaves out the callback that joblib waits for.
    """
    backend, _ = get_active_backend()
    if type(backend).__name__ != "DaskDistributedBackend":
        yield
        return
    name = "submit" if hasattr(backend, "submit") else "apply_async"  # before joblib 1.5
    submit = getattr(backend, name)

    def submit_and_report(function: Any, callback: Any = None) -> Any:
        future = submit(function, callback)

        def report(done: Any) -> None:
            error = done.exception()
            if error is not None:
                callback(error)

        future.add_done_callback(report)
        return future

    setattr(backend, name, submit_and_report)
    try:
        yield
    finally:
        setattr(backend, name, submit)


def _obstacles(function: Callable[..., Any]) -> str:
    """Name the values that a function brings along and that cannot be pickled."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(function):
        return ""
    used = inspect.getclosurevars(function)
    found = {
        "closure value": used.nonlocals,
        "global": used.globals,
        "default of the argument": _defaults(function),
    }
    names = [
        f"the {kind} `{name}` is a {type(value).__name__}"
        for kind, values in found.items()
        for name, value in values.items()
        if not _can_pickle(value)
    ]
    return f" ({', '.join(names)})" if names else ""


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _can_pickle(value: object) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True
