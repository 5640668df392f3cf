"""ab errors of pictures, as float64 would count them, at the speed of float32.

AuC asks only on which side of a whole number an error lies, and in which bin a colour. The
float32 of `cic.colour.lab` answers that for all but the few pixels within its rounding of a border;
those are converted once more, in float64, by scikit-image.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cic.colour.bins import AB, COUNT, SPACING
from cic.colour.lab import rgb_to_lab
from cic.system.arrays import Array, Bytes, Doubles, Floats

BLOCK = 1 << 16  # pixels at a time: their planes stay in the processor's cache
# CIELAB units by which cic.colour.lab may differ from float64 scikit-image. Over all 2**24
# colours a does by up to 1.98e-4, b by 0.84e-4; hence errors, of two colours, by up to 4.3e-4.
AB_ROUNDING = 2.5e-4
ERROR_ROUNDING = 6e-4
# Two different colours of 8 bits are further apart in ab: the closest, two grays, by 1.19e-5.
CLOSEST = 1e-5

_LOWEST = AB.min(0).astype(int) // SPACING
_BIN = np.full(np.ptp(AB, axis=0).astype(int) // SPACING + 1, -1, np.int16)
_BIN[tuple((AB.astype(int) // SPACING - _LOWEST).T)] = np.arange(COUNT)


class PixelErrors(NamedTuple):
    """Pixels of two pictures: `error` and `bins` (n,), see `between`; `true` and `made` ab (2, n).

    ab is float32, in CIELAB units.
    """

    error: Doubles
    bins: Array
    true: Floats
    made: Floats


def between(photo: ArrayLike, result: ArrayLike) -> Iterator[tuple[Doubles, Array]]:
    """Yield (error, bins), (n,) each, of blocks of two (..., 3) uint8 pictures of equal shape.

    `error` is the distance in ab, float64 CIELAB units; its floor and ceiling, and the bin nearest
    to the photo's colour, are those of float64 scikit-image. Raises ValueError for other shapes.
    """
    for block in pixel_errors(photo, result):
        yield block.error, block.bins


def pixel_errors(photo: ArrayLike, result: ArrayLike) -> Iterator[PixelErrors]:
    """Yield the same as PixelErrors, with the ab of both."""
    photo, result = np.asarray(photo), np.asarray(result)
    if photo.shape != result.shape:
        raise ValueError(f"a result is as large as its photo: {result.shape} beside {photo.shape}")
    photo, result = photo.reshape(-1, 3), result.reshape(-1, 3)
    for start in range(0, len(photo), BLOCK):
        yield _of_block(photo[start : start + BLOCK], result[start : start + BLOCK])


def _of_block(photo: Bytes, result: Bytes) -> PixelErrors:
    true, made = _ab(photo), _ab(result)
    error = _distance(true, made)
    whole = np.rint(error)
    doubtful = (np.abs(error - whole) < ERROR_ROUNDING) & (whole > 0)
    error = error.astype(np.float64)
    tens = true / SPACING
    nearest = np.rint(tens)
    doubtful |= (np.abs(tens - nearest) > 0.5 - AB_ROUNDING / SPACING).any(0)
    if doubtful.any():
        from skimage import color  # slow, and of the extra [measure]

        both = np.concatenate([photo[doubtful], result[doubtful]])
        exact = np.split(color.rgb2lab(both)[:, 1:].T, 2, axis=1)
        error[doubtful] = _distance(*exact)
        nearest[:, doubtful] = np.rint(exact[0] / SPACING)
    red, green, blue = np.not_equal(photo, result).T
    np.maximum(error, CLOSEST, out=error)
    error *= red | green | blue
    # The bins are all corners of the grid's cells that sRGB touches: rounding finds the nearest.
    bins = _BIN[tuple(nearest.astype(np.intp) - _LOWEST[:, None])]
    return PixelErrors(error, bins, true, made)


def _ab(pixels: Bytes) -> Floats:
    """(n, 3) uint8 -> (2, n) float32 ab."""
    return np.ascontiguousarray(rgb_to_lab(pixels).T[1:])


def _distance(true: Array, made: Array) -> Array:
    """(2, n) ab each -> (n,) Euclidean distance."""
    a, b = np.square(true - made)
    return np.sqrt(a + b)
