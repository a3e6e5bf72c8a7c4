"""Student copies: up to date and unsolved; neither they nor the site give a solution away."""

import pytest

from book.tools import layout, release_exercises
from tests.book import hygiene
from tests.book.notebooks import Notebook
from tests.exercises.notebook import Session, hidden_lines, master, released


@pytest.mark.parametrize("slug", release_exercises.slugs())
def test_the_committed_copy_is_what_the_master_gives(slug, tmp_path):
    made = release_exercises.generate(slug, release_exercises.COURSE, tmp_path).read_bytes()
    committed = layout.ROOT / "exercises" / "release" / slug / f"{slug}.ipynb"
    assert made == committed.read_bytes(), f"stale: run `make exercises SLUG={slug}`"


@pytest.mark.parametrize("slug", release_exercises.slugs())
@pytest.mark.parametrize("kind", ["source", "release"])
def test_file_and_code_cells_are_as_short_as_a_chapter_has_them(kind, slug):
    path = layout.ROOT / "exercises" / kind / slug / f"{slug}.ipynb"
    assert hygiene.size_is_bounded(Notebook.read(path)) == []


@pytest.mark.parametrize("slug", release_exercises.slugs())
def test_the_copy_holds_no_solution_and_no_hidden_check(slug):
    text = "\n".join(cell.source for cell in released(slug).cells)
    secret = hidden_lines(slug=slug)
    assert len(secret) > 80
    assert not [line for line in secret if line in text]
    assert "HIDDEN" not in text
    assert "SOLUTION" not in text


def test_no_page_of_the_site_holds_a_solution_or_a_hidden_check(built_site):
    secret = set.union(*(hidden_lines(slug=slug) for slug in release_exercises.slugs()))
    for path in [*built_site.rglob("*.html"), built_site / "searchindex.js"]:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            text = _text(text)
        found = [line for line in secret if line in text]
        assert not found, f"{path.name}: {found}"


def _text(page: str) -> str:
    from bs4 import BeautifulSoup

    return BeautifulSoup(page, "html.parser").get_text()


def test_the_search_for_secrets_can_fail():
    text = "\n".join(cell.source for cell in master().cells)
    assert all(line in text for line in hidden_lines())


@pytest.mark.parametrize("slug", release_exercises.slugs())
def test_a_copy_as_handed_out_fails_at_its_answers_and_runs_otherwise(slug):
    session = Session(released(slug))
    answers = []
    for cell in session.notebook.cells:
        role = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or cell.id in ("install", "study"):
            continue
        if role.get("solution"):
            assert "raise NotImplementedError()" in cell.source
            answers.append(cell.id)
        if cell.id.startswith("checks-"):
            with pytest.raises(NotImplementedError):
                session.run(cell.id)
        else:
            session.run(cell.id)
    assert len(answers) >= 4


@pytest.mark.parametrize("slug", release_exercises.slugs())
def test_exercises_have_points_and_a_study_with_a_rubric(slug):
    roles = [cell.metadata.get("nbgrader", {}) for cell in master(slug).cells]
    points = {role["grade_id"]: role["points"] for role in roles if role.get("grade")}
    assert sum(points.values()) == 33
    (report,) = (name for name in points if name.startswith("report-"))
    assert points[report] == 10
    question = report.replace("report", "question")
    rubric = next(cell.source for cell in master(slug).cells if cell.id == question)
    rows = [line.rsplit("|", 2)[1] for line in rubric.splitlines() if line.startswith("| ")]
    assert sum(int(row) for row in rows if row.strip().isdigit()) == 10


@pytest.mark.parametrize("slug", release_exercises.slugs())
def test_the_site_folds_checks_so_that_a_reader_sees_questions_and_answers(slug):
    own = [cell for cell in released(slug).cells if cell.id.startswith(("helpers-", "checks-"))]
    assert len(own) >= 8
    assert not [cell.id for cell in own if "hide-input" not in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("slug", release_exercises.slugs())
def test_every_exercise_folds_hints_away_and_names_its_sections(slug):
    for cell in master(slug).cells:
        if cell.id.startswith("question-"):
            assert cell.source.count("<details>") >= 2
            assert "*Sections*: [" in cell.source
