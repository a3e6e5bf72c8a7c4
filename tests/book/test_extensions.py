"""The Sphinx extensions, on a small book of their own at another address."""

import io

import numpy as np
import pytest
from bs4 import BeautifulSoup
from l2s import _page, plot, widgets
from l2s.claims import claim
from nbformat.v4 import new_output
from PIL import Image
from sphinx.errors import ConfigError

from book.extensions import figures
from book.extensions.address import repository_name, site_url
from book.tools import build_site
from tests.book.pages import broken_links, pages
from tests.book.small_book import write_frame, write_notebook

VERSION = "0.2.0"  # a release: links name its tag
OPENING = """# A sample

Does it rise? {cite:t}`yeh2022` say so. See {numref}`fig-rise`, {numref}`fig-steps`,
{eq}`eq-sample`, {prf:ref}`thm-sample` and {ref}`the card <claim-sample-first>`.

$$
y = x
$$ (eq-sample)

:::{prf:theorem} It rises
:label: thm-sample

As $x$ does.
:::
"""
PAGE = """# Front

Lives at <{{ repository_url }}>, `{{ repository_name }}`, `@{{ repository_branch }}`.

```{claims-ledger}
```
"""
REFERENCES = "# References\n\n```{bibliography}\n```\n"
TOC = """format: jb-book
root: front
parts:
  - caption: Part
    numbered: true
    chapters:
      - file: chapters/part/sample
  - caption: Sources
    chapters:
      - file: references
"""


def outputs(monkeypatch):
    """What a notebook stores when it shows a figure, a stepper and two claims."""
    stored = []

    def keep(markup, text, extra=None):
        bundle = {"text/html": markup, "text/plain": text, **(extra or {})}
        stored.append(new_output("display_data", bundle))

    monkeypatch.setattr(_page, "display", keep)
    frames = [plot.figure()[0] for _ in range(3)]
    plot.show(frames[0], alt="It rises", name="rise", caption="Rise at $\\tau = 0.1$ & <below>.")
    widgets.stepper(
        frames[1:], values=[1, 2], label="level", alt="Flat", name="steps", caption="Two steps."
    )
    claim(
        "sample-first",
        paper="yeh2022",
        statement="It rises with <x>.",
        paper_value="Table 1: 2 points",
        measured={"gain": [1.0, 2.0, 3.0]},
        seeds=[1000, 1001, 1002],
        setting="two cores",
        holds=True,
        verdict="reproduced at small scale",
    )
    claim(
        "sample-far",
        paper="yeh2022",
        statement="ImageNet was not tried.",
        paper_value="68.2 %",
        verdict="out of reach here",
        reason="It needs a cluster.",
    )
    return stored


def write_book(root, stored, opening=OPENING, address="https://github.com/Someone/other-book"):
    """A book with this one's configuration and extensions, and one chapter."""
    write_frame(root, TOC, address, VERSION)
    (root / "front.md").write_text(PAGE)
    (root / "references.md").write_text(REFERENCES)
    write_notebook(root / "chapters/part/sample.ipynb", opening, stored)


@pytest.fixture(scope="module")
def small_site(tmp_path_factory):
    root = tmp_path_factory.mktemp("book")
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_book(root, outputs(monkeypatch))
    assert build_site.build(root, root) == 0
    return pages(root / "_build/html")


@pytest.fixture(scope="module")
def chapter(small_site) -> BeautifulSoup:
    return small_site["chapters/part/sample.html"].html


def test_every_link_of_the_small_site_leads_somewhere(small_site):
    assert not broken_links(small_site, "/other-book/")


def test_a_figure_becomes_a_file_with_number_caption_and_mathematics(chapter, small_site):
    figure = chapter.find("figure", id="fig-rise")
    assert "l2s-figure" in figure["class"]
    assert " ".join(figure.figcaption.get_text().split()).startswith(
        "Figure 1.1 Rise at \\(\\tau = 0.1\\) & <below>."
    )
    assert figure.figcaption.find(class_="math")
    image = figure.img
    assert (image["alt"], image["loading"]) == ("It rises", "lazy")
    assert image["class"] == ["dark-light"]
    assert int(image["width"]) > int(image["height"]) > 0
    home = small_site["front.html"].home
    content = (home / "chapters/part" / image["src"]).read_text(encoding="utf-8")
    assert "<svg" in content


def test_a_drawing_is_packed_and_looks_the_same(browser):
    picture, axes = plot.figure()
    axes.plot([0, 1, 2], [0, 1, 0.5], label="a curve")
    axes.legend()
    drawing = plot.svg(picture).encode()
    packed = figures._packed(drawing)
    assert len(packed) < 0.8 * len(drawing)
    tab, shots = browser.new_page(), []
    for one in (drawing, packed):
        tab.set_content(one.decode().partition("?>")[2])
        shots.append(np.asarray(Image.open(io.BytesIO(tab.screenshot())), dtype=float))
    assert shots[0].std() > 1  # something is drawn
    assert abs(shots[0] - shots[1]).mean() < 0.1  # of 255


def test_a_stepper_keeps_its_controls_and_its_frames_become_files(chapter):
    figure = chapter.find("figure", id="fig-steps")
    assert figure.figcaption.get_text().strip().startswith("Figure 1.2 Two steps.")
    images = figure.find_all("img")
    assert [image["data-value"] for image in images] == ["1", "2"]
    assert [image.has_attr("hidden") for image in images] == [False, True]
    assert all(image["src"].startswith("../../_images/fig-steps-") for image in images)
    assert "querySelectorAll" in figure.find("input")["oninput"]
    assert "closest" in images[0]["onload"]
    assert figure.find("label").get_text() == "level"


def test_references_show_numbers_and_lead_to_them(chapter):
    shown = {link["href"]: link.get_text() for link in chapter.article.find_all("a", "reference")}
    assert shown["#fig-rise"] == "Figure 1.1"
    assert shown["#fig-steps"] == "Figure 1.2"
    assert shown["#equation-eq-sample"] == "(1.1)"
    assert shown["#thm-sample"] == "Theorem 1.1"
    assert shown["#claim-sample-first"] == "the card"


def test_one_changed_line_moves_every_address(small_site):
    front, chapter = small_site["front.html"], small_site["chapters/part/sample.html"]
    repository = "Someone/other-book"
    assert f"https://github.com/{repository}" in front.links
    assert [code.get_text() for code in front.html.article("code")] == [repository, "@v0.2.0"]
    assert (
        f"https://colab.research.google.com/github/{repository}/blob/v0.2.0/chapters/part/sample.ipynb"
        in chapter.links
    )
    assert (
        f"https://mybinder.org/v2/gh/{repository}/v0.2.0?urlpath=lab/tree/chapters/part/sample.ipynb"
        in chapter.links
    )
    canonical = chapter.html.find("link", rel="canonical")["href"]
    assert canonical == "https://someone.github.io/other-book/chapters/part/sample.html"
    missing = small_site["404.html"]
    assert any(link == "/other-book/front.html" for link in missing.links)
    for page in small_site.values():
        assert "learning-to-select/learning-to-select" not in page.path.read_text(encoding="utf-8")


def test_faults_of_pages_are_errors_and_are_named(tmp_path, monkeypatch, capfd):
    stored = outputs(monkeypatch)
    opening = "# A sample\n\n{cite:t}`nobody1900`, {numref}`fig-none`, [](#nowhere).\n"
    write_book(tmp_path, [*stored, stored[-1]], opening)
    assert build_site.build(tmp_path, tmp_path) != 0
    said = capfd.readouterr().err
    for fault in ("nobody1900", "fig-none", "nowhere", "'sample-far'"):
        assert fault in said


@pytest.mark.parametrize(
    ("repository", "site"),
    [
        (
            "https://github.com/learning-to-select/book",
            "https://learning-to-select.github.io/book/",
        ),
        ("https://github.com/Owner/a.b_c-d/", "https://owner.github.io/a.b_c-d/"),
        ("https://github.com/Owner/owner.github.io", "https://owner.github.io/"),
    ],
)
def test_a_site_has_the_address_that_github_gives_it(repository, site):
    assert site_url(repository) == site


@pytest.mark.parametrize(
    "address",
    ["https://gitlab.com/a/b", "https://github.com/only-owner", "github.com/a/b", ""],
)
def test_an_address_that_no_badge_can_use_is_refused_with_the_form_that_is_needed(address):
    with pytest.raises(ConfigError, match="https://github.com/OWNER/NAME"):
        repository_name(address)
