"""One cell, run in a worker or in this process: what comes back is always plain text."""

import contextlib
import multiprocessing
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cloudpickle
import torch
from threadpoolctl import threadpool_limits

from l2s.sweep.codec import encode
from l2s.sweep.deadline import deadline
from l2s.sweep.grid import Task


class Outcome(NamedTuple):
    """What became of a cell: its encoded metrics, or an error with its traceback.

    ``lost`` says that the error came from the worker: it died, and perhaps of another cell.
    """

    encoded: str | None
    error: str = ""
    traceback: str = ""
    lost: bool = False


def be_ready() -> None:
    """Do nothing, in a worker that has imported this module by then."""


def run_pickled(payload: bytes, task: Task, timeout: float | None) -> tuple[int, Outcome]:
    """Unpickle the function and run one cell of it.

    The function travels as bytes and is read here, so that one that cannot be read on this side is
    an ordinary outcome; a backend that reads it by itself may hang instead.
    """
    try:
        function = cloudpickle.loads(payload)
    except Exception as error:
        return task.place, failed(error)
    return task.place, run(function, task, timeout)


def run(function: Callable[..., Any], task: Task, timeout: float | None) -> Outcome:
    """Run one cell on one thread, and turn whatever it raises into an outcome."""
    try:
        with _one_thread(), deadline(timeout):
            values = function(seed=task.seed, **task.settings)
        return Outcome(encode(values))
    except (Exception, SystemExit) as error:
        return failed(error)


def failed(error: BaseException) -> Outcome:
    """Describe an error: its last line, and the traceback below this module's own frame."""
    own = error.__traceback__
    below = own.tb_next if own is not None and own.tb_next is not None else own
    lines = traceback.format_exception(type(error), error, below)
    summary = "".join(traceback.format_exception_only(error)).strip()
    return Outcome(None, summary, "".join(lines))


def is_timeout(error: BaseException) -> bool:
    """Return whether joblib's time limit has passed."""
    return isinstance(error, TimeoutError | multiprocessing.TimeoutError)


def lost(error: BaseException) -> Outcome:
    """Describe an error that is not the cell's own: its worker was lost on it."""
    if is_timeout(error):
        text = "the cell ran for longer than `timeout` and could not be interrupted"
    else:
        text = "its worker died, or could not be reached"
    cause = f"{type(error).__name__}: {error}".removesuffix(": ")
    first, _, _ = cause.partition("\n")
    return Outcome(None, f"{text} ({first})", f"{text}\n{cause}\n", lost=True)


_threads_lock = threading.Lock()
_threads_users = 0
_threads_before = 1


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch and the BLAS libraries use one thread, so that no result depends on the cores.

    Where several cells share a process, the last one to leave restores the number.
    """
    global _threads_users, _threads_before
    with _threads_lock:
        if _threads_users == 0:
            _threads_before = torch.get_num_threads()
        _threads_users += 1
        torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        with _threads_lock:
            _threads_users -= 1
            if _threads_users == 0:
                torch.set_num_threads(_threads_before)
