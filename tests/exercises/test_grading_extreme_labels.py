"""The second set of exercises, graded by nbgrader: who is right gets all, who is wrong nothing."""

import csv

import nbformat
import pytest

from book.tools import collect, grade
from tests.exercises.mistakes import ALTERNATIVES, HINTS
from tests.exercises.notebook import answered

SLUG = "extreme_labels"
SUBMISSIONS = {
    "solution": {},
    "other": {answer: next(iter(one.values())) for answer, one in ALTERNATIVES[SLUG].items()},
    "mistaken": {answer: next(iter(one.values()))[0] for answer, one in HINTS[SLUG].items()},
}
POINTS = {"solution": 23, "other": 23, "mistaken": 0}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("submissions"), tmp_path_factory.mktemp("grades")
    for stem, bodies in SUBMISSIONS.items():
        nbformat.write(answered(bodies, SLUG), folder / f"{stem}.ipynb")
    grade.grade(collect.submissions(folder), SLUG, out, limits={"timeout": 60, "deadline": 180})
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("stem", SUBMISSIONS)
def test_a_submission_gets_what_its_answers_earn(stem, rows):
    assert float(rows[stem]["score"]) == POINTS[stem], rows[stem]
    assert float(rows[stem]["max_score"]) == 33
    assert rows[stem]["flag"] == ""
