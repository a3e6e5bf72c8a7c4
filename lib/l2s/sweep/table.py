"""Cells as a table on disk, to be committed and read by people and by the book."""

import csv
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_SEED = "seed"

Row = tuple[dict[str, Any], int, dict[str, Any]]  # settings, seed, metrics


def write_rows(
    path: str | os.PathLike[str], rows: Sequence[Row], names: Iterable[str], note: str
) -> None:
    """Write the settings (by these names), the seed and the metrics of each cell as CSV."""
    names = list(names)
    metrics = list(dict.fromkeys(metric for _, _, values in rows for metric in values))
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        for line in note.splitlines():
            file.write(f"# {line}".rstrip() + "\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, _SEED, *metrics])
        for settings, seed, values in rows:
            before = [_write(settings, name) for name in names]
            writer.writerow([*before, str(seed), *(_write(values, metric) for metric in metrics)])


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """Read what ``write_rows`` wrote, or raise a ``ValueError``."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(line for line in file if not line.startswith("#")))
    if not lines or _SEED not in lines[0]:
        raise ValueError(
            f"`path` is {str(path)!r}, which has no column {_SEED!r}. Pass a table that "
            "Sweep.to_csv wrote."
        )
    header, place = lines[0], lines[0].index(_SEED)
    rows: list[Row] = []
    for line in lines[1:]:
        if len(line) != len(header):
            raise ValueError(
                f"`path` is {str(path)!r}, whose row {','.join(line)!r} has {len(line)} of "
                f"{len(header)} columns. Write the table again."
            )
        read = {name: _read(text) for name, text in zip(header, line, strict=True) if text}
        settings = {name: _hashable(read[name]) for name in header[:place] if name in read}
        values = {name: read[name] for name in header[place + 1 :] if name in read}
        rows.append((settings, read[_SEED], values))
    return rows


def _write(values: dict[str, Any], name: str) -> str:
    """Write a value so that ``_read`` gives it back: strings plain where that is unambiguous."""
    if name not in values:
        return ""
    value = values[name]
    if isinstance(value, str) and _reads_back(value):
        return value
    return json.dumps(value, default=lambda array: array.tolist())


def _reads_back(text: str) -> bool:
    return text.isprintable() and text != "" and text[0] != "#" and _read(text) == text


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
