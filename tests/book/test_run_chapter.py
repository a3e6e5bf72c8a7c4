"""A chapter runs with other parameters, and a wrong name is answered with the right ones."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from book.tools import layout, run_bench, run_chapter
from tests.book import sample
from tests.book.notebooks import Notebook


@pytest.fixture
def root(tmp_path):
    path = sample.write(tmp_path).path
    parameters = new_code_cell('profile = "quick"\nseed = 1000\nsteps = 10')
    parameters.metadata["tags"] = ["parameters"]
    cells = [parameters, new_code_cell("print(profile, seed, steps)")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    return tmp_path


def test_the_book_has_chapters_and_they_are_found():
    assert "labels/contrastive" in layout.chapters()


def test_parameters_reach_the_copy_and_the_chapter_stays(root):
    source = root / "chapters/labels/sample.ipynb"
    before = source.read_bytes()
    values = {"profile": "full", "seed": 3, "steps": "a/b [1]"}
    target = run_chapter.run(sample.NAME, values, root)
    assert target == root / "_runs/labels-sample-profile-full-seed-3-steps-a-b-1-.ipynb"
    assert Notebook.read(target).code[-1].text.strip() == "full 3 a/b [1]"
    assert source.read_bytes() == before


def test_an_unknown_chapter_is_answered_with_those_that_exist(root):
    with pytest.raises(SystemExit, match="no chapter 'nonsense'.*\n  labels/sample"):
        run_chapter.run("nonsense", {}, root)
    with pytest.raises(SystemExit, match="CHAPTER=part/slug.*\n  labels/sample"):
        run_chapter.run("", {}, root)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"step": 3}, "no parameter 'step'; it has profile, seed, steps"),
        ({"profile": "ful"}, "PROFILE is 'ful', but must be quick or full"),
        ({"seed": "three"}, "SEED is 'three', but must be a whole number"),
    ],
)
def test_a_wrong_parameter_is_refused_before_the_run(values, words, root):
    with pytest.raises(SystemExit, match=words):
        run_chapter.run(sample.NAME, values, root)
    assert not (root / "_runs").exists()


def test_values_are_read_as_numbers_where_they_are_numbers(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        "sys.argv", ["run", "labels/x", "--profile", "", "--seed", "3", "-p", "name", "a b"]
    )
    monkeypatch.setattr(
        run_chapter, "run", lambda name, values: asked.update(values) or run_chapter.layout.ROOT
    )
    run_chapter.main()
    assert asked == {"seed": 3, "name": "a b"}


def test_an_unknown_benchmark_is_answered_with_those_that_exist(monkeypatch):
    monkeypatch.setattr("sys.argv", ["bench", "nonsense"])
    with pytest.raises(SystemExit, match="no benchmark 'nonsense'; there are: "):
        run_bench.main()
