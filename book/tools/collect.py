"""Lay out a flat folder of notebooks, as a learning platform exports it, for nbgrader.

``<student>.ipynb`` becomes ``submitted/<student>/<slug>/<slug>.ipynb``. Answers are put into the
student copy as it was handed out, with cells that a student added beside them: so tests that were
edited or deleted are there again, and nothing else of a file matters.
"""

import copy
import hashlib
import os
import re
import unicodedata
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

MEGABYTES = 20  # a larger notebook holds outputs, not answers

# What a browser, a file manager or Jupyter appends to the name of a second file.
_SECOND = re.compile(r"\s*(\(\d+\)| - Copy|-Copy\d*)$")


@dataclass
class Submission:
    """One file: whose it is, and why it cannot be graded, if so."""

    path: Path
    student: str
    problem: str = ""
    graded_zero: bool = False  # the file is refused, but it is clear whose it is: 0 points

    @property
    def file(self) -> str:
        """The file's name, printable whatever its bytes are."""
        return os.fsencode(self.path.name).decode("utf-8", errors="backslashreplace")


def submissions(folder: Path, megabytes: float = MEGABYTES) -> list[Submission]:
    """Every notebook of a flat folder, by student; files that cannot be graded say why."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    found = [_submission(path, megabytes) for path in sorted(files, key=os.fsencode)]
    _refuse_seconds(found)
    _tell_apart(found)
    return found


def read(submission: Submission) -> NotebookNode | None:
    """Read a submission's notebook, or say in the submission why it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notebook = nbformat.reads(submission.path.read_text("utf-8"), as_version=4)
        for cell in notebook.cells:
            _ = (cell.cell_type, cell.source + "", cell.metadata.get("nbgrader"))
    except Exception as error:  # a file may hold anything at all
        said = str(error).strip().split("\n")[0][:120]
        submission.problem = f"is not a notebook ({type(error).__name__}: {said})"
        submission.graded_zero = True
        return None
    return notebook


def merged(handed_out: NotebookNode, submitted: NotebookNode) -> NotebookNode:
    """The student copy as handed out, with the submission's answers and added cells."""
    answers, added = _answers(handed_out, submitted)
    result = copy.deepcopy(handed_out)
    cells = list(map(_added, added[""]))
    for cell in result.cells:
        name = _name(cell)
        if name in answers and _is_own(cell):
            cell.source = answers[name]
        cells += [cell, *map(_added, added[name])]
    for at, cell in enumerate(cells):
        cell["id"] = f"cell-{at}"
    result.cells = cells
    return result


def _submission(path: Path, megabytes: float) -> Submission:
    try:
        stem = os.fsencode(path.stem).decode("utf-8")
    except UnicodeDecodeError:
        return Submission(path, "", "has a name that is not UTF-8: rename it to <student>.ipynb")
    if path.suffix.lower() != ".ipynb":
        return Submission(path, "", "is not an .ipynb file: ask for the notebook itself")
    student = unicodedata.normalize("NFC", stem).strip()
    size = path.stat().st_size / 1e6
    if size > megabytes:
        said = f"has {size:.0f} MB, above the limit of {megabytes:g} MB: ask for it without outputs"
        return Submission(path, student, said, graded_zero=True)
    if size == 0:
        return Submission(path, student, "is an empty file", graded_zero=True)
    return Submission(path, student)


def _refuse_seconds(found: list[Submission]) -> None:
    """Refuse all files of a student who has several: only the instructor can say which counts."""
    by_student = defaultdict(list)
    for one in found:
        if one.student:
            by_student[_SECOND.sub("", one.student).casefold()].append(one)
    for files in by_student.values():
        if len(files) > 1:
            names = ", ".join(one.file for one in files)
            for one in files:
                one.problem = f"is one of {len(files)} files of one student ({names}): keep one"
                one.student, one.graded_zero = "", False
        else:
            files[0].student = _SECOND.sub("", files[0].student)


def _tell_apart(found: list[Submission]) -> None:
    """Turn names into ids that nbgrader's paths can hold; names that would meet stay apart."""
    ids = defaultdict(list)
    for one in found:
        if one.student:
            plain = re.sub(r"[^\w.@-]+", "_", one.student).strip("._-")
            ids[(plain or "student").casefold()].append((one, plain or "student"))
    for same in ids.values():
        for one, plain in same:
            mark = hashlib.sha256(one.student.encode()).hexdigest()[:6]
            one.student = plain if len(same) == 1 else f"{plain}-{mark}"


def _answers(
    handed_out: NotebookNode, submitted: NotebookNode
) -> tuple[dict[str, str], dict[str, list[NotebookNode]]]:
    """Sources by cell name, and the student's own cells by the name of the cell above them."""
    known = {_name(cell) for cell in handed_out.cells}
    answers: dict[str, str] = {}
    added: dict[str, list[NotebookNode]] = defaultdict(list)
    above = ""
    for cell in submitted.cells:
        name = _name(cell)
        if name in known and name not in answers:
            answers[name] = cell.source
            above = name
        else:
            added[above].append(cell)
    return answers, added


def _name(cell: NotebookNode) -> str:
    """A cell's name in the master; some editors keep nbgrader's, some the id, some move the id."""
    inside = cell.metadata.get("nbgrader")
    grade_id = inside.get("grade_id") if isinstance(inside, dict) else None
    return str(grade_id or cell.get("id") or cell.metadata.get("id") or "")


def _is_own(cell: NotebookNode) -> bool:
    """Whether a cell of the student copy is the student's to fill in."""
    inside = cell.metadata.get("nbgrader", {})
    return bool(inside.get("solution")) or (not inside and "tags" not in cell.metadata)


def _added(cell: NotebookNode) -> NotebookNode:
    """A student's own cell, without anything but its text."""
    make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
    return make(cell.source)
