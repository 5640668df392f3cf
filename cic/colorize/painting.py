"""Colour a photo a strip at a time, so that neither it nor its result is in memory twice."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from cic.colorize import edges
from cic.colorize.enlarge import each_strip
from cic.colour.grid import EVERY_FOURTH, Grid
from cic.colour.lab import recolor, recolor_along
from cic.photos.photo import Photo
from cic.system.arrays import Array, Floats


def along_edges(
    ab: Floats, guide: Floats | None
) -> tuple[Floats, Callable[[Array, Floats], Array]]:
    """Return (cells (h, w, C) to enlarge, function of rows of a photo and of those that colours
    them).

    Of ab (h, w, 2) of cells and the L (h, w) of the photo there, along whose edges they are
    enlarged; bilinearly if `guide` is None. The function takes (n, W, 3) uint8 or (n, W) uint16
    gray and (C, n, W) float32, and gives (n, W, 3) of the photo's dtype.
    """
    if guide is None:
        return ab, lambda rows, values: recolor(rows, np.moveaxis(values, 0, -1))
    return edges.fit_lines(ab, guide), recolor_along


class Painting:
    """An images.Photo with the colours of ab (h, w, 2): a picture (H, W, 3), not made yet.

    `grid` and `guide` are those of `colorizer.add_colour`, which gives the same picture. Make it
    once, by `strips` or `image`: either uses the photo up.
    """

    def __init__(
        self, photo: Photo, ab: Floats, grid: Grid = EVERY_FOURTH, guide: Floats | None = None
    ) -> None:
        self.photo, self.grid = photo, grid
        self.cells, self.colour = along_edges(ab, guide)
        deep = photo.deep
        self.shape = (photo.base.height, photo.base.width, 3)
        self.dtype = np.dtype(np.uint8 if deep is None else np.uint16)

    def strips(self) -> Iterator[Array]:
        """Yield (n, W, 3) of `dtype` from top to bottom."""
        height, width, _ = self.shape
        rows = self._rows_of_image
        if self.photo.deep is not None:
            rows, self.photo.base = self._rows_of_values, None  # type: ignore[assignment]  # its 8 bits are not needed now
        yield from each_strip(
            self.cells,
            height,
            width,
            self.grid,
            lambda part, values: self.colour(rows(part), values),
        )

    def image(self) -> Image.Image:
        """Return the picture as a Pillow image of mode RGB; an RGB photo itself is painted over."""
        image, top = self.photo.rgb, 0
        self.photo.base = image  # one of gray is not needed any more
        for strip in self.strips():
            image.paste(Image.fromarray(strip), (0, top))
            top += len(strip)
        return image

    def _rows_of_values(self, part: slice) -> Array:
        return self.photo.deep[part]  # type: ignore[index]

    def _rows_of_image(self, part: slice) -> Array:
        base = self.photo.base
        rows = base.crop((0, part.start, base.width, part.stop))
        return np.asarray(rows if rows.mode == "RGB" else rows.convert("RGB"))
