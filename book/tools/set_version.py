"""Set the version of book and library: ``make version VERSION=0.1.0``.

A release has a version such as 0.1.0, and its buttons and install cells name the tag v0.1.0. In
between, the version ends in ``.dev0`` and they name the branch. The version is written into every
file that has it, and the install cell into every notebook; no notebook is run, and its hashes stay
valid, because they leave the install cell out. Without a version, the one that stands is written
anew: so it is when the book has moved to another address.
"""

import argparse
import datetime
import json
import re
import sys
from pathlib import Path

from book.tools import layout, provenance
from book.tools.install_cell import install_cell

FORM = re.compile(r"\d+\.\d+\.\d+(\.dev\d+)?")
# The files that have the version, and the text before it.
PLACES = {
    "pyproject.toml": r'^(version = ")[^"]+',
    "lib/l2s/__init__.py": r'^(__version__ = ")[^"]+',
    "CITATION.cff": r"^(version: )\S+",
}
DATE = r'^(date-released: ")[^"]+'
NOTEBOOKS = ("chapters/*/*.ipynb", "exercises/source/*/*.ipynb", "exercises/release/*/*.ipynb")


def main() -> None:
    """Write the version that the command line names, and say what has changed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="?", default="", help="such as 0.1.0, or 0.2.0.dev0")
    version = parser.parse_args().version or layout.version()
    if not FORM.fullmatch(version):
        sys.exit(f"{version!r} is no version of this book. Use 0.1.0, or 0.2.0.dev0 between them.")
    changed = write(version, datetime.date.today())
    _, reference = layout.repository()
    print(f"Version {version}: links and install cells name {reference}.")
    print(*(f"  {path.relative_to(layout.ROOT)} written" for path in changed), sep="\n")


def write(version: str, today: datetime.date, root: Path = layout.ROOT) -> list[Path]:
    """Write the version, and for a release its date, everywhere; return the files that changed."""
    changed = [
        root / name for name, place in PLACES.items() if _replace(root / name, place, version)
    ]
    if changed and ".dev" not in version:
        _replace(root / "CITATION.cff", DATE, today.isoformat())
    source = install_cell(root)
    found = (path for pattern in NOTEBOOKS for path in sorted(root.glob(pattern)))
    return changed + [path for path in found if _set_install_cell(path, source)]


def _replace(path: Path, place: str, text: str) -> bool:
    before = path.read_text(encoding="utf-8")
    after, count = re.subn(place, rf"\g<1>{text}", before, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{path.name} must have one line of the form {place}, but has {count}.")
    path.write_text(after, encoding="utf-8")
    return after != before


def _set_install_cell(path: Path, source: str) -> bool:
    """Write the install cell and leave every other byte of the notebook as it is."""
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    for cell in notebook["cells"]:
        if provenance.is_install(cell):
            cell["source"] = source.splitlines(keepends=True)
    after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


if __name__ == "__main__":
    main()
