"""Turn the figures of l2s.plot and the steppers of l2s.widgets into numbered figures of the book.

A notebook shows them as HTML that holds everything (``<figure id="fig-NAME">``, pictures in data
addresses), so that they work in any notebook. On the site a figure has a number, a label for
``{numref}`fig-NAME```, and its picture in a file that the browser fetches when it comes into view,
packed: a drawing loses a third of its bytes, and nothing that one sees.
"""

import base64
import os
import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import Tag
from docutils import nodes
from scour import scour
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxTranslator

OURS = re.compile(r'<figure class="l2s-(figure|stepper)"')
PACKING = scour.parse_args(
    ["--indent=none", "--no-line-breaks", "--enable-id-stripping", "--shorten-ids"]
)
SUFFIXES = {"data:image/svg+xml;base64": ".svg", "data:image/png;base64": ".png"}


class inline_image(nodes.image):  # noqa: N801  (docutils finds a visitor by the class's name)
    """An image that keeps the HTML attributes which the notebook gave it."""


class NumberFigures(SphinxTransform):
    """Replace our HTML by figure nodes, before Sphinx collects labels (which is at 850)."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        """Replace every figure and stepper of the page."""
        for bundle in list(self.document.findall(_is_bundle)):
            html = next((raw.astext() for raw in bundle.findall(_is_html)), "")
            if OURS.search(html):
                bundle.replace_self(self.figure(BeautifulSoup(html, "html.parser").figure))

    def figure(self, tag: Tag) -> nodes.figure:
        """Build the figure: its pictures, a stepper's controls, its caption and label."""
        caption = tag.figcaption.extract().get_text().strip()
        figure = nodes.figure("", classes=tag["class"], names=[tag["id"]])
        for place, part in enumerate(tag.children):
            if isinstance(part, Tag) and part.name == "img":
                figure += self.image(part, f"{tag['id']}-{place}" if place else tag["id"])
            else:
                figure += nodes.raw("", str(part), format="html")
        figure += nodes.caption("", "", *_inline(caption))
        self.document.note_explicit_target(figure)
        return figure

    def image(self, tag: Tag, name: str) -> inline_image:
        """Move a picture from its data address into a file of the build."""
        header, data = tag["src"].split(",", 1)
        folder = Path(self.app.outdir).parent / "figures" / self.env.docname
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}{SUFFIXES[header]}"
        picture = base64.b64decode(data)
        path.write_bytes(_packed(picture) if path.suffix == ".svg" else picture)
        address = "/" + os.path.relpath(path, self.app.srcdir)
        kept = {key: value for key, value in tag.attrs.items() if key not in ("class", "src")}
        return inline_image(uri=address, alt=tag["alt"], classes=tag["class"], html=kept)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform, and how HTML writes the image; other builders see a plain one."""
    app.add_node(inline_image, html=(_visit_inline_image, None))
    app.add_transform(NumberFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _packed(drawing: bytes) -> bytes:
    """The same drawing in fewer bytes."""
    text: str = scour.scourString(drawing.decode(), PACKING)
    return text.encode()


def _is_bundle(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


def _is_html(node: nodes.Node) -> bool:
    return isinstance(node, nodes.raw) and node.get("format") == "html"


def _inline(text: str) -> list[nodes.Node]:
    """Read ``$...$`` in a caption as mathematics."""
    pieces = re.split(r"\$([^$]+)\$", text)  # text and mathematics by turns
    made = [
        nodes.math("", piece) if place % 2 else nodes.Text(piece)
        for place, piece in enumerate(pieces)
    ]
    return [node for node in made if node.astext()]


def _visit_inline_image(translator: SphinxTranslator, node: inline_image) -> None:
    builder = translator.builder
    source = f"{builder.imgpath}/{builder.images[node['uri']]}"
    translator.body.append(translator.emptytag(node, "img", "\n", src=source, **node["html"]))
    raise nodes.SkipNode
