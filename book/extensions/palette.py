"""Give the site the colours of the book's figures, so that no colour is written twice.

At every build l2s's palette becomes CSS variables (``--l2s-1`` to ``--l2s-6``, ``--l2s-ink``, and
``--l2s-1-text`` and so on for letters, which need more contrast than lines), and the mark becomes
the logo and the favicon. What is generated lies beside the site, in _build/face.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from l2s._page import INK, PALETTE
from sphinx.application import Sphinx
from sphinx.config import Config

# What letters stand on: the page first, then the theme's panels (code, table rows, asides).
GROUNDS = {"light": ("#ffffff", "#f3f4f5"), "dark": ("#14181e", "#222832", "#29313d")}
TOWARDS = {"light": "#000000", "dark": "#ffffff"}
READABLE = 4.5  # WCAG 2, level AA, for text of any size


def contrast(one: str, other: str) -> float:
    """The ratio of two colours' luminances by WCAG 2, between 1 and 21.

    >>> contrast("#ffffff", "#000000")
    21.0
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, grounds: Sequence[str], towards: str) -> str:
    """Move a colour towards black or white until letters in it read on every ground, no further."""
    for step in range(101):
        mixed = _mixed(colour, towards, step / 100)
        if min(contrast(mixed, ground) for ground in grounds) >= READABLE:
            return mixed
    raise ValueError(f"No mixture of {colour} and {towards} reads on {', '.join(grounds)}.")


def variables(mode: str) -> dict[str, str]:
    """The CSS variables of a mode: lines' colours are the same in both, letters' are not."""
    lines = {f"--l2s-{place}": colour for place, colour in enumerate(PALETTE, 1)}
    letters = {
        f"{name}-text": readable(colour, GROUNDS[mode], TOWARDS[mode])
        for name, colour in {**lines, "--l2s-ink": INK}.items()
    }
    return {**lines, "--l2s-ink": INK, **letters, "--l2s-ground": GROUNDS[mode][0]}


def style_sheet() -> str:
    """The style sheet that gives the variables of both modes; light is what no script needs."""
    rules = {":root": variables("light"), 'html[data-theme="dark"]': variables("dark")}
    blocks = [
        f"{selector} {{\n" + "".join(f"  {name}: {v};\n" for name, v in values.items()) + "}\n"
        for selector, values in rules.items()
    ]
    return "\n".join(blocks)


def mark(label: str) -> str:
    """The book's mark as SVG: nine candidates, one selected."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="32" height="32" '
        f'role="img"><title>{label}</title>{"".join(_dots())}</svg>\n'
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the files before Sphinx looks for the favicon and the logo (which is at 800)."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def folder(app: Sphinx) -> Path:
    """Where generated files of the site's face lie; what lies there is served from _static."""
    return Path(app.outdir).parent / "face"


def _write(app: Sphinx, config: Config) -> None:
    home = folder(app)
    home.mkdir(parents=True, exist_ok=True)
    (home / "palette.css").write_text(style_sheet(), encoding="utf-8")
    (home / "mark.svg").write_text(mark(config.html_title), encoding="utf-8")
    config.html_static_path.append(str(home))
    config.html_favicon = str(home / "mark.svg")
    config.html_logo = str(home / "mark.svg")
    app.add_css_file("palette.css", priority=600)


def _dots() -> Iterator[str]:
    for row, column in product(range(3), range(3)):
        selected = (row, column) == (1, 2)
        yield (
            f'<circle cx="{5 + 10.5 * column:g}" cy="{5.5 + 10.5 * row:g}" '
            f'r="{5.5 if selected else 3}" fill="{PALETTE[0] if selected else INK}"/>'
        )


def _channels(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _mixed(colour: str, other: str, share: float) -> str:
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(own + share * (far - own)):02x}" for own, far in pairs)


def _luminance(colour: str) -> float:
    parts = [channel / 255 for channel in _channels(colour)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
