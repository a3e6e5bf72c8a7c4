"""Cells in worker processes: what they give, and how they may end."""

import importlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest
import torch
from l2s.sweep import run, sweep, worker

from tests.sweep import cases


def test_results_do_not_depend_on_the_workers():
    alone = sweep(cases.draw, {"scale": [1.0, 0.1]}, seeds=range(3), jobs=1)
    shared = sweep(cases.draw, {"scale": [1.0, 0.1]}, seeds=range(3), jobs=2)
    assert [cell.values for cell in shared.cells] == [cell.values for cell in alone.cells]
    assert repr(shared) == repr(alone)


def test_cells_stand_in_order_whichever_ends_first():
    result = sweep(cases.late, {"x": [0, 1, 2]}, seeds=(1, 0), jobs=2)
    assert [cell.values["place"] for cell in result.cells] == [1, 0, 11, 10, 21, 20]


def test_each_cell_has_one_thread():
    threads = torch.get_num_threads()
    results = [sweep(cases.describe, {"x": [0, 1]}, seeds=[0], jobs=jobs) for jobs in (1, 2)]
    for result in results:
        assert result.table("threads", rows="x").tolist() == [[1], [1]]
    np.testing.assert_array_equal(*[r.table("product", rows="x") for r in results])
    assert torch.get_num_threads() == threads
    assert set(results[0].table("process", rows="x").flat) == {os.getpid()}
    assert os.getpid() not in results[1].table("process", rows="x")


def test_threads_are_restored_by_the_last_cell_of_a_process():
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config(backend="threading", n_jobs=2):
            result = sweep(cases.describe, {"x": [0, 1]}, seeds=[0, 1])
        assert set(result.table("threads", rows="x").flat) == {1}
        assert set(result.table("process", rows="x").flat) == {os.getpid()}
        assert torch.get_num_threads() == 2
        sweep(cases.failing, {"x": [1]}, seeds=[0], jobs=1, on_error="keep")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("jobs", "configured", "cells", "expected"),
    [
        (None, {}, 100, joblib.cpu_count()),
        (None, {"n_jobs": 3}, 100, 3),
        (4, {"n_jobs": 3}, 100, 4),
        (4, {}, 3, 3),
        (4, {}, 1, 2),
        (1, {"n_jobs": 3}, 100, 1),
        (None, {"backend": "threading", "n_jobs": 5}, 100, 5),
    ],
)
def test_the_number_of_workers(jobs, configured, cells, expected):
    with joblib.parallel_config(**configured):
        assert run._workers(jobs, cells) == expected


def where(*, seed, x=0):
    """The worker's process; slow enough for both workers to get a cell."""
    time.sleep(0.2)
    if x == 1:
        raise RuntimeError
    return {"process": os.getpid()}


@pytest.mark.parametrize("x", [0, 1])
def test_the_workers_end_with_a_long_sweep(monkeypatch, x):
    monkeypatch.setattr(run, "_LONG", math.inf)
    workers = set(sweep(where, [{}], seeds=range(4), jobs=2).values("process"))
    assert all(psutil.pid_exists(worker) for worker in workers)
    monkeypatch.setattr(run, "_LONG", 0.0)
    sweep(where, {"x": [x]}, seeds=[0, 1], jobs=2, on_error="keep")
    cases.wait(lambda: not any(psutil.pid_exists(worker) for worker in workers), seconds=10)


def test_a_short_sweep_leaves_its_workers_to_the_next(monkeypatch):
    monkeypatch.setattr(run, "_LONG", math.inf)
    sweeps = [sweep(where, [{}], seeds=range(4), jobs=2) for _ in range(2)]
    first, second = (set(result.values("process")) for result in sweeps)
    assert len(first | second) <= 2


@pytest.mark.parametrize("long", [0.0, math.inf])
def test_the_caller_may_say_whether_workers_stay(monkeypatch, long):
    monkeypatch.setattr(run, "_LONG", long)
    first = sweep(where, [{}], seeds=range(4), jobs=2, keep_workers=True)
    workers = set(first.values("process"))
    assert all(psutil.pid_exists(worker) for worker in workers)
    sweep(where, [{}], seeds=range(4), jobs=2, keep_workers=False)
    cases.wait(lambda: not any(psutil.pid_exists(worker) for worker in workers), seconds=10)


def test_a_sweep_does_not_end_the_workers_of_another_that_still_runs(monkeypatch):
    monkeypatch.setattr(run, "_LONG", 0.0)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(sweep(where, [{}], seeds=range(20), jobs=2))
    )
    thread.start()
    cases.wait(lambda: run._users)
    sweep(cases.draw, {"scale": [1.0]}, seeds=[0, 1], jobs=2)
    assert thread.is_alive()
    thread.join()
    assert len(set(found[0].values("process"))) <= 2


def nested(*, seed):
    return {"cells": len(sweep(cases.draw, {"scale": [1, 2]}, seeds=[seed]).cells)}


def test_a_sweep_may_run_inside_a_cell():
    assert sweep(nested, [{}], seeds=[0, 1], jobs=2).values("cells").tolist() == [2, 2]


def test_a_local_function_goes_to_workers_with_its_closure():
    weights = torch.arange(3.0)
    result = sweep(lambda *, seed: {"sum": weights + seed}, [{}], seeds=[0, 1], jobs=2)
    assert result.values("sum").tolist() == [[0, 1, 2], [1, 2, 3]]


def test_a_failing_cell_does_not_lose_the_others():
    result = sweep(cases.failing, {"x": [0, 1, 2]}, seeds=[0, 1], jobs=2, on_error="keep")
    assert [str(failure) for failure in result.failures] == [
        "x=1, seed=0: RuntimeError: no result for 1",
        "x=1, seed=1: RuntimeError: no result for 1",
    ]
    assert "cases.py" in result.failures[0].traceback
    assert len(result.cells) == 4


class OddError(Exception):
    """An exception that pickle cannot bring back, and that has no text."""

    def __init__(self, a, b):
        super().__init__(threading.Lock())


def odd(*, seed):
    raise OddError(1, 2)


def leaving(*, seed):
    sys.exit("enough")


@pytest.mark.parametrize(
    ("function", "error"), [(odd, "OddError"), (leaving, "SystemExit: enough")]
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_whatever_a_cell_raises_is_its_failure(function, error, jobs):
    result = sweep(function, [{}], seeds=[0], jobs=jobs, on_error="keep")
    assert error in result.failures[0].error


@pytest.mark.measures
@pytest.mark.parametrize("function", [cases.endless, cases.asleep])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cell_that_takes_too_long_is_stopped(function, jobs):
    start = time.monotonic()
    result = sweep(function, {"x": [0, 1, 2]}, seeds=[0], jobs=jobs, timeout=0.5, on_error="keep")
    (failure,) = result.failures
    assert failure.settings == {"x": 1}
    assert failure.error == "TimeoutError: the cell ran for longer than `timeout`, 0.5 s"
    assert "cases.py" in failure.traceback  # shows where it hung
    assert len(result.cells) == 2
    assert time.monotonic() - start < 60


@pytest.mark.measures
def test_the_time_limit_leaves_another_alarm_alone():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
    left, _ = signal.setitimer(signal.ITIMER_REAL, 1.0)
    start = time.monotonic()
    try:
        sweep(cases.asleep, {"x": [0, 1]}, seeds=[0], jobs=1, timeout=0.1, on_error="keep")
        cases.wait(lambda: rung)
        assert rung[0] - start > 0.9
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)


def test_the_time_limit_holds_in_a_thread():
    found = []
    task = run.Task(0, {"x": 1}, 0)
    thread = threading.Thread(target=lambda: found.append(worker.run(cases.endless, task, 0.3)))
    thread.start()
    thread.join(20)
    assert "TimeoutError" in found[0].error


lock = threading.Lock()


def with_lock():
    own = threading.Lock()
    return lambda *, seed: {"a": own.locked()}


def with_file():
    file = open(__file__)  # noqa: SIM115
    return lambda *, seed: {"a": file.name}


def with_generator():
    numbers = (number for number in range(3))
    return lambda *, seed: {"a": next(numbers)}


def with_default():
    return lambda *, seed, key=threading.Lock(): {"a": key.locked()}  # noqa: B008


@pytest.mark.measures
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (with_lock, "closure value `own` is a lock"),
        (with_file, "closure value `file` is a TextIOWrapper"),
        (with_generator, "closure value `numbers` is a generator"),
        (with_default, "default of the argument `key` is a lock"),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_cannot_be_sent_is_named_at_once(make, name, jobs):
    start = time.monotonic()
    with pytest.raises(TypeError, match=f"`function` cannot be sent to a worker: .*{name}"):
        sweep(make(), [{}], seeds=[0, 1], jobs=jobs)
    assert time.monotonic() - start < 5


class Unreadable:
    """Can be sent, but not read on the other side."""

    def __reduce__(self):
        return (int, ("no number",))


def test_what_cannot_be_read_by_a_worker_is_a_failure():
    value = Unreadable()
    result = sweep(lambda *, seed: {"a": str(value)}, [{}], seeds=[0, 1], jobs=2, on_error="keep")
    assert [failure.error for failure in result.failures] == [
        "ValueError: invalid literal for int() with base 10: 'no number'"
    ] * 2


def test_a_worker_that_dies_is_reported_with_its_cell(tmp_path):
    options = {"jobs": 2, "on_error": "keep", "store": tmp_path / "store.db"}
    result = sweep(cases.deadly, {"x": [0, 1, 2, 3]}, seeds=[0, 1], **options)
    (failure,) = result.failures
    assert (failure.settings, failure.seed) == ({"x": 1}, 0)
    assert "its worker died" in failure.error
    assert len(result.cells) == 7
    again = sweep(cases.deadly, {"x": [0, 2, 3]}, seeds=[0, 1], **options)
    assert again.answered == 6


def deaf(*, seed, x):
    if x == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(600)
    return {"x": x}


def test_a_cell_that_cannot_be_interrupted_is_stopped_with_its_worker(monkeypatch):
    monkeypatch.setattr(run, "_GRACE", 1.0)
    result = sweep(deaf, {"x": [0, 1, 2]}, seeds=[0], jobs=2, timeout=0.5, on_error="keep")
    (failure,) = result.failures
    assert failure.settings == {"x": 1}
    assert "could not be interrupted" in failure.error
    assert len(result.cells) == 2


def test_workers_take_up_a_module_that_was_loaded_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "study_of_today.py"
    found = []
    for number in (1, 2):
        file.write_text(f"def answer(*, seed):\n    return {{'a': {number}}}\n")
        os.utime(file, (number, number))
        study = importlib.import_module("study_of_today")
        importlib.reload(study)
        found.append(sweep(study.answer, [{}], seeds=[0, 1], jobs=2).values("a").tolist())
    assert found == [[1, 1], [2, 2]]


KILLED = """
from pathlib import Path
from l2s.sweep import sweep
from tests.sweep import cases

folder = {folder!r}
sweep(cases.logged, [{{"folder": folder, "slow": 0.2}}], seeds=range(100), jobs=2,
      store=Path(folder) / "store.db")
"""


def test_a_killed_sweep_loses_no_finished_cell(tmp_path):
    script = KILLED.format(folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        cases.wait_for_runs(tmp_path, 6)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    done = cases.runs(tmp_path)
    setting = {"folder": str(tmp_path), "slow": 0.2}
    again = sweep(cases.logged, [setting], seeds=sorted(done), jobs=1, store=tmp_path / "store.db")
    assert again.values("double").tolist() == [2 * seed for seed in sorted(done)]
    assert again.answered >= len(done) - 2  # what its two workers had in hand
    assert len(cases.runs(tmp_path)) == 2 * len(done) - again.answered


def test_an_interrupted_sweep_goes_on(tmp_path):
    def stop(*, seed):
        if seed == 2 and not Path(tmp_path, "stopped").exists():
            Path(tmp_path, "stopped").touch()
            raise KeyboardInterrupt
        return {"seed": seed}

    options = {"seeds": range(4), "jobs": 1, "store": tmp_path / "store.db"}
    with pytest.raises(KeyboardInterrupt):
        sweep(stop, [{}], **options)
    assert sweep(stop, [{}], **options).answered == 2
