"""Share of warm hues: skin, wood, earth and sand. Careless networks make too many of them."""

import math

from cic.colour.lab import rgb_to_lab
from cic.system.arrays import Array, Bytes, Truths
from metric.figures.sums import Sums, Values, ratio

HUES = (20, 85)  # degrees in the ab plane, from a towards b: red to yellow
CHROMA = 8  # CIELAB units; what has no more is nearly gray

_LEAST, _MOST = map(math.radians, HUES)


def warm(ab: Array) -> Truths:
    """Return whether each colour is warm, (...) bool, of ab (2, ...): hue in HUES, chroma over
    CHROMA.
    """
    a, b = ab
    after = b * math.cos(_LEAST) >= a * math.sin(_LEAST)
    before = a * math.sin(_MOST) >= b * math.cos(_MOST)
    return after & before & (a * a + b * b > CHROMA**2)


class Warmth(Sums):
    """Share of warm pixels of the results and of the photos, percent, and its ratio; mergeable."""

    COLUMNS = ("warm_results", "warm_photos", "warm_pixels")

    def update(self, photo: Bytes, result: Bytes) -> None:
        """Add a picture: (..., 3) uint8 each."""
        true, made = (rgb_to_lab(picture).reshape(-1, 3).T[1:] for picture in (photo, result))
        self.count(true, made)

    def count(self, true: Array, made: Array) -> None:
        """Add pixels by their ab, (2, n) each."""
        self.add(int(warm(made).sum()), int(warm(true).sum()), true.shape[1])

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {"warm": percent, "warm_truth": percent, "warm_ratio": ...}."""
        made, true = sums["warm_results"], sums["warm_photos"]
        return {
            "warm": 100 * ratio(made, sums["warm_pixels"]),
            "warm_truth": 100 * ratio(true, sums["warm_pixels"]),
            "warm_ratio": ratio(made, true),
        }
