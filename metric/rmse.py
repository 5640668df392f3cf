"""Root mean square error of ab."""

import math

import numpy as np


class RMSE:
    """Root of the mean square error over all pixels and both channels, CIELAB units; mergeable.

    Pixels are pooled, those of a larger photo are more ("averaged over all pixels": Larsson et al.,
    ECCV 2016). Where others average squared distances in the ab plane theirs is sqrt(2) larger.
    """

    def __init__(self):
        self.squares, self.pixels = 0.0, 0

    def update(self, true, predicted):
        """Add pixels: true and predicted ab, (..., 2) each, CIELAB units."""
        self.count(np.sqrt(np.square(np.subtract(true, predicted, dtype=np.float64)).sum(-1)))

    def count(self, error):
        """Add pixels by their distance in the ab plane, (...)."""
        self.squares += float(np.square(error).sum())
        self.pixels += np.size(error)

    def merge(self, other):
        """Add what `other` has seen."""
        self.squares += other.squares
        self.pixels += other.pixels

    def compute(self):
        """{"rmse_ab": ...}."""
        return {"rmse_ab": math.sqrt(self.squares / (2 * self.pixels))}
