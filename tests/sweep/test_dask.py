"""The same sweep on a Dask cluster: two worker processes on this machine's loopback."""

import contextlib
import functools
import importlib.metadata
import os
import signal
import subprocess
import sys
import threading
import time

import dask
import joblib
import pytest
from distributed import Client, LocalCluster, get_client
from l2s.sweep import ClusterError, sweep
from l2s.sweep import dask as on_dask

from tests.sweep import cases


@contextlib.contextmanager
def local_cluster(workers):
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster),
    ):
        yield cluster


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def in_dask(cluster):
    with joblib.parallel_config(backend="dask"):
        yield cluster


def test_results_are_those_of_this_process(in_dask):
    grid = {"scale": [1.0, 0.1, 3.0]}
    on_cluster = sweep(cases.draw, grid, seeds=range(4))
    here = sweep(cases.draw, grid, seeds=range(4), jobs=1)
    assert [cell.values for cell in on_cluster.cells] == [cell.values for cell in here.cells]


def test_cells_run_in_the_clusters_workers_on_one_thread(in_dask):
    result = sweep(cases.describe, {"x": [0]}, seeds=range(8))
    pids = {worker.pid for worker in in_dask.workers.values()}
    assert set(result.values("process")) <= pids
    assert os.getpid() not in result.values("process")
    assert set(result.values("threads")) == {1}


def test_a_local_function_with_its_closure(in_dask):
    numbers = list(range(1000))
    result = sweep(lambda *, seed: {"sum": sum(numbers) + seed}, [{}], seeds=[0, 1])
    assert result.values("sum").tolist() == [499500, 499501]


def test_failures_and_the_store(in_dask, tmp_path):
    options = {"seeds": [0, 1], "store": tmp_path / "store.db", "on_error": "keep"}
    result = sweep(cases.failing, {"x": [0, 1, 2]}, **options)
    assert len(result.failures) == 2
    assert result.failures[0].error == "RuntimeError: no result for 1"
    assert sweep(cases.failing, {"x": [0, 1, 2]}, **options).answered == 4


@pytest.mark.measures
def test_what_cannot_be_sent_is_an_error_at_once(in_dask):
    lock = threading.Lock()
    start = time.monotonic()
    with pytest.raises(TypeError, match="closure value `lock` is a lock"):
        sweep(lambda *, seed: {"a": lock.locked()}, [{}], seeds=[0, 1])
    assert time.monotonic() - start < 5


class Unreadable:
    def __reduce__(self):
        return (int, ("no number",))


def test_what_a_worker_cannot_read_is_a_failure(in_dask):
    value = Unreadable()
    result = sweep(lambda *, seed: {"a": str(value)}, [{}], seeds=[0], on_error="keep")
    assert result.failures[0].error.startswith("ValueError: invalid literal")


def test_a_cell_that_takes_too_long_is_stopped(in_dask):
    result = sweep(cases.endless, {"x": [0, 1, 2]}, seeds=[0], timeout=0.5, on_error="keep")
    (failure,) = result.failures
    assert failure.error == "TimeoutError: the cell ran for longer than `timeout`, 0.5 s"
    assert len(result.cells) == 2


def naps(*, seed, x):
    if x == 1:
        time.sleep(3)  # in a thread nothing interrupts it
    return {"x": x}


def test_a_cell_that_cannot_be_interrupted_ends_the_run(in_dask, monkeypatch, tmp_path):
    monkeypatch.setattr("l2s.sweep.run._GRACE", 0.5)
    options = {"seeds": [0], "store": tmp_path / "store.db"}
    with pytest.raises(ClusterError, match=r"the cells .*{'x': 1}, seed=0.* could not be interr"):
        sweep(naps, {"x": [0, 1, 2]}, timeout=0.5, **options)
    assert len(sweep(naps, {"x": [0, 2]}, **options).cells) == 2


KILLED = """
import joblib
from distributed import Client
from pathlib import Path
from l2s.sweep import ClusterError, sweep
from tests.sweep import cases

folder = {folder!r}
with Client({address!r}), joblib.parallel_config(backend="dask"):
    sweep(cases.logged, [{{"folder": folder, "slow": 0.1}}], seeds=range(1000),
          store=Path(folder) / "store.db")
"""


def test_a_killed_sweep_loses_no_finished_cell(in_dask, tmp_path):
    script = KILLED.format(folder=str(tmp_path), address=in_dask.scheduler_address)
    child = subprocess.Popen([sys.executable, "-c", script])
    cases.wait_for_runs(tmp_path, 8)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = cases.runs(tmp_path)
    setting = {"folder": str(tmp_path), "slow": 0.1}
    store = tmp_path / "store.db"
    again = sweep(cases.logged, [setting], seeds=sorted(set(done)), store=store)
    assert again.values("double").tolist() == [2 * seed for seed in sorted(set(done))]
    assert again.answered >= len(done) - 4  # what the two workers had in hand or on its way


def change_versions(**versions):
    """Make a worker that has other libraries."""
    true = importlib.metadata.version

    def version(name):
        if name in versions and versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or true(name)

    importlib.metadata.version = version


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"learning-to-select": None}, "has no learning-to-select, but this process has"),
        ({"torch": "1.0"}, "has torch 1.0, but this process has torch 2"),
    ],
)
def test_a_worker_with_other_libraries_is_refused(in_dask, versions, words):
    client = get_client()
    one, *_ = in_dask.scheduler.workers
    client.run(change_versions, workers=[one], **versions)
    with pytest.raises(ClusterError, match=f"The Dask worker {one} {words}"):
        sweep(cases.draw, {"scale": [1]}, seeds=[0])
    client.run(importlib.reload, importlib.metadata, workers=[one])


def test_what_may_become_of_a_small_cluster(monkeypatch, tmp_path):
    logged = functools.partial(cases.logged, folder=str(tmp_path), slow=0.1)
    store = tmp_path / "store.db"
    once = {"distributed.scheduler.allowed-failures": 0}  # one death, and Dask gives the task up
    with dask.config.set(once), local_cluster(1) as cluster, joblib.parallel_config(backend="dask"):
        result = sweep(cases.describe, {"x": [0]}, seeds=range(2))
        assert os.getpid() not in result.values("process")  # although there is but one thread

        monkeypatch.setattr(on_dask, "_PATIENCE", 60.0)
        result = sweep(cases.deadly, {"x": [0, 1, 2]}, seeds=[0, 1], on_error="keep")
        (failure,) = result.failures
        assert (failure.settings, failure.seed) == ({"x": 1}, 0)
        assert "its worker died, or could not be reached (KilledWorker: " in failure.error
        assert len(result.cells) == 5

        def take_away():
            cases.wait_for_runs(tmp_path, 5)
            cluster.scale(0)

        monkeypatch.setattr(on_dask, "_PATIENCE", 1.0)
        threading.Thread(target=take_away).start()
        with pytest.raises(ClusterError, match="no worker for 1 s"):
            sweep(logged, [{}], seeds=range(1000), store=store)
        with (
            joblib.parallel_config(backend="dask", wait_for_workers_timeout=0.5),
            pytest.raises(ClusterError, match="no worker after 0.5 seconds"),
        ):
            sweep(logged, [{}], seeds=range(1000), store=store)
        done = cases.runs(tmp_path)[:5]
        assert sweep(logged, [{}], seeds=done, store=store).answered == 5  # asks no worker
