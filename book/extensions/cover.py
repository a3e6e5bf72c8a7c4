"""The picture on the landing page, drawn at every build by book/cover.py.

``{cover}`` takes an alt text and a caption. Both may use what is measured: ``{few}`` and
``{many}``, the middle pair's coupling in the ``{smallest}`` and in the ``{largest}`` batch. The
same picture with the book's title goes into the preview that other sites show of a link.
"""

import os
from functools import cache
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from l2s import plot
from l2s.plot.image import page_size
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from book import cover
from book.extensions.figures import inline_image
from book.extensions.palette import GROUNDS, TOWARDS, folder


class CoverFigure(SphinxDirective):
    """Compute, draw, and set the picture with its caption."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Write the two pictures, and return the one that the page shows."""
        for source in (cover.__file__, __file__):
            self.env.note_dependency(source)
        measured = _measured()
        figure = cover.draw(measured)
        path = folder(self.env.app) / "cover.svg"
        path.write_text(plot.svg(figure), encoding="utf-8")
        preview = cover.preview(
            measured, self.config.html_title, ground=GROUNDS["dark"][0], letters=TOWARDS["dark"]
        )
        path.with_name("preview.png").write_bytes(preview)
        smallest, largest = min(cover.BATCHES), max(cover.BATCHES)
        words = {
            "smallest": smallest,
            "largest": largest,
            "few": f"{100 * measured.median(smallest):.0f}\N{NO-BREAK SPACE}%",
            "many": f"{100 * measured.median(largest):.0f}\N{NO-BREAK SPACE}%",
        }
        width, height = page_size(figure)
        alt = self.options["alt"].format(**words)
        image = inline_image(
            uri="/" + os.path.relpath(path, self.env.srcdir),
            alt=alt,
            html={"alt": alt, "class": "dark-light", "width": width, "height": height},
        )
        caption, _ = self.parse_inline(" ".join(self.content).format(**words))
        return [
            nodes.raw("", '<figure class="l2s-cover" id="cover">', format="html"),
            image,
            nodes.raw("", "<figcaption>", format="html"),
            nodes.paragraph("", "", *caption),
            nodes.raw("", "</figcaption></figure>", format="html"),
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("cover", CoverFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@cache
def _measured() -> cover.Cover:
    return cover.measure()
