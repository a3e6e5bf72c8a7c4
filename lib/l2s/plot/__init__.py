"""The book's figure style: one palette, sizes that read on a phone, and images that never change.

A figure is seen on a white page, on a dark page and on a screen 390 pixels wide, and an image
cannot follow the reader's choice. So the ground is transparent, every colour has enough contrast
on both grounds, lines differ by marker and dash as well as by colour, and two runs write the same
bytes. Nothing here touches matplotlib's global settings or pyplot's list of open figures.
"""

from l2s._page import INK, PALETTE
from l2s.plot.image import png, show, svg
from l2s.plot.lines import label_lines, mean_spread
from l2s.plot.style import figure, plain_log

__all__ = [
    "INK",
    "PALETTE",
    "figure",
    "label_lines",
    "mean_spread",
    "plain_log",
    "png",
    "show",
    "svg",
]
