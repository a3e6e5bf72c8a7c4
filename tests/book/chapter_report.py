"""A pytest plugin: each chapter's time and peak memory, measured while nbval runs it.

Time is that of the chapter's own cells, not of waiting for a free worker. Memory is that of the
kernel and of the processes that it starts, sampled while a cell runs; what two processes share is
counted once where the system can tell. A chapter over a limit fails in the cell that passes it.
"""

import contextlib
import threading
import time
from dataclasses import dataclass, field

import psutil
import pytest
from nbval.plugin import IPyNbCell

SECONDS = 60.0
MEBIBYTES = 1536.0
_PERIOD = 0.1
_PROPERTY = "chapter_cost"


@dataclass
class Cost:
    """What a chapter's cells have used so far."""

    seconds: float = 0.0
    mebibytes: float = 0.0
    excused: set[str] = field(default_factory=set)  # a limit is reported once a chapter

    def add(self, seconds: float, mebibytes: float) -> None:
        self.seconds += seconds
        self.mebibytes = max(self.mebibytes, mebibytes)

    def over_limit(self) -> list[str]:
        """Sentences for the limits that were passed and not yet reported."""
        found = {}
        if self.seconds > SECONDS:
            found["time"] = f"took {self.seconds:.0f} s; the limit is {SECONDS:.0f} s"
        if self.mebibytes > MEBIBYTES:
            found["memory"] = f"used {self.mebibytes:.0f} MiB; the limit is {MEBIBYTES:.0f} MiB"
        fresh = [text for name, text in found.items() if name not in self.excused]
        self.excused.update(found)
        return fresh


class Watch:
    """Sample the memory of a process and all its descendants while the block runs."""

    def __init__(self, pid: int):
        self.peak = 0.0
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            with contextlib.suppress(psutil.NoSuchProcess):
                family = [self._root, *self._root.children(recursive=True)]
                self.peak = max(self.peak, sum(map(_mebibytes, family)))
            if self._over.wait(_PERIOD):
                return


def _mebibytes(process: psutil.Process) -> float:
    try:
        memory = process.memory_full_info()
        return getattr(memory, "pss", memory.rss) / 2**20
    except psutil.Error:  # it has ended since the list was made
        return 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Measure a notebook's cell; fail it where the chapter passes a limit."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    started = time.perf_counter()
    with Watch(item.parent.kernel.km.provisioner.pid) as watch:
        try:
            outcome = yield
        finally:
            seconds = time.perf_counter() - started
    item.user_properties.append((_PROPERTY, [str(item.path), seconds, watch.peak]))
    cost = item.parent.__dict__.setdefault(_PROPERTY, Cost())
    cost.add(seconds, watch.peak)
    if problems := cost.over_limit():
        name = item.path.relative_to(item.config.rootpath)
        pytest.fail(f"{name}, up to this cell, {' and '.join(problems)}", pytrace=False)
    return outcome


def pytest_terminal_summary(terminalreporter, config):
    """Print chapter by chapter, slowest first."""
    costs: dict[str, Cost] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for path, seconds, mebibytes in _measurements(report):
                    costs.setdefault(path, Cost()).add(seconds, mebibytes)
    if not costs:
        return
    terminalreporter.section(f"chapters (limits: {SECONDS:.0f} s, {MEBIBYTES:.0f} MiB)")
    for path, cost in sorted(costs.items(), key=lambda entry: -entry[1].seconds):
        name = path.removeprefix(f"{config.rootpath}/")
        terminalreporter.line(f"{cost.seconds:7.1f} s {cost.mebibytes:7.0f} MiB  {name}")


def _measurements(report):
    return [value for name, value in report.user_properties if name == _PROPERTY]
