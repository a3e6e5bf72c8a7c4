"""Finding one's way: words, symbols, functions and results lead to where they are explained."""

import re
from types import SimpleNamespace

import nbformat
import pytest
from docutils import nodes
from sphinx import addnodes

from book.extensions import crossings
from book.extensions.index_entries import name_of
from book.tools import layout
from tests.book.pages import pages

CHAPTERS = [f"chapters/{name}" for name in layout.chapters()]
FEW = 5  # a chapter that links fewer words, or fewer symbols, has forgotten them


@pytest.fixture(scope="module")
def site(built_site):
    return pages(built_site)


def ids_in(element, prefix):
    return {tag["id"] for tag in element.find_all(id=re.compile(f"^{prefix}-"))}


def linked_from(page, target, prefix):
    """The anchors with a prefix to which a page's text links on another page."""
    places = [link["href"].partition("#") for link in page.html.select("article a[href]")]
    return {
        anchor
        for address, _, anchor in places
        if address.endswith(target) and anchor.startswith(f"{prefix}-")
    }


def test_every_row_of_the_notation_page_has_an_anchor_of_its_own(site):
    article = site["book/notation.html"].html.article
    rows = [*article.select("tbody tr"), *article.select("section li")]
    anchors = [ids_in(row, "symbol") for row in rows]
    assert len(rows) > 20
    assert all(len(found) == 1 for found in anchors), [
        row.get_text() for row, found in zip(rows, anchors, strict=True) if len(found) != 1
    ]
    assert len(set.union(*anchors)) == len(rows)


def test_every_symbol_in_the_notation_tables_is_linked_from_a_chapter(site):
    rows = site["book/notation.html"].html.article.select("tbody tr")
    symbols = set().union(*(ids_in(row, "symbol") for row in rows))
    linked = [linked_from(site[f"{page}.html"], "notation.html", "symbol") for page in CHAPTERS]
    assert symbols <= set().union(*linked), "a row that no chapter leads to"


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_links_its_symbols_and_its_words(site, page):
    found = site[f"{page}.html"]
    symbols = linked_from(found, "notation.html", "symbol")
    words = linked_from(found, "glossary.html", "term")
    assert len(symbols) >= FEW, f"{page}: write [$z$](../../book/notation.md#symbol-...)"
    assert len(words) >= FEW, f"{page}: write [anchor](../../book/glossary.md#term-...)"
    assert symbols <= site["book/notation.html"].anchors
    assert words <= site["book/glossary.html"].anchors


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_link_that_is_nothing_but_mathematics_has_a_name_in_words(site, page):
    links = site[f"{page}.html"].html.select("article a:has(span.math)")
    named = [link for link in links if link.get_text().strip().startswith("\\(")]
    assert named
    for link in named:
        title = link.get("title", "")
        assert len(title) > 3, link
        assert "\\" not in title, title


def test_every_entry_of_the_glossary_is_defined_and_linked(site):
    linked = set().union(*(linked_from(p, "glossary.html", "term") for p in site.values()))
    within = {link["href"][1:] for link in site["book/glossary.html"].html.select("dd a")}
    entries = site["book/glossary.html"].html.select("dl.glossary > dd")
    assert len(entries) > 30
    for entry in entries:
        names, before = set(), entry.find_previous_sibling()
        while before is not None and before.name == "dt":  # one definition, several names
            names.add(before["id"])
            before = before.find_previous_sibling()
        assert len(entry.get_text().split()) >= 5
        assert names & (linked | within), names


def entry_of(site, name):
    """The entry of a function on its module's page."""
    module = name.rpartition(".")[0].removeprefix("l2s.").replace(".", "/")
    page = site[f"book/api/{module}.html"]
    return page, page.html.find("dt", id=name)


def functions_of(page, site):
    module = crossings.module_of(page)
    api = site[f"book/api/{page.removeprefix('chapters/')}.html"]
    names = {name for name in api.anchors if name.rpartition(".")[0] == module}
    assert names
    return names


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_function_of_a_chapter_leads_to_a_section_that_names_it(site, page):
    chapter = site[f"{page}.html"]
    for name in functions_of(page, site):
        _, signature = entry_of(site, name)
        lines = signature.find_next_sibling("dd").select(".l2s-crossing")
        links = [link["href"] for line in lines if "Used in" not in line.text for link in line("a")]
        assert links, f"{name} leads to no section"
        for link in links:
            address, _, anchor = link.partition("#")
            assert address.endswith(f"{page}.html")
            section = chapter.html.find("section", id=anchor)
            assert section.find("a", href=re.compile(rf"#{re.escape(name)}$")), link
        assert signature.select_one(".viewcode-link"), f"{name} does not lead to its source"


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_page_of_a_chapters_module_names_its_chapter(site, page):
    api = site[f"book/api/{page.removeprefix('chapters/')}.html"]
    first = api.html.article.find("p")
    assert first.get_text().startswith("The module of the chapter")
    assert first.a["href"].endswith(f"{page}.html")


def section(title, *content):
    return nodes.section("", nodes.title("", title), *content, ids=[nodes.make_id(title)])


def reference(target):
    return addnodes.pending_xref("", refdomain="py", reftarget=target)


def code(text):
    return nodes.literal_block(text, text, language="ipython3")


@pytest.fixture
def sample():
    """A chapter with an equation in its second section, and code in both."""
    document = nodes.document(None, None)
    derives = nodes.math_block("y = x", label="eq-b-first")
    document += section(
        "Whole",
        code("from l2s.a.b import one, two as second\nfrom l2s import plot\nimport math"),
        section(
            "Derived", derives, nodes.paragraph("", "", reference("l2s.a.b.one")), code("one()")
        ),
        section(
            "Later",
            nodes.paragraph("", "", reference("l2s.data.far"), reference("l2s.a.b.one")),
            code("second(plot.show(math.pi))"),
            code("%pip install nothing\nsecond()"),
        ),
    )
    return document


def test_a_section_with_an_equation_derives_what_it_names_and_code_uses_what_it_calls(sample):
    found = {(c.target, c.anchor, c.kind) for c in crossings.crossings_of(sample, "chapters/a/b")}
    assert found == {
        ("l2s.a.b.one", "derived", "Derived in"),
        ("l2s.a.b.one", "later", "Discussed in"),
        ("l2s.data.far", "later", "Discussed in"),
        ("l2s.a.b.two", "later", "Used in"),
        ("l2s.plot.show", "later", "Used in"),
        ("l2s.plot", "later", "Used in"),
    }


def test_a_function_of_another_module_is_not_derived(sample):
    found = {c.kind for c in crossings.crossings_of(sample, "chapters/other/c")}
    assert found == {"Discussed in", "Used in"}


def test_a_function_that_its_chapter_only_calls_is_a_warning(sample, caplog):
    objects = {
        name: SimpleNamespace(objtype=kind)
        for name, kind in {
            "l2s.a.b.one": "function",
            "l2s.a.b.two": "function",
            "l2s.a.b": "module",
            "l2s.data.digits": "function",
        }.items()
    }
    env = SimpleNamespace(get_domain=lambda name: SimpleNamespace(objects=objects))
    docname = "chapters/a/b"
    env.l2s_crossings = {docname: list(crossings.crossings_of(sample, docname))}
    crossings._warn_of_unnamed(None, env)
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == 1
    assert "never names l2s.a.b.two: write {py:func}`~l2s.a.b.two`" in warned[0]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("eq-contrastive-infonce", "InfoNCE"),  # as the text spells it most often
        ("eq-contrastive-half", "half"),  # not in the text
        ("eq-contrastive-soft-hinge", "soft hinge"),
        ("eq-other-infonce", ""),
        ("infonce", ""),
        ("", ""),
    ],
)
def test_an_equation_is_named_by_its_label_in_the_spelling_of_the_page(label, name):
    text = "InfoNCE, then INFONCE and InfoNCE; a soft hinge."
    assert name_of(label, "chapters/labels/contrastive", text) == name


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_numbered_equation_and_theorem_is_in_the_index(site, page):
    chapter = site[f"{page}.html"]
    index = {link["href"] for link in site["genindex.html"].html.article.find_all("a", href=True)}
    equations = [tag["id"] for tag in chapter.html.select("div.math[id^=equation-]")]
    theorems = [
        tag["id"] for tag in chapter.html.select("div.proof[id^=thm-], div.proof[id^=prop-]")
    ]
    assert equations
    for name in equations:
        anchor = f"index-{name.removeprefix('equation-')}"
        assert anchor in chapter.anchors
        assert f"{page}.html#{anchor}" in index
    assert all(f"{page}.html#{name}" in index for name in theorems)


@pytest.mark.parametrize("page", CHAPTERS)
def test_numbers_of_equations_theorems_and_figures_are_shown_where_they_are_referred_to(site, page):
    article = site[f"{page}.html"].html.article
    kinds = {"equation-": r"\(\d+\.\d+\)", "thm-": r"Theorem \d+\.\d+", "prop-": r".+ \d+\.\d+"}
    seen = 0
    for link in article.find_all("a", "reference", href=True):
        anchor = link["href"].partition("#")[2]
        for prefix, number in kinds.items():
            if anchor.startswith(prefix):
                assert re.fullmatch(number, link.get_text()), link
                seen += 1
    assert seen
    for number in article.select("div.math .eqno, figcaption .caption-number"):
        assert re.search(r"\d+\.\d+", number.get_text())


@pytest.mark.parametrize("path", sorted((layout.ROOT / "exercises/release").glob("*/*.ipynb")))
def test_a_guess_that_an_exercise_asks_for_has_a_folded_answer(path):
    asked = [cell for cell in pieces(path) if "Before you run it" in cell]
    assert asked
    for cell in asked:
        answer = cell.partition("Before you run it")[2]
        assert "<details><summary>Answer to the guess</summary>" in answer.partition("Hint 1")[0]


def pieces(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "markdown"]
