"""Keep a film's colours still: average what the network says of the frames within each shot.

Frame by frame the network's colours flicker. Here they are a running mean over the frames, cell by
cell: the mean so far weighs `smoothing` where the lightness stayed and less where it changed, so
that moving things do not leave their colours behind. A cut begins anew. The constants below were
chosen by flicker and ghosting: docs/measurements.md, "Films".
"""

import numpy as np
from PIL import Image

from cic.system.arrays import Array
from cic.system.errors import SettingError

SMOOTHING = 0.9  # of 0.7, 0.8 and 0.9 the one that halves the flicker of all three films
MOTION = 4.0  # L: a cell whose lightness changed by so much keeps 1/e of the weight
GRID = 8  # blocks along the short side in which frames are compared for cuts
NOISE = 2.0  # L: the contrast below which a frame is as good as flat
CUT = 0.3  # how much more a frame has to differ than those before it; see `Shots`
RECENT = 3  # frames before


class Smoother:
    """Callable: values (C, h, w) of the next frame, its lightness (H, W) -> smoothed (C, h, w).

    The values may be anything that can be averaged: probabilities, or ab. H and W are multiples of
    h and w. `smoothing` in [0, 1) is the weight of the frames before, 0 for none. `cut` says
    whether the last frame counted as the first of a shot, which comes back unchanged.
    """

    def __init__(self, smoothing: float = SMOOTHING) -> None:
        if not 0 <= smoothing < 1:
            raise SettingError(f"smoothing is {smoothing}; it must be 0 or above and below 1")
        self.smoothing, self.begins, self.cut = smoothing, Shots(), False
        self.mean: Array | None = None
        self.light: Array | None = None

    def __call__(self, values: Array, light: Array) -> Array:
        self.cut = self.begins(light)
        if not self.cut and self.smoothing:
            weight = self.smoothing * _stillness(light - self.light, values.shape[1:])
            values = values + weight * (self.mean - values)
        self.mean, self.light = values, light
        return values


def _stillness(change: Array, shape: tuple[int, ...]) -> Array:
    """Change of lightness (H, W) -> (h, w) float32 in [0, 1], 1 where there is none.

    The median is no motion but a lamp's, a projector's or an aperture's.
    """
    change = cell_means(np.abs(change - np.median(change)), shape)
    return np.exp(-np.square(change / MOTION))


def cell_means(plane: Array, shape: tuple[int, ...]) -> Array:
    """(H, W) -> means over its h x w cells, H and W multiples of these."""
    (height, width), (h, w) = plane.shape, shape
    return plane.reshape(h, height // h, w, width // w).mean((1, 3))


class Shots:
    """Callable: lightness (H, W), L, of the next frame -> whether it is the first of a shot.

    Frames are compared in some 8 x 14 blocks: the mean square of the difference of two, each less
    its own mean, over the sum of their variances. It is 0 for the same picture, also a lighter or
    darker one, and about 1 for unrelated ones. A cut is where it exceeds by CUT the most that it
    was in the RECENT frames before, for in fast motion it stays high. The first frame of a pan by 6
    % of the width may begin a shot; a change of contrast, of brightness or of grain does not
    (docs/measurements.md, "Films").
    """

    def __init__(self) -> None:
        self.before: Array | None = None
        self.recent: list[float] = []

    def __call__(self, light: Array) -> bool:
        blocks = blocks_of(light)
        known = self.before is not None and self.before.shape == blocks.shape
        change = picture_difference(self.before, blocks) if known else np.inf  # type: ignore[arg-type]
        first = change > CUT + max(self.recent, default=0)
        self.before = blocks
        self.recent = [] if first else [*self.recent, change][-RECENT:]
        return bool(first)


def blocks_of(light: Array) -> Array:
    """(H, W) -> its means over GRID blocks along the short side, less the mean of all."""
    short = min(light.shape)
    height, width = (max(1, round(GRID * side / short)) for side in light.shape)
    image = Image.fromarray(np.asarray(light, np.float32))
    blocks = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    return blocks - blocks.mean()


def picture_difference(one: Array, other: Array) -> float:
    """Return how much two pictures differ, by their blocks: see `Shots`."""
    variance = np.square(one).mean() + np.square(other).mean() + 2 * NOISE**2
    return float(np.square(one - other).mean() / variance)
