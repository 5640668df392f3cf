"""Measure how unsure the network is of a photo's colours, by entropy, and draw a map of it."""

from importlib import resources

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cic.colorize.enlarge import in_strips
from cic.colour.bins import COUNT
from cic.colour.grid import EVERY_FOURTH, Grid
from cic.system.arrays import Array, Bytes, Floats

MOST = float(np.log2(COUNT))  # bits of the uniform distribution: the network knows nothing
LEGEND = 0.06  # height of the legend, of the photo's short side
LOWEST = 24  # pixels of it; a photo narrower than 8 times the legend's height has none
COLOURS = "viridis.npy"  # perceptually uniform; lighter is less sure


def entropy(logits: Array) -> Floats:
    """Return the entropy of softmax(logits (313, h, w)), (h, w) float32, bits, 0 to log2(313) =
    8.29.
    """
    shifted = logits - logits.max(0)  # not by log_softmax, whose float32 is three times less exact
    share = np.exp(shifted)
    total = share.sum(0)
    nats = np.log(total) - (share * shifted).sum(0) / total
    return np.clip(nats / np.log(2), 0, MOST).astype(np.float32)


def draw(bits: Floats, height: int, width: int, grid: Grid = EVERY_FOURTH) -> Bytes:
    """Map of bits (h, w) as a picture, (H', width, 3) uint8: the photo's rows, then a legend.

    The scale is fixed, 0 to 8.29 bits, so that the maps of two photos compare. `grid` is how the
    cells lie on the photo. Of a photo too narrow for the legend H' is `height`.
    """
    colours = _colours()
    legend = _legend(width, min(height, width), colours)
    picture = np.empty((height + len(legend), width, 3), np.uint8)
    picture[height:] = legend

    def paint(rows: slice, values: Floats) -> None:
        level = np.rint(values[0] * (255 / MOST)).astype(np.uint8)
        # "wrap" only because the default mode would buffer the output: every byte is an index.
        colours.take(level, axis=0, out=picture[rows], mode="wrap")

    in_strips(bits[..., None], height, width, grid, paint)
    return picture


def _colours() -> Bytes:
    """Return the colour of each level, (256, 3) uint8."""
    with resources.as_file(resources.files("cic") / "data" / COLOURS) as path:
        return np.load(path)


def _legend(width: int, short: int, colours: Bytes) -> Bytes:
    """Return the bar of all colours with its ends named, (n, width, 3) uint8; no row if it would
    not fit.
    """
    height = max(LOWEST, round(LEGEND * short))
    if width < 8 * height:
        return np.empty((0, width, 3), np.uint8)
    bar = colours[np.linspace(0, 255, width).astype(int)]
    image = Image.fromarray(np.broadcast_to(bar, (height, width, 3)).copy())
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(size=0.5 * height)
    middle, edge = height / 2, height / 4
    canvas.text((edge, middle), "0 bits: sure", "white", font, anchor="lm")
    canvas.text((width - edge, middle), f"{MOST:.1f} bits: any", "black", font, anchor="rm")
    return np.asarray(image)
