"""What joblib leaves undone on Dask: tasks that Dask gives up, and clusters that go away."""

import contextlib
import importlib.metadata
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from joblib.parallel import get_active_backend

from l2s.sweep.origin import LIBRARIES
from l2s.sweep.worker import be_ready, lost

_PATIENCE = 30.0  # seconds that a cluster may be without workers: lost ones are soon replaced
_LOOK = 0.5  # seconds between two looks


class ClusterError(RuntimeError):
    """The Dask cluster has no workers, or some that are stuck or that lack a library."""


def on_dask() -> bool:
    """Return whether ``joblib.parallel_config`` names Dask here."""
    return type(get_active_backend()[0]).__name__ == "DaskDistributedBackend"


def prepare_workers() -> None:
    """Load this library in every worker, so that no cell's time is spent on it.

    Raises ``ClusterError`` where a worker has not the libraries of this process: it would compute
    something else, or break off without a word.
    """
    client = get_active_backend()[0].client
    for name in LIBRARIES:
        here = importlib.metadata.version(name)
        there = client.run(importlib.metadata.version, name, on_error="return")
        for worker, found in there.items():
            if found != here:
                has = f"{name} {found}" if isinstance(found, str) else f"no {name}"
                raise ClusterError(
                    f"The Dask worker {worker} has {has}, but this process has {name} {here}. "
                    "Give every worker the same environment, and start them again."
                )
    client.run(be_ready)


@contextlib.contextmanager
def sure_of_dask() -> Iterator[None]:
    """Inside the block, no cell on Dask is waited for in vain or run in this process.

    Where Dask gives a task up (its workers died, or they lack this library), joblib's backend marks
    the future as failed but leaves out the callback that ``joblib.Parallel`` waits for; the same
    where no worker is left. And where the cluster counts one thread, ``Parallel`` runs the cells in
    this process, for others to die with. Under any other backend this does nothing.
    """
    if not on_dask():
        yield
        return
    backend, _ = get_active_backend()
    waiting: dict[Future[Any], Callable[[Any], None]] = {}
    submit = "submit" if hasattr(backend, "submit") else "apply_async"  # before joblib 1.5
    reporting = _reporting(getattr(backend, submit), waiting)
    with (
        _replaced(backend, submit, reporting),
        _replaced(backend, "effective_n_jobs", _at_least_two(backend.effective_n_jobs)),
        _watching(backend.client, waiting),
    ):
        yield


def _reporting(
    submit: Callable[..., Any], waiting: dict[Future[Any], Callable[[Any], None]]
) -> Callable[..., Any]:
    def submit_and_report(batch: Any, callback: Callable[[Any], None]) -> Any:
        def report(done: Future[Any]) -> None:
            del waiting[done]
            error = done.exception()
            if error is not None:
                ((_, (_, task, _), _),) = batch.items  # one call of run_pickled
                callback([(task.place, lost(error))])

        future = submit(batch, callback)
        waiting[future] = callback
        future.add_done_callback(report)
        return future

    return submit_and_report


def _at_least_two(effective_n_jobs: Callable[[int], int]) -> Callable[[int], int]:
    def at_least_two(n_jobs: int) -> int:
        try:
            return max(2, effective_n_jobs(n_jobs))
        except Exception as error:  # no worker came, or the client is closed
            raise ClusterError(f"The Dask cluster cannot be reached: {error}") from error

    return at_least_two


@contextlib.contextmanager
def _watching(client: Any, waiting: dict[Future[Any], Callable[[Any], None]]) -> Iterator[None]:
    """Break the run off where the cluster stays without workers."""
    stop = threading.Event()

    def watch() -> None:
        seen = time.monotonic()
        while not stop.wait(_LOOK):
            if _has_workers(client):
                seen = time.monotonic()
            elif time.monotonic() - seen > _PATIENCE and waiting:
                callback = next(iter(waiting.values()))
                callback(ClusterError(_lost_message()))
                return

    thread = threading.Thread(target=watch, name="l2s-sweep-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _has_workers(client: Any) -> bool:
    try:
        return bool(client.ncores())
    except Exception:  # the scheduler cannot be reached, in one of many ways
        return False


def _lost_message() -> str:
    return (
        f"The Dask cluster has had no worker for {_PATIENCE:g} s. Start workers and run again: "
        "cells that finished are answered from the store, if there is one."
    )


@contextlib.contextmanager
def _replaced(backend: Any, name: str, method: Any) -> Iterator[None]:
    setattr(backend, name, method)
    try:
        yield
    finally:
        delattr(backend, name)  # the class's own method shows again
