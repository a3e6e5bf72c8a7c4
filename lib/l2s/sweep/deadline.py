"""A time limit for code that runs in this thread."""

import contextlib
import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType


class _Deadline(BaseException):
    """The time limit has passed; no ``Exception``, so that the cell's handlers let it by."""


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise ``TimeoutError`` inside the block once it has run for so many seconds.

    In a main thread a signal interrupts also what waits or sleeps. In any other thread the
    exception arrives with the next Python instruction.
    """
    if seconds is None:
        yield
        return
    try:
        main = threading.current_thread() is threading.main_thread()
        with _by_signal(seconds) if main and hasattr(signal, "setitimer") else _by_thread(seconds):
            yield
    except _Deadline as passed:
        error = TimeoutError(f"the cell ran for longer than `timeout`, {seconds:g} s")
        raise error.with_traceback(passed.__traceback__) from None  # shows where it was


@contextlib.contextmanager
def _by_signal(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise _Deadline

    handler = signal.signal(signal.SIGALRM, ring)
    start = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # someone else's alarm goes on where it was
            left = max(left - (time.monotonic() - start), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


@contextlib.contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    thread = ctypes.c_ulong(threading.get_ident())
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    lock = threading.Lock()
    inside = True

    def ring() -> None:
        with lock:
            if inside:
                raise_in(thread, ctypes.py_object(_Deadline))

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            inside = False
            raise_in(thread, None)  # one that rang but has not arrived must not arrive later
        timer.cancel()
