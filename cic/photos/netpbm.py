"""Netpbm files as `cic prepare --raw` writes them: pixels that are copied, not decoded."""

import re

from PIL import Image

from cic.system.limits import pixel_limit
from cic.system.regular import open_source
from cic.system.typing import Source

EXTENSION = ".pnm"
MOST = 1 << 24  # bytes: a larger file is read with more care for memory
_HEADER = re.compile(rb"P([56])\n(\d{1,6}) (\d{1,6})\n255\n")
_MODES = {b"5": "L", b"6": "RGB"}


def quickly(source: Source) -> Image.Image | None:
    """Return the Pillow image of mode RGB of such a photo; None of any other, or of one that is
    large.

    That of a damaged one is None, too: who decodes it otherwise says what is wrong.
    """
    name = str(getattr(source, "name", source))
    if not name.endswith(EXTENSION):
        return None
    try:
        with open_source(source) as file:
            data = file.read(MOST)
    except (OSError, ValueError):
        return None
    if not (header := _HEADER.match(data)):
        return None
    kind, width, height = header.groups()
    size, mode, limit = (int(width), int(height)), _MODES[kind], pixel_limit()
    pixels, start = size[0] * size[1], header.end()
    if not pixels or len(data) != start + pixels * len(mode) or (limit and pixels > limit):
        return None
    image = Image.frombytes(mode, size, memoryview(data)[start:])
    return image if mode == "RGB" else image.convert("RGB")
