"""Variants: other numbers, solved by their master, the same for the same seed."""

import subprocess
import sys

import nbformat
import pytest
from l2s.exercises import Mismatch

from book.tools import layout, make_variant
from tests.exercises import mistakes_contrastive
from tests.exercises.notebook import Session, cell, hidden_lines, master, with_body

SLUG = "contrastive"
SEED = 17


def numbers(notebook):
    return {
        one.id: one.source for one in notebook.cells if "numbers" in one.metadata.get("tags", [])
    }


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    out = tmp_path_factory.mktemp("variant")
    make_variant.write(SLUG, SEED, out)
    return out


def test_two_seeds_differ_and_one_seed_is_identical():
    first, again, other = (make_variant.varied(master(), seed) for seed in (SEED, SEED, SEED + 1))
    assert nbformat.writes(first) == nbformat.writes(again)
    assert numbers(first) != numbers(other)
    assert numbers(first) != numbers(master())
    for name, source in numbers(first).items():
        assert len(source.splitlines()) == len(numbers(master())[name].splitlines())


def test_a_variant_changes_numbers_and_nothing_else():
    changed = make_variant.varied(master(), SEED)
    for old, new in zip(master().cells, changed.cells, strict=True):
        assert old.source == new.source or old.id.startswith("numbers-")


@pytest.mark.parametrize("seed", [0, SEED, 2024])
def test_the_master_of_a_variant_solves_it(seed):
    session = Session(make_variant.varied(master(), seed))
    names = [one.id for one in session.notebook.cells if one.cell_type == "code"]
    said = session.run(*(name for name in names if name not in ("install", "study")))
    assert said.count("The checks hold.") == 10


@pytest.mark.parametrize("answer", mistakes_contrastive.HINTS)
def test_hints_fit_the_numbers_of_a_variant(answer):
    for body, words, *further in mistakes_contrastive.HINTS[answer].values():
        notebook = make_variant.varied(master(), SEED)
        cell(notebook, answer).source = with_body(cell(notebook, answer).source, body)
        number = answer.rpartition("-")[2]
        session = Session(notebook)
        session.run("imports", f"numbers-{number}", answer)
        if not further:
            with pytest.raises(Mismatch) as caught:
                session.run(f"checks-{number}")
            assert words in str(caught.value)


def test_the_student_copy_of_a_variant_holds_no_solution_and_no_hidden_check(variant):
    copy = nbformat.read(variant / "release" / SLUG / f"{SLUG}.ipynb", as_version=4)
    text = "\n".join(one.source for one in copy.cells)
    assert not [line for line in hidden_lines() if line in text]
    assert numbers(copy) == numbers(make_variant.varied(master(), SEED))


def test_the_same_seed_writes_the_same_bytes(variant, tmp_path):
    make_variant.write(SLUG, SEED, tmp_path)
    for part in ("source", "release"):
        path = f"{part}/{SLUG}/{SLUG}.ipynb"
        assert (tmp_path / path).read_bytes() == (variant / path).read_bytes()


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
