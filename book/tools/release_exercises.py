"""Make the student copies of the exercises: ``make exercises``.

nbgrader does the work (``nbgrader generate_assignment`` in exercises/); this script runs it on a
copy of the course, so that the repository keeps no gradebook, and the same master gives the same
bytes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from book.tools import layout

COURSE = layout.ROOT / "exercises"


def main() -> None:
    """Write every student copy, or the one that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slug", nargs="?", default="", help="such as contrastive; all if left out")
    slug = parser.parse_args().slug
    for name in [checked(slug)] if slug else slugs():
        changed = write(name)
        print(f"exercises/release/{name}: {'written' if changed else 'as it was'}")


def slugs(course: Path = COURSE) -> list[str]:
    """The masters of a course, sorted."""
    found = (course / "source").glob("*/*.ipynb")
    return sorted(path.stem for path in found if path.stem == path.parent.name)


def checked(slug: str, course: Path = COURSE) -> str:
    """A slug that exists; ends the program with the list of those that do, if it does not."""
    if slug in slugs(course):
        return slug
    known = "\n".join(f"  {name}" for name in slugs(course)) or "  (none yet)"
    said = f"There are no exercises {slug!r}." if slug else "Say which exercises: SLUG=contrastive."
    sys.exit(f"{said} Those that exist:\n{known}")


def write(slug: str, course: Path = COURSE) -> bool:
    """Write one student copy into the course; return whether its bytes have changed."""
    target = course / "release" / slug / f"{slug}.ipynb"
    with tempfile.TemporaryDirectory() as folder:
        made = generate(slug, course, Path(folder))
        if target.is_file() and target.read_bytes() == made.read_bytes():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, target)
    return True


def generate(slug: str, course: Path, root: Path) -> Path:
    """Let nbgrader make a student copy, and its gradebook, below ``root``; return its path."""
    shutil.copytree(course / "source" / slug, root / "source" / slug)
    nbgrader("generate_assignment", slug, "--force", root=root)
    return root / "release" / slug / f"{slug}.ipynb"


def nbgrader(command: str, *arguments: str, root: Path) -> str:
    """Run an nbgrader command with this course's settings on the course in ``root``."""
    run = [sys.executable, "-m", "nbgrader", command, *arguments]
    place = [f"--CourseDirectory.root={root}"]
    config = [f"--config={COURSE / 'nbgrader_config.py'}"]
    done = subprocess.run(
        [*run, *place, *config],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"nbgrader {command} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    """Put this interpreter's folder on the path: nbgrader calls alembic by name, from there."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": folder + os.pathsep + os.environ.get("PATH", "")}


if __name__ == "__main__":
    main()
