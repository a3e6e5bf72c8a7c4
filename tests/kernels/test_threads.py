"""Work in parts from compiled code: every row once, side by side, in PyTorch's own threads."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from l2s.kernels import threads

pytest.importorskip("numba")

from l2s.kernels.native import element
from l2s.kernels.native_team import in_team, parts_of

PATIENCE = 10**8  # rounds that a part waits for the others


@element
def note(table, part, first, last):
    table[part, 0], table[part, 1] = first, last


@element
def note_all(table, rows, parts):
    in_team(note, (table,), rows, parts)


@element
def wait(ticks, part, first, last):
    ticks[part] += 1
    while ticks.min() == 0 and ticks[part] < PATIENCE:
        ticks[part] += 1


@element
def wait_all(ticks):
    in_team(wait, (ticks,), ticks.size, ticks.size)


@element
def ask(numbers, part, first, last):
    if part == numbers[0]:
        numbers[1] = np.empty(1 << 60).size


@element
def ask_all(numbers, parts):
    in_team(ask, (numbers,), 8, parts)


@pytest.mark.parametrize(
    ("rows", "parts", "expected"),
    [
        (8, 3, [(0, 2), (2, 5), (5, 8)]),
        (8, 1, [(0, 8)]),
        (2, 2, [(0, 1), (1, 2)]),
        (0, 1, [(0, 0)]),
    ],
)
def test_parts_share_the_rows(rows, parts, expected):
    table = np.full((parts, 2), -1)
    note_all(table, rows, parts)
    assert list(map(tuple, table.tolist())) == expected


def test_small_work_is_not_cut():
    assert parts_of(8, 10**6, 3) == 3
    assert parts_of(8, 2 * 65_536, 3) == 2
    assert parts_of(8, 100, 3) == 1
    assert parts_of(1, 10**6, 3) == 1
    assert parts_of(0, 0, 3) == 1


def test_parts_run_side_by_side():
    ticks = np.zeros(3, np.int64)
    wait_all(ticks)
    assert 0 < ticks.min() <= ticks.max() < PATIENCE


@pytest.mark.parametrize("parts", [1, 3])
def test_a_part_that_fails_is_heard_of(parts):
    with pytest.raises(MemoryError):
        ask_all(np.array([parts - 1, 0]), parts)


def test_they_are_the_threads_that_pytorch_keeps():
    """After an operation of PyTorch, work in parts starts no further thread."""
    if isinstance(threads.entry_points()[threads.PARALLEL], threads._Parallel):
        pytest.skip("this PyTorch brings no OpenMP library along")
    if torch.get_num_threads() < 2:
        pytest.skip("PyTorch has one thread here")
    x = torch.ones(2**22)
    before = _after(lambda: x.sum())
    assert _after(lambda: wait_all(np.zeros(2, np.int64))) == before


def test_without_a_library_each_part_has_a_thread_of_its_own():
    code = """
        import numpy as np, torch
        from numba import njit
        from l2s.kernels import threads
        torch.__file__ = "/nowhere/torch/__init__.py"
        from l2s.kernels.native_team import in_team

        @njit(nogil=True)
        def wait(ticks, part, first, last):
            ticks[part] += 1 + first
            while ticks.min() == 0 and ticks[part] < 10**8:
                ticks[part] += 1

        @njit(nogil=True)
        def wait_all(ticks):
            in_team(wait, (ticks,), ticks.size, ticks.size)

        assert isinstance(threads.entry_points()[threads.PARALLEL], threads._Parallel)
        ticks = np.zeros(3, np.int64)
        wait_all(ticks)
        assert 0 < ticks.min() <= ticks.max() < 10**8, ticks
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _after(run):
    run()
    with open("/proc/self/status") as file:
        return next(line for line in file if line.startswith("Threads"))
