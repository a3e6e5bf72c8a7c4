"""A progress bar that shows itself to a person and leaves nothing in a file."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from tqdm import tqdm


@contextlib.contextmanager
def bar(total: int, done: int, wanted: bool) -> Iterator[Callable[[], object]]:
    """Show a bar on standard error; yields the function that moves it by one.

    Hidden where ``L2S_PROGRESS`` is 0 (a notebook that is run to be committed), and where standard
    error is neither a terminal nor a running notebook. It is wiped when it is done.
    """
    shown = wanted and os.environ.get("L2S_PROGRESS") != "0" and _watched()
    with tqdm(
        total=total, initial=done, unit="cell", leave=False, disable=not shown, file=sys.stderr
    ) as moving:
        yield moving.update


def _watched() -> bool:
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel.")
