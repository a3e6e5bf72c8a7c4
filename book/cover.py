"""The picture on the landing page: who is heard in a contrastive batch, computed at every build.

A small encoder learns from handwritten digits. Then the same pairs are put among more and more
strangers, and each is drawn as strongly as the loss listens to it: its coupling, between 0 and 1.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from contourpy import contour_generator
from l2s.data import TwoViews, digits, two_view
from l2s.labels.contrastive import coupling, nt_xent
from l2s.plot import INK, PALETTE, figure
from l2s.train import fit
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from torch import Tensor, nn
from torch.nn.functional import interpolate

BATCHES = (2, 4, 8, 16, 32, 128)  # rows, from the smallest company to the largest
PAIRS = 14  # columns
STEPS, STEP_BATCH, RATE = 200, 64, 3e-3
SEED = 1000
GLYPH = 0.33  # inches
FAINTEST = 0.05  # so that the silent ones can still be seen


@dataclass(frozen=True, eq=False)
class Cover:
    """What the picture shows."""

    images: Tensor  # (pairs, height, width), the picture that both views of a pair come from
    heard: Tensor  # (batches, pairs), the coupling of each pair in a batch of each size

    def median(self, batch: int) -> float:
        """The coupling of the middle pair in a batch of this size."""
        return float(self.heard[BATCHES.index(batch)].median())


def measure() -> Cover:
    """Train the encoder, and listen to the same pairs in batches that grow by strangers."""
    generator = torch.Generator().manual_seed(SEED)
    data = digits()
    model = _trained(data.train.images, generator)
    images = data.test.images[torch.randperm(len(data.test), generator=generator)]
    views = two_view(images, generator=generator)
    with torch.no_grad():
        view_a, view_b = model(views.view_a), model(views.view_b)
    strangers = torch.arange(PAIRS, PAIRS + max(BATCHES) - 1)
    heard = torch.empty(len(BATCHES), PAIRS)
    for row, batch in enumerate(BATCHES):
        for pair in range(PAIRS):
            company = torch.cat([torch.tensor([pair]), strangers[: batch - 1]])
            heard[row, pair] = coupling(view_a[company], view_b[company])[:, 0].mean()
    return Cover(images[:PAIRS, 0], heard)


def draw(cover: Cover) -> Figure:
    """Draw each pair once a batch: its digit, as dark as it is heard."""
    picture, axes = figure(height=2.75)
    _draw_pairs(axes, cover)
    axes.set_yticks(range(len(BATCHES)), [str(batch) for batch in BATCHES])
    axes.set_ylabel("pairs in the batch")
    return picture


def preview(cover: Cover, title: str, *, ground: str, letters: str) -> bytes:
    """Draw the picture that other sites show beside a link: a PNG of 1200 by 630 pixels."""
    dpi = 200
    picture, axes = figure(width=1200 / dpi, height=630 / dpi)
    _draw_pairs(axes, cover)
    axes.set_yticks([])
    axes.set_title(title, fontsize=19, color=letters, pad=8)
    picture.get_layout_engine().set(rect=(0.03, 0.03, 0.94, 0.94))
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=dpi, facecolor=ground, metadata={"Software": None})
    return buffer.getvalue()


def _draw_pairs(axes: Axes, cover: Cover) -> None:
    rows = np.arange(len(BATCHES))
    for column, image in enumerate(cover.images):
        shades = np.clip(cover.heard[:, column].numpy(), FAINTEST, 1)
        axes.add_collection(
            PathCollection(
                [_glyph(image)],
                facecolors=[to_rgba(PALETTE[0], float(shade)) for shade in shades],
                edgecolors=to_rgba(INK, 0.6),
                linewidths=0.4,
                offsets=np.column_stack([np.full(len(rows), column), rows]),
                offset_transform=axes.transData,
                transform=Affine2D().scale(GLYPH) + axes.figure.dpi_scale_trans,
            ),
            autolim=False,
        )
    axes.set(xlim=(-0.6, PAIRS - 0.4), ylim=(len(rows) - 0.4, -0.6), xticks=[])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _trained(images: Tensor, generator: torch.Generator) -> nn.Module:
    model = nn.Sequential(
        nn.Flatten(), _layer(64, 128, generator), nn.ReLU(), _layer(128, 32, generator)
    )

    def batches() -> Iterator[TwoViews]:
        while True:
            some = torch.randint(len(images), (STEP_BATCH,), generator=generator)
            yield two_view(images[some], generator=generator)

    fit(
        model,
        lambda views: nt_xent(model(views.view_a), model(views.view_b)),
        batches(),
        optimizer=torch.optim.Adam(model.parameters(), lr=RATE),
        steps=STEPS,
    )
    return model


def _layer(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def _glyph(image: Tensor) -> Path:
    """The outline of a digit's ink, in a box of side 1 about the origin."""
    fine = interpolate(image[None, None], size=(20, 20), mode="bicubic", align_corners=True)
    ink = np.pad(fine[0, 0].numpy(), 1)
    places = np.linspace(-0.5, 0.5, len(ink))
    lines = contour_generator(places, -places, ink).lines(0.45)
    outlines = [Path(np.round(line, 3), closed=True) for line in lines]
    return Path.make_compound_path(*outlines)
