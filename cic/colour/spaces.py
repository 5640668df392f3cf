"""The colour spaces in which networks see a photo."""

from collections.abc import Callable

import numpy as np

from cic.colour.lab import lightness, rgb_to_lab
from cic.system.arrays import Array, Bytes

# ITU-R BT.601 luma in units of 2^-16, as Pillow's mode L rounds it: Gray networks were trained on.
_LUMA = np.array([19595, 38470, 7471], np.uint32)


def _gray(rgb: Bytes) -> Array:
    luma = (rgb @ _LUMA + 0x8000) >> 16
    return luma[..., None].astype(np.float32) / 255


# Space: function from (..., 3) uint8 sRGB to (..., C) float32.
READ: dict[str, Callable[[Bytes], Array]] = {
    "L": lambda rgb: lightness(rgb)[..., None],  # CIELAB, 0 to 100
    "Lab": rgb_to_lab,
    "ab": lambda rgb: rgb_to_lab(rgb)[..., 1:],
    "RGB": lambda rgb: rgb / np.float32(255),
    "Gray": _gray,  # 0 to 1
}
CHANNELS = {"L": 1, "Lab": 3, "ab": 2, "RGB": 3, "Gray": 1}
