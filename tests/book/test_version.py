"""One version, and what it decides: the tag or the branch that links and install cells name."""

import datetime
import json
import shutil
import tomllib

import pytest
import yaml

from book.tools import layout, provenance, set_version
from book.tools.install_cell import install_cell
from tests.book import hygiene, sample
from tests.book.notebooks import Notebook

TODAY = datetime.date(2031, 2, 3)
NOTEBOOKS = [
    path for pattern in set_version.NOTEBOOKS for path in sorted(layout.ROOT.glob(pattern))
]


@pytest.mark.parametrize(
    ("version", "reference"),
    [
        *(("0.1.0", "v0.1.0"), ("1.12.3", "v1.12.3")),
        *(("0.1.0.dev0", "trunk"), ("0.2.0.dev12", "trunk")),
    ],
)
def test_a_release_is_its_tag_and_all_else_is_the_branch(version, reference):
    assert layout.reference(version, "trunk") == reference


def test_the_book_s_own_version_has_a_form_that_decides():
    assert set_version.FORM.fullmatch(layout.version())


def name_of(path):
    return path.relative_to(layout.ROOT).as_posix()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_every_notebook_installs_the_library_of_this_version(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert provenance.is_install(cells[0])
    assert "".join(cells[0]["source"]) == install_cell(), "stale: run `make version`"


@pytest.fixture
def tree(tmp_path):
    """The sample chapter, and the files of this book that have the version."""
    sample.write(tmp_path)
    for name in set_version.PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(layout.ROOT / name, tmp_path / name)
    set_version.write("0.3.0.dev0", TODAY, tmp_path)
    return tmp_path


def written(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    library = (root / "lib/l2s/__init__.py").read_text(encoding="utf-8")
    assert f'\n__version__ = "{project["version"]}"\n' in library
    assert citation["version"] == project["version"]
    return project["version"], citation["date-released"]


def test_a_release_writes_versions_date_and_install_cells_and_keeps_the_hashes(tree):
    path = tree / "chapters" / f"{sample.NAME}.ipynb"
    before, (_, date) = path.read_text(encoding="utf-8"), written(tree)
    changed = set_version.write("0.3.0", TODAY, tree)
    assert changed == [*(tree / name for name in set_version.PLACES), path]
    assert written(tree) == ("0.3.0", "2031-02-03")
    assert date != "2031-02-03"
    assert path.read_text(encoding="utf-8") == before.replace("/book@main", "/book@v0.3.0")
    assert "/book@v0.3.0" in path.read_text(encoding="utf-8")
    assert hygiene.outputs_are_those_of_these_cells(Notebook.read(path)) == []
    assert set_version.write("0.3.0", datetime.date(2032, 1, 1), tree) == []
    assert written(tree) == ("0.3.0", "2031-02-03")


def test_after_a_release_a_development_version_goes_back_to_the_branch(tree):
    path = tree / "chapters" / f"{sample.NAME}.ipynb"
    before = path.read_bytes()
    set_version.write("0.3.0", TODAY, tree)
    set_version.write("0.4.0.dev0", datetime.date(2032, 1, 1), tree)
    assert written(tree) == ("0.4.0.dev0", "2031-02-03")
    assert path.read_bytes() == before


def test_a_moved_book_moves_its_install_cells(tree):
    config = tree / "_config.yml"
    config.write_text(config.read_text(encoding="utf-8").replace("example.org", "example.com"))
    assert set_version.write("0.3.0.dev0", TODAY, tree) == [
        tree / "chapters" / f"{sample.NAME}.ipynb"
    ]


@pytest.mark.parametrize("version", ["v0.1.0", "0.1", "0.1.0-dev", "0.1.0+local", "next"])
def test_what_is_no_version_is_refused(version, monkeypatch):
    monkeypatch.setattr("sys.argv", ["set_version", version])
    with pytest.raises(SystemExit, match=r"is no version of this book. Use 0\.1\.0"):
        set_version.main()


def test_a_file_without_its_version_is_named(tree):
    (tree / "CITATION.cff").write_text("title: none\n")
    with pytest.raises(SystemExit, match="CITATION.cff must have one line"):
        set_version.write("0.3.0", TODAY, tree)
