"""Top-1 and top-5 accuracy of a classifier, and their names beside those of other classifiers."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from cic.system.errors import InputError
from cic.training.ranks import RANKS, hits
from metric.figures.sums import Sums, Values, ratio

Figure = TypeVar("Figure")


class Accuracy(Sums):
    """Share of photos whose class is among the 1 and the 5 largest logits; mergeable."""

    COLUMNS = (*(f"top{k}_hits" for k in RANKS), "classified")

    @property
    def count(self) -> int:
        """Number of photos."""
        return int(self.sums["classified"])

    def update(self, logits: ArrayLike, labels: ArrayLike) -> None:
        """Add photos: logits (N, classes) and labels (N,), integers from 0.

        Of equal logits the first is the larger. Raises ValueError for one that is no number, or a
        label that is no class.
        """
        logits, labels = np.asarray(logits), np.asarray(labels)
        if np.isnan(logits).any():
            raise InputError("a logit is not a number: check the weights")
        if labels.size and not (labels.min() >= 0 and labels.max() < logits.shape[1]):
            raise ValueError(f"labels to {labels.max()}, but {logits.shape[1]} classes")
        self.add(*hits(logits, labels), len(labels))

    def compute(self) -> Values:
        """Return {"top1": ..., "top5": ...}, percent; raise ValueError if no photo was seen."""
        if not self.count:
            raise InputError("no photo, no accuracy")
        return super().compute()

    @staticmethod
    def of(sums: Values) -> Values:
        """Return the same, numbers or arrays, of {column: number or array}."""
        return {f"top{k}": ratio(100 * sums[f"top{k}_hits"], sums["classified"]) for k in RANKS}


def qualified(figures: Mapping[str, Figure], classifier: str) -> dict[str, Figure]:
    """Return {"top1 (VGG-16)": ...} of {"top1": ...}: figures, or sums, of one classifier of
    several.
    """
    return {f"{name} ({classifier})": value for name, value in figures.items()}


def by_classifier(sums: Values) -> dict[str, Values]:
    """Return {classifier: {column: ...}} of the sums that `qualified` called so, among others."""
    found: dict[str, Values] = {}
    for name, value in sums.items():
        column, bracket, classifier = name.partition(" (")
        if bracket and column in Accuracy.COLUMNS:
            found.setdefault(classifier.removesuffix(")"), {})[column] = value
    return found
