"""Work in parts, in the threads of PyTorch.

PyTorch keeps its threads spinning for a while after each of its own operations. Threads of another
pool would wait behind them for a core, on two cores for a millisecond and more, so the parts run in
that very pool: by OpenMP's entry point in the library that PyTorch brings along. Where it brings
none (not on Linux, or built otherwise) each part gets a thread of its own.
"""

import ctypes
import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_WORTH_A_THREAD = 1 << 16  # numbers; to wake a thread costs as much as some 50 us of work
_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_threads(work: Callable[[int, int], None], rows: int, numbers: int) -> None:
    """Call ``work(first, last)`` for parts of the rows, in as many threads as PyTorch uses.

    Compiled code that lets go of Python's lock runs in them side by side. An error in any part is
    raised here. Small work, below 65,536 numbers a thread, is not shared.
    """
    parts = max(1, min(torch.get_num_threads(), rows, numbers // _WORTH_A_THREAD))
    if parts == 1:
        work(0, rows)
        return
    bounds = [rows * part // parts for part in range(parts + 1)]
    errors: list[BaseException] = []

    def run(part: int) -> None:
        try:
            work(bounds[part], bounds[part + 1])
        except BaseException as error:  # raised again in the calling thread
            errors.append(error)

    openmp = _openmp()
    if openmp is None:
        _in_own_threads(run, parts)
    else:
        _in_team(openmp, run, parts)
    if errors:
        raise errors[0]


def _in_team(openmp: Any, run: Callable[[int], None], parts: int) -> None:
    def body(_: object) -> None:
        # The team may be smaller than asked for.
        for part in range(openmp.omp_get_thread_num(), parts, openmp.omp_get_num_threads()):
            run(part)

    openmp.GOMP_parallel(_Body(body), None, parts, 0)


def _in_own_threads(run: Callable[[int], None], parts: int) -> None:
    threads = [threading.Thread(target=run, args=(part,)) for part in range(1, parts)]
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()


@functools.cache
def _openmp() -> Any:
    """The OpenMP library that PyTorch has loaded, or None."""
    for path in sorted(Path(torch.__file__).parent.glob("lib/libgomp*.so*")):
        library = ctypes.CDLL(str(path))
        if hasattr(library, "GOMP_parallel"):
            library.GOMP_parallel.argtypes = [_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
            library.GOMP_parallel.restype = None
            return library
    return None
