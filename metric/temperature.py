"""Which temperature of the annealed mean is best on validation photos, aim by aim.

The paper's 0.38 was chosen by eye, between the vivid but patchy mode and the even but dull mean
(section 2.3); no figure here is that aim, and each has another best temperature, so `best` names
the aim beside the temperature.
"""

import numpy as np

from cic.encode import decode
from metric.auc import AuC
from metric.calibration import Calibration

GRID = (0.1, 0.2, 0.3, 0.38, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)


class _At:
    """Sums of one temperature."""

    def __init__(self, temperature, shares):
        self.temperature = temperature
        self.auc = AuC(shares)
        self.calibration = Calibration(temperature)
        self.cells = 0
        self.squared = self.chroma = self.true_chroma = 0.0

    def update(self, logits, true_ab):
        ab = decode(logits, self.temperature, axis=0)
        ab = np.moveaxis(ab, 0, -1).astype(np.float64)
        self.auc.update(true_ab, ab)
        self.calibration.update(logits, true_ab)
        self.cells += ab[..., 0].size
        self.squared += float(np.square(ab - true_ab).sum())
        self.chroma += _chroma(ab)
        self.true_chroma += _chroma(true_ab)

    def merge(self, other):
        self.auc.merge(other.auc)
        self.calibration.merge(other.calibration)
        for name in ("cells", "squared", "chroma", "true_chroma"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def compute(self):
        areas, calibration = self.auc.compute(), self.calibration.compute()
        return {
            "temperature": self.temperature,
            "rmse_ab": (self.squared / (2 * self.cells)) ** 0.5,
            "raw": areas["raw"],
            "rebalanced": areas["rebalanced"],
            "chroma": self.chroma / self.cells,
            "true_chroma": self.true_chroma / self.cells,
            "nll": calibration["nll"],
            "ece": calibration["ece"],
        }


def _chroma(ab):
    """Sum over (..., 2) ab of their distance from gray."""
    return float(np.hypot(*np.moveaxis(np.asarray(ab, np.float64), -1, 0)).sum())


class Temperatures:
    """Figures of decoding and of calibration at each of `grid`; mergeable.

    `shares` (313,) is the prior of the rebalanced AuC, by default the bundled one.
    """

    def __init__(self, grid=GRID, shares=None):
        self.each = [_At(temperature, shares) for temperature in grid]

    def update(self, logits, true_ab):
        """Add cells: logits (313, ...) and true ab (..., 2), CIELAB units."""
        for one in self.each:
            one.update(logits, true_ab)

    def merge(self, other):
        """Add what `other` has seen; raises ValueError for another grid."""
        ours, theirs = ([one.temperature for one in two.each] for two in (self, other))
        if ours != theirs:
            raise ValueError(f"temperatures {theirs} do not merge into {ours}")
        for one, more in zip(self.each, other.each):
            one.merge(more)

    def compute(self):
        """One dict a temperature, in the order of the grid.

        "rmse_ab" and mean "chroma" of the decoded ab, CIELAB units, beside "true_chroma"; "raw" and
        "rebalanced" AuC, percent; "nll", bits, and "ece" of softmax(logits / temperature).
        """
        return [one.compute() for one in self.each]


# Each aim: what is least where it is met best.
AIMS = {
    "ab error": lambda row: row["rmse_ab"],
    "raw AuC": lambda row: -row["raw"],
    "rebalanced AuC": lambda row: -row["rebalanced"],
    "vividness of the truth": lambda row: abs(row["chroma"] - row["true_chroma"]),
    "likelihood": lambda row: row["nll"],
    "calibration": lambda row: row["ece"],
}


def best(rows):
    """{aim: temperature} of what `Temperatures.compute` gave; of equals the first."""
    return {aim: min(rows, key=cost)["temperature"] for aim, cost in AIMS.items()}
