"""Colourfulness (Hasler and Suesstrunk, Measuring colourfulness in natural images, SPIE 2003)."""

import math

import numpy as np

from cic.system.arrays import Bytes
from metric.figures.sums import Sums, Values, ratio


def colourfulness(picture: Bytes) -> float:
    """Of a (H, W, 3) uint8 sRGB picture: their measure M3, 0 for gray, about 100 for vivid.

    sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2): standard deviations and means over the pixels
    of rg = R - G and yb = (R + G) / 2 - B. All sums are of whole numbers, hence exact.
    """
    red, green, blue = np.asarray(picture).reshape(-1, 3).T.astype(np.int16)
    count = red.size
    spread = mean = 0.0
    for values, scale in ((red - green, 1), (red + green - 2 * blue, 2)):  # rg, and twice yb
        values = values.astype(np.float64)
        total, squares = int(values.sum()), int(np.square(values).sum())
        mean += (total / (count * scale)) ** 2
        spread += (count * squares - total**2) / (count * scale) ** 2
    return math.sqrt(spread) + 0.3 * math.sqrt(mean)


class Colourfulness(Sums):
    """Mean colourfulness over the results and over the photos, and how they differ; mergeable.

    The difference has two conventions: the mean of each picture's absolute difference, and the
    absolute difference of the two means, in which too much here makes up for too little there. The
    ratio is that of the means, results to photos.
    """

    COLUMNS = ("vivid_results", "vivid_photos", "vivid_differences", "pictures")

    def update(self, photo: Bytes, result: Bytes) -> None:
        """Add a picture: (H, W, 3) uint8 each."""
        true, made = colourfulness(photo), colourfulness(result)
        self.add(made, true, abs(made - true), 1)

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {"colourfulness": ..., "colourfulness_truth": ..., the ratio and both
        conventions}.
        """
        made, true, differences = (
            ratio(sums[f"vivid_{what}"], sums["pictures"])
            for what in ("results", "photos", "differences")
        )
        return {
            "colourfulness": made,
            "colourfulness_truth": true,
            "colourfulness_ratio": ratio(made, true),
            "colourfulness_mean_difference": differences,
            "colourfulness_difference_of_means": np.abs(made - true),
        }
