"""Time functions side by side, measure their peak memory, and write the table that the book shows.

A benchmark gives contenders under names; they take turns, so that whatever else the machine does
falls on all of them alike, and the median of the turns counts. Memory is the growth of the
process's peak, so it holds everything, also what libraries allocate behind PyTorch's back.
"""

import argparse
import csv
import ctypes
import gc
import math
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from l2s.kernels import buffers

RESULTS = Path(__file__).parent / "results"


def main(
    name: str,
    measure: Callable[[bool], Sequence[Mapping[str, object]]],
    *,
    note: str,
    goals: Sequence["Goal"] = (),
) -> None:
    """The command line of a benchmark: measure, print and, unless ``--quick``, write the results.

    Args:
        name: Where the results go, below results/.
        measure: From whether it is to be quick to the rows of the table.
        note: What the table's page says below it.
        goals: What is aimed at; a quick run says nothing of them.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small; writes nothing")
    quick = parser.parse_args().quick
    rows = measure(quick)
    print(table(rows))
    if not quick:
        write(name, rows, note=note, goals=goals)
        if goals:
            print(f"\n{table(verdicts(rows, goals))}")
    print(f"\n{machine()}")


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 7,
    warmup: int = 1,
    before: Callable[[], object] = lambda: None,
    calls: int = 1,
) -> dict[str, float]:
    """Return the median time in seconds of each contender, over turns that they take.

    ``before`` runs before each turn and is not timed: it brings the caches into the same state,
    which would else depend on who came before. A turn is of so many ``calls`` in a row, of which
    the last is timed: a single call finds its code in no cache, one after others finds it there.
    """
    for _ in range(warmup):
        for run in contenders.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            before()
            for _ in range(calls - 1):
                run()
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(samples) for name, samples in times.items()}


def peak_memory(run: Callable[[], object]) -> float:
    """Return how many bytes the process's peak memory grows by during the call (Linux; else NaN).

    Free memory is handed back to the system first, so that none of it hides what the call takes.
    """
    if not Path("/proc/self/clear_refs").exists():
        return math.nan
    gc.collect()
    buffers.clear()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def fits(predicted_bytes: float) -> bool:
    """Whether a run that needs so much memory leaves a good part of the free memory alone."""
    return predicted_bytes < 0.6 * psutil.virtual_memory().available


def machine() -> str:
    """One line: devices, threads, versions, and the allocator setting that moves all numbers."""
    thp = os.environ.get("THP_MEM_ALLOC_ENABLE", "unset")
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return (
        f"{gpu}{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}, THP_MEM_ALLOC_ENABLE={thp}"
    )


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows of equal keys as a Markdown table, whose lines break in no 1e-08 and no arrow."""
    header = list(rows[0])
    body = [
        [re.sub(r"(?<=\de)-", "\u2011", str(row[column])).replace("->", "→") for column in header]
        for row in rows
    ]
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Goal:
    """A ratio of two times in one group of a table that we aim at.

    Attributes:
        work: How the group's name begins.
        over: The contender whose time is divided.
        under: The one by whose time it is divided.
        bound: The ratio that is aimed at.
        at_least: Whether the ratio is to be as large as that, or as small.
    """

    work: str
    over: str
    under: str
    bound: float
    at_least: bool = True


def verdicts(rows: Sequence[Mapping[str, object]], goals: Sequence[Goal]) -> list[dict[str, str]]:
    """One line a goal: what is aimed at, what was measured, and whether it is reached."""
    lines = []
    for goal in goals:
        own = [row for row in rows if str(row["work"]).startswith(goal.work)]
        times = {row["how"]: float(str(row["time / ms"])) for row in own}
        ratio = times[goal.over] / times[goal.under]
        reached = ratio >= goal.bound if goal.at_least else ratio <= goal.bound
        lines.append(
            {
                "time of": f"{goal.over}, over {goal.under}",
                "work": goal.work,
                "goal": f"at {'least' if goal.at_least else 'most'} {goal.bound:g}",
                "measured": f"{ratio:.2f}",
                "verdict": "reached" if reached else "missed",
            }
        )
    return lines


def write(
    name: str, rows: Sequence[Mapping[str, object]], *, note: str, goals: Sequence[Goal] = ()
) -> None:
    """Write the rows as results/NAME.csv, and with note, goals and machine as results/NAME.md."""
    path = RESULTS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    aims = f"{table(verdicts(rows, goals))}\n\n" if goals else ""
    text = f"{table(rows)}\n\n{note}\n\n{aims}Measured on {machine()}.\n"
    path.with_suffix(".md").write_text(text)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/self/status has no field {field}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
