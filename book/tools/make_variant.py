"""Make exercises with other numbers: ``make variant SLUG=contrastive SEED=17``.

A cell with the tag ``numbers`` holds lines ``NAME = value``, and its metadata list what else each
may be. The variant is a course folder of its own: a master, and the student copy made from it.
"""

import argparse
import random
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book.tools import layout, release_exercises

_LINE = re.compile(r"^(\w+) = .+$", re.MULTILINE)


def main() -> None:
    """Write the variant that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slug", help="which exercises, such as contrastive")
    parser.add_argument("seed", help="a whole number; the same one gives the same variant")
    parser.add_argument("--out", default="", help="a folder; _runs/variants/<slug>-<seed> if none")
    options = parser.parse_args()
    slug = release_exercises.checked(options.slug)
    if not re.fullmatch(r"-?\d+", options.seed):
        sys.exit(f"SEED is {options.seed!r}, but must be a whole number, such as SEED=17.")
    name = f"{slug}-{int(options.seed)}"
    out = Path(options.out) if options.out else layout.ROOT / "_runs" / "variants" / name
    write(slug, int(options.seed), out)
    print(f"Student copy: {out}/release/{slug}/{slug}.ipynb")
    print(f"Its master: {out}/source/{slug}/{slug}.ipynb")
    print(f"To grade it: make grade SLUG={slug} COURSE={out} SUBMISSIONS=folder")


def write(slug: str, seed: int, out: Path, course: Path = release_exercises.COURSE) -> None:
    """Write the course folder of a variant; what an earlier run left there is replaced."""
    for stale in ("source", "release"):
        shutil.rmtree(out / stale / slug, ignore_errors=True)
    shutil.copytree(course / "source" / slug, out / "source" / slug)
    path = out / "source" / slug / f"{slug}.ipynb"
    nbformat.write(varied(nbformat.read(path, as_version=4), seed), path)
    release_exercises.write(slug, out)


def varied(master: NotebookNode, seed: int) -> NotebookNode:
    """The master with numbers drawn from what its cells allow."""
    draw = random.Random(f"variant {seed}")
    for cell in master.cells:
        choices = cell.metadata.get("l2s", {}).get("choices", {})
        drawn = {name: draw.choice(values) for name, values in sorted(choices.items())}
        cell.source = _LINE.sub(lambda line, d=drawn: _line(line, d), cell.source)
    return master


def _line(line: re.Match[str], drawn: dict[str, object]) -> str:
    return f"{line[1]} = {drawn[line[1]]!r}" if line[1] in drawn else line[0]


if __name__ == "__main__":
    main()
