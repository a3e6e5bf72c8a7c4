"""The test run reports each chapter's time and memory, slowest first, and holds the limits."""

import os
import re
import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from book.tools import layout
from tests.book import chapter_report
from tests.book.chapter_report import YARDSTICK, Cost, Watch, yardstick

BUSY = "import time\n\nend = time.process_time() + {}\nwhile time.process_time() < end:\n    pass"
SLOW = (BUSY.format(1.0), BUSY.format(0.2))
# The memory stands in a process that the notebook starts, as with a sweep's workers.
LARGE = (
    "import subprocess\nimport sys\n\n"
    "code = 'import time; held = b\"x\" * 2**28; time.sleep(0.6)'\n"
    "subprocess.run([sys.executable, '-c', code], check=True)",
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What pytest prints for two chapters in a worker process, each over one of two low limits."""
    folder = tmp_path_factory.mktemp("chapters")
    for name, sources in {"slow": SLOW, "large": LARGE}.items():
        notebook = new_notebook(cells=list(map(new_code_cell, sources)))
        nbformat.write(notebook, folder / f"{name}.ipynb")
    (folder / "conftest.py").write_text(
        "from tests.book import chapter_report\n"
        "chapter_report.SECONDS, chapter_report.MEBIBYTES = 0.2, 200\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(chapter_report, 'chapter_report')\n"
    )
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "--nbval-lax", "--nbval-current-env", "."],
        cwd=folder,
        # One thread, as in the whole run: the yardstick's threads would slow each other down.
        env={**environment, "PYTHONPATH": str(layout.ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_chapters_are_reported_slowest_first_with_all_that_they_started(shown):
    row = re.compile(r"([\d.]+) s +([\d.]+) s of processor time +(\d+) MiB +(\w+)\.ipynb")
    rows = [(float(a), float(b), float(c), name) for a, b, c, name in row.findall(shown)]
    assert sorted(rows, reverse=True) == rows
    by_name = {name: numbers for *numbers, name in rows}
    assert 1.2 <= by_name["slow"][1] < 2
    assert by_name["large"][2] - by_name["slow"][2] == pytest.approx(256, abs=60)


def test_a_chapter_over_a_limit_fails_where_it_passes_it(shown):
    assert re.search(r"slow\.ipynb, up to this cell, took \d+ s .*; the limit is 0 s", shown)
    assert re.search(r"large\.ipynb, up to this cell, .*used \d+ MiB; the limit is 200", shown)
    assert "2 failed, 1 passed" in shown.splitlines()[-1]
    assert re.search(r"slow\.ipynb.*  \(over the limit here\)", shown)


def test_the_chapters_are_run_with_the_report():
    # No conftest.py stands above chapters/, so the command line names the plugin.
    makefile = (layout.ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"pytest) chapters -p {Cost.__module__} ".lower() in makefile.lower()


def test_each_limit_is_reported_once_a_chapter():
    cost = Cost()
    cost.add(59, 90, 100)
    assert cost.over_limit() == []
    cost.add(2, 2, 1600)
    assert cost.over_limit() == [
        "took 61 s (92 s of processor time); the limit is 60 s",
        "used 1600 MiB; the limit is 1536 MiB",
    ]
    cost.add(1, 1, 10)
    assert cost.over_limit() == []


@pytest.mark.measures
def test_a_busy_machine_does_not_fail_a_chapter():
    cost = Cost()
    cost.add(400, 40, 100)
    assert cost.over_limit() == []


@pytest.mark.measures
def test_a_slow_machine_does_not_fail_a_chapter_but_a_slow_chapter_does():
    cost = Cost()
    cost.add(100, 110, 100, pace=2.0)
    assert cost.over_limit() == []
    assert cost.slower == ", on a machine 2.0 times slower"
    cost.add(30, 30, 100, pace=2.0)
    assert cost.over_limit() == [
        "took 130 s (140 s of processor time, on a machine 2.0 times slower); the limit is 60 s"
    ]


@pytest.mark.measures
def test_the_yardstick_is_short_and_takes_work():
    assert 0.1 * YARDSTICK < yardstick() < 100 * YARDSTICK


@pytest.mark.measures
def test_the_pace_is_the_mean_of_what_was_timed_while_the_block_ran(monkeypatch):
    times = iter([1.0, 2.0, 6.0])
    monkeypatch.setattr(chapter_report, "_PERIOD", 0.01)
    monkeypatch.setattr(chapter_report, "_LOOKS", 1)
    monkeypatch.setattr(chapter_report, "yardstick", lambda: YARDSTICK * next(times, 3.0))
    with Watch(os.getpid()) as watch:
        while len(watch._yardsticks) < 8:
            time.sleep(0.01)
    assert 2.9 < watch.pace < 3.1
    monkeypatch.setattr(chapter_report, "yardstick", lambda: YARDSTICK / 2)
    with Watch(os.getpid()) as fast:
        pass
    assert fast.pace == 1.0  # a fast machine is given no more time


@pytest.mark.measures
def test_memory_is_seen_at_its_peak():
    with Watch(os.getpid()) as before:
        pass
    with Watch(os.getpid()) as after:
        held = b"x" * 2**27
        time.sleep(0.7)
        del held
    assert after.peak - before.peak == pytest.approx(128, abs=30)


@pytest.mark.measures
def test_the_time_of_a_process_that_has_ended_counts():
    code = "import time\nwhile time.process_time() < 0.5: pass"
    with Watch(os.getpid()) as watch:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert 0.4 < watch.processor < 2
