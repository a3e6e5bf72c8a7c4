"""The end of a chapter, and how to cite: versions, dates and entries that are true."""

import datetime
import json
import os
import re
import shutil
import subprocess

import l2s
import pytest
import yaml
from pybtex.database import parse_string

from book.extensions.address import site_url
from book.extensions.colophon import last_changed, stored_versions
from book.tools import layout
from tests.book.pages import pages

ROOT = layout.ROOT
CHAPTERS = [f"chapters/{name}" for name in layout.chapters()]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(built_site):
    return pages(built_site)


def colophon(site, page):
    return site[f"{page}.html"].html.article.select_one(".l2s-colophon")


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_ends_with_the_versions_of_its_stored_run(site, page):
    text = colophon(site, page).p.get_text()
    versions = stored_versions(ROOT / f"{page}.ipynb")
    assert {"python", "torch", "numpy", "learning-to-select"} <= versions.keys()
    for version in versions.values():
        assert re.search(rf"\w {re.escape(version)}[,.]", text), version


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_ends_with_the_day_of_its_last_commit_or_with_no_day(site, page):
    text = colophon(site, page).p.get_text()
    day = last_changed(ROOT / f"{page}.ipynb")
    said = re.search(r"The chapter last changed on (.+)\.$", text)
    if day is None:  # no history here, or one that is cut off
        assert said is None
        return
    seconds = git(ROOT, "log", "-1", "--author-date-order", "--format=%at", f"{page}.ipynb")
    wanted = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    assert said[1] == f"{wanted.day} {wanted:%B %Y}"


def git(folder, *arguments, **environment):
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments],
        cwd=folder,
        env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull} | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A repository in which one file changed on 2 March and another on 5 April 2024."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    folder = tmp_path_factory.mktemp("history")
    git(folder, "init", "-q")
    for name, day in (("early.md", "2024-03-02"), ("late.md", "2024-04-05")):
        (folder / name).write_text(day)
        git(folder, "add", name)
        date = f"{day}T12:00:00+0000"
        git(folder, "commit", "-qm", name, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
    (folder / "never.md").write_text("not committed")
    return folder


def test_a_file_has_the_day_of_the_commit_that_changed_it(history):
    assert last_changed(history / "early.md") == datetime.date(2024, 3, 2)
    assert last_changed(history / "late.md") == datetime.date(2024, 4, 5)


def test_a_file_that_was_never_committed_has_no_day(history):
    assert last_changed(history / "never.md") is None


def test_a_shallow_clone_tells_only_what_it_knows(history, tmp_path):
    git(tmp_path, "clone", "-q", "--depth=1", history.as_uri(), "one")
    assert last_changed(tmp_path / "one/early.md") is None
    assert last_changed(tmp_path / "one/late.md") is None
    (tmp_path / "one/late.md").write_text("mended")
    git(tmp_path / "one", "commit", "-qam", "mend", GIT_AUTHOR_DATE="2024-05-06T12:00:00+0000")
    assert last_changed(tmp_path / "one/late.md") == datetime.date(2024, 5, 6)
    assert last_changed(tmp_path / "one/early.md") is None


def test_without_a_repository_or_without_git_there_is_no_day(history, tmp_path, monkeypatch):
    (tmp_path / "alone.md").write_text("no repository")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert last_changed(tmp_path / "alone.md") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert last_changed(history / "early.md") is None


def entries(article):
    blocks = [block.get_text() for block in article.select(".highlight-bibtex pre")]
    return {
        key: entry
        for block in blocks
        for key, entry in parse_string(block, "bibtex").entries.items()
    }


def bare(text):
    return text.strip("{}")


def test_the_page_on_citing_has_an_entry_for_the_book_and_for_each_chapter(site):
    found = entries(site["book/cite.html"].html.article)
    assert len(found) == 1 + len(CHAPTERS)
    home = site_url(layout.repository()[0])
    for key, entry in found.items():
        assert [bare(str(one)) for one in entry.persons["author"]] == [
            author["name"] for author in CITATION["authors"]
        ]
        assert entry.fields["version"] == CITATION["version"] == l2s.__version__
        assert entry.fields["year"] == CITATION["date-released"][:4]
        assert entry.fields["url"].startswith(home), key
    assert found["learning_to_select"].type == "book"
    assert bare(found["learning_to_select"].fields["title"]) == CITATION["title"]
    assert found["learning_to_select"].fields["url"] == home


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapters_own_entry_has_its_title_and_stands_on_both_pages(site, page):
    own = entries(colophon(site, page))
    (key,) = own
    notebook = json.loads((ROOT / f"{page}.ipynb").read_text(encoding="utf-8"))
    text = "".join("".join(cell["source"]) + "\n" for cell in notebook["cells"])
    title = re.search(r"^# (.+)$", text, re.MULTILINE)[1]
    fields = own[key].fields
    assert bare(fields["title"]) == title
    assert bare(fields["booktitle"]) == CITATION["title"]
    assert fields["url"] == f"{site_url(layout.repository()[0])}{page}.html"
    assert entries(site["book/cite.html"].html.article)[key].fields == fields
