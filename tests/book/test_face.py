"""The face of the site: the landing page, the map of the book, and one palette for all."""

import os
import re
import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from l2s import plot
from l2s._page import INK, PALETTE

from book import cover
from book.extensions import palette
from book.extensions.book_map import facts_of
from book.tools import contents, layout
from book.tools.chromium import listen
from tests.book import synthetic_book

ROOT = layout.ROOT
MODES = ("light", "dark")


@pytest.fixture(scope="module")
def landing(built_site):
    return BeautifulSoup((built_site / "index.html").read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def measured():
    return cover.measure()


def build(root):
    """Build a small book with Sphinx alone, and return what it says."""
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(root), str(root / "_build")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_map_shows_every_chapter_of_the_contents(landing):
    chapters = contents.chapters(contents.parts())
    assert [f"chapters/{name}" for name in layout.chapters()] == sorted(c.page for c in chapters)
    drawn = landing.find(class_="l2s-map")
    links = [link["href"] for link in drawn.ul.find_all("a")]
    assert links == [f"{chapter.page}.html" for chapter in chapters]
    assert len(drawn.svg.find_all("circle")) == len(chapters)
    menu = landing.find(class_="bd-links").get_text(" ")
    for chapter in chapters:
        assert f"{chapter.number}. {chapter.title}" in " ".join(menu.split())
        assert chapter.minutes
        assert chapter.needs is not None


def test_a_large_map_has_a_line_a_dot_and_arcs_for_each_chapter(tmp_path):
    needs = synthetic_book.usual_needs()
    said = build(synthetic_book.write(tmp_path, needs))
    assert said == ""
    page = BeautifulSoup((tmp_path / "_build/index.html").read_text("utf-8"), "html.parser")
    drawn = page.find(class_="l2s-map")
    parts = drawn.ul.find_all("li", recursive=False)
    assert [part.strong.get_text() for part in parts] == [f"Part {n}" for n in range(1, 10)]
    links = [link["href"] for link in drawn.ul.find_all("a")]
    assert links == [f"{page}.html" for page in synthetic_book.pages()]
    assert "after 1 and 4" in drawn.find(class_="l2s-map-21").get_text()
    arcs = {tuple(path["class"]) for path in drawn.svg.find_all("path", class_="arc")}
    number = {page: place for place, page in enumerate(synthetic_book.pages(), 1)}
    assert arcs == {
        ("arc", f"from{number[needed]}", f"to{number[page]}")
        for page, all_needed in needs.items()
        for needed in all_needed
    }
    rows = [float(dot["cy"]) for dot in drawn.svg.find_all("circle")]
    assert len(rows) == 33
    assert rows == sorted(set(rows))
    assert drawn.svg["aria-hidden"] == "true"
    assert float(re.search(r"width:([\d.]+)rem", drawn.svg["style"])[1]) < 7  # of a phone's 22


def test_a_cycle_and_an_unknown_chapter_are_warnings_that_say_what_to_do(tmp_path):
    first, second, third, *_ = synthetic_book.pages()
    wrong = {first: [second], second: [first], third: ["chapters/part1/nowhere"]}
    said = build(synthetic_book.write(tmp_path, wrong, sizes=(3,)))
    assert "WARNING: The chapter part1/c1 needs chapters/part1/c2, which does not come" in said
    assert "move one of the two, or take the link out" in said
    assert "WARNING: The chapter part1/c3 needs chapters/part1/nowhere, which _toc.yml" in said
    assert "mend the link in its line of facts" in said
    assert "The chapter part1/c2" not in said


def test_a_chapter_that_does_not_say_what_it_needs_is_named(tmp_path):
    synthetic_book.write(tmp_path, {})
    path = tmp_path / f"{synthetic_book.pages()[6]}.ipynb"
    path.write_text(path.read_text("utf-8").replace("*Needs*: ", ""), encoding="utf-8")
    (problem,) = contents.problems(contents.parts(tmp_path))
    assert "part2/c1 does not say what it needs: begin the line of facts" in problem


def test_needs_are_read_from_links_to_chapters_and_from_nothing_else(tmp_path):
    first, second, third, *_ = synthetic_book.pages()
    synthetic_book.write(tmp_path, {third: [first, second, first]})
    path = tmp_path / f"{third}.ipynb"
    text = path.read_text("utf-8").replace("algebra", "[all](../../book/notation.md)")
    text = text.replace("30 minutes.", "30 minutes, as [c4](c4.ipynb).")
    path.write_text(text, encoding="utf-8")
    chapter = contents.chapters(contents.parts(tmp_path))[2]
    assert chapter.needs == (first, second)
    assert facts_of(chapter, {first: 1, second: 2}) == "30 minutes, after 1 and 2"


def test_a_pair_is_heard_more_as_strangers_are_added(measured):
    assert measured.heard.shape == (len(cover.BATCHES), cover.PAIRS)
    assert (measured.heard[1:] >= measured.heard[:-1]).all()
    assert (measured.heard > 0).all()
    assert (measured.heard < 1).all()
    few, many = measured.median(min(cover.BATCHES)), measured.median(max(cover.BATCHES))
    assert few < 0.3
    assert many > 0.9


def test_the_picture_of_the_page_is_computed_and_always_the_same(measured, built_site, landing):
    drawn = plot.svg(cover.draw(measured))
    image = landing.find(class_="l2s-cover").img
    assert (built_site / image["src"]).read_text(encoding="utf-8") == drawn
    few = f"{100 * measured.median(2):.0f}\N{NO-BREAK SPACE}%"
    assert f"{few} is left in a batch of 2" in landing.find("figcaption").get_text()
    assert len(image["alt"]) > 100


def test_the_site_has_the_colours_of_the_figures(built_site):
    sheet = (built_site / "_static/palette.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"(--l2s-[\w-]+): (#\w+);", sheet.partition("html[")[0]))
    assert tuple(light[f"--l2s-{place}"] for place in range(1, 7)) == PALETTE
    assert light["--l2s-ink"] == INK
    mark = (built_site / "_static/mark.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"#[0-9a-f]{6}", mark)) == {PALETTE[0], INK}
    for name in ("custom.css", "landing.css"):
        own = (built_site / "_static" / name).read_text(encoding="utf-8").lower()
        assert not [colour for colour in (*PALETTE, INK) if colour in own], name


@pytest.mark.parametrize("mode", MODES)
def test_letters_have_enough_contrast(mode):
    letters = {n: c for n, c in palette.variables(mode).items() if n.endswith("-text")}
    assert len(letters) == len(PALETTE) + 1
    for colour in letters.values():
        assert min(palette.contrast(colour, ground) for ground in palette.GROUNDS[mode]) >= 4.5
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WebAIM's


GROUNDS_AND_LETTERS = """() => {
    const style = getComputedStyle(document.documentElement);
    const probe = document.body.appendChild(document.createElement('i'));
    const value = name => {
        probe.style.color = style.getPropertyValue(name);
        const parts = getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3);
        return '#' + parts.map(part => (+part).toString(16).padStart(2, '0')).join('');
    };
    return ['background', 'surface', 'text-base', 'text-muted', 'link', 'link-hover',
            'inline-code', 'primary', 'heading'].map(name => value('--pst-color-' + name));
}"""


@pytest.mark.parametrize("mode", MODES)
def test_the_landing_page_reads_on_a_phone(browser, address, mode):
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=mode)
    tab = context.new_page()
    heard = listen(tab, address)
    tab.goto(f"{address}index.html", wait_until="networkidle")
    assert not heard
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    violations = Axe().run(tab).response["violations"]
    assert not [one["id"] for one in violations if one["impact"] in ("serious", "critical")]
    ground, surface, *letters = tab.evaluate(GROUNDS_AND_LETTERS)
    assert ground == palette.GROUNDS[mode][0]
    assert surface in palette.GROUNDS[mode]
    assert min(palette.contrast(one, on) for one in letters for on in (ground, surface)) >= 4.5
    context.close()


def test_dots_stand_at_their_lines_and_the_keyboard_brings_arcs_forward(browser, address):
    tab = browser.new_page(viewport={"width": 390, "height": 800})
    tab.goto(f"{address}index.html")
    for place, line in enumerate(tab.locator(".l2s-map li[class*=l2s-map-] > p").all()):
        text, dot = line.bounding_box(), tab.locator(".l2s-map circle").nth(place).bounding_box()
        assert text["y"] + text["height"] / 2 == pytest.approx(dot["y"] + dot["height"] / 2, abs=1)
        assert line.evaluate("p => p.scrollHeight <= p.clientHeight"), "too long for its row"
    tab.locator(".l2s-map a").first.focus()
    tab.keyboard.press("Shift+Tab")  # so that the focus is one that came from the keyboard
    tab.keyboard.press("Tab")
    width = "getComputedStyle(document.querySelector('.l2s-map circle')).strokeWidth"
    assert tab.evaluate(width) == "3px"
    tab.close()


def test_three_doors_lead_to_pages(built_site, landing):
    doors = landing.select(".l2s-doors > ul > li")
    assert [door.strong.get_text() for door in doors] == ["Read", "Run", "Teach"]
    for door in doors:
        for link in door.find_all("a"):
            assert (built_site / link["href"].partition("#")[0]).is_file()


def test_a_preview_for_other_sites_is_named_and_there(built_site, landing):
    address = landing.find("meta", property="og:image")["content"]
    assert address.endswith("_static/preview.png")
    data = (built_site / "_static/preview.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (1200, 630)


def test_prose_has_about_seventy_letters_a_line_and_code_has_eighty_columns(browser, address):
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.goto(f"{address}{contents.chapters(contents.parts())[0].page}.html")
    letters = """() => {
        const p = document.querySelector('article p'), line = p.cloneNode(true);
        line.style.cssText = 'white-space:nowrap;width:max-content;max-width:none';
        p.after(line);
        return p.clientWidth / (line.getBoundingClientRect().width / line.textContent.length);
    }"""
    assert 60 <= tab.evaluate(letters) <= 80
    columns = """() => {
        const pre = document.querySelector('div.cell pre'), style = getComputedStyle(pre);
        const line = pre.appendChild(document.createElement('span'));
        line.textContent = '0'.repeat(80);
        return pre.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
            - line.getBoundingClientRect().width;
    }"""
    assert tab.evaluate(columns) >= 0
    tab.close()
