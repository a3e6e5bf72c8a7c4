"""The printed book: all of it, readable, with numbers that are right (about 30 s, once)."""

import io
import re
import unicodedata
from collections import Counter

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader, PdfWriter

from book.tools import build_pdf, layout
from book.tools.chromium import browser, chromium_path, listen
from book.tools.join_pages import join, printed_pages
from book.tools.print_article import article, name
from book.tools.serve import served

MEGABYTE = 1e6
A4 = (595, 842)  # points
NUMBER = re.compile(r"\(\d+(?:\.\d+)*\)")
RAW_TEX = re.compile(r"\$\$|\\\(|\\\[|\\begin\{|\\operatorname|\\mathcal|\\frac")
# Building the site and printing it are one setup; a busy machine takes its time.
pytestmark = pytest.mark.timeout(600)

SITE = "https://example.org/book/"


@pytest.fixture(scope="module")
def joined(built_site):
    """The whole book as one page, as it goes to the browser."""
    return BeautifulSoup(join(built_site), "html.parser")


@pytest.fixture(scope="module")
def printed(built_site, tmp_path_factory):
    """The file, and what went wrong while it was made."""
    if chromium_path() is None:
        pytest.skip("needs Chromium: apt install chromium")
    target = tmp_path_factory.mktemp("pdf") / "book.pdf"
    return target, build_pdf.build(built_site, target)


@pytest.fixture(scope="module")
def reader(printed):
    return PdfReader(printed[0])


@pytest.fixture(scope="module")
def texts(reader):
    """What each sheet says."""
    return [squeezed(page.extract_text()) for page in reader.pages]


def squeezed(text):
    """Text without white space and ligatures, in which a PDF differs from its source."""
    return "".join(unicodedata.normalize("NFKC", text).split())


@pytest.fixture(scope="module")
def heads(joined, texts):
    """What stands above every sheet but the first: the book, the page's title, the number."""
    headings = joined.select(".l2s-contents h1, .l2s-page h1")
    titles = "|".join(re.escape(words(heading)) for heading in headings)
    return [
        re.match(f"LearningtoSelect(?:{titles}){number}", text)
        for number, text in enumerate(texts[1:], 2)
    ]


def words(heading):
    """A heading's words without its mathematics, which a PDF writes in its own letters."""
    copied = BeautifulSoup(str(heading), "html.parser")
    for formula in copied.select(".math"):
        formula.decompose()
    return squeezed(copied.get_text())


def test_the_book_is_printed_without_complaint(printed):
    assert printed[1] == []


def test_the_file_is_small_and_every_sheet_is_a4(printed, reader, texts):
    assert printed[0].stat().st_size < 20 * MEGABYTE
    chapters = [page for page in layout.documents() if page.startswith("chapters/")]
    assert 10 * len(chapters) < len(texts) < 100 + 60 * len(chapters)
    assert {tuple(round(side) for side in page.mediabox[2:]) for page in reader.pages} <= {
        A4,
        (596, 842),
    }


def test_it_has_every_page_but_the_reference_of_the_library(joined):
    pages = printed_pages(layout.documents())
    assert [section["id"] for section in joined.select(".l2s-page")] == [name(p) for p in pages]
    left_out = set(layout.documents()) - set(pages)
    assert left_out
    assert all(page.startswith("book/api/") for page in left_out)


def test_every_heading_stands_on_the_sheet_that_the_contents_name(joined, reader, texts):
    lines = joined.select(".l2s-contents a")
    assert len(lines) > 10
    for line in lines:
        place = reader.named_destinations["/" + line["href"][1:]]
        number = reader.get_destination_page_number(place) + 1
        heading = words(line.find("span"))
        assert heading in texts[number - 1], f"{heading} is not on sheet {number}"
        entries = [text for text in texts[1:] if f"{heading}{number}" in text]
        assert entries, f"the contents do not give {number} for {heading}"


def test_the_outline_has_every_page_and_section(joined, reader):
    def titles(entries):
        for entry in entries:
            yield from titles(entry) if isinstance(entry, list) else [squeezed(entry.title)]

    headings = joined.select(":is(h1, h2, h3, h4):not(:has(.math))")
    assert Counter(map(words, headings)) <= Counter(titles(reader.outline))


def test_no_sheet_is_empty_and_all_but_the_first_have_a_title_and_a_number(heads, texts):
    assert len(texts[0]) > 300
    for number, (head, text) in enumerate(zip(heads, texts[1:], strict=True), 2):
        assert head, text[:100]
        assert len(text) > head.end(), f"sheet {number} is empty"


def test_mathematics_is_set_and_every_equation_has_its_number(joined, texts):
    whole = "".join(texts)
    prose = BeautifulSoup(str(joined), "html.parser")
    expected = Counter(
        number
        for page in prose.select(".l2s-page")
        for tag in page.select(".eqno, a.reference")
        for number in NUMBER.findall(squeezed(tag.get_text()))
    )
    assert expected
    for number, times in expected.items():
        assert whole.count(number) >= times, f"{number} is missing"
    assert not RAW_TEX.findall(whole)


def test_links_lead_into_the_book_or_to_other_sites(reader):
    places = {place.removeprefix("/") for place in reader.named_destinations}
    inside, outside = set(), set()
    for page in reader.pages:
        for annotation in page.get("/Annots", []):
            entry = annotation.get_object()
            if "/Dest" in entry:
                inside.add(str(entry["/Dest"]).removeprefix("/"))
            elif "/A" in entry:
                outside.add(str(entry["/A"]["/URI"]))
    assert len(inside) > 30
    assert inside <= places
    assert outside
    assert not [a for a in outside if not a.startswith(("https://", "http://", "mailto:"))]
    assert not [a for a in outside if "127.0.0.1" in a or build_pdf.JOINED in a]


def test_every_link_within_the_joined_page_has_its_anchor(joined):
    anchors = [tag["id"] for tag in joined.find_all(id=True)]
    twice = [anchor for anchor, times in Counter(anchors).items() if times > 1]
    assert all(anchor.rpartition("--")[2] in ("proof", "proof-content") for anchor in twice)
    links = {a["href"][1:] for a in joined.find_all("a", href=True) if a["href"][0] == "#"}
    assert links <= set(anchors)


def test_a_stepper_shows_one_frame_and_says_which_there_are(joined, texts):
    steppers = joined.select("figure.l2s-stepper")
    assert steppers
    for stepper in steppers:
        assert len(stepper.find_all("img")) == 1
        line = squeezed(stepper.select_one(".l2s-slider").get_text())
        assert squeezed(stepper.img["data-value"]) in line
        assert line in "".join(texts)


def test_answers_are_printed_at_the_end_of_their_section(joined, heads, texts):
    assert not joined.find("details")
    blocks = joined.select(".l2s-answers")
    assert blocks
    # A paragraph may go on on the next sheet, below its head.
    whole = texts[0] + "".join(
        text[head.end() :] for head, text in zip(heads, texts[1:], strict=True)
    )
    for answer in joined.select(".l2s-answer"):
        first = next((p for p in answer.select("p") if not p.select(".math, code")), None)
        assert first is None or squeezed(first.get_text()) in whole


PAGE = """<html><body><article class="bd-article"><section id="top"><h1>Top</h1>
<p id="id1"><a href="../b.html#id1">b</a> <a href="../api/x.html#y">x</a> <a href="#id1">self</a>
<a href="../b.html">whole</a> <a href="https://a.org">https://a.org</a></p>
<div class="cell"><details class="hide"><summary>Show</summary><pre>draw()</pre></details></div>
<section id="check"><h2>Check</h2>
<details class="sd-dropdown"><summary>1. Why?<svg></svg></summary><p>Because.</p></details>
<details><summary>More</summary><p>Aside.</p></details>
<p>After.</p>
<section id="exercise"><h3>Exercise</h3><p>Find it.</p>
<details><summary>Hint 1</summary><p>Look.</p></details>
<section id="deeper"><h4>Deeper</h4></section></section></section></section></article></body>
</html>"""


def made(html=PAGE, page="part/a", printed=("part/a", "b")):
    return article(BeautifulSoup(html, "html.parser"), page, printed, SITE)


def kinds(section):
    return [" ".join(tag.get("class", [tag.name])) for tag in section.find_all(recursive=False)]


def test_links_and_ids_of_a_page_are_those_of_the_book():
    links = made().select("p#part-a--id1 a")
    hrefs = [link["href"] for link in links]
    assert hrefs == ["#b--id1", f"{SITE}api/x.html#y", "#part-a--id1", "#b", "https://a.org"]
    assert [link["href"] for link in links if "l2s-plain" in link.get("class", [])] == hrefs[-1:]
    assert made()["id"] == "part-a"


def test_folded_parts_of_a_page_are_printed_where_they_help():
    assert "draw()" not in made().get_text()
    assert made().select_one(".l2s-folded a")["href"] == f"{SITE}part/a.html"
    check = made().find("h2", id="part-a--check").parent
    assert "id" not in check.attrs
    assert kinds(check) == ["h2", "l2s-question", "l2s-opened", "p", "l2s-answers", "section"]
    assert squeezed(check.select_one(".l2s-answers").get_text()) == "Answers1.Because."
    exercise = made().find("h3", id="part-a--exercise").parent
    assert kinds(exercise) == ["h3", "p", "l2s-answers", "section"]
    assert squeezed(exercise.select_one(".l2s-answers").get_text()) == "HintsHint1Look."


def test_a_page_without_an_article_is_refused():
    with pytest.raises(ValueError, match="no <article>"):
        made("<html><body></body></html>")


def test_what_is_wider_than_the_paper_is_named():
    if chromium_path() is None:
        pytest.skip("needs Chromium: apt install chromium")
    with browser() as chromium:
        page = chromium.new_page(viewport=build_pdf.SHEET)
        page.set_content(
            '<main class="bd-article" id="m"><p>fits</p>'
            '<section id="wide"><pre style="width:900px">cut</pre></section></main>'
        )
        assert page.evaluate(build_pdf.TOO_WIDE) == ["wide: cut"]


def test_page_numbers_are_read_from_a_file():
    writer = PdfWriter()
    for _ in range(3):
        writer.add_blank_page(*A4)
    writer.add_named_destination("here", 2)
    stream = io.BytesIO()
    writer.write(stream)
    assert build_pdf.page_numbers(stream.getvalue()) == {"here": 3}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_page_printed_by_a_reader_has_no_controls_and_dark_letters(built_site, mode):
    if chromium_path() is None:
        pytest.skip("needs Chromium: apt install chromium")
    with served(built_site) as address, browser() as chromium:
        page = chromium.new_page(color_scheme=mode, viewport=build_pdf.SHEET)
        heard = listen(page, address)
        page.goto(f"{address}chapters/labels/contrastive.html", wait_until="load")
        page.emulate_media(media="print")
        assert page.evaluate(CONTROLS) == []
        assert page.evaluate(PALE) == []
        assert page.evaluate(CLOSED) == 0
        assert heard == []


CONTROLS = """() => [...document.querySelectorAll(
    'button, input, select, .headerlink, .bd-header, .bd-sidebar-primary, .prev-next-area')]
    .filter(part => part.checkVisibility()).map(part => part.outerHTML.slice(0, 80))"""
PALE = """() => [...document.querySelectorAll('article :is(p, h1, h2, a, code, pre, td, span)')]
    .filter(part => part.checkVisibility() && part.textContent.trim())
    .filter(part => {
        const [r, g, b] = getComputedStyle(part).color.match(/[\\d.]+/g).map(Number);
        return 0.3 * r + 0.59 * g + 0.11 * b > 150;
    }).map(part => part.outerHTML.slice(0, 120))"""
CLOSED = """() => [...document.querySelectorAll('article details:not(.hide) > :not(summary)')]
    .filter(part => !part.getBoundingClientRect().height).length"""
