"""Measure whether predicted probabilities come true: the reliability curve and its error.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, sections 2, 3.
A network trained as the paper's is not meant to be calibrated: its soft targets share every pixel
among neighbouring bins, which keeps it too unsure of the nearest one, and class rebalancing makes
rare colours count, and so seem, more frequent than they are.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from cic.colour.bins import COUNT
from cic.colour.distributions import log_softmax, soft_encode
from cic.system.arrays import Array
from metric import charts
from metric.figures.sums import Values, plain, ratio

GROUPS = 15  # equal-width groups of confidence (Guo et al., section 5)


class Calibration:
    """Confidence in the likeliest of the 313 bins against how often it is the true one; mergeable.

    The true bin of a cell is that nearest to its ab. `temperature` divides the logits first.
    """

    COLUMNS = ("cells", "surprise")  # and one for each group: see `sums`

    def __init__(self, temperature: float = 1.0, groups: int = GROUPS) -> None:
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}; it must be above 0")
        self.temperature = temperature
        self.cells = np.zeros(groups, np.int64)  # by confidence, (0, 1 / groups] and so on
        self.right = np.zeros(groups, np.int64)
        self.confidence = np.zeros(groups)  # sum over the cells
        self.surprise = 0.0  # sum over the cells of -log2 of the true bin's probability

    def update(self, logits: ArrayLike, true_ab: ArrayLike) -> None:
        """Add cells: logits (313, ...) and true ab (..., 2), CIELAB units."""
        logits = np.asarray(logits, np.float64).reshape(COUNT, -1) / self.temperature
        true = soft_encode(true_ab, neighbors=1)[0].ravel().astype(np.int64)
        if logits.shape[1] != len(true):
            raise ValueError(f"logits of {logits.shape[1]} cells beside the ab of {len(true)}")
        if not len(true):
            return
        logs = log_softmax(logits, axis=0)
        confidence = np.exp(logs.max(0))
        groups = len(self.cells)
        group = np.clip(np.ceil(confidence * groups).astype(np.int64) - 1, 0, groups - 1)
        right = logs.argmax(0) == true
        self.cells += np.bincount(group, minlength=groups)
        self.right += np.bincount(group[right], minlength=groups)
        self.confidence += np.bincount(group, confidence, groups)
        self.surprise -= float(logs[true, np.arange(len(true))].sum() / np.log(2))

    def merge(self, other: "Calibration") -> None:
        """Add what `other` has seen; raises ValueError if it groups or divides differently."""
        theirs, ours = ((len(one.cells), one.temperature) for one in (other, self))
        if theirs != ours:
            raise ValueError(f"{theirs} groups and temperature do not merge into {ours}")
        self.cells += other.cells
        self.right += other.right
        self.confidence += other.confidence
        self.surprise += other.surprise

    def curve(self) -> tuple[Array, Array, Array]:
        """Return (confidence, accuracy, cells) of each group that has cells: two float arrays, one
        int.
        """
        seen = self.cells > 0
        cells = self.cells[seen]
        return self.confidence[seen] / cells, self.right[seen] / cells, cells

    @property
    def sums(self) -> Values:
        """{column: number}: cells, bits, and of each group its confidence less its accuracy."""
        gaps = (self.confidence - self.right).tolist()
        return dict(zip(self.COLUMNS, (int(self.cells.sum()), self.surprise))) | {
            f"gap_{group}": gap for group, gap in enumerate(gaps)
        }

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {"nll", "ece"}, numbers or arrays, of {column: number or array}."""
        gaps = sum(np.abs(gap) for column, gap in sums.items() if column.startswith("gap_"))
        return {
            "nll": ratio(sums["surprise"], sums["cells"]),
            "ece": ratio(gaps, sums["cells"]),
        }

    def compute(self) -> Values:
        """Figures, {"cells", "confidence", "accuracy", "ece", "nll"}: shares of 1; nll in bits.

        Means over the cells; ece, the expected calibration error, is that of the distance between
        the curve's confidence and accuracy (equation 3). Raises ValueError if there is no cell.
        """
        total = int(self.cells.sum())
        if not total:
            raise ValueError("no cell was measured")
        return {
            "cells": total,
            "confidence": float(self.confidence.sum() / total),
            "accuracy": float(self.right.sum() / total),
            **plain(self.of(self.sums)),
        }


def png(calibrations: Mapping[str, Calibration]) -> bytes:
    """Return the bytes of a PNG, the reliability diagram of {name: Calibration}: curves above,
    cells below.

    Perfect calibration is the diagonal; below it a network is surer than it should be.
    """
    figure = charts.figure(6, 7)
    curves, counts = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    curves.plot((0, 1), (0, 1), "--", color="gray", label="_perfect")
    lines = []
    for calibration in calibrations.values():
        confidence, accuracy, cells = calibration.curve()
        lines += curves.plot(confidence, accuracy, "o-", markersize=4)
        counts.plot(confidence, cells / cells.sum(), "o-", markersize=4)
    curves.set(xlim=(0, 1), ylim=(0, 1), ylabel="how often the likeliest bin is the true one")
    counts.set(xlabel="its predicted probability", ylabel="share of cells", yscale="log")
    labels = []
    for name, calibration in calibrations.items():
        figures = calibration.compute()
        labels.append(f"{name}: error {figures['ece']:.3f}, {figures['nll']:.2f} bits")
    charts.legend(curves, lines, labels, loc="upper left")
    for axes in (curves, counts):
        axes.grid(alpha=0.3)
    return charts.png(figure, dpi=120)
