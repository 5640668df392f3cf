"""What the network says of its cells, at every pixel of the photo, a strip of rows at a time."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

STRIP = 1 << 18  # pixels worked on at once: their float32 scratch stays small whatever the photo


def in_strips(cells, height, width, stride, use):
    """Enlarge cells (h, w, C) float32 to (height, width): `use(rows, values)` for each strip.

    See `ordered`, which this is but for the results.
    """
    for _ in ordered(cells, height, width, stride, use):
        pass


def ordered(cells, height, width, stride, make):
    """Yield `make(rows, values)` of each strip from top to bottom, a few strips ahead.

    `rows` is a slice, `values` (n, width, C) float32: cells (h, w, C) float32, enlarged. The
    enlargement is bilinear; strips are worked on in parallel. Training took the ab of every
    `stride`-th pixel, so a cell belongs to the first pixel of its square, not to the middle.
    """
    step = max(1, STRIP // width)
    padded = np.pad(cells, ((0, 1), (0, 1), (0, 0)), "edge")
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(padded, -1, 0)]
    shift = 0.5 - 0.5 / stride
    scale = len(cells) / height

    def strip(top):
        bottom = min(top + step, height)
        box = (shift, shift + top * scale, shift + cells.shape[1], shift + bottom * scale)
        size = (width, bottom - top)
        large = [plane.resize(size, Image.Resampling.BILINEAR, box) for plane in planes]
        return make(slice(top, bottom), np.stack(large, axis=-1))

    ahead = os.cpu_count() or 1
    with ThreadPoolExecutor(ahead) as pool:
        pending = deque()
        for top in range(0, height, step):
            pending.append(pool.submit(strip, top))
            if len(pending) > ahead:
                yield pending.popleft().result()  # raises what a strip raised
        while pending:
            yield pending.popleft().result()
