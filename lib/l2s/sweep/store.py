"""Finished cells in a file: an SQLite database, so that a kill in mid-write loses nothing."""

import contextlib
import hashlib
import os
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Self

_APPLICATION = 0x4C325357  # "L2SW", written into the file's header
_BUSY = 60.0  # seconds to wait for another process that writes


class CorruptStoreWarning(UserWarning):
    """A store could not be read, and was moved aside."""


class Store:
    """The finished cells of one function; other functions may share the file.

    Args:
        path: The file; made where there is none.
        fingerprint: Names the function, with everything that its results depend on.

    Raises:
        ValueError: If the path is a folder or another program's database, or cannot be opened.

    Attributes:
        answers: What the file already held: a cell's key to its encoded metrics.
    """

    answers: dict[str, str]

    def __init__(self, path: str | os.PathLike[str], fingerprint: str) -> None:
        self.path = Path(path).expanduser().absolute()
        self.fingerprint = fingerprint
        if self.path.is_dir():
            raise ValueError(f"`store` is {str(path)!r}, a folder. Pass the path of a file.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = self.path.stat() if self.path.exists() else None
        try:
            self._open()
        except _CorruptError as error:
            moved = _move_aside(self.path, found)
            if moved is not None:
                warnings.warn(
                    f"The sweep store {self.path} cannot be read ({error}). It was moved to "
                    f"{moved.name}, beside it, and the sweep begins with an empty store.",
                    CorruptStoreWarning,
                    stacklevel=2,
                )
            self._open()

    def save(self, key: str, encoded: str) -> None:
        """Keep one finished cell; on return it is on disk."""
        row = (self.fingerprint, key, encoded, _digest(self.fingerprint, key, encoded))
        try:
            with self._connection:
                self._connection.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise OSError(f"The sweep store {self.path} cannot be written: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        with _translated(self.path):
            self._connection = sqlite3.connect(self.path, timeout=_BUSY)
        self._connection.text_factory = _as_text
        try:
            with _translated(self.path), self._connection:
                self._prepare()
                self.answers = dict(self._read())
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        """Make the table, all or nothing, unless it is there."""
        self._connection.execute("BEGIN IMMEDIATE")
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        tables = self._connection.execute("SELECT name FROM sqlite_master").fetchall()
        if application != _APPLICATION and tables:
            raise ValueError(
                f"`store` is {str(self.path)!r}, a database that another program made. It is left "
                "as it is; pass another path."
            )
        problems = self._connection.execute("PRAGMA quick_check").fetchall()
        if problems != [("ok",)]:
            raise _CorruptError(problems[0][0])
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS cells (fingerprint TEXT, key TEXT, encoded TEXT, "
            "digest TEXT, PRIMARY KEY (fingerprint, key)) WITHOUT ROWID"
        )

    def _read(self) -> Iterator[tuple[str, str]]:
        rows = self._connection.execute(
            "SELECT key, encoded, digest FROM cells WHERE fingerprint = ?", (self.fingerprint,)
        )
        for key, encoded, digest in rows:
            if digest != _digest(self.fingerprint, key, encoded):
                raise _CorruptError(f"the cell {key} fails its checksum")
            yield key, encoded


class _CorruptError(Exception):
    """The file is no database, or a damaged one."""


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Tell a damaged file from one that is merely busy, read-only or out of reach."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _CorruptError(str(error)) from error
        raise ValueError(f"`store` is {str(path)!r}, which cannot be opened: {error}.") from error


def _move_aside(path: Path, found: os.stat_result | None) -> Path | None:
    """Give the file a name that nothing else has, unless another process has done it by now."""
    if found is None or not path.exists() or not os.path.samestat(path.stat(), found):
        return None
    number = 1
    while True:
        target = path.with_name(f"{path.name}.corrupt-{number}")
        try:
            target.touch(exist_ok=False)  # claims the name
            break
        except FileExistsError:
            number += 1
    return path.replace(target)


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")  # damaged text then fails its checksum


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
