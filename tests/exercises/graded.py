"""A folder of submissions with right and wrong answers, graded by nbgrader."""

import csv
from pathlib import Path

import nbformat

from book.tools import collect, grade
from tests.exercises.mistakes import ALTERNATIVES, HINTS
from tests.exercises.notebook import answered

POINTS = {"solution": 23, "other": 23, "mistaken": 0}


def bodies(slug: str, stem: str) -> dict[str, str]:
    """The answers of a submission: none for the solution, another right one, or a mistake each."""
    if stem == "other":
        return {answer: next(iter(one.values())) for answer, one in ALTERNATIVES[slug].items()}
    if stem == "mistaken":
        return {answer: next(iter(one.values()))[0] for answer, one in HINTS[slug].items()}
    return {}


def rows(slug: str, folder: Path, stems: tuple[str, ...] = tuple(POINTS)) -> dict[str, dict]:
    """Grade the submissions in a new folder; return a row of the gradebook for each."""
    submitted, out = folder / "submissions", folder / "grades"
    submitted.mkdir()
    for stem in stems:
        nbformat.write(answered(bodies(slug, stem), slug), submitted / f"{stem}.ipynb")
    grade.grade(collect.submissions(submitted), slug, out, limits={"timeout": 60, "deadline": 180})
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}
