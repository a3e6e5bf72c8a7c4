"""The functions that start PyTorch's threads, for compiled code to call.

PyTorch keeps its threads spinning for a while after each of its own operations. Threads of another
pool would wait behind them for a core, on two cores for a millisecond and more, so work in parts
runs in that very pool: by GNU's entry point to OpenMP, in the library that PyTorch brings along.
Where it brings none, functions of our own stand in for it, and each part gets a thread of its own.
"""

import ctypes
import functools
import threading
from pathlib import Path
from typing import Any

import torch

PARALLEL, NUMBER, SIZE = "GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads"
_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Parallel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
_Count = ctypes.CFUNCTYPE(ctypes.c_int)
_own = threading.local()


@functools.cache
def entry_points() -> dict[str, Any]:
    """Return three functions of C under their names in OpenMP, for as long as the process lives."""
    for path in sorted(Path(torch.__file__).parent.glob("lib/lib*omp*")):
        library = ctypes.CDLL(str(path))
        if all(hasattr(library, name) for name in (PARALLEL, NUMBER, SIZE)):
            return {name: getattr(library, name) for name in (PARALLEL, NUMBER, SIZE)}
    return {
        PARALLEL: _Parallel(_in_own_threads),
        NUMBER: _Count(lambda: getattr(_own, "number", 0)),
        SIZE: _Count(lambda: getattr(_own, "size", 1)),
    }


def _in_own_threads(body: int, data: int, size: int, flags: int) -> None:
    """Call a function of C with the data in as many threads, which know their number and size."""

    def run(number: int) -> None:
        _own.number, _own.size = number, size
        _Body(body)(data)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, size)]
    for thread in threads:
        thread.start()
    run(0)
    del _own.number, _own.size  # this thread goes on, and is one of one
    for thread in threads:
        thread.join()
