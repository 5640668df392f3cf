"""Area under the curve of ab errors (paper, section 3.1): raw, rebalanced, and balanced."""

import numpy as np
from numpy.typing import ArrayLike

from cic.colour import prior, rebalance
from cic.colour.bins import COUNT
from cic.colour.distributions import soft_encode
from cic.system.arrays import Array, Doubles
from metric.figures import ab_error
from metric.figures.sums import Values, plain, ratio

THRESHOLDS = 151  # 0, 1, ... 150 CIELAB units
NAMES = ("raw", "rebalanced", "balanced")
# Shares of the uniform distribution in the weights: the paper's figure (section 3.1) has none, its
# training has half (section 2.2, lambda), and so has the balanced figure.
LAMBDAS = {"rebalanced": 0, "balanced": 0.5}
# What a pixel adds to the area by the first threshold k that its error is within. The area is that
# of 150 trapezoids one wide: from k on they are whole, the one before is half. So the area is a
# mean over pixels, and no curve is needed to know that of any set of photos.
CREDIT = (THRESHOLDS - 0.5 - np.arange(THRESHOLDS + 1)) / (THRESHOLDS - 1)
CREDIT[0], CREDIT[THRESHOLDS] = 1, 0


def credit(error: Array) -> Doubles:
    """Return what a pixel of that ab error adds to the area under the raw curve, 0 to 1; any
    shape.
    """
    return CREDIT[np.minimum(np.ceil(error), THRESHOLDS).astype(np.intp)]


class AuC:
    """Share of pixels whose ab error is within each threshold 0 ... 150; mergeable.

    `raw` weighs pixels equally, `rebalanced` by the inverse prior of the true colour (lambda 0, the
    paper's; `shares` (313,) is the prior, by default the bundled one), `balanced` by the weights
    1 / (p / 2 + 1 / 626) of training (lambda 0.5). Of a few hundred photos one or two can hold most
    of the weight of `rebalanced`, not of `balanced`.

    Within is error <= threshold, the paper's definition; a perfect picture has 100 %. With `strict`
    it is error < threshold, as Paddle-CIC counts (errors rounded down, then put one further): no
    pixel is within 0, and a perfect picture has 1 - 1 / 300 = 99.67 %. Photos hardly have errors
    that are whole numbers but 0, so the two differ by the share of exact pixels / 300. Errors above
    198 stop Paddle-CIC; here they are above every threshold.

    >>> area = AuC()
    >>> area.update([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [30.0, 40.0]])
    >>> print(area.compute()["raw"])  # one pixel is right, the other 50 units off
    83.5
    """

    COLUMNS = tuple(f"{name}_{what}" for name in NAMES for what in ("area", "weight"))

    def __init__(self, shares: Array | None = None, strict: bool = False) -> None:
        shares = prior.default() if shares is None else shares
        self.bin_weights = np.stack(
            [rebalance.weights(shares, gamma).astype(np.float64) for gamma in LAMBDAS.values()]
        )
        self.strict = strict
        # Summed weights, a row for each of NAMES, by the first threshold that the error is within;
        # the last entry has the errors above all thresholds.
        self.first = np.zeros((len(NAMES), THRESHOLDS + 1))

    def update(self, true: ArrayLike, predicted: ArrayLike) -> None:
        """Add pixels: true and predicted ab, (..., 2) float, CIELAB units; or sRGB, (..., 3) uint8.

        Figures of sRGB are those of float64 Lab (see `ab_error`). Raises ValueError for
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

    def count(self, error: Array, bins: Array) -> None:
        """Add pixels by their error and the bin of their true colour, (n,) each."""
        first = np.floor(error) + 1 if self.strict else np.ceil(error)
        place = np.minimum(first, THRESHOLDS).astype(np.intp)
        place *= COUNT
        place += bins
        pixels = np.bincount(place, minlength=(THRESHOLDS + 1) * COUNT).reshape(-1, COUNT)
        self.first += pixels.sum(1), *(pixels @ weights for weights in self.bin_weights)

    def merge(self, other: "AuC") -> None:
        """Add what `other` has seen."""
        self.first += other.first

    def curve(self) -> dict[str, Doubles]:
        """Return {"raw": (151,), "rebalanced": (151,), "balanced": (151,)}: shares within
        thresholds.
        """
        within = np.cumsum(self.first, axis=1)
        return dict(zip(NAMES, within[:, :THRESHOLDS] / within[:, -1:]))

    @property
    def sums(self) -> Values:
        """{column: number}: the area under each curve times all weight, and that weight."""
        area, weight = (self.first * CREDIT).sum(1), self.first.sum(1)
        return dict(zip(self.COLUMNS, np.stack([area, weight], axis=1).ravel().tolist()))

    def compute(self) -> Values:
        """Return {"raw": ..., "rebalanced": ..., "balanced": ...}, percent: areas, normalised."""
        return plain(self.of(self.sums))

    @staticmethod
    def of(sums: Values) -> Values:
        """Return the same, numbers or arrays, of {column: number or array}."""
        areas = {name: ratio(sums[f"{name}_area"], sums[f"{name}_weight"]) for name in NAMES}
        return {name: 100 * area for name, area in areas.items()}
