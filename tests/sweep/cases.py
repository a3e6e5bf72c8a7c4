"""Functions that the tests sweep: workers import them from here by name."""

import os
import time
from pathlib import Path

import numpy as np
import torch


def draw(*, seed, scale):
    """A result that depends on seed and setting alone."""
    generator = torch.Generator().manual_seed(seed)
    return {"mean": float(torch.randn(100, generator=generator).mean()) * scale, "seed": seed}


def late(*, seed, x):
    """The first cells end last."""
    time.sleep(0.3 if x == 0 else 0)
    return {"x": x, "place": 10 * x + seed}


def describe(*, seed, x):
    """What a worker is like."""
    product = torch.randn(300, 300, generator=torch.Generator().manual_seed(seed))
    return {
        "process": os.getpid(),
        "threads": torch.get_num_threads(),
        "product": np.asarray((product @ product).sum()),
    }


def deadly(*, seed, x):
    """One cell ends its process."""
    if x == 1 and seed == 0:
        os._exit(3)
    return {"x": x}


def failing(*, seed, x):
    """Some cells raise."""
    if x == 1:
        raise RuntimeError(f"no result for {x}")
    return {"x": x}


def endless(*, seed, x):
    """One cell runs for ever, in Python code."""
    while x == 1:
        pass
    return {"x": x}


def asleep(*, seed, x):
    """One cell waits for ever, outside of Python code."""
    if x == 1:
        time.sleep(600)
    return {"x": x}


def logged(*, seed, folder, slow=0.0):
    """Leaves one more line for each time that a cell runs to its end."""
    time.sleep(slow)
    with (Path(folder) / "log.txt").open("a") as file:
        file.write(f"{seed}\n")
    return {"double": 2 * seed}


def runs(folder):
    """The seeds of the cells that ran to their end, in order."""
    log = Path(folder) / "log.txt"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def wait_for_runs(folder, number):
    """Return once so many cells ran to their end."""
    wait(lambda: len(runs(folder)) >= number)


def wait(condition, seconds=60):
    """Return once the condition holds."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError
        time.sleep(0.02)
