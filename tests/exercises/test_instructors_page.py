"""The instructors' page is followed from top to bottom in an empty folder: every command runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from book.tools import layout

PAGE = layout.ROOT / "book" / "instructors.md"
SERVER_SECONDS = 20


def commands():
    """The lines of all boxes marked bash, in order."""
    boxes = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    return [line for box in boxes for line in box.splitlines() if line.strip()]


def clone(folder: Path) -> None:
    """What `git clone` gives, from the files as they are, with this environment as its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=layout.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (layout.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(layout.ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    for part in ("bin", "etc", "lib", "pyvenv.cfg", "share"):
        (folder / ".venv").mkdir(exist_ok=True)
        (folder / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    (folder / ".venv" / ".installed").touch()


def script(home: Path) -> str:
    """The page's commands as one script, the two adapted that need a network or a person."""
    lines = ["set -euo pipefail"]
    for line in commands():
        if line.startswith("git clone"):
            lines.append("test -d learning-to-select")
        elif line == "jupyter lab":
            server = "jupyter lab --no-browser --allow-root --port=0 --ip=127.0.0.1"
            log = home / "server.txt"
            lines.append(f"timeout {SERVER_SECONDS} {server} > {log} 2>&1 || test $? = 124")
        else:
            lines.append(line)
    return "\n".join(lines)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    home = tmp_path_factory.mktemp("empty")
    place = home / "learning-to-select"
    place.mkdir()
    clone(place)
    path = f"{place / 'lib'}{os.pathsep}{place}"
    done = subprocess.run(
        ["bash", "-c", script(home)],
        cwd=home,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return home


pytestmark = pytest.mark.timeout(600)


def test_the_page_has_commands_for_each_step():
    text = "\n".join(commands())
    for step in ("make exercises", "make grade", "make variant", "nbgrader autograde", "COURSE="):
        assert step in text


def test_the_page_leads_to_grades_and_feedback(followed):
    out = followed / "learning-to-select" / "_runs" / "grades" / "contrastive"
    rows = (out / "grades.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[1] for row in rows] == ["student_id", "Ada_Lovelace_4711", "model"]
    assert [row.split(",")[3] for row in rows[1:]] == ["0", "23"]
    names = sorted(path.name for path in (out / "feedback_pages").iterdir())
    assert names == ["Ada_Lovelace_4711.html", "model.html"]


def test_plain_nbgrader_grades_too(followed):
    course = followed / "learning-to-select" / "exercises"
    page = (course / "feedback" / "ada" / "contrastive" / "contrastive.html").read_text()
    assert "0 of 33 points" in page
    assert "NotImplementedError" in page


def test_a_variant_is_graded_with_its_own_master(followed):
    assert (followed / "private-grades" / "grades.csv").is_file()
    assert (followed / "private" / "release" / "contrastive" / "contrastive.ipynb").is_file()


def test_the_formgrader_is_there(followed):
    said = (followed / "server.txt").read_text()
    assert "Jupyter Server" in said
    assert re.search(r"nbgrader.*(enabled|loaded|formgrader)|formgrader", said, re.I), said[-2000:]


def test_the_repository_is_as_it_was(followed):
    place = followed / "learning-to-select"
    subprocess.run(["git", "add", "--all"], cwd=place, check=True)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=place, capture_output=True, text=True, check=True
    )
    made = [line for line in listed.stdout.split() if not (layout.ROOT / line).exists()]
    assert made == []


def test_the_page_says_which_chapters_exist():
    text = PAGE.read_text(encoding="utf-8")
    there = sum(line.endswith("| yes |") for line in text.splitlines())
    assert ("**One chapter exists today**" in text) == (len(layout.chapters()) == 1)
    assert there == 4
