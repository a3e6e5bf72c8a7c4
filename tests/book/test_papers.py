"""The reading list, and the paper index that is made of it."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file
from pybtex.richtext import Text

from book.extensions import papers
from book.tools import build_site, layout, reading_list
from tests.book.pages import broken_links, pages
from tests.book.small_book import claim_output, write_frame, write_notebook

NUMBER_OF_PAPERS = 77

SMALL = """
parts:
  - caption: Selecting samples
    chapters:
      - {name: part/sample, title: A planned title}
      - {name: part/later, title: 'Later: a chapter'}
  - caption: Selecting the end
    chapters:
      - {name: end/last, title: Last}
papers:
  - number: 2
    title: 'Decoupled: a & b'
    authors: [Ann One, Bo Two]
    year: 2022
    venue: ECCV
    arxiv: '2110.06848'
    note: Earlier title, something else.
    chapter: part/sample
    key: yeh2022
    functions: [l2s.claims.mean_sd]
  - number: 1
    title: Nothing yet
    authors: [Ann One]
    year: 2020
    doi: 10.1016/j.neunet.2020.08.022
    chapter: part/later
  - {number: 3, title: Z, authors: [Z Z], year: 2020, arxiv: '2001.00001', chapter: end/last}
"""
TOC = """format: jb-book
root: book/papers
parts:
  - caption: Selecting samples
    numbered: true
    chapters:
      - file: chapters/part/sample
  - caption: Sources
    chapters:
      - file: book/claims
      - file: references
      - file: api
"""
PAGES = {
    "book/papers": "# Papers\n\n```{paper-index}\n:ledger: claims\n```\n",
    "book/claims": "# Ledger\n\n```{claims-ledger}\n```\n",
    "references": "# References\n\n```{bibliography}\n```\n",
    "api": "# API\n\n```{eval-rst}\n.. autofunction:: l2s.claims.mean_sd\n```\n",
}


def small():
    return yaml.safe_load(SMALL)


def write_book(root, data, monkeypatch):
    write_frame(root, TOC)
    for name, text in PAGES.items():
        (root / f"{name}.md").write_text(text)
    (root / reading_list.PATH).write_text(yaml.safe_dump(data, allow_unicode=True))
    verdicts = ["reproduced", "reproduced", "out of reach here"]
    stored = [
        claim_output(monkeypatch, f"sample-{place}", verdict=verdict)
        for place, verdict in enumerate(verdicts)
    ]
    write_notebook(root / "chapters/part/sample.ipynb", "# A sample\n\n{cite:t}`yeh2022`", stored)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("papers")
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_book(root, small(), monkeypatch)
    assert build_site.build(root, root) == 0
    return pages(root / "_build/html")


@pytest.fixture(scope="module")
def index(site):
    return site["book/papers.html"].html.find("article")


def words(tag):
    return " ".join(tag.get_text(" ").split()).replace(" ,", ",").replace(" .", ".")


def test_a_paper_of_a_chapter_shows_source_functions_and_verdicts(index, site):
    entry = index.find("li", id="paper-2")
    assert words(entry) == (
        "2 Decoupled: a & b Ann One and Bo Two. ECCV 2022. arXiv 2110.06848 "
        "Earlier title, something else. Library: mean_sd "
        "Verdicts: 2 reproduced, 1 out of reach here"
    )
    links = {" ".join(one.get_text().split()): one["href"] for one in entry.find_all("a")}
    assert links == {
        "arXiv 2110.06848": "https://arxiv.org/abs/2110.06848",
        "mean_sd": "../api.html#l2s.claims.mean_sd",
        "2 reproduced": "claims.html?paper=yeh2022&verdict=reproduced#ledger",
        "1 out of reach here": "claims.html?paper=yeh2022&verdict=out+of+reach+here#ledger",
    }
    assert not broken_links(site, "/other-book/")


def test_parts_and_chapters_are_headings_in_order_and_only_a_written_chapter_is_a_link(index):
    assert [words(one).rstrip("# ") for one in index.find_all(["h2", "h3"])] == [
        *("Selecting samples", "A sample", "Later: a chapter", "Selecting the end", "Last")
    ]
    linked = [one["href"] for one in index.select("h3 a:not(.headerlink)")]
    assert linked == ["../chapters/part/sample.html"]


def test_a_planned_chapter_says_not_yet(index):
    assert "Today the book has 1 of these chapters, with 1 of the papers." in words(index)
    assert "The other 2 papers: not yet." in words(index)
    planned = index.find("section", id="chapter-part-later")
    assert "Planned: not yet in the book." in words(planned)
    entry = planned.find("li", id="paper-1")
    assert words(entry) == "1 Nothing yet Ann One. 2020. doi 10.1016/j.neunet.2020.08.022"
    assert entry.a["href"] == "https://doi.org/10.1016/j.neunet.2020.08.022"


def test_only_the_index_and_the_ledger_load_their_style(site):
    with_style = {
        name
        for name, page in site.items()
        if any("ledger.css" in address for address in page.resources)
    }
    assert with_style == {"book/papers.html", "book/claims.html"}


def test_what_the_list_promises_and_the_book_lacks_stops_the_build(tmp_path, monkeypatch, capfd):
    data = small()
    data["papers"][0] |= {"key": "nobody1900", "functions": ["l2s.claims.nothing"]}
    write_book(tmp_path, data, monkeypatch)
    assert build_site.build(tmp_path, tmp_path) != 0
    said = capfd.readouterr().err
    for fault in (
        "'nobody1900', which is not in book/references.bib",
        "l2s.claims.nothing, which the library does not have",
        "no claim judges its paper 2",
    ):
        assert fault in said


def loaded(tmp_path, data):
    (tmp_path / "book").mkdir(exist_ok=True)
    (tmp_path / reading_list.PATH).write_text(yaml.safe_dump(data))
    (tmp_path / "_toc.yml").write_text(TOC)
    return reading_list.load(tmp_path)


def test_planned_chapters_are_those_that_the_contents_do_not_list(tmp_path):
    reading = loaded(tmp_path, small())
    assert [chapter.name for chapter in reading_list.planned(tmp_path)] == [
        "part/later",
        "end/last",
    ]
    assert reading_list.written(tmp_path) == ["part/sample"]
    assert [chapter.papers for chapter in reading.chapters] == [(2,), (1,), (3,)]


def test_faults_name_the_paper_and_the_remedy(tmp_path):
    reading = loaded(tmp_path, small())
    verdicts = {"yeh2022": Counter(reproduced=1)}
    assert not papers.faults(reading, ["part/sample"], verdicts, {"yeh2022"})
    (unknown,) = papers.faults(reading, ["part/sample"], verdicts, set())
    assert "not in book/references.bib: add the entry" in unknown
    (unjudged,) = papers.faults(reading, ["part/sample"], {}, {"yeh2022"})
    assert "claim('yeh2022') in it" in unjudged
    without_key = papers.faults(reading, ["part/sample", "part/later"], verdicts, {"yeh2022"})
    assert "paper 1: add `key`" in without_key[0]


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("l2s.claims.mean_sd", True),
        ("l2s.claims.nothing", False),
        ("l2s.nothing.mean_sd", False),
    ],
)
def test_a_function_exists_or_not(name, there):
    assert papers.exists(name) == there


def test_names_are_joined_and_long_lists_are_cut():
    assert papers.authors(["A B"]) == "A B"
    assert papers.authors(["A B", "C D", "E F"]) == "A B, C D and E F"
    assert papers.authors([f"A {n}" for n in range(19)]).endswith("A 5 and 13 others")


def mend(data, number, /, **fields):
    changed = copy.deepcopy(data)
    paper = next(paper for paper in changed["papers"] if paper["number"] == number)
    paper |= fields
    for field in [field for field, value in fields.items() if value is None]:
        del paper[field]
    return changed


@pytest.mark.parametrize(
    ("number", "fields", "said"),
    [
        (1, {"number": 2}, "Two papers have the number 2"),
        (1, {"number": 7}, "There is no paper 1"),
        (2, {"arxiv": 2110.06848}, "Paper 2: `arxiv` is 2110.06848, but must be str"),
        (2, {"arxiv": "2113.06848"}, "must be str and match"),
        (2, {"arxiv": "2001.00001"}, "Two papers have the arxiv 2001.00001"),
        (2, {"arxiv": None}, "neither `arxiv` nor `doi`"),
        (2, {"year": "2022"}, "`year` is '2022', but must be int"),
        (2, {"title": " "}, "`title` is ' '"),
        (2, {"title": None}, "Paper 2 lacks `title`"),
        (2, {"authors": "Ann One"}, "`authors` must be a list"),
        (2, {"authors": ["One, Ann"]}, "`authors` is 'One, Ann'"),
        (2, {"card": "x"}, "`card` is no field"),
        (2, {"functions": ["torch.nn.Linear"]}, "`functions` is 'torch.nn.Linear'"),
        (2, {"chapter": "part/nowhere"}, "which no part has"),
        (1, {"chapter": "part/sample"}, "The chapter part/later has no paper"),
    ],
)
def test_a_fault_of_the_file_is_named_with_its_remedy(number, fields, said):
    assert not reading_list.problems(small())
    assert any(
        said in sentence for sentence in reading_list.problems(mend(small(), number, **fields))
    )


def test_faults_of_the_parts_are_named(tmp_path):
    data = small()
    data["parts"][1]["chapters"][0]["name"] = "part/sample"
    assert any("part/sample stands twice" in one for one in reading_list.problems(data))
    del data["parts"][0]["caption"]
    assert "no 'caption'" in reading_list.problems(data)[0]
    with pytest.raises(ValueError, match="no 'caption'"):
        loaded(tmp_path, data)
    assert reading_list.problems(None)


@pytest.fixture(scope="module")
def reading():
    return reading_list.load()


def test_the_book_has_its_whole_reading_list(reading):
    assert sorted(reading.papers) == list(range(1, NUMBER_OF_PAPERS + 1))
    assert sum(len(chapter.papers) for chapter in reading.chapters) == NUMBER_OF_PAPERS
    slugs = [chapter.name.split("/")[1] for chapter in reading.chapters]
    assert len(set(slugs)) == len(slugs)


def test_a_written_chapter_stands_in_the_part_that_the_list_gives_it(reading):
    captions = layout.captions()
    for part in reading.parts:
        for name in {chapter.name for chapter in part.chapters} & set(reading_list.written()):
            assert captions[f"chapters/{name}"] == part.caption


def plain(text):
    return str(Text.from_latex(text)).lower()


def test_the_list_and_the_bibliography_agree(reading):
    entries = parse_file(layout.ROOT / "book/references.bib").entries
    with_key = [paper for paper in reading.papers.values() if "key" in paper]
    assert with_key
    for paper in with_key:
        fields = entries[paper["key"]].fields
        assert plain(fields["title"]) == paper["title"].lower()
        assert fields.get("eprint") == paper["arxiv"]
        assert int(fields["year"]) == paper["year"]
        assert len(entries[paper["key"]].persons["author"]) == len(paper["authors"])


def test_every_paper_stands_on_the_built_page(built_site: Path, reading):
    page = pages(built_site)["book/papers.html"]
    for number, paper in reading.papers.items():
        entry = page.html.find("li", id=f"paper-{number}")
        assert paper["title"] in entry.get_text().replace("’", "'")
        assert f"https://arxiv.org/abs/{paper['arxiv']}" in [
            one["href"] for one in entry.find_all("a")
        ]
