"""The room that is kept for a formula until it is set."""

import pytest
from bs4 import BeautifulSoup

from book.extensions.formulas import STOPPED, width


@pytest.mark.parametrize(
    ("tex", "shown"),  # shown: em on a page, as Chromium sets it beside the book's text
    [
        (r"\tau", 0.5),
        ("q", 0.5),
        (r"U_i \ge e^{p_i}", 4.9),
        (r"\tau \to \infty", 3.8),
        (r"Z \in \mathbb R^{N \times d}", 6.1),
        (r"q = \operatorname{sigmoid}(\ell^{\mathrm{DC}})", 9.8),
        (r"-\log \dfrac{e^{p_i}}{e^{p_i} + U_i}", 8.2),
        (r"1, \dots, N", 4.5),
        (r"\partial \log U_i / \partial z_j = \pi_{ij} z_i / \tau", 12.3),
    ],
)
def test_a_formula_is_about_as_wide_as_reckoned(tex, shown):
    assert width(tex) == pytest.approx(shown, rel=0.25, abs=0.3)


def test_long_names_of_commands_take_no_room():
    assert width(r"\mathbb{R}") == width("R")
    assert width(r"\varepsilon") == width("e")
    assert width(r"\frac{a}{b}") < width("ab")


def test_every_formula_in_a_line_of_the_site_has_its_room(built_site):
    html = (built_site / "book/notation.html").read_text(encoding="utf-8")
    formulas = BeautifulSoup(html, "html.parser").article.find_all("span", class_="math")
    assert len(formulas) > 20
    for formula in formulas:
        room = float(formula["style"].removeprefix("--room: ").removesuffix("em"))
        assert room == pytest.approx(width(formula.get_text()[2:-2]), abs=0.051)


FORMULA = r'<span class="math notranslate nohighlight">\(x\)</span>'
LINK = f'<a class="reference internal" href="u"><span class="std std-ref">{FORMULA}</span></a>'


@pytest.mark.parametrize("formula", [FORMULA, LINK])
def test_the_marks_behind_a_formula_stay_with_it(formula):
    text = f"{formula} and {formula}), or {formula} again. Last, {formula}."
    assert STOPPED.findall(text) == [f"{formula}),", f"{formula}."]
