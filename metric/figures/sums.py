"""Metrics as sums over photos, and the figures that follow from the sums."""

import numpy as np


class Sums:
    """A metric whose state is one number for each of COLUMNS; mergeable.

    Figures are ratios of these sums, so they follow from the sums of any photos, added up. A
    subclass says in `of` how, for numbers and for arrays of them alike: see `bootstrap`.
    """

    COLUMNS = ()

    def __init__(self):
        self.sums = dict.fromkeys(self.COLUMNS, 0.0)

    def add(self, *values):
        """Add a number to each of COLUMNS, in their order."""
        for column, value in zip(self.COLUMNS, values, strict=True):
            self.sums[column] += value

    def merge(self, other):
        """Add what `other` has seen."""
        self.add(*other.sums.values())

    def compute(self):
        """{figure: number}."""
        return plain(self.of(self.sums))

    @staticmethod
    def of(sums):
        """{figure: number or array} of {column: number or array}."""
        raise NotImplementedError


def ratio(top, bottom):
    """Quotient of numbers or arrays: infinite where only `bottom` is 0, NaN where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(top, bottom)


def plain(figures):
    """{name: Python number} of {name: NumPy number}."""
    return {name: np.asarray(value).item() for name, value in figures.items()}


def of_those(parts, sums):
    """{figure: number or array} of every part, a kind of Sums, whose columns are in `sums`."""
    found = {}
    for part in parts:
        if part.COLUMNS[0] in sums:
            found |= part.of(sums)
    return found
