"""Variants: other numbers, solved by their master, the same for the same seed."""

import subprocess
import sys

import nbformat
import pytest
from l2s.exercises import Mismatch

from book.tools import layout, make_variant
from tests.exercises.mistakes import ANSWERS, HINTS
from tests.exercises.notebook import (
    Session,
    cell,
    cells_before_checks,
    hidden_lines,
    master,
    with_body,
)

SLUG = "contrastive"
SEED = 17


def numbers(notebook):
    return {
        one.id: one.source for one in notebook.cells if "numbers" in one.metadata.get("tags", [])
    }


@pytest.fixture(scope="module", params=HINTS)
def variant(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("variant")
    make_variant.write(request.param, SEED, out)
    return request.param, out


@pytest.mark.parametrize("slug", HINTS)
def test_two_seeds_differ_and_one_seed_is_identical(slug):
    first, again, other = (
        make_variant.varied(master(slug), seed) for seed in (SEED, SEED, SEED + 1)
    )
    assert nbformat.writes(first) == nbformat.writes(again)
    assert numbers(first) != numbers(other)
    assert numbers(first) != numbers(master(slug))
    for name, source in numbers(first).items():
        assert len(source.splitlines()) == len(numbers(master(slug))[name].splitlines())


@pytest.mark.parametrize("slug", HINTS)
def test_a_variant_changes_numbers_and_nothing_else(slug):
    changed = make_variant.varied(master(slug), SEED)
    for old, new in zip(master(slug).cells, changed.cells, strict=True):
        assert old.source == new.source or old.id.startswith("numbers-")


@pytest.mark.parametrize("seed", [0, SEED, 2024])
@pytest.mark.parametrize("slug", HINTS)
def test_the_master_of_a_variant_solves_it(slug, seed):
    session = Session(make_variant.varied(master(slug), seed))
    names = [one.id for one in session.notebook.cells if one.cell_type == "code"]
    said = session.run(*(name for name in names if name not in ("install", "study")))
    assert said.count("The checks hold.") == 2 * len(HINTS[slug])


@pytest.mark.parametrize(("slug", "answer"), ANSWERS)
def test_hints_fit_the_numbers_of_a_variant(slug, answer):
    for body, words in HINTS[slug][answer].values():
        notebook = make_variant.varied(master(slug), SEED)
        cell(notebook, answer).source = with_body(cell(notebook, answer).source, body)
        session = Session(notebook)
        session.run(*cells_before_checks(notebook, answer))
        with pytest.raises(Mismatch) as caught:
            session.run(f"checks-{answer.rpartition('-')[2]}")
        assert words in str(caught.value)


def test_the_student_copy_of_a_variant_holds_no_solution_and_no_hidden_check(variant):
    slug, out = variant
    copy = nbformat.read(out / "release" / slug / f"{slug}.ipynb", as_version=4)
    text = "\n".join(one.source for one in copy.cells)
    assert not [line for line in hidden_lines(slug=slug) if line in text]
    assert numbers(copy) == numbers(make_variant.varied(master(slug), SEED))


def test_the_same_seed_writes_the_same_bytes(variant, tmp_path):
    slug, out = variant
    make_variant.write(slug, SEED, tmp_path)
    for part in ("source", "release"):
        path = f"{part}/{slug}/{slug}.ipynb"
        assert (tmp_path / path).read_bytes() == (out / path).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((SLUG, "seven"), "whole number"), (("algebra", "7"), "There are no exercises 'algebra'")],
)
def test_bad_input_is_refused_in_a_sentence(arguments, words):
    run = [sys.executable, "-m", "book.tools.make_variant", *arguments]
    done = subprocess.run(run, cwd=layout.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
