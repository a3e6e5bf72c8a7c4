"""What stands above a committed table: how, when and where it was made."""

import datetime
import os
import platform

from l2s import checks
from l2s.sweep.origin import base_versions


@checks.typed
def made_by(command: str) -> str:
    """Write the note of a table: the command that makes it again, date, machine and versions.

    Args:
        command: A line for the shell, run at the root of the book.

    Returns:
        Three lines, for the ``note`` of ``Sweep.to_csv``.

    >>> print(made_by("make run CHAPTER=labels/contrastive PROFILE=full"))
    Made by: make run CHAPTER=labels/contrastive PROFILE=full
    ... on ..., ... cores
    python ...; l2s ...; torch ...
    """
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"Made by: {command}\n{today} on {machine}\n{base_versions()}"
