"""Judge whether a photo is invalid for colorization: gray, of a single hue, too small, damaged.

A photo is judged by the mean colours of its blocks: squares of at least 4 x 4 pixels, 64 to 127 of
them along the short side if it is long enough, so that neither noise nor JPEG's chroma hides a gray
scan. A single hue is judged by larger areas, in which the colours that JPEG spreads across edges
average out. The decoder scales a JPEG down: it reads the whole file, and so notices a missing end,
but computes a sixteenth of the pixels or fewer.

The thresholds come from 2,050 photographs and from toned and gray copies of some; those on both
sides of each threshold were looked at. docs/measurements.md, "Preparing photos", says how many of
each they find.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from cic.colour.lab import ab_distance, rgb_to_lab
from cic.photos import images
from cic.photos.damage import failed_on
from cic.system.arrays import Array, Bytes, Floats
from cic.system.typing import Source

GRAY_MODE = "gray mode"  # the file has no colour channels (Pillow: L, LA, 1, I;16, ...); value 0
GRAY = "gray"  # colour channels that hold gray; value: the chroma that few blocks exceed
SINGLE_HUE = "single hue"  # a toned gray photo: sepia, cyanotype; value: its colours' deviation
TOO_SMALL = "too small"  # value: its short side
LINK = "link outside"  # not judged: a link that leads out of the folder, or nowhere
TRUNCATED, DAMAGED, REFUSED = "truncated", "damaged", "refused"  # kinds of images.PhotoError
KINDS = (GRAY_MODE, GRAY, SINGLE_HUE, TOO_SMALL, TRUNCATED, DAMAGED, REFUSED, LINK)
INVALID = frozenset((GRAY_MODE, GRAY, TOO_SMALL, TRUNCATED, DAMAGED))  # removed without asking

MIN_SIZE = 32  # pixels of the short side: half of the smallest pictures in use, tiny-imagenet's
BLOCKS = 64  # along the short side, at least, if that leaves them BLOCK pixels
BLOCK = 4  # pixels: two of JPEG's 4:2:0 chroma samples

# Gray: chroma C*ab at most GRAY_CHROMA in all but COLOURED of the blocks: noise of 4 levels and
# yellowish paper stay below, toned prints and gray seas lie above.
GRAY_CHROMA = 4.0
COLOURED = 0.002
# Single hue: colour is a function of how light a block is, up to a deviation of HUE_DEVIATION, the
# root mean square over areas (`hue_deviation`). Toned prints have less, but so have some seas and
# haze; photographs in colour have more.
HUE_DEVIATION = 0.95
TONED = 3.0  # median chroma of toned prints; below are things on white
# Standard deviation of L of the blocks with a tone: toned prints have 10.6 or more, a snake on sand
# 4.5, a bird in the sky 8.2.
CONTRAST = 8.5
SAMPLE = 3  # every so many blocks each way are enough to see that most photos are in colour
AREAS = 8  # along each side, if that leaves them AREA blocks
AREA = 3  # blocks, most of the 16 pixels over which JPEG's chroma errs
LEVELS = 32  # of (R + G + B) / 3; L would put all of a sepia's clipped highlights into one


class Finding(NamedTuple):
    """Why a photo is invalid: its kind, the number measured (or None), and a sentence."""

    kind: str
    value: float | None
    reason: str


def examine(source: Source, min_size: int = MIN_SIZE) -> Finding | None:
    """Return the Finding of a photo (see `images.opened` for what `source` can be), or None if it
    is valid.
    """
    try:
        with images.opened(source) as image:
            size, mode = image.size, image.mode
            rgb = block_means(image)
        return _judged(rgb, size, mode, min_size)
    except images.PhotoError as error:
        return Finding(error.kind, None, str(error))
    except Exception as error:  # one photo never ends the others
        return Finding(REFUSED, None, failed_on(source, error))


def _judged(rgb: Bytes, size: tuple[int, int], mode: str, min_size: int) -> Finding | None:
    if min(size) < min_size:
        reason = f"{size[0]} x {size[1]} pixels, the short side below {min_size}"
        return Finding(TOO_SMALL, min(size), reason)
    if mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16"):
        return Finding(GRAY_MODE, 0, f"no colour channels: mode {mode}")
    return judge(rgb)


def block_means(image: Image.Image) -> Bytes:
    """Opened Pillow image -> (h, w, 3) uint8 sRGB: its blocks' mean colours; decodes it all."""
    side = max(1, min(BLOCKS, min(image.size) // BLOCK))
    image.draft(None, (side, side))
    rgb = images.to_rgb(image)
    return np.asarray(rgb.reduce(max(1, min(rgb.size) // side)))


def judge(rgb: Bytes) -> Finding | None:
    """(h, w, 3) uint8 sRGB of blocks -> Finding GRAY or SINGLE_HUE, or None if in colour.

    >>> judge(np.full((8, 8, 3), 100, np.uint8)).kind
    'gray'
    """
    if _is_clear(rgb[::SAMPLE, ::SAMPLE]):
        return None
    lab, chroma = _lab_and_chroma(rgb)
    few = int(COLOURED * len(chroma))
    highest = float(np.partition(chroma, -1 - few)[-1 - few])
    if highest <= GRAY_CHROMA:
        reason = f"chroma up to {highest:.1f} in all but {COLOURED:.1%} of it"
        return Finding(GRAY, round(highest, 1), reason)
    if np.median(chroma) < TONED or lab[chroma > TONED, 0].std() < CONTRAST:
        return None
    deviation = hue_deviation(rgb, lab[:, 1:])
    if deviation > HUE_DEVIATION:
        return None
    reason = f"its colours follow from the lightness, to within {deviation:.2f}"
    return Finding(SINGLE_HUE, round(deviation, 2), reason)


def _is_clear(rgb: Bytes) -> bool:
    """Return whether some blocks of a photo, (h, w, 3), show that all are far from being
    invalid.
    """
    lab, chroma = _lab_and_chroma(rgb)
    if np.count_nonzero(chroma > GRAY_CHROMA) < 2 * SAMPLE**2 * COLOURED * len(chroma):
        return False
    return hue_deviation(rgb, lab[:, 1:]) > 2 * HUE_DEVIATION


def _lab_and_chroma(rgb: Bytes) -> tuple[Floats, Floats]:
    lab = rgb_to_lab(rgb).reshape(-1, 3)
    return lab, ab_distance(lab[:, 1:])


def hue_deviation(rgb: Bytes, ab: Array) -> float:
    """Return how far the ab, (n, 2), of a photo's blocks, (h, w, 3), is from following their
    lightness.

    A block deviates from the mean ab of all that are equally light. This is the root mean square
    of what that comes to on average in each area of the photo.
    """
    areas = max(1, min(AREAS, min(rgb.shape[:2]) // AREA))
    row, column = (np.arange(size) * areas // size for size in rgb.shape[:2])
    area = np.add.outer(row * areas, column).ravel()
    level = (rgb.reshape(-1, 3) @ np.full(3, LEVELS / (3 * 256))).astype(np.int64)
    in_area, in_level = (np.maximum(np.bincount(of), 1) for of in (area, level))
    squares = 0.0
    for channel in ab.T:
        deviation = channel - (np.bincount(level, channel) / in_level)[level]
        squares += np.sum(np.square(np.bincount(area, deviation)) / in_area)
    return float(np.sqrt(squares / len(ab)))
