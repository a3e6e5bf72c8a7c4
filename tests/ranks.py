"""The frame of a test with two processes that talk through torch.distributed.

A module of ranks names a function ``job(rank)`` that returns what to compare, and hands it to
``results``; it is imported by name in both processes.
"""

import contextlib
import datetime
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

RANKS = 2


def results(job, folder, *, seconds=90):
    """Run a job on all ranks at once, and return what each returned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        patch.setenv("OMP_NUM_THREADS", "1")
        group = multiprocessing.spawn(
            _run, args=(job, str(folder)), nprocs=RANKS, join=False, daemon=True
        )
        _wait(group, seconds)
    return [torch.load(_file(folder, rank)) for rank in range(RANKS)]


def error_of(call):
    """The text of the ValueError that a call raises, or nothing."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


def _run(rank, job, folder):
    with _group(rank, folder):
        torch.save(job(rank), _file(folder, rank))


@contextlib.contextmanager
def _group(rank, folder):
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=RANKS,
        timeout=datetime.timedelta(seconds=60),
    )
    torch.set_num_threads(1)
    yield
    dist.destroy_process_group()


def _wait(group, seconds):
    """Wait for all ranks; a rank's error is raised here, and no rank outlives its time."""
    deadline = time.monotonic() + seconds
    while not group.join(timeout=5):
        if time.monotonic() > deadline:
            for process in group.processes:
                process.kill()
            pytest.fail(f"the ranks did not end within {seconds} s")


def _file(folder, rank):
    return Path(folder) / f"rank{rank}.pt"
