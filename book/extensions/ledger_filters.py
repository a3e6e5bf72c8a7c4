"""The filters above the claims ledger: plain HTML that book/static/ledger.js brings to life."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

from l2s.claims import VERDICTS
from pybtex.database import Entry, parse_file
from pybtex.richtext import Text

LABEL_WIDTH = 70  # letters: a longer choice would be cut by most screens


class HasClaims(Protocol):
    """What the filters ask of a chapter."""

    name: str
    title: str
    claims: tuple[dict[str, Any], ...]


def html(chapters: Sequence[HasClaims], libraries: Iterable[Path], said: str) -> str:
    """Write three choices with their numbers of claims, a button, and the line that counts.

    The line is a live region: what the script writes there is read aloud.
    """
    claims = [claim for chapter in chapters for claim in chapter.claims]
    papers = Counter(claim["paper"] for claim in claims)
    verdicts = Counter(claim["verdict"] for claim in claims)
    names = paper_labels(libraries)
    labels = sorted((names.get(key, key), key, number) for key, number in papers.items())
    choices = [
        _choice("paper", "all papers", labels),
        _choice(
            "chapter", "all chapters", [(one.title, one.name, len(one.claims)) for one in chapters]
        ),
        _choice(
            "verdict",
            "all verdicts",
            [(one.capitalize(), one, verdicts[one]) for one in VERDICTS if verdicts[one]],
        ),
    ]
    return (
        '<form class="l2s-filter" aria-label="Choose which claims are shown" autocomplete="off">'
        f'{"".join(choices)}<button type="button">Show all</button></form>'
        f'<p class="l2s-count" role="status">{escape(said)}</p>'
    )


def paper_labels(libraries: Iterable[Path]) -> dict[str, str]:
    """Authors, year and title of every entry, by key."""
    return {
        key: _label(key, entry)
        for library in libraries
        for key, entry in parse_file(library).entries.items()
    }


def _choice(name: str, everything: str, options: Iterable[tuple[str, str, int]]) -> str:
    shown = [f'<option value="">{everything}</option>']
    for label, value, number in options:
        text = textwrap.shorten(label, LABEL_WIDTH, placeholder=" …")
        shown.append(f'<option value="{escape(value)}">{escape(text)} ({number})</option>')
    return f'<label>{name.capitalize()} <select name="{name}">{"".join(shown)}</select></label>'


def _label(key: str, entry: Entry) -> str:
    names = [" ".join(map(str, one.rich_last_names)) for one in entry.persons.get("author", [])]
    who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    title = Text.from_latex(entry.fields.get("title", key))
    return f"{who} ({entry.fields.get('year', 'no year')}): {title}"
