"""Work in parts: every part once, errors, and the threads of PyTorch's own pool."""

import threading
import time

import pytest
import torch
from l2s.kernels import threads
from l2s.kernels.threads import in_threads


@pytest.fixture(params=["the pool of PyTorch", "threads of our own"])
def three_threads(request, monkeypatch):
    """Three threads in either way, whatever the machine has."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    if request.param == "threads of our own":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("this PyTorch brings no OpenMP library of GNU along")


@pytest.mark.usefixtures("three_threads")
def test_parts_share_the_rows():
    parts = []
    in_threads(lambda first, last: parts.append((first, last)), 8, 10**6)
    assert sorted(parts) == [(0, 2), (2, 5), (5, 8)]


@pytest.mark.usefixtures("three_threads")
def test_small_work_is_not_shared():
    parts = []
    in_threads(lambda first, last: parts.append((first, last)), 8, 100)
    in_threads(lambda first, last: parts.append((first, last)), 1, 10**6)
    assert parts == [(0, 8), (0, 1)]


@pytest.mark.usefixtures("three_threads")
def test_parts_run_side_by_side():
    met = threading.Barrier(3, timeout=20)
    names = set()

    def wait(first, last):
        met.wait()
        names.add(threading.get_ident())

    in_threads(wait, 3, 10**6)
    assert len(names) == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("part", [0, 2, 5])
def test_an_error_is_passed_on(part):
    def fail(first, last):
        if first == part:
            raise ValueError(f"rows {first} to {last}")

    with pytest.raises(ValueError, match=f"rows {part} to"):
        in_threads(fail, 8, 10**6)


def test_they_are_the_threads_that_pytorch_keeps(monkeypatch):
    """After an operation of PyTorch, work in parts starts no further thread."""
    if threads._openmp() is None:
        pytest.skip("this PyTorch brings no OpenMP library of GNU along")
    if torch.get_num_threads() < 2:
        pytest.skip("PyTorch has one thread here")
    x = torch.ones(2**22)
    before = _after(lambda: x.sum())
    assert _after(lambda: in_threads(lambda *_: time.sleep(0.01), 2, 10**6)) == before


def _after(run):
    run()
    with open("/proc/self/status") as file:
        return next(line for line in file if line.startswith("Threads"))
