"""From a flat folder to nbgrader's: odd names, seconds, giants, and what is no notebook."""

import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from book.tools import collect, grade, layout
from tests.exercises.notebook import answered, cell, released

NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


def collected(folder, *names):
    for name in names:
        (folder / name).write_text(NOTEBOOK)
    return {one.file: one for one in collect.submissions(folder)}


def test_odd_names_become_ids_that_stay_apart(tmp_path):
    names = ["ada.ipynb", "a b.ipynb", "a_b.ipynb", "Zoë, *[1]?.ipynb", "李雷.IPYNB", "...ipynb"]
    found = collected(tmp_path, *names[:-1], "-.ipynb")
    ids = [one.student for one in found.values()]
    assert len(set(map(str.casefold, ids))) == len(ids) == 6
    assert not [one for one in ids if set(one) & set("*[]?, /\\") or one[0] in ".-_"]
    assert found["ada.ipynb"].student == "ada"
    assert not [one.problem for one in found.values() if one.problem]


def test_a_name_is_the_same_student_every_time(tmp_path):
    first = collected(tmp_path, "a b.ipynb", "a_b.ipynb")
    again = collected(tmp_path)
    assert [one.student for one in first.values()] == [one.student for one in again.values()]


@pytest.mark.parametrize("second", ["Ada.ipynb", "ada (1).ipynb", "ada - Copy.ipynb", "ada.IPYNB"])
def test_two_files_of_one_student_are_refused_and_the_rest_is_not(second, tmp_path):
    found = collected(tmp_path, "ada.ipynb", second, "bob.ipynb")
    for name in ("ada.ipynb", second):
        assert "is one of 2 files of one student" in found[name].problem
        assert second in found[name].problem
    assert found["bob.ipynb"].problem == ""


def test_a_name_that_is_not_utf8_is_refused_and_the_rest_is_not(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"ad\xe9le.ipynb"), "w") as file:
        file.write(NOTEBOOK)
    found = collected(tmp_path, "bob.ipynb")
    assert "not UTF-8: rename it" in found["ad\\xe9le.ipynb"].problem
    assert found["bob.ipynb"].problem == ""


def test_a_giant_is_refused_unread_and_the_rest_is_not(tmp_path):
    with (tmp_path / "giant.ipynb").open("wb") as file:
        file.truncate(200_000_000)
    found = collected(tmp_path, "bob.ipynb")
    assert "has 200 MB, above the limit of 20 MB" in found["giant.ipynb"].problem
    assert found["giant.ipynb"].graded_zero
    assert found["bob.ipynb"].problem == ""


def test_other_files_are_named_and_hidden_ones_skipped(tmp_path):
    (tmp_path / ".DS_Store").write_text("")
    (tmp_path / "essay.pdf").write_text("")
    found = collected(tmp_path, "bob.ipynb")
    assert found.keys() == {"bob.ipynb", "essay.pdf"}
    assert "not an .ipynb file" in found["essay.pdf"].problem


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"cells": 3}', '{"cells": [{}], "nbformat": 4, "metadata": {}}', "[" * 9999],
)
def test_what_is_no_notebook_says_so(text, tmp_path):
    (tmp_path / "x.ipynb").write_text(text)
    (one,) = collect.submissions(tmp_path)
    assert one.problem or collect.read(one) is None
    assert "is not a notebook" in one.problem or "empty file" in one.problem
    assert one.graded_zero


def test_answers_and_added_cells_are_kept_and_checks_are_put_back():
    submitted = answered({"answer-1": "return helper()"})
    helper = new_code_cell("def helper():\n    return 1.0")
    submitted.cells.insert(submitted.cells.index(cell(submitted, "answer-1")), helper)
    cell(submitted, "checks-1").source = "pass"
    cell(submitted, "numbers-1").source = "COSINE = 1"
    merged = collect.merged(released(), submitted)
    sources = [one.source for one in merged.cells]
    handed_out = [one.source for one in released().cells]
    assert cell(submitted, "answer-1").source in sources
    assert sources.index(helper.source) + 1 == sources.index(cell(submitted, "answer-1").source)
    assert "pass" not in sources
    assert "COSINE = 1" not in sources
    assert {"checks-1", "numbers-1"} <= {
        one.metadata.nbgrader.grade_id for one in merged.cells if "nbgrader" in one.metadata
    }
    assert len(sources) == len(handed_out) + 1
    nbformat.validate(merged)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{empty}", "contrastive"), "is empty. It should hold one notebook a student"),
        (("{gone}", "contrastive"), "is no folder"),
        (("", "contrastive"), "SUBMISSIONS=folder"),
        (("{empty}", "algebra"), "There are no exercises 'algebra'. Those that exist:\n  contras"),
        (("{empty}", ""), "SLUG=contrastive"),
        (("{empty}", "contrastive", "--out", "book/grades"), "lies in the repository"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(arguments, words, tmp_path):
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "gone": tmp_path / "gone"}
    filled = [argument.format(**places) for argument in arguments]
    run = [sys.executable, "-m", "book.tools.grade", *filled]
    done = subprocess.run(run, cwd=layout.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(300)
def test_bad_files_do_not_stop_the_rest(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "one.ipynb").write_text(NOTEBOOK)
    (folder / "one (1).ipynb").write_text(NOTEBOOK)
    with (folder / "giant.ipynb").open("wb") as file:
        file.truncate(200_000_000)
    later = dict.fromkeys(("answer-2", "answer-3", "answer-4", "answer-5"), "raise KeyError")
    nbformat.write(answered(later), folder / "zoe.ipynb")
    results = grade.grade(collect.submissions(folder), "contrastive", tmp_path / "out")
    assert [result.score for result in results] == [0, 0, 0, 3]
    rows = (tmp_path / "out" / "grades.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["student_id", "giant", "zoe"]
