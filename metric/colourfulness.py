"""Colourfulness (Hasler and Suesstrunk, Measuring colourfulness in natural images, SPIE 2003)."""

import math

import numpy as np


def colourfulness(picture):
    """Of a (H, W, 3) uint8 sRGB picture: their measure M3, 0 for gray, about 100 for vivid.

    sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2): standard deviations and means over the pixels
    of rg = R - G and yb = (R + G) / 2 - B. All sums are of whole numbers, hence exact.
    """
    red, green, blue = np.asarray(picture).reshape(-1, 3).T.astype(np.int16)
    count = red.size
    spread = mean = 0
    for values, scale in ((red - green, 1), (red + green - 2 * blue, 2)):  # rg, and twice yb
        values = values.astype(np.float64)
        total, squares = int(values.sum()), int(np.square(values).sum())
        mean += (total / (count * scale)) ** 2
        spread += (count * squares - total**2) / (count * scale) ** 2
    return math.sqrt(spread) + 0.3 * math.sqrt(mean)


class Colourfulness:
    """Mean colourfulness over the results and over the photos, and their difference; mergeable.

    The difference has two conventions: the mean of each picture's absolute difference, and the
    absolute difference of the two means, in which too much here makes up for too little there.
    """

    def __init__(self):
        self.photos = self.results = self.differences = 0.0
        self.pictures = 0

    def update(self, photo, result):
        """Add a picture: (H, W, 3) uint8 each."""
        true, made = colourfulness(photo), colourfulness(result)
        self.photos += true
        self.results += made
        self.differences += abs(made - true)
        self.pictures += 1

    def merge(self, other):
        """Add what `other` has seen."""
        self.photos += other.photos
        self.results += other.results
        self.differences += other.differences
        self.pictures += other.pictures

    def compute(self):
        """{"colourfulness": ..., "colourfulness_truth": ..., and both conventions}."""
        photos, results, differences = (
            total / self.pictures for total in (self.photos, self.results, self.differences)
        )
        return {
            "colourfulness": results,
            "colourfulness_truth": photos,
            "colourfulness_mean_difference": differences,
            "colourfulness_difference_of_means": abs(results - photos),
        }
