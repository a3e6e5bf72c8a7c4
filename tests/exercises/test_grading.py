"""A folder of honest, broken and hostile submissions: each gets what its answers earn."""

import csv
import re

import nbformat
import pytest

from book.tools import collect, grade
from tests.exercises import abuse
from tests.exercises.notebook import hidden_lines

LIMITS = {"timeout": 8, "deadline": 90}
SLUG = "contrastive"


@pytest.fixture(scope="module")
def cases():
    return abuse.cases()


@pytest.fixture(scope="module")
def graded(cases, tmp_path_factory):
    """The folder in which all cases, and a file that is no notebook, have been graded."""
    folder, out = tmp_path_factory.mktemp("submissions"), tmp_path_factory.mktemp("grades")
    for stem, (notebook, *_) in cases.items():
        nbformat.write(notebook, folder / f"{stem}.ipynb")
    (folder / "not-a-notebook.ipynb").write_bytes(b"%PDF-1.7 \xff\xfe")
    (folder / "nothing.ipynb").write_text("")
    grade.grade(collect.submissions(folder), SLUG, out, limits=LIMITS)
    return out


@pytest.fixture(scope="module")
def rows(graded):
    with (graded / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}


pytestmark = pytest.mark.timeout(600)


def test_every_submission_has_a_row(cases, rows):
    assert rows.keys() == cases.keys() | {"not-a-notebook", "nothing"}


@pytest.mark.parametrize("stem", abuse.cases())
def test_a_submission_gets_what_its_answers_earn(stem, cases, rows):
    _, points, is_flagged = cases[stem]
    row = rows[stem]
    assert float(row["score"]) == points, row
    assert bool(row["flag"]) >= is_flagged, row
    assert float(row["max_score"]) == 33


@pytest.mark.parametrize(
    "stem",
    ["skips-cells", "patches-our-checks", "patches-close", "patches-judge", "patches-verdict"],
)
def test_the_canaries_say_whose_checks_no_longer_check(stem, rows):
    assert "its checks were disarmed or skipped" in rows[stem]["flag"]


@pytest.mark.parametrize("stem", ["not-a-notebook", "nothing", "os-exit"])
def test_who_cannot_be_graded_gets_zero_and_a_reason(stem, rows):
    assert float(rows[stem]["score"]) == 0
    assert re.search("not a notebook|empty file|process died", rows[stem]["note"])


def test_honest_submissions_are_not_flagged(rows):
    honest = ("correct", "Zoë Müller, 4711 (final) v2", "crash", "syntax-error", "endless-loop")
    assert [rows[stem]["flag"] for stem in honest] == [""] * 5


def test_every_student_has_a_page_of_feedback(rows, graded):
    pages = {path.stem for path in (graded / "feedback_pages").iterdir()}
    assert pages == {row["student_id"] for row in rows.values()}


def test_feedback_shows_answers_scores_and_hints(rows, graded):
    page = _page(graded, rows["edited-tests"])
    assert "4 of 33 points" in page
    assert "further-1: 0 of 2" in page
    assert "Hint: " in page
    assert "the sign is not" in page
    assert "return -sum(weights)" in page


def test_feedback_shows_no_hidden_test_and_asks_nothing_of_any_host(rows, graded):
    secret = hidden_lines("HIDDEN TESTS")
    assert len(secret) > 60
    for row in rows.values():
        page = _page(graded, row)
        assert not [line for line in secret if line in page]
        assert not re.search(r"""<(script|link|img|iframe)|src=|url\(|https?://""", page)
        if "process died" not in row["note"] and not row["note"]:
            assert "default-src 'none'" in page


def test_a_second_run_keeps_manual_scores(graded, tmp_path):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}", "learning-to-select") as book:
        book.find_grade("report-6", SLUG, SLUG, "correct").manual_score = 8
        book.db.commit()
    nbformat.write(abuse.cases()["correct"][0], tmp_path / "correct.ipynb")
    (result,) = grade.grade(collect.submissions(tmp_path), SLUG, graded, limits=LIMITS)
    assert result.score == abuse.ONE + abuse.TWO + 8


def test_a_submission_that_cannot_be_stopped_ends_at_the_deadline(tmp_path):
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass"
    notebook = abuse._with_source("answer-1", deaf)
    nbformat.write(notebook, tmp_path / "deaf.ipynb")
    limits = {"timeout": 2, "deadline": 12}
    (result,) = grade.grade(collect.submissions(tmp_path), SLUG, tmp_path / "out", limits=limits)
    assert result.score == 0
    assert re.search("took more than 12 s|could not be interrupted", result.submission.problem)


def _page(graded, row):
    return (graded / "feedback_pages" / f"{row['student_id']}.html").read_text(encoding="utf-8")
