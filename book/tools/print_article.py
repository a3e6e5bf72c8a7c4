"""Make the article of one built page fit for print: nothing is hidden, and links stay in the book.

Ids are unique on a page of the site, but not in a book on one page, so each gets its page's name.
"""

import re
from collections.abc import Collection
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup
from bs4.element import Tag

# Attributes that name ids of the page, and are kept.
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "headers")
USELESS = "script, style, noscript, .headerlink, .toctree-wrapper, button, input, select, textarea"
SHORT = 14  # lines of code that stay together on a sheet
NUMBER = re.compile(r"\d+\.")


def article(soup: BeautifulSoup, page: str, printed: Collection[str], site: str) -> Tag:
    """Take the article out of a parsed page; links lead to ``printed`` pages or the ``site``."""
    found = soup.find("article")
    if found is None:
        raise ValueError(f"{page}.html has no <article>. Build the site again with `make book`.")
    _freeze_steppers(found)
    for useless in found.select(USELESS):
        useless.decompose()
    _leave_out_folded_code(found, f"{site}{page}.html")
    _unfold(found)
    _keep_short_code_together(found)
    _load_at_once(found, page)
    _anchor_headings(found)
    _redirect(found, page, printed, site)
    _make_ids_unique(found, page)
    found.extract()
    found.name = "section"
    found["id"] = name(page)
    found["class"] = ["l2s-page"]
    return found


def name(page: str, anchor: str = "") -> str:
    """The id in the whole book of a page, or of an anchor on it."""
    return f"{page.replace('/', '-')}--{anchor}" if anchor else page.replace("/", "-")


def _freeze_steppers(article: Tag) -> None:
    """Keep the frame that is shown at the start, and say which ones there are."""
    for stepper in article.select("figure.l2s-stepper"):
        label = stepper.find("label")
        shown, others = None, []
        for frame in stepper.find_all("img"):
            if "hidden" in frame.attrs:
                others.append(frame.extract()["data-value"])
            else:
                shown = frame["data-value"]
        line = f"Slider “{label.get_text()}”: shown at {shown}; on the site also at "
        stepper.figcaption.append(_tag("p", f"{line}{', '.join(others)}.", "l2s-slider"))
        label.parent.decompose()  # with the slider and the value beside it


def _leave_out_folded_code(article: Tag, address: str) -> None:
    for folded in article.select("div.cell > details.hide"):
        note = _tag("p", "", "l2s-folded")
        note.append(_tag("a", "Code folded on the site", href=address))
        folded.replace_with(note)


def _unfold(article: Tag) -> None:
    """Open every folded part; answers and hints move to the end of their section."""
    kept: dict[int, tuple[Tag, str, list[Tag]]] = {}
    for folded in article.find_all("details"):
        summary = folded.find("summary").extract()
        for mark in summary.select("svg, .sd-summary-state-marker"):
            mark.decompose()
        words = summary.get_text(" ", strip=True)
        is_question = "sd-dropdown" in folded.get("class", [])
        if not is_question and not words.startswith("Hint"):
            folded.replace_with(_opened(folded, summary))
            continue
        section = folded.find_parent("section")
        title = "Answers" if is_question else "Hints"
        _, _, entries = kept.setdefault(id(section), (section, title, []))
        entries.append(_entry(folded, words, len(entries) + 1))
        if is_question:
            folded.replace_with(_renamed(summary, "p", "l2s-question"))
        else:
            folded.decompose()
    for section, title, entries in kept.values():
        _put_at_end(section, title, entries)


def _opened(folded: Tag, summary: Tag) -> Tag:
    folded.insert(0, _renamed(summary, "p", "l2s-question"))
    return _renamed(folded, "div", "l2s-opened")


def _entry(folded: Tag, title: str, place: int) -> Tag:
    """An answer or a hint, under the number or the name that its question has."""
    number = NUMBER.match(title)
    label = number[0] if number else title if title.startswith("Hint") else f"{place}."
    entry = _tag("div", "", "l2s-answer")
    entry.append(_tag("b", label))
    content = _tag("div", "")
    content.extend(list(folded.contents))
    entry.append(content)
    return entry


def _put_at_end(section: Tag, title: str, entries: list[Tag]) -> None:
    block = _tag("div", "", "l2s-answers")
    block.append(_tag("p", title, "l2s-answers-title"))
    block.extend(entries)
    below = section.find("section", recursive=False)
    if below is None:
        section.append(block)
    else:
        below.insert_before(block)


def _keep_short_code_together(article: Tag) -> None:
    for code in article.select("div.highlight"):
        if code.get_text().strip().count("\n") < SHORT:
            code["class"] = ["highlight", "l2s-short"]


def _load_at_once(article: Tag, page: str) -> None:
    for image in article.find_all("img"):
        image["loading"] = "eager"
        image["src"] = urljoin(f"{page}.html", image["src"])
        del image["onload"]


def _anchor_headings(article: Tag) -> None:
    """Let a heading bear its section's id: a section may begin at the foot of the sheet before."""
    for section in article.find_all("section", id=True):
        heading = section.find(["h2", "h3", "h4"], recursive=False)
        if heading is not None and "id" not in heading.attrs:
            heading["id"] = section.attrs.pop("id")


def _redirect(article: Tag, page: str, printed: Collection[str], site: str) -> None:
    """Turn each link to a printed page into one within the book, others to the site."""
    pages = {f"{one}.html": one for one in printed}
    anchors = {tag["id"] for tag in article.find_all(id=True)}
    for link in article.find_all("a", href=True):
        if urlsplit(link["href"]).scheme:
            if link.get_text(strip=True) == link["href"].removeprefix("mailto:"):
                link["class"] = [*link.get("class", []), "l2s-plain"]
            continue
        path, _, anchor = urljoin(f"{page}.html", link["href"]).partition("#")
        if path not in pages:
            link["href"] = urljoin(site, path) + (f"#{anchor}" if anchor else "")
        elif path == f"{page}.html" and unquote(anchor) not in anchors:
            link["href"] = f"#{name(page)}"
        else:
            link["href"] = f"#{name(pages[path], unquote(anchor))}"


def _make_ids_unique(article: Tag, page: str) -> None:
    for tag in article.find_all(id=True):
        tag["id"] = name(page, tag["id"])
    for attribute in REFERENCES:
        for tag in article.find_all(attrs={attribute: True}):
            words = tag[attribute] if isinstance(tag[attribute], list) else tag[attribute].split()
            tag[attribute] = " ".join(name(page, word) for word in words)


def _renamed(tag: Tag, kind: str, css: str) -> Tag:
    tag.name = kind
    tag.attrs = {"class": [css]} | ({"id": tag["id"]} if "id" in tag.attrs else {})
    return tag


def _tag(kind: str, text: str, css: str = "", **attributes: str) -> Tag:
    made = BeautifulSoup("", "html.parser").new_tag(kind, attrs=attributes)
    made.string = text
    if css:
        made["class"] = [css]
    return made
