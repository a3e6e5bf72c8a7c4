"""A refreshed notebook is the same bytes each time, and what lint and the checks expect."""

import subprocess
import sys

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.tools import layout, refresh
from tests.book import hygiene, sample
from tests.book.notebooks import Notebook

SOURCES = (
    "import os\n\nprint( os.path.basename(os.getcwd()), os.environ['OMP_NUM_THREADS'] )",
    "import ipywidgets\nfrom IPython.display import display\n\ndisplay(ipywidgets.IntSlider())",
    "print(set('abcdefgh'))",
    "import matplotlib.pyplot as plt\n\nplt.plot([1, 3, 2])\nplt.show()",
)


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """A notebook after one refresh, and its bytes after a second one."""
    root = tmp_path_factory.mktemp("tree")
    path = sample.write(root).path
    cells = [new_markdown_cell("# A title: its words"), *map(new_code_cell, SOURCES)]
    nbformat.write(new_notebook(cells=cells), path)
    refresh.refresh(path, root)
    first = path.read_bytes()
    refresh.refresh(path, root)
    return Notebook.read(path), first, path.read_bytes()


def test_two_refreshes_write_the_same_bytes(refreshed):
    _, first, second = refreshed
    assert first == second
    assert first.endswith(b"}\n")


def test_it_writes_the_install_cell_ids_and_hashes(refreshed):
    notebook, _, _ = refreshed
    for check in (
        hygiene.kernel_is_python3,
        hygiene.cell_ids_last,
        hygiene.every_cell_has_run,
        hygiene.outputs_are_clean,
        hygiene.outputs_are_those_of_these_cells,
    ):
        assert check(notebook) == []
    assert [cell.id for cell in notebook.cells[:3]] == [
        *("install", "a-title-its-words-1", "a-title-its-words-2"),
    ]
    assert set(notebook.raw["metadata"]["l2s"]["versions"]) == {
        *("learning-to-select", "matplotlib", "numpy", "python", "torch"),
    }


def test_it_runs_in_the_notebook_s_folder_with_one_thread(refreshed):
    notebook, _, _ = refreshed
    assert notebook.code[1].text.strip() == "labels 1"


def test_a_live_widget_is_not_kept(refreshed):
    notebook, _, _ = refreshed
    assert notebook.code[2].outputs == ()
    assert "widgets" not in notebook.raw["metadata"]


@pytest.mark.parametrize("command", [("format", "--check"), ("check",)], ids=lambda c: c[0])
def test_the_file_is_a_fixed_point_of_lint(command, refreshed):
    notebook, _, _ = refreshed
    settings = ["--config", str(layout.ROOT / "chapters" / "ruff.toml"), "--no-cache"]
    ruff = [sys.executable, "-m", "ruff", *command, *settings, str(notebook.path)]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_failing_cell_leaves_the_file_as_it_was(tmp_path):
    path = sample.write(tmp_path).path
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="division by zero"):
        refresh.refresh(path, tmp_path)
    assert path.read_bytes() == before


def test_code_that_cannot_be_read_leaves_the_file_as_it_was(tmp_path):
    path = sample.write(tmp_path).path
    nbformat.write(new_notebook(cells=[new_code_cell("if so")]), path)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="ruff cannot format"):
        refresh.refresh(path, tmp_path)
    assert path.read_bytes() == before
