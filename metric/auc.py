"""Area under the curve of ab errors (paper, section 3.1), raw and class-rebalanced.

python -m metric.auc --imgs_dir photos/val --results_dir result --save_path figures

Prints the figures beside those of all-gray pictures, of the colours of random other photos, and of
the truth, and writes auc.json, auc.png (the curve) and auc.txt. `python -m metric.report` does the
same for all metrics of pictures.
"""

import numpy as np

from cic import console, prior, rebalance
from cic.bins import COUNT
from cic.encode import soft_encode
from metric import ab_error

THRESHOLDS = 151  # 0, 1, ... 150 CIELAB units
NAMES = ("raw", "rebalanced")


class AuC:
    """Share of pixels whose ab error is within each threshold 0 ... 150; mergeable.

    `raw` weighs pixels equally, `rebalanced` by the inverse prior of the true colour (lambda 0, the
    paper's; `shares` (313,) is the prior, by default the bundled one).

    Within is error <= threshold, the paper's definition; a perfect picture has 100 %. With `strict`
    it is error < threshold, as Paddle-CIC counts (errors rounded down, then put one further): no
    pixel is within 0, and a perfect picture has 1 - 1 / 300 = 99.67 %. Photos hardly have errors
    that are whole numbers but 0, so the two differ by the share of exact pixels / 300. Errors above
    198 stop Paddle-CIC; here they are above every threshold.
    """

    def __init__(self, shares=None, strict=False):
        shares = prior.default() if shares is None else shares
        self.bin_weights = rebalance.weights(shares, gamma=0).astype(np.float64)
        self.strict = strict
        # Summed weights, raw and rebalanced, by the first threshold that the error is within; the
        # last entry has the errors above all thresholds.
        self.first = np.zeros((2, THRESHOLDS + 1))

    def update(self, true, predicted):
        """Add pixels: true and predicted ab, (..., 2) float, CIELAB units; or sRGB, (..., 3) uint8.

        Figures of sRGB are those of float64 Lab (see metric.ab_error). Raises ValueError for
        arrays of different shapes.
        """
        true, predicted = np.asarray(true), np.asarray(predicted)
        if true.dtype == np.uint8:
            for error, bins in ab_error.between(true, predicted):
                self.count(error, bins)
            return
        if true.shape != predicted.shape:
            raise ValueError(f"ab of shapes {true.shape} and {predicted.shape} are of no pair")
        error = np.square(np.subtract(true, predicted, dtype=np.float64)).sum(-1)
        self.count(np.sqrt(error, out=error).ravel(), soft_encode(true, neighbors=1)[0].ravel())

    def count(self, error, bins):
        """Add pixels by their error and the bin of their true colour, (n,) each."""
        first = np.floor(error) + 1 if self.strict else np.ceil(error)
        place = np.minimum(first, THRESHOLDS).astype(np.intp)
        place *= COUNT
        place += bins
        pixels = np.bincount(place, minlength=(THRESHOLDS + 1) * COUNT).reshape(-1, COUNT)
        self.first += pixels.sum(1), pixels @ self.bin_weights

    def merge(self, other):
        """Add what `other` has seen."""
        self.first += other.first

    def curve(self):
        """{"raw": (151,), "rebalanced": (151,)}: the share of pixels within each threshold."""
        within = np.cumsum(self.first, axis=1)
        return dict(zip(NAMES, within[:, :THRESHOLDS] / within[:, -1:]))

    def compute(self):
        """{"raw": ..., "rebalanced": ...}, percent: trapezoids over the thresholds, normalised."""
        areas = {name: (share[1:] + share[:-1]).mean() / 2 for name, share in self.curve().items()}
        return {name: float(100 * area) for name, area in areas.items()}


def main():
    from metric import report  # which takes AuC from here

    return report.run(report.parse_arguments(__doc__), "auc")


if __name__ == "__main__":
    console.run(main)
