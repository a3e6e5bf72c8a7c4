"""A pytest plugin: each chapter's time and peak memory, measured while nbval runs it.

What counts is the chapter's own cells, not waiting for a free worker, and the kernel with all the
processes that it starts. Memory is sampled; what two processes share is counted once where the
system can tell. A chapter over a limit fails in the cell that passes it. A busy machine must
not fail a chapter, so both clock and processor time must be over the limit. Tests beside it were
seen to stretch 40 s to 83 s, in processor time too: `make test` runs the chapters first, alone.

A rented machine may be half as fast on one day as on another: the same chapter took 42 s and 78 s
on idle cores. So a small piece of work is timed again and again while a cell runs, and the time of
the cell is divided by how much slower that piece was than on the machine for which the limit is
meant. (Timed once, before the cell, it was seen to vary by a factor of three.)
"""

import contextlib
import itertools
import statistics
import threading
import time
from dataclasses import dataclass, field

import psutil
import pytest
import torch
from nbval.plugin import IPyNbCell

SECONDS = 60.0
MEBIBYTES = 1536.0
YARDSTICK = 0.021  # processor seconds of `yardstick` where the first chapter takes 42 s
_PERIOD = 0.25  # seconds between two looks at the memory, which stop its processes for a moment
_LOOKS = 4  # between two yardsticks
_PROPERTY = "chapter_cost"


@dataclass
class Cost:
    """What a chapter's cells have used so far."""

    clock: float = 0.0  # seconds
    processor: float = 0.0  # seconds, of all its processes together
    mebibytes: float = 0.0
    fair_clock: float = 0.0  # what both would have been at the yardstick's pace
    fair_processor: float = 0.0
    reported: set[str] = field(default_factory=set)  # a limit fails one cell, not all that follow

    def add(self, clock: float, processor: float, mebibytes: float, pace: float = 1.0) -> None:
        """Count one more cell; ``pace`` says how many times slower the machine was just then."""
        self.clock += clock
        self.processor += processor
        self.mebibytes = max(self.mebibytes, mebibytes)
        self.fair_clock += clock / pace
        self.fair_processor += processor / pace

    @property
    def seconds(self) -> float:
        """What counts: the less of clock and processor time, at the yardstick's pace."""
        return min(self.fair_clock, self.fair_processor)

    @property
    def slower(self) -> str:
        """Words for a machine that was slow, or none."""
        pace = self.clock / max(self.fair_clock, 1e-9)
        return f", on a machine {pace:.1f} times slower" if pace > 1.05 else ""

    def over_limit(self) -> list[str]:
        """Sentences for the limits that were passed and not yet reported."""
        found = {}
        if self.seconds > SECONDS:
            found["time"] = (
                f"took {self.clock:.0f} s ({self.processor:.0f} s of processor time{self.slower}); "
                f"the limit is {SECONDS:.0f} s"
            )
        if self.mebibytes > MEBIBYTES:
            found["memory"] = f"used {self.mebibytes:.0f} MiB; the limit is {MEBIBYTES:.0f} MiB"
        fresh = [text for name, text in found.items() if name not in self.reported]
        self.reported.update(found)
        return fresh


def yardstick() -> float:
    """Processor seconds of a little work of a chapter's kind: plain Python, and sums of torch."""
    start = time.thread_time()
    total = sum(i * i for i in range(200_000))
    small = torch.zeros(8)
    for _ in range(1500):
        small = small + 1
    large = torch.ones(256, 256)
    for _ in range(15):
        large = (large @ large / 256).tanh()
    assert total
    return time.thread_time() - start


class Watch:
    """Measure a process and all its descendants while the block runs."""

    def __init__(self, pid: int):
        self.clock = self.processor = self.peak = 0.0
        self._yardsticks: list[float] = []
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Watch":
        self._clock_before, self._processor_before = time.perf_counter(), self._used()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.clock = time.perf_counter() - self._clock_before
        self.processor = self._used() - self._processor_before
        self._over.set()
        self._thread.join()

    @property
    def pace(self) -> float:
        """How many times slower the machine was than the one of the limit, on average."""
        return max(1.0, statistics.fmean(self._yardsticks) / YARDSTICK)

    def _sample(self) -> None:
        for look in itertools.count():
            self.peak = max(self.peak, sum(map(_mebibytes, self._family())))
            if look % _LOOKS == 0:
                self._yardsticks.append(yardstick())
            if self._over.wait(_PERIOD):
                return

    def _used(self) -> float:
        return sum(map(_processor_seconds, self._family()))

    def _family(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self._root, *self._root.children(recursive=True)]
        return []


def _mebibytes(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):  # it may have ended since the list was made
        memory = process.memory_full_info()
        return getattr(memory, "pss", memory.rss) / 2**20
    return 0.0


def _processor_seconds(process: psutil.Process) -> float:
    """A process's own time and that of its children that have ended."""
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system
    return 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Measure a notebook's cell; fail it where the chapter passes a limit."""
    if not isinstance(item, IPyNbCell) or not item.parent.kernel.is_alive():
        return (yield)
    watch = Watch(item.parent.kernel.km.provisioner.pid)
    try:
        with watch:
            outcome = yield
    finally:
        used = [watch.clock, watch.processor, watch.peak, watch.pace]
        item.user_properties.append((_PROPERTY, [str(item.path), *used]))
    cost = item.parent.__dict__.setdefault(_PROPERTY, Cost())
    cost.add(*used)
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
                for path, *used in _measurements(report):
                    costs.setdefault(path, Cost()).add(*used)
    if not costs:
        return
    terminalreporter.section(f"chapters (limits: {SECONDS:.0f} s, {MEBIBYTES:.0f} MiB)")
    for path, cost in sorted(costs.items(), key=lambda entry: -entry[1].clock):
        name = path.removeprefix(f"{config.rootpath}/")
        late = "  (over the limit here)" if cost.seconds > SECONDS else ""
        terminalreporter.line(
            f"{cost.clock:7.1f} s {cost.processor:7.1f} s of processor time "
            f"{cost.mebibytes:6.0f} MiB  {name}{cost.slower}{late}"
        )


def _measurements(report):
    return [value for name, value in report.user_properties if name == _PROPERTY]
