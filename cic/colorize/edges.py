"""Enlarge ab along the photo's own lightness, so that colours end where things end.

At every cell ab is a linear function of L, with the slope of the guided filter (He, Sun, Tang,
"Guided image filtering", ECCV 2010, equation 5; at the cells alone as in He and Sun, "Fast guided
filter", 2015). Slopes and offsets are enlarged bilinearly, and a pixel's L then gives its ab.
Unlike the filter's, the lines pass through the ab of the cells themselves, so that the network's
colours are kept and no small thing loses its colour to its neighbours; and L is clipped to the
range of the neighbouring cells, so that grain and scratches stay uncoloured.

Measured on 30 photographs of short sides of 256 to 321 pixels with their true ab, averaged over the
cells of a network that sees 256, 128 or 64 pixels (mean distance to the true ab, CIELAB units,
within 4 pixels of edges of ab, and of all pixels):

                                    256              128              64
    bilinear                        6.43   2.35      9.24   3.51      11.73  4.82
    this                            5.82   2.21      8.26   3.22      10.54  4.35
    this, no limit to L             5.80   2.22      8.23   3.23      10.54  4.37
    EPSILON 16                      5.81   2.23      8.19   3.21      10.46  4.32
    EPSILON 100                     5.89   2.22      8.43   3.26      10.74  4.42
    the guided filter as it is      7.58   3.03      9.84   4.07      12.04  5.28
    joint bilateral, sigma 8        6.84   2.68      9.10   3.66

With grain of 8 L a pixel of the photo, at 128: bilinear 9.24 and 3.51, this 8.62 and 3.43, with no
limit to L 8.75 and 3.59, with EPSILON 16 8.65 and 3.51.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from cic.system.arrays import Array, Floats

# Square of the change of L that counts as an edge. Of 1 to 200 the one that is among the best for
# clean photographs and better than bilinear for grainy ones (see above).
EPSILON = 36.0


def fit_lines(ab: ArrayLike, light: ArrayLike) -> Floats:
    """Lines in L of cells: ab (h, w, 2), CIELAB units, L (h, w) -> (h, w, 6) float32.

    Slope of a and of b, their offset, and the lowest and highest L at which they hold: what
    `lab.recolor_along` takes. L is that of the same places of the photo that ab are of.
    """
    light = np.asarray(light, np.float64)
    ab = np.asarray(ab, np.float64)
    flat = light[..., None]
    mean, colour = _box(flat), _box(ab)
    variance = _box(flat * flat) - mean * mean
    slope = _box((_box(flat * ab) - mean * colour) / (np.maximum(variance, 0) + EPSILON))
    found = slope, ab - slope * flat, _nearest(flat, np.minimum), _nearest(flat, np.maximum)
    return np.concatenate(found, axis=-1).astype(np.float32)


def _nine(cells: Array) -> Iterator[Array]:
    """Yield cells (h, w, C) moved by one or none along both sides, the outermost repeated."""
    padded = np.pad(cells, ((1, 1), (1, 1), (0, 0)), "edge")
    height, width = cells.shape[:2]
    for y in range(3):
        for x in range(3):
            yield padded[y : y + height, x : x + width]


def _box(cells: Array) -> Array:
    """Return the mean of each cell and the eight around it."""
    return sum(_nine(cells)) / 9  # type: ignore[return-value]


def _nearest(cells: Array, pick: Callable[[Array, Array], Array]) -> Array:
    """Return the lowest or highest of each cell and the eight around it."""
    found = cells
    for moved in _nine(cells):
        found = pick(found, moved)
    return found
