"""Every chapter that is committed passes every check, and stands where readers find it."""

import collections

import pytest

from book.tools import layout
from tests.book import anatomy, hygiene, sample, toc
from tests.book.notebooks import Notebook

CHECKS = (*anatomy.CHECKS, *hygiene.CHECKS)


@pytest.fixture(scope="module", params=layout.chapters())
def chapter(request):
    return Notebook.read(layout.notebook(request.param))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_chapter(chapter, check):
    if problems := check(chapter):
        pytest.fail(f"chapters/{chapter.name}.ipynb\n- " + "\n- ".join(problems), pytrace=False)


def test_claim_ids_are_unique_in_the_book():
    chapters = [Notebook.read(layout.notebook(name)) for name in layout.chapters()]
    count = collections.Counter(claim["id"] for chapter in chapters for claim in chapter.claims)
    assert [name for name, times in count.items() if times > 1] == []


def test_contents_and_files_agree():
    assert toc.problems(layout.ROOT) == []


def test_every_chapter_stands_on_every_floor():
    assert toc.missing_floors(layout.ROOT) == []


def test_nothing_is_left_to_write():
    marker = "WRITE" + ":"
    files = [
        *(layout.ROOT / "chapters").rglob("*.ipynb"),
        *(layout.ROOT / "exercises").rglob("*.ipynb"),
        *(layout.ROOT / "lib" / "l2s").rglob("*.py"),
        *(layout.ROOT / "tests").rglob("*.py"),
        *(layout.ROOT / "bench").rglob("*.py"),
        *(layout.ROOT / "book").rglob("*.md"),
    ]
    left = [path for path in files if marker in path.read_text(encoding="utf-8")]
    assert [str(path.relative_to(layout.ROOT)) for path in left] == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("chapters/labels/other.ipynb", "labels/other is not in _toc.yml"),
        ("exercises/release/sample/sample.ipynb", "sample/sample is not in _toc.yml"),
        ("book/appendix.md", "book/appendix is not in _toc.yml"),
    ],
)
def test_a_page_that_is_not_in_the_contents_is_found(page, words, tmp_path):
    _tree(tmp_path)
    assert toc.problems(tmp_path) == []
    (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / page).write_text("{}")
    assert [words in problem for problem in toc.problems(tmp_path)] == [True]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("chapters/labels/gone", "there is no such page"),
        ("chapters/labels/sample", "stands twice"),
        ("exercises/source/sample/sample", "holds solutions"),
    ],
)
def test_a_wrong_line_in_the_contents_is_found(line, words, tmp_path):
    _tree(tmp_path)
    master = tmp_path / "exercises/source/sample/sample.ipynb"
    master.parent.mkdir(parents=True)
    master.write_text("{}")
    _contents(tmp_path, "chapters/labels/sample", "book/api/labels/sample", line)
    assert [words in problem for problem in toc.problems(tmp_path)] == [True]


@pytest.mark.parametrize("path", ["lib/l2s/labels/sample.py", "book/api/labels/sample.md"])
def test_a_missing_floor_is_found(path, tmp_path):
    _tree(tmp_path)
    assert toc.missing_floors(tmp_path) == []
    (tmp_path / path).unlink()
    assert toc.missing_floors(tmp_path) == [f"The chapter labels/sample has no {path}."]


def _tree(root):
    """The sample chapter with all its floors and pages."""
    sample.write(root)
    for path in ("book/preface.md", "book/api/labels/sample.md", "tests/labels/test_sample.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")
    _contents(root, "chapters/labels/sample", "book/api/labels/sample")


def _contents(root, *pages):
    files = "".join(f"  - file: {page}\n" for page in pages)
    (root / "_toc.yml").write_text(f"root: book/preface\nchapters:\n{files}")
