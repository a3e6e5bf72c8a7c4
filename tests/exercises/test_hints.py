"""Every likely mistake gets the hint that fits it, and no checks let it pass."""

import json

import pytest
from l2s.exercises import Mismatch

from tests.exercises import mistakes_contrastive
from tests.exercises.notebook import Session, answered, cell, master, with_body

CASES = [(answer, name) for answer, all_of in mistakes_contrastive.HINTS.items() for name in all_of]
ANSWERS = list(mistakes_contrastive.HINTS)


def checks_of(answer):
    number = answer.rpartition("-")[2]
    return f"numbers-{number}", f"checks-{number}", f"further-{number}"


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_exercise_has_at_least_three_likely_mistakes(answer):
    assert len(mistakes_contrastive.HINTS[answer]) >= 3


def test_every_answer_in_code_has_likely_mistakes():
    code = [one for one in master().cells if one.cell_type == "code"]
    solved = [one.id for one in code if one.metadata.get("nbgrader", {}).get("solution")]
    assert solved == ANSWERS


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_solution_passes_all_checks(answer):
    session = Session(master())
    numbers, visible, further = checks_of(answer)
    said = session.run("imports", numbers, answer, visible, further)
    assert said.split("\n") == ["The checks hold.", "The checks hold.", ""]


@pytest.mark.parametrize(("answer", "name"), CASES)
def test_a_likely_mistake_gets_its_hint(answer, name):
    body, words = mistakes_contrastive.HINTS[answer][name]
    numbers, visible, _ = checks_of(answer)
    session = Session(answered({answer: body}))
    session.run("imports", numbers, answer)
    with pytest.raises(Mismatch, match="expected|gradient|Expected") as caught:
        session.run(visible)
    assert words in str(caught.value)


@pytest.mark.parametrize(("answer", "name"), CASES)
def test_a_likely_mistake_is_also_refused_on_fresh_input(answer, name):
    body = mistakes_contrastive.HINTS[answer][name][0]
    further = checks_of(answer)[2]
    notebook = master()
    cell(notebook, answer).source = with_body(cell(notebook, answer).source, body)
    session = Session(notebook)
    session.run("imports", answer)
    with pytest.raises(Exception):  # noqa: B017, PT011 (any failure refuses the points)
        session.run(further)


def test_metadata_of_numbers_lists_what_a_variant_may_draw():
    for one in master().cells:
        if "numbers" in one.metadata.get("tags", []):
            choices = one.metadata["l2s"]["choices"]
            assert all(len(values) >= 3 for values in choices.values())
            assert json.dumps(choices)
