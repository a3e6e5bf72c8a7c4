"""A skeleton is complete, fails until it is filled, and goes when its files go."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml

from book.tools import layout, new_chapter
from tests.book import sample, toc

NAME = "sketches/first_steps"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of this tree, with a chapter that nobody filled."""
    root = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=layout.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (layout.ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(layout.ROOT / name, root / name)
    before = {path: (root / path).read_bytes() for path in ("_toc.yml", "pyproject.toml")}
    written = new_chapter.start(NAME, title='First "steps"', caption="Sketches: shapes", root=root)
    return root, written, before


def test_every_floor_is_written(copy):
    root, written, _ = copy
    assert [str(path) for path in written] == [
        "_toc.yml",
        "book/api/sketches/first_steps.md",
        "chapters/sketches/first_steps.ipynb",
        "exercises/source/first_steps/first_steps.ipynb",
        "lib/l2s/sketches/__init__.py",
        "lib/l2s/sketches/first_steps.py",
        "pyproject.toml",
        "tests/sketches/__init__.py",
        "tests/sketches/test_first_steps.py",
    ]
    pages = layout.documents(root)
    assert {f"chapters/{NAME}", f"book/api/{NAME}"} <= set(pages)
    contents = yaml.safe_load((root / "_toc.yml").read_text())
    captions = {part["caption"]: part["chapters"] for part in contents["parts"]}
    assert {"file": f"chapters/{NAME}"} in captions["Sketches: shapes"]
    for path in written:
        assert not re.search(r"__(PART|SLUG|KEBAB|TITLE|INSTALL)__", (root / path).read_text())


def test_the_skeletons_pass_lint(copy):
    root, written, _ = copy
    files = [str(path) for path in written if path.suffix in (".py", ".ipynb")]
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", *files]
        done = subprocess.run(ruff, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_exercise_is_a_master_in_nbgrader_s_format(copy):
    root, _, _ = copy
    master = nbformat.read(root / "exercises/source/first_steps/first_steps.ipynb", as_version=4)
    nbformat.validate(master)
    marked = [cell for cell in master.cells if "nbgrader" in cell.metadata]
    names = [cell.metadata.nbgrader.grade_id for cell in marked]
    assert len(set(names)) == len(names) == len(marked)
    graded = [cell for cell in marked if cell.metadata.nbgrader.grade]
    assert len(graded) >= 4
    assert all(cell.metadata.nbgrader.points > 0 for cell in graded)
    text = "\n".join(cell.source for cell in master.cells)
    for region in ("SOLUTION", "HIDDEN TESTS"):
        assert text.count(f"### BEGIN {region}") == text.count(f"### END {region}") > 0


@pytest.mark.timeout(240)
def test_a_skeleton_fails_until_its_files_are_gone(copy):
    root, written, before = copy
    failed = _failures(root, "tests/sketches")
    assert "test_nothing_is_left_to_write" in failed
    assert "test_first_steps.py" in failed
    assert re.search(r"test_chapter\[.*every_cell_has_run", failed)
    for path in written:
        if str(path) in before:
            (root / path).write_bytes(before[str(path)])
        else:
            (root / path).unlink()
    failed = _failures(root)
    assert "first_steps" not in failed
    assert "left_to_write" not in failed
    assert "first_steps" not in " ".join(toc.problems(root) + toc.missing_floors(root))


def _failures(root, *more):
    """The lines that pytest prints for tests that fail; another chapter may be at work."""
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    environment["PYTHONPATH"] = str(root / "lib")
    tests = ["tests/book/test_chapters.py", *more]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:xdist", *tests],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if line.startswith("FAILED"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonsense", "is not part/slug"),
        ("labels/Two-Words", "lower-case letters, digits and underscores"),
        ("labels/class", "a word of Python's own"),
        ("train/fast", "a module below the chapters"),
        ("other/sample", "taken by labels/sample"),
        ("labels/half", "exist: lib/l2s/labels/half.py"),
    ],
)
def test_an_unfit_name_is_refused_and_nothing_is_written(name, words, tmp_path):
    sample.write(tmp_path)
    (tmp_path / "lib/l2s/labels/half.py").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match=words):
        new_chapter.start(name, root=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


CONTENTS = """\
# a comment that stays
format: jb-book
root: book/preface
parts:
  - caption: Before you start
    chapters:
      - file: book/setup
  - caption: Labels
    chapters:
      - file: chapters/labels/a
        sections:
          - file: exercises/release/a/a

  - caption: The library
    chapters:
      - file: book/api/index
        sections:
          - file: book/api/checks
          - file: book/api/labels/a
"""


@pytest.mark.parametrize(
    ("part", "before", "after"),
    [
        ("labels", "exercises/release/a/a", "book/api/index"),  # at the end of its part
        ("geometry", "exercises/release/a/a", "book/api/index"),  # a part after the last one
    ],
)
def test_toc_lines_go_where_a_reader_expects_them(part, before, after, tmp_path):
    text = new_chapter.with_toc_lines(CONTENTS, part, "b", "A part")
    (tmp_path / "_toc.yml").write_text(text)
    pages = layout.documents(tmp_path)
    at = pages.index(f"chapters/{part}/b")
    assert (pages[at - 1], pages[at + 1]) == (before, after)
    assert pages[-1] == f"book/api/{part}/b"
    captions = [entry["caption"] for entry in yaml.safe_load(text)["parts"]]
    assert ("A part" in captions) is (part == "geometry")
    assert text.startswith("# a comment that stays\n")


def test_a_new_part_gets_its_place_in_the_import_contracts():
    text = (layout.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    changed = new_chapter.with_import_contracts(text, "newpart")
    floors, alone = tomllib.loads(changed)["tool"]["importlinter"]["contracts"]
    assert floors["layers"][0].endswith(" | newpart")
    assert "l2s.newpart.*" in alone["modules"]
    assert new_chapter.with_import_contracts(changed, "newpart") == changed
