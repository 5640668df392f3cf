"""Find the value that is white where it is not the largest that a photo's numbers could have."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from PIL import TiffImagePlugin as tiff

from cic.system.arrays import Array, Bytes

# Numbers of fewer bits that are stored in 16: the largest of 8, 10, 12 and 14 bits. Any photo has
# something brighter than a sixteenth of white, as a screen shows it; what has not is one of these.
_RANGES = (255, 1023, 4095, 16383)
_REACHED = 0.9  # of 14 bits, a quarter of white: a dark photo may have so little, but not just that
_FEW = 1024  # pixels: fewer say nothing of a range
_SMAX = 341  # TIFF 6.0, SMaxSampleValue
_WHITE_IS_ZERO = 0  # TIFF 6.0, PhotometricInterpretation
_FADED = 4095  # most for which numbers are taken for those of fewer bits where 0 is white

HOW = "no stretching leaves them as they are"


def stated_maximum(tags: Mapping[int, Any]) -> float | None:
    """Return the SMaxSampleValue of a TIFF's tags, a number, or None."""
    value = tags.get(_SMAX)
    value = max(value, default=None) if isinstance(value, tuple) else value
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and np.isfinite(number) else None


def white_of(
    highest: int, count: int, tags: Mapping[int, Any], curve: Array | None = None
) -> tuple[float, str | None]:
    """Return (value that is white, a note or None) of `count` 16-bit numbers up to `highest`.

    A TIFF says it in `tags`; else it follows from the highest, seen through `curve`, (65536,)
    uint16, if the photo has a tone curve.
    """
    stated = stated_maximum(tags)
    if stated is not None and 0 < stated < 65535 and highest <= stated:
        note = f"white is {stated:,.0f}, as its SMaxSampleValue says: stretched ({HOW})"
        return stated, note
    seen = highest if curve is None else curve[highest]
    faded = tags.get(tiff.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
    if count < _FEW or not 0 < seen <= _RANGES[-1] or (faded and highest > _FADED):
        return 65535, None
    return _range(highest)


def _range(highest: int) -> tuple[int, str | None]:
    top = next((top for top in _RANGES if highest <= top), 65535)
    if (top >= _RANGES[-1] and highest < _REACHED * _RANGES[-1]) or top == 65535:
        return 65535, None
    bits = top.bit_length()
    return top, f"its values end at {highest:,}, as of {bits} bits in 16: stretched ({HOW})"


def is_low(image: Image.Image, profiled: bool = False) -> bool:
    """Return whether a Pillow image of mode RGB or RGBA, 16-bit colours without their low byte, is
    dark.

    All of it is below a quarter of white, or, if `profiled`, below a sixteenth: its values may be
    light.
    """
    if image.width * image.height < _FEW:
        return False
    highest = max(high for _, high in image.getextrema()[:3])  # type: ignore[misc]
    return highest <= (_RANGES[-2] if profiled else _RANGES[-1]) >> 8


def of_colours(high: Image.Image, low: Image.Image | None) -> tuple[Bytes | None, str | None]:
    """Return ((H, W, 3) uint8, a note) of the high and low bytes of 16-bit colours, RGB images.

    `low` is None if nobody knows them. (None, None) if all is black.
    """
    width, height = high.size
    rows = max(1, (1 << 18) // width)
    boxes = [(0, top, width, min(height, top + rows)) for top in range(0, height, rows)]

    def values(box: tuple[int, int, int, int]) -> Array:
        upper = np.asarray(high.crop(box))[..., :3].astype(np.uint16) << 8
        return upper if low is None else upper | np.asarray(low.crop(box))[..., :3]

    highest = max(int(values(box).max()) for box in boxes)
    white, note = _range(highest)
    if not highest or note is None:
        return None, None
    out = np.empty((height, width, 3), np.uint8)
    for box in boxes:
        out[box[1] : box[3]] = np.rint(np.minimum(values(box), white) * np.float32(255 / white))
    return out, note if low is not None else f"{note}; of each number only the high byte is read"
