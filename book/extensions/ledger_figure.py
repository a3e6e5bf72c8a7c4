"""The picture above the claims ledger: how many claims got which verdict."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from l2s import _page, plot
from l2s.claims import COLORS, VERDICTS
from l2s.plot.image import page_size

NAME = "ledger"
MOST_BARS = 12  # above this, a bar stands for a part and not for a chapter
LETTER = 0.018  # of the width of the picture: a number that is wider than its piece is left out

# A chapter: its title, the caption of its part, its claims.
Chapter = tuple[str, str, tuple[dict[str, Any], ...]]


def html(chapters: Iterable[Chapter]) -> str:
    """Draw the figure, and write it as the notebooks write theirs."""
    chapters = list(chapters)
    bars, unit = counted(chapters)
    total = sum(sum(counts.values()) for counts in bars.values())
    picture = _draw(bars)
    image = _page.image(plot.svg(picture), alt=described(bars), size=page_size(picture))
    caption = (
        f"The verdicts on the {total} claims of the book, {unit} by {unit}, counted when this "
        "site was built."
    )
    return _page.framed(image, kind="l2s-figure", name=NAME, caption=caption)


def counted(chapters: list[Chapter]) -> tuple[dict[str, Counter], str]:
    """Verdicts by chapter, or by part where there are too many chapters; and which of the two."""
    unit = "chapter" if len(chapters) <= MOST_BARS else "part"
    bars: dict[str, Counter] = {}
    for title, part, claims in chapters:
        name = title if unit == "chapter" else part
        bars.setdefault(name, Counter()).update(claim["verdict"] for claim in claims)
    return bars, unit


def described(bars: dict[str, Counter]) -> str:
    """The numbers of the picture in words."""
    sentences = []
    for name, counts in bars.items():
        parts = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
        sentences.append(f"{name}: {', '.join(parts)}.")
    return "Bars of verdicts. " + " ".join(sentences)


def _draw(bars: dict[str, Counter]) -> Any:
    """One bar below another, its name above it: a phone has no room beside it."""
    longest = max(sum(counts.values()) for counts in bars.values())
    picture, axes = plot.figure(height=1.1 + 0.62 * len(bars))
    for place, (name, counts) in enumerate(bars.items()):
        _draw_bar(axes, place, counts, longest)
        axes.text(0, place - 0.3, name, ha="left", va="bottom", fontsize=10)
    axes.set(xlim=(0, longest * 1.02), ylim=(len(bars) - 0.55, -0.85), xlabel="claims")
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    used = [verdict for verdict in VERDICTS if any(counts[verdict] for counts in bars.values())]
    handles = [axes.barh(0, 0, color=COLORS[verdict], label=verdict) for verdict in used]
    picture.legend(handles=handles, loc="outside upper left", ncols=2)
    return picture


def _draw_bar(axes: Any, place: int, counts: Counter, longest: int) -> None:
    left = 0
    for verdict in VERDICTS:
        width = counts[verdict]
        if not width:
            continue
        axes.barh(place, width, left=left, height=0.5, color=COLORS[verdict])
        if width / longest > LETTER * len(str(width)):
            middle = left + width / 2
            axes.text(middle, place, width, ha="center", va="center", color="white", weight="bold")
        left += width
