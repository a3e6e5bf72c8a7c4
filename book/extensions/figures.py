"""Turn the figures of l2s.plot and the steppers of l2s.widgets into numbered figures of the book.

A notebook shows them as HTML that holds everything (``<figure id="fig-NAME">``, the picture in a
data address), so that they work in any notebook. On the site a figure should have a number, a label
for ``{numref}`fig-NAME```, and its picture in a file that the browser fetches when it comes into
view, with its size known beforehand so that the text does not jump.
"""

import base64
import os
import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import Tag
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxTranslator

logger = logging.getLogger(__name__)

OURS = ("l2s-figure", "l2s-stepper")
SUFFIXES = {"image/svg+xml": ".svg", "image/png": ".png"}
PIXELS_PER_POINT = 96 / 72


class sized_image(nodes.image):  # noqa: N801  (docutils finds visitors by the class's name)
    """An image whose width and height in pixels are known."""


class NumberFigures(SphinxTransform):
    """Replace our HTML figures by figure nodes, before Sphinx collects labels (priority 850)."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Replace every figure of the page."""
        for bundle in list(self.document.findall(_is_bundle)):
            html = next(bundle.findall(_is_html), None)
            tag = None if html is None else _our_figure(html.astext())
            if tag is not None:
                bundle.replace_self(self.figure(tag))

    def figure(self, tag: Tag) -> nodes.figure:
        """Build the numbered figure, with its label."""
        caption = tag.figcaption.extract()
        figure = nodes.figure("", classes=list(tag["class"]), names=[tag["id"]])
        is_plain = "l2s-figure" in tag["class"]
        figure += self.picture(tag) if is_plain else nodes.raw("", _inner(tag), format="html")
        figure += nodes.caption("", "", *_inline(caption.get_text().strip()))
        self.document.note_explicit_target(figure)
        return figure

    def picture(self, tag: Tag) -> nodes.image:
        """Move the picture from its data address into a file of the build."""
        header, data = tag.img["src"].split(",", 1)
        content = base64.b64decode(data)
        suffix = SUFFIXES[header.removeprefix("data:").split(";")[0]]
        folder = Path(self.app.outdir).parent / "figures" / self.env.docname
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{tag['id']}{suffix}"
        path.write_bytes(content)
        width, height = _pixels(content, suffix)
        return sized_image(
            uri="/" + os.path.relpath(path, self.app.srcdir),
            alt=tag.img["alt"],
            width_px=width,
            height_px=height,
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform and how HTML writes a sized image; others see a plain image."""
    app.add_node(sized_image, html=(_visit_sized_image, None))
    app.add_transform(NumberFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _is_bundle(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


def _is_html(node: nodes.Node) -> bool:
    return isinstance(node, nodes.raw) and node.get("format") == "html"


def _our_figure(html: str) -> Tag | None:
    if not any(name in html for name in OURS):
        return None
    tag = BeautifulSoup(html, "html.parser").find("figure")
    if tag is None or not tag.get("id") or tag.figcaption is None:
        logger.warning("a figure of l2s without id or caption gets no number")
        return None
    return tag


def _inner(tag: Tag) -> str:
    return "".join(str(child) for child in tag.contents)


def _inline(text: str) -> list[nodes.Node]:
    """Read ``$...$`` in a caption as mathematics."""
    pieces = re.split(r"\$([^$]+)\$", text)  # text and mathematics by turns
    made = [
        nodes.math("", piece) if index % 2 else nodes.Text(piece)
        for index, piece in enumerate(pieces)
    ]
    return [node for node in made if node.astext()]


def _pixels(content: bytes, suffix: str) -> tuple[int, int]:
    if suffix == ".png":  # the header chunk holds width and height as two 32-bit numbers
        return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    svg = BeautifulSoup(content, "html.parser").find("svg")
    return tuple(round(_points(svg[side]) * PIXELS_PER_POINT) for side in ("width", "height"))


def _points(length: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(pt|px|)", length).groups()
    return float(number) * (1 if unit == "pt" else 1 / PIXELS_PER_POINT)


def _visit_sized_image(translator: SphinxTranslator, node: sized_image) -> None:
    builder = translator.builder
    source = node["uri"]
    if source in builder.images:
        source = f"{builder.imgpath}/{builder.images[source]}"
    tag = translator.starttag(
        node,
        "img",
        suffix="\n",
        src=source,
        alt=node["alt"],
        width=str(node["width_px"]),
        height=str(node["height_px"]),
        loading="lazy",
        CLASS="dark-light",  # the ground is transparent: the theme must not put white under it
    )
    translator.body.append(tag)
    raise nodes.SkipNode
