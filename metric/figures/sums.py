"""Metrics as sums over photos, and the figures that follow from the sums."""

from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

import numpy as np

# A number, or an array of many replicates' numbers: NumPy computes with both alike.
Value: TypeAlias = Any
Values: TypeAlias = dict[str, Value]
Kind: TypeAlias = Any  # a class with COLUMNS and `of`, as Sums has them


class Sums:
    """A metric whose state is one number for each of COLUMNS; mergeable.

    Figures are ratios of these sums, so they follow from the sums of any photos, added up. A
    subclass says in `of` how, for numbers and for arrays of them alike: see `bootstrap`.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.sums: Values = dict.fromkeys(self.COLUMNS, 0.0)

    def add(self, *values: Value) -> None:
        """Add a number to each of COLUMNS, in their order."""
        for column, value in zip(self.COLUMNS, values, strict=True):
            self.sums[column] += value

    def merge(self, other: "Sums") -> None:
        """Add what `other` has seen."""
        self.add(*other.sums.values())

    def compute(self) -> Values:
        """Return {figure: number}."""
        return plain(self.of(self.sums))

    @staticmethod
    def of(sums: Values) -> Values:
        """Return {figure: number or array} of {column: number or array}."""
        raise NotImplementedError


def ratio(top: Value, bottom: Value) -> Value:
    """Return the quotient of numbers or arrays: infinite where only `bottom` is 0, NaN where both
    are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(top, bottom)


def plain(figures: Values) -> Values:
    """Return {name: Python number} of {name: NumPy number}."""
    return {name: np.asarray(value).item() for name, value in figures.items()}


def of_those(parts: Iterable[Kind], sums: Values) -> Values:
    """Return {figure: number or array} of every part, a kind of Sums, whose columns are in
    `sums`.
    """
    found: Values = {}
    for part in parts:
        if part.COLUMNS[0] in sums:
            found |= part.of(sums)
    return found
