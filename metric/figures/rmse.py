"""Root mean square error of ab."""

import numpy as np
from numpy.typing import ArrayLike

from metric.figures.sums import Sums, Values, ratio


class RMSE(Sums):
    """Root of the mean square error over all pixels and both channels, CIELAB units; mergeable.

    Pixels are pooled, so larger photos count more ("averaged over all pixels": Larsson et al., ECCV
    2016). The figure of those who average squared distances in the ab plane is sqrt(2) larger.
    """

    COLUMNS = ("squares", "pixels")

    def update(self, true: ArrayLike, predicted: ArrayLike) -> None:
        """Add pixels: true and predicted ab, (..., 2) each, CIELAB units."""
        self.count(np.sqrt(np.square(np.subtract(true, predicted, dtype=np.float64)).sum(-1)))

    def count(self, error: ArrayLike) -> None:
        """Add pixels by their distance in the ab plane, (...)."""
        self.add(float(np.square(error).sum()), np.size(error))

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {"rmse_ab": ...}."""
        return {"rmse_ab": np.sqrt(ratio(sums["squares"], 2 * sums["pixels"]))}
