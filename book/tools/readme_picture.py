"""Draw the README's picture of the site anew: ``python -m book.tools.readme_picture``.

It shows what a reader first sees of one page. Few colours keep the file small.
"""

from io import BytesIO

from PIL import Image

from book.tools import layout
from book.tools.chromium import browser, settle
from book.tools.serve import served

PAGE = "index"
PICTURE = layout.ROOT / "book" / "site.png"
VIEW = {"width": 1280, "height": 800}
COLORS = 64


def main() -> None:
    """Write the picture into the repository."""
    with served(layout.ROOT / "_build" / "html") as address, browser() as chromium:
        page = chromium.new_page(viewport=VIEW, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{address}{PAGE}.html")
        settle(page)
        shown = page.screenshot()
    few = Image.open(BytesIO(shown)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(layout.ROOT)}: {PICTURE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
