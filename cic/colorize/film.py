"""Film -> film: each frame coloured as a photo is, its colours held still within each shot.

Frame -> lightness -> network -> distribution -> `Smoother` -> ab -> `add_colour` -> frame
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image

from cic.colorize.colorizer import Colorizer, add_colour
from cic.colorize.smoothing import SMOOTHING, Smoother
from cic.colour.distributions import log_softmax
from cic.colour.lab import lightness
from cic.films import rewrite
from cic.photos import stored
from cic.photos.images import PhotoError
from cic.system.addresses import is_address
from cic.system.arrays import Array, Bytes, Floats

Watch: TypeAlias = Callable[[Floats, Floats, Floats, bool], object]  # see Painter
UNLIKELY = 1e-30  # least probability whose logarithm is taken: float32 has it


class Painter:
    """Callable: the next frame of a film, (H, W, 3) uint8 sRGB -> the same, coloured.

    They are coloured by a colorize.Colorizer and smoothed as smoothing.Smoother does. Then
    `observe(light, plain, smooth, cut)` is told of each: its lightness at the size that the network
    sees, the ab (h, w, 2) without and with smoothing, and whether it begins a shot.
    """

    def __init__(
        self, colorizer: Colorizer, smoothing: float = SMOOTHING, observe: Watch | None = None
    ) -> None:
        self.colorizer, self.smoother, self.observe = colorizer, Smoother(smoothing), observe

    def __call__(self, rgb: Bytes) -> Bytes:
        image = Image.fromarray(rgb)
        light = lightness(self.colorizer.shrunk(image))
        plain = self._averageable(self.colorizer.output(image))
        smooth = self.smoother(plain, light)
        ab = self._ab(smooth)
        if self.observe:
            self.observe(light, self._ab(plain), ab, self.smoother.cut)
        return add_colour(rgb, ab, self.colorizer.grid, self.colorizer.guide(image))

    def _averageable(self, output: Floats) -> Floats:
        """What the network says -> what has a mean: probabilities of logits, else itself."""
        if not self.colorizer.has_distribution:
            return output
        return np.exp(log_softmax(output, axis=0))

    def _ab(self, values: Array) -> Floats:
        if self.colorizer.has_distribution:
            values = np.log(np.maximum(values, UNLIKELY))
        return self.colorizer.ab_of(values)


def colorize(
    colorizer: Colorizer,
    source: str,
    target: str,
    smoothing: float = SMOOTHING,
    observe: Watch | None = None,
    deinterlace: bool = False,
) -> int:
    """Colorize the film `source` to `target`: the number of frames; see `Painter` and `video`.

    Raises PhotoError for an address.
    """
    if is_address(target):
        raise PhotoError(f"{source!r}: {stored.FILM}")
    return rewrite.rewrite(source, target, Painter(colorizer, smoothing, observe), deinterlace)
