"""Every likely mistake gets the hint that fits it, and no checks let it pass."""

import json

import pytest
from l2s.exercises import Mismatch

from book.tools import release_exercises
from tests.exercises.mistakes import ALTERNATIVES, ANSWERS, HINTS
from tests.exercises.notebook import (
    Session,
    answered,
    cell,
    cells_before_checks,
    master,
    with_body,
)

CASES = [(slug, answer, name) for slug, answer in ANSWERS for name in HINTS[slug][answer]]
OTHERS = [
    (slug, answer, name)
    for slug, answers in ALTERNATIVES.items()
    for answer, bodies in answers.items()
    for name in bodies
]


def checks_of(answer):
    number = answer.rpartition("-")[2]
    return f"checks-{number}", f"further-{number}"


def test_every_master_has_likely_mistakes():
    assert list(HINTS) == release_exercises.slugs()


@pytest.mark.parametrize(("slug", "answer"), ANSWERS)
def test_an_exercise_has_at_least_three_likely_mistakes(slug, answer):
    assert len(HINTS[slug][answer]) >= 3


@pytest.mark.parametrize("slug", HINTS)
def test_every_answer_in_code_has_likely_mistakes(slug):
    code = [one for one in master(slug).cells if one.cell_type == "code"]
    solved = [one.id for one in code if one.metadata.get("nbgrader", {}).get("solution")]
    assert solved == list(HINTS[slug])


@pytest.mark.parametrize(("slug", "answer"), ANSWERS)
def test_the_solution_passes_all_checks(slug, answer):
    session = Session(master(slug))
    said = session.run(*cells_before_checks(session.notebook, answer), *checks_of(answer))
    assert said.split("\n") == ["The checks hold.", "The checks hold.", ""]


@pytest.mark.parametrize(("slug", "answer", "name"), OTHERS)
def test_another_right_answer_passes_all_checks(slug, answer, name):
    notebook = master(slug)
    source = cell(notebook, answer).source
    cell(notebook, answer).source = with_body(source, ALTERNATIVES[slug][answer][name])
    session = Session(notebook)
    said = session.run(*cells_before_checks(notebook, answer), *checks_of(answer))
    assert said.split("\n") == ["The checks hold.", "The checks hold.", ""]


@pytest.mark.parametrize(("slug", "answer", "name"), CASES)
def test_a_likely_mistake_gets_its_hint(slug, answer, name):
    body, words = HINTS[slug][answer][name]
    session = Session(answered({answer: body}, slug))
    session.run(*cells_before_checks(session.notebook, answer))
    with pytest.raises(Mismatch, match="expected|gradient|Expected") as caught:
        session.run(checks_of(answer)[0])
    assert words in str(caught.value)


@pytest.mark.parametrize(("slug", "answer", "name"), CASES)
def test_a_likely_mistake_is_also_refused_on_fresh_input(slug, answer, name):
    body = HINTS[slug][answer][name][0]
    notebook = master(slug)
    cell(notebook, answer).source = with_body(cell(notebook, answer).source, body)
    session = Session(notebook)
    session.run("imports", answer)
    with pytest.raises(Exception):  # noqa: B017, PT011 (any failure refuses the points)
        session.run(checks_of(answer)[1])


@pytest.mark.parametrize("slug", HINTS)
def test_metadata_of_numbers_lists_what_a_variant_may_draw(slug):
    for one in master(slug).cells:
        if "numbers" in one.metadata.get("tags", []):
            choices = one.metadata["l2s"]["choices"]
            assert all(len(values) >= 3 for values in choices.values())
            assert json.dumps(choices)
