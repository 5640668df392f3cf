"""Pictures of distributions over the ab plane."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cic.colour.bins import AB, SPACING
from cic.colour.lab import lab_to_rgb
from cic.system.arrays import Array, Bytes

CELL = 24  # pixels of a bin's side
FAINTEST = 1e-6  # share of a bin that is a dot; a tenfold share grows the side by an equal step
LIGHTNESS = 65  # of the colours that bins are drawn in: where the most of them lie in sRGB
MARGIN = 60  # pixels around a plane, for its title and axes
REACH = 110  # CIELAB units from the middle to an edge of the plane: no bin lies further out
INK, PAPER, GROUND = "black", "white", (232, 232, 232)


def draw(planes: Mapping[str, Array]) -> Bytes:
    """{title: shares (313,)} -> picture (H, W, 3) uint8: a square a bin, in its own colour.

    A square's side grows with the logarithm of the share, so that rare colours show too. a runs to
    the right, b upwards.
    """
    side = 2 * REACH // SPACING * CELL + CELL
    width = len(planes) * (side + MARGIN) + MARGIN
    picture = Image.new("RGB", (width, side + 2 * MARGIN), PAPER)
    canvas = ImageDraw.Draw(picture)
    for number, (title, shares) in enumerate(planes.items()):
        left = MARGIN + number * (side + MARGIN)
        _plane(canvas, left + side / 2, MARGIN + side / 2, shares)
        _label(canvas, left + side / 2, MARGIN / 2, title, 24)
        _axes(canvas, left, side)
    return np.asarray(picture)


def _plane(canvas: ImageDraw.ImageDraw, x: float, y: float, shares: Array) -> None:
    """Squares around the gray bin at (x, y)."""
    lab = np.insert(AB, 0, LIGHTNESS, axis=1)
    colours = np.rint(255 * lab_to_rgb(lab)).astype(int)
    decades = np.log10(np.maximum(shares, FAINTEST) / FAINTEST)
    sides = (CELL - 3) * decades / -np.log10(FAINTEST) + 2
    for (a, b), colour, side in zip(AB * CELL / SPACING, colours.tolist(), sides):
        _square(canvas, x + a, y - b, CELL - 1, GROUND)
        _square(canvas, x + a, y - b, side, tuple(colour))


def _square(
    canvas: ImageDraw.ImageDraw, x: float, y: float, side: float, colour: tuple[int, ...]
) -> None:
    canvas.rectangle((x - side / 2, y - side / 2, x + side / 2, y + side / 2), colour)


def _axes(canvas: ImageDraw.ImageDraw, left: float, side: float) -> None:
    for value in range(-100, 101, 50):
        shift = side / 2 + value * CELL / SPACING
        _label(canvas, left + shift, MARGIN + side + 16, f"{value}", 16)
        _label(canvas, left - 20, MARGIN + side - shift, f"{value}", 16)
    _label(canvas, left + side / 2, MARGIN + side + 40, "a", 20)
    _label(canvas, left - 44, MARGIN + side / 2, "b", 20)


def _label(canvas: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int) -> None:
    canvas.text((x, y), text, INK, ImageFont.load_default(size=size), anchor="mm")
