"""A photo coloured a strip at a time, so that neither it nor its result is in memory twice."""

import numpy as np
from PIL import Image

from cic.colorize import edges
from cic.colorize.enlarge import EVERY_FOURTH, ordered
from cic.colour.lab import recolor, recolor_along

_BAND = 1 << 20  # values of a strip of an array


def along_edges(ab, guide):
    """(cells (h, w, C) to enlarge, function of rows of a photo and of those that colours them).

    Of ab (h, w, 2) of cells and the L (h, w) of the photo there, along whose edges they are
    enlarged; bilinearly if `guide` is None. The function takes (n, W, 3) uint8 or (n, W) uint16
    gray and (C, n, W) float32, and gives (n, W, 3) of the photo's dtype.
    """
    if guide is None:
        return ab, lambda rows, values: recolor(rows, np.moveaxis(values, 0, -1))
    return edges.lines(ab, guide), recolor_along


class Painting:
    """An images.Photo with the colours of ab (h, w, 2): a picture (H, W, 3), not made yet.

    `grid` and `guide` are those of `colorize.add_colour`, which gives the same. It is made once, by
    `strips` or `image`, either of which uses the photo up.
    """

    def __init__(self, photo, ab, grid=EVERY_FOURTH, guide=None):
        self.photo, self.grid = photo, grid
        self.cells, self.colour = along_edges(ab, guide)
        deep = photo.deep
        self.shape = (photo.base.height, photo.base.width, 3)
        self.dtype = np.dtype(np.uint8 if deep is None else np.uint16)

    def strips(self):
        """Yield (n, W, 3) of `dtype` from top to bottom."""
        height, width, _ = self.shape
        rows = self._rows_of_image
        if self.photo.deep is not None:
            rows, self.photo.base = self._rows_of_values, None  # its 8 bits are not needed now
        yield from ordered(
            *(self.cells, height, width, self.grid),
            lambda part, values: self.colour(rows(part), values),
        )

    def image(self):
        """The picture as a Pillow image of mode RGB; an RGB photo itself is painted over."""
        image, top = self.photo.rgb, 0
        self.photo.base = image  # one of gray is not needed any more
        for strip in self.strips():
            image.paste(Image.fromarray(strip), (0, top))
            top += len(strip)
        return image

    def _rows_of_values(self, part):
        return self.photo.deep[part]

    def _rows_of_image(self, part):
        base = self.photo.base
        rows = base.crop((0, part.start, base.width, part.stop))
        return np.asarray(rows if rows.mode == "RGB" else rows.convert("RGB"))


def strips(picture):
    """Yield (n, W, 3) of a picture from top to bottom: of a Painting, or an array (H, W, 3)."""
    if isinstance(picture, Painting):
        yield from picture.strips()
        return
    rows = max(1, _BAND * len(picture) // picture.size)
    for top in range(0, len(picture), rows):
        yield picture[top : top + rows]


def with_alpha(strips, alpha):
    """Yield strips (n, W, 3) with the rows of alpha, scaled to their type, as a fourth channel."""
    top = 0
    for strip in strips:
        if alpha is None:
            yield strip
            continue
        rows = np.asarray(alpha.crop((0, top, alpha.width, top + len(strip))))[..., None]
        top += len(strip)
        scaled = rows if strip.dtype == np.uint8 else np.multiply(rows, 257, dtype=np.uint16)
        yield np.concatenate([strip, scaled], axis=2)
