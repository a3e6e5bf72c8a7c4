"""The second set of exercises, graded by nbgrader: who is right gets all, who is wrong nothing."""

import pytest

from tests.exercises import graded

SLUG = "extreme_labels"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return graded.rows(SLUG, tmp_path_factory.mktemp("graded"))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("stem", graded.POINTS)
def test_a_submission_gets_what_its_answers_earn(stem, rows):
    assert float(rows[stem]["score"]) == graded.POINTS[stem], rows[stem]
    assert float(rows[stem]["max_score"]) == 33
    assert rows[stem]["flag"] == ""
