"""The claims ledger, on a book with more claims than anyone reads in one go."""

import json
from collections import Counter
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from l2s.claims import COLORS, VERDICTS

from book.extensions import ledger, ledger_figure, ledger_filters
from book.tools import build_site, layout
from book.tools.chromium import listen
from book.tools.serve import served
from tests.book.pages import broken_links, pages
from tests.book.small_book import claim_output, write_frame, write_notebook

CHAPTERS = [f"{part}/c{place}" for part in ("first", "second") for place in range(7)]
EACH = 12
PAPERS = ("yeh2022", "oord2018", "gutmann2010")
LONG = "a_name_without_any_place_at_which_a_browser_would_break_a_line_of_text"

TOC = """format: jb-book
root: book/claims
parts:
  - caption: The first part
    numbered: true
    chapters: [{first}]
  - caption: The second part
    numbered: true
    chapters: [{second}]
  - caption: Sources
    chapters:
      - file: references
"""


def told(chapter, place):
    """The claim in one place of a chapter; its paper and verdict follow from the place."""
    verdict = VERDICTS[(place + chapter) % len(VERDICTS)]
    more = {"statement": f"Finding {place} on {LONG}.", "setting": LONG} if place % 9 == 0 else {}
    return {"paper": PAPERS[place % len(PAPERS)], "verdict": verdict, **more}


CLAIMS = [
    {"chapter": name, **told(number, place)}
    for number, name in enumerate(CHAPTERS)
    for place in range(EACH)
]


def expected(**choice):
    """How many claims a choice leaves, as the line above the table says it."""
    left = [c for c in CLAIMS if all(c[key] == value for key, value in choice.items())]
    number = Counter(c["verdict"] for c in left)
    counts = ", ".join(f"{number[verdict]} {verdict}" for verdict in VERDICTS if number[verdict])
    many = f"{len(left)} of {len(CLAIMS)}" if choice else f"{len(CLAIMS)}"
    return f"{many} claims: {counts}."


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the built pages."""
    root = tmp_path_factory.mktemp("many")
    files = {
        part: ", ".join(f"{{file: chapters/{name}}}" for name in CHAPTERS if part in name)
        for part in ("first", "second")
    }
    write_frame(root, TOC.format(**files))
    ledger_page = (layout.ROOT / "book/claims.md").read_text(encoding="utf-8")
    ledger_page = ledger_page.replace("[The preface](preface.md)", "The preface")
    ledger_page = ledger_page.replace("[the paper index](papers.md)", "the index")
    (root / "book/claims.md").write_text(ledger_page)
    (root / "references.md").write_text("# References\n\n```{bibliography}\n```\n")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for number, name in enumerate(CHAPTERS):
            stored = [
                claim_output(monkeypatch, f"x{number}-{place}", **told(number, place))
                for place in range(EACH)
            ]
            opening = f"# The `title` of {name}\n\n{{cite:t}}`yeh2022`"
            write_notebook(root / f"chapters/{name}.ipynb", opening, stored)
    assert build_site.build(root, root) == 0
    return root / "_build/html"


@pytest.fixture(scope="module")
def page(book):
    return pages(book)["book/claims.html"]


def test_every_claim_stands_below_the_heading_of_its_chapter(page, book):
    assert expected() in page.text
    bodies = page.html.find("table", class_="l2s-ledger").find_all("tbody")
    assert [len(body.find_all("tr", attrs={"data-verdict": True})) for body in bodies] == (
        [EACH] * len(CHAPTERS)
    )
    for body, name in zip(bodies, CHAPTERS, strict=True):
        heading = body.find("th", attrs={"scope": "rowgroup", "colspan": "3"})
        assert heading.get_text().strip() == f"The title of {name}"
        assert heading.a["href"] == f"../chapters/{name}.html"
    assert not broken_links(pages(book), "/other-book/")


def test_a_row_says_what_the_paper_says_what_we_measured_and_what_follows(page):
    row = page.html.find("tr", id="ledger-x0-1")
    cells = [" ".join(cell.get_text(" ").split()) for cell in row.find_all("td")]
    assert cells[0].startswith("van den Oord et al.") or cells[0].startswith("Oord et al.")
    assert cells[0].endswith("Table 1: 2 points")
    assert cells[1] == (
        "It rises with <x>. gain: 2.5 ± 1.3 (sd, 4 seeds) Seeds: 1000 to 1003 Setting: two cores"
    )
    assert cells[2] == "Reproduced at small scale x0-1"
    assert row.find("a", href="../chapters/first/c0.html#claim-x0-1")
    assert [cell["data-label"] for cell in row.find_all("td")] == list(ledger.HEADINGS)
    assert COLORS["reproduced at small scale"] in row["style"]
    assert "Reason: It needs a cluster." in page.html.find("tr", id="ledger-x0-2").get_text()


def test_many_chapters_are_drawn_part_by_part_and_the_numbers_stand_in_the_alt_text(page, book):
    figure = page.html.find("figure", id="fig-ledger")
    assert "The verdicts on the 168 claims of the book, part by part" in figure.get_text()
    for part, chapters in (("first", CHAPTERS[:7]), ("second", CHAPTERS[7:])):
        counts = Counter(c["verdict"] for c in CLAIMS if c["chapter"] in chapters)
        words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
        assert f"The {part} part: {words}." in figure.img["alt"]
    assert "<svg" in (book / "book" / figure.img["src"]).read_text(encoding="utf-8")


def test_few_chapters_are_drawn_one_by_one():
    chapters = [("A", "part", ({"verdict": VERDICTS[0]},) * 2), ("B", "part", ())]
    bars, unit = ledger_figure.counted(chapters)
    assert unit == "chapter"
    assert list(bars) == ["A", "B"]
    assert ledger_figure.described(bars).startswith("Bars of verdicts. A: 2 reproduced.")


def test_script_and_style_are_loaded_by_the_ledger_alone(book):
    for name, one in pages(book).items():
        loaded = [
            a for a in one.resources if a.partition("?")[0].endswith(("ledger.js", "ledger.css"))
        ]
        assert len(loaded) == (2 if name == "book/claims.html" else 0), name


def test_choices_name_papers_by_author_year_and_title(page):
    select = page.html.find("select", attrs={"name": "paper"})
    labels = {one["value"]: one.get_text() for one in select.find_all("option")}
    assert labels["yeh2022"] == "Yeh et al. (2022): Decoupled contrastive learning (56)"
    assert labels["gutmann2010"].startswith("Gutmann and Hyvärinen (2010): Noise-contrastive")
    assert labels["gutmann2010"].endswith("… (56)")
    assert labels[""] == "all papers"


def test_a_key_without_an_entry_is_shown_as_it_is():
    chapter = ledger.Chapter(
        "chapters/a/b", "A & B", "part", ({"paper": "x1", "verdict": VERDICTS[0]},)
    )
    html = ledger_filters.html([chapter], [], "1 claim")
    assert '<option value="x1">x1 (1)</option>' in html
    assert '<option value="a/b">A &amp; B (1)</option>' in html


def test_a_title_is_read_from_the_first_heading(tmp_path):
    path = tmp_path / "slug.ipynb"
    cells = [
        {"cell_type": "code", "source": "# no title"},
        {"cell_type": "markdown", "source": ["%%\n", "# *One* `two`\n", "## Three"]},
    ]
    path.write_text(json.dumps({"cells": cells}))
    assert ledger.title_of(path) == "One two"
    path.write_text(json.dumps({"cells": []}))
    assert ledger.title_of(path) == "slug"


@pytest.fixture(scope="module")
def site(book):
    with served(book) as address:
        yield address


@pytest.fixture
def open_ledger(browser, site):
    """Open the ledger with a choice in its address; no complaint may be heard."""
    contexts, heard = [], []

    def go(choice=None, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        tab = context.new_page()
        heard.append(listen(tab, site))
        query = f"?{urlencode(choice)}" if choice else ""
        tab.goto(f"{site}book/claims.html{query}", wait_until="load")
        return tab

    yield go
    for context in contexts:
        context.close()
    assert not any(heard)


def shown_rows(tab):
    rows = tab.locator("tr[data-verdict]")
    return rows.evaluate_all("rows => rows.filter(row => row.checkVisibility()).length")


def said(tab):
    return tab.locator("[role=status]").inner_text()


def test_filters_narrow_the_table_the_count_says_so_and_the_address_keeps_it(open_ledger):
    tab = open_ledger()
    assert said(tab) == expected()
    assert shown_rows(tab) == len(CLAIMS)
    tab.get_by_label("Verdict").select_option("not reproduced")
    assert said(tab) == expected(verdict="not reproduced")
    tab.get_by_label("Chapter").select_option(CHAPTERS[3])
    tab.get_by_label("Paper").select_option("oord2018")
    choice = {"paper": "oord2018", "chapter": CHAPTERS[3], "verdict": "not reproduced"}
    assert said(tab) == expected(**choice)
    assert shown_rows(tab) == int(expected(**choice).split()[0]) > 0
    headings = tab.locator("th[scope=rowgroup]")
    assert headings.evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => one.innerText)"
    ) == [f"The title of {CHAPTERS[3]}"]
    assert dict(parse_qsl(urlsplit(tab.url).query)) == choice
    tab.get_by_role("button", name="Show all").click()
    assert said(tab) == expected()
    assert shown_rows(tab) == len(CLAIMS)
    assert "?" not in tab.url


def test_a_link_with_a_choice_opens_the_ledger_filtered(open_ledger):
    choice = {"chapter": CHAPTERS[8], "verdict": "out of reach here"}
    tab = open_ledger(choice)
    assert said(tab) == expected(**choice)
    assert tab.get_by_label("Chapter").input_value() == CHAPTERS[8]
    assert tab.get_by_label("Paper").input_value() == ""


def test_a_choice_that_no_longer_exists_is_left_out(open_ledger):
    tab = open_ledger({"paper": "nobody1900", "verdict": "reproduced"})
    assert said(tab) == expected(verdict="reproduced")


def test_choices_that_no_claim_fits_say_so(open_ledger):
    tab = open_ledger()
    tab.evaluate("document.querySelector('[name=verdict]').add(new Option('None', 'none'))")
    tab.get_by_label("Verdict").select_option("none")
    assert said(tab) == "No claim fits all of these choices."
    assert shown_rows(tab) == 0
    assert not tab.locator("table.l2s-ledger").is_visible()


def test_the_keyboard_alone_reaches_and_moves_every_filter(open_ledger):
    tab = open_ledger()
    tab.locator("article h2").first.evaluate(
        "heading => { heading.tabIndex = -1; heading.focus(); }"
    )
    reached = []
    for _ in range(6):
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate("document.activeElement.name || document.activeElement.innerText")
        )
        if reached[-1] == "verdict":
            tab.keyboard.press("ArrowDown")
            assert said(tab) == expected(verdict="reproduced")
        if reached[-1] == "Show all":
            tab.keyboard.press("Enter")
            break
    assert [one for one in reached if one in ("paper", "chapter", "verdict", "Show all")] == [
        *("paper", "chapter", "verdict", "Show all")
    ]
    assert said(tab) == expected()


def test_without_scripts_the_whole_table_is_there_and_no_dead_filter(open_ledger):
    tab = open_ledger(java_script_enabled=False)
    rows = tab.locator("tr[data-verdict]")
    assert rows.count() == len(CLAIMS)
    assert rows.last.is_visible()
    assert not tab.locator("form.l2s-filter").is_visible()
    assert said(tab) == expected()


def test_from_a_file_filters_work_and_keep_the_address(browser, book):
    tab = browser.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(f"{(book / 'book/claims.html').as_uri()}?paper=oord2018#ledger")
    assert said(tab) == expected(paper="oord2018")
    tab.get_by_label("Paper").select_option("yeh2022")
    assert said(tab) == expected(paper="yeh2022")
    assert tab.url.endswith("claims.html?paper=yeh2022#ledger")
    tab.close()
    assert not errors


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_on_a_phone_nothing_scrolls_sideways_and_axe_has_no_grave_complaint(open_ledger, mode):
    tab = open_ledger(viewport={"width": 390, "height": 800}, color_scheme=mode)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.get_by_label("Chapter").select_option(CHAPTERS[0])
    tab.get_by_label("Paper").select_option("yeh2022")
    found = Axe().run(tab, options={"preload": False}).response["violations"]
    grave = ("serious", "critical")
    assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in grave]
