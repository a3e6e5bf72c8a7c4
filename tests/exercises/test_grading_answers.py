"""The exercises of most chapters, graded by nbgrader.

The solutions themselves are run in this process elsewhere; here somebody is right in another way,
and somebody makes the first likely mistake of each exercise. Two chapters have files of their own,
which look at more.
"""

import pytest

from book.tools import release_exercises
from tests.exercises import graded
from tests.exercises.notebook import skip_without_triton

STEMS = ("other", "mistaken")
ELSEWHERE = {"contrastive", "extreme_labels"}
SLUGS = [slug for slug in release_exercises.slugs() if slug not in ELSEWHERE]


@pytest.fixture(scope="module", params=SLUGS)
def rows(request, tmp_path_factory):
    if request.param == "statistical_topk":
        skip_without_triton()
    return graded.rows(request.param, tmp_path_factory.mktemp("graded"), STEMS)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("stem", STEMS)
def test_a_submission_gets_what_its_answers_earn(stem, rows):
    assert float(rows[stem]["score"]) == graded.POINTS[stem], rows[stem]
    assert float(rows[stem]["max_score"]) == 33
    assert rows[stem]["flag"] == ""
