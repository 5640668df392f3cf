"""Which temperature of the annealed mean is best on validation photos, aim by aim.

The paper's 0.38 was chosen by eye, between the vivid but patchy mode and the even but dull mean
(section 2.3); no figure here is that aim, and each has another best temperature, so `best` names
the aim beside the temperature.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from cic.colour.distributions import TEMPERATURE, decode
from cic.colour.lab import ab_distance
from cic.system.arrays import Array
from metric.figures.auc import AuC
from metric.figures.bootstrap import interval
from metric.figures.calibration import Calibration
from metric.figures.rmse import RMSE
from metric.figures.sums import Sums, Values, of_those, plain, ratio

GRID = (0.1, 0.2, 0.3, TEMPERATURE, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)


class _At:
    """Figures of one temperature."""

    def __init__(self, temperature: float, shares: Array | None) -> None:
        self.temperature = temperature
        self.auc = AuC(shares)
        self.calibration = Calibration(temperature)
        self.rmse = RMSE()
        self.chroma = _Chroma()

    def update(self, logits: Array, true_ab: Array) -> None:
        ab = decode(logits, self.temperature, axis=0)
        ab = np.moveaxis(ab, 0, -1).astype(np.float64)
        self.auc.update(true_ab, ab)
        self.calibration.update(logits, true_ab)
        self.rmse.update(true_ab, ab)
        self.chroma.add(_chroma(ab), _chroma(true_ab), ab[..., 0].size)

    def merge(self, other: "_At") -> None:
        for part in ("auc", "calibration", "rmse", "chroma"):
            getattr(self, part).merge(getattr(other, part))

    @property
    def sums(self) -> Values:
        return self.auc.sums | self.calibration.sums | self.rmse.sums | self.chroma.sums

    @staticmethod
    def of(sums: Values) -> Values:
        return of_those((RMSE, AuC, _Chroma, Calibration), sums)


class _Chroma(Sums):
    """Mean chroma of what was predicted and of the truth, CIELAB units; mergeable."""

    COLUMNS = ("chroma", "true_chroma", "chroma_cells")

    @staticmethod
    def of(sums: Values) -> Values:
        return {name: ratio(sums[name], sums["chroma_cells"]) for name in ("chroma", "true_chroma")}


def _chroma(ab: ArrayLike) -> float:
    """Sum over (..., 2) ab of their distance from gray."""
    return float(ab_distance(np.asarray(ab, np.float64)).sum())


class Temperatures:
    """Figures of decoding and of calibration at each of `grid`; mergeable.

    `shares` (313,) is the prior of the rebalanced and balanced AuC, by default the bundled one.
    """

    def __init__(self, grid: Iterable[float] = GRID, shares: Array | None = None) -> None:
        self.each = [_At(temperature, shares) for temperature in grid]

    def update(self, logits: Array, true_ab: Array) -> None:
        """Add cells: logits (313, ...) and true ab (..., 2), CIELAB units."""
        for one in self.each:
            one.update(logits, true_ab)

    def merge(self, other: "Temperatures") -> None:
        """Add what `other` has seen; raises ValueError for another grid."""
        ours, theirs = ([one.temperature for one in two.each] for two in (self, other))
        if ours != theirs:
            raise ValueError(f"temperatures {theirs} do not merge into {ours}")
        for one, more in zip(self.each, other.each):
            one.merge(more)

    @property
    def sums(self) -> Values:
        """{column: number}, the columns of the temperature number n begun with "n "."""
        return {
            f"{number} {column}": value
            for number, one in enumerate(self.each)
            for column, value in one.sums.items()
        }

    def compute(self) -> list[Values]:
        """Return one dict a temperature, in the order of the grid.

        "rmse_ab" and mean "chroma" of the decoded ab, CIELAB units, beside "true_chroma"; "raw",
        "rebalanced" and "balanced" AuC, percent; "nll", bits, and "ece" of softmax(logits / T).
        """
        figures = map(plain, self.of(self.sums))
        return [{"temperature": one.temperature} | row for one, row in zip(self.each, figures)]

    def intervals(self, drawn: Values) -> list[dict[str, list[float] | None]]:
        """Return [{figure: [low, high] or None}, ...] of the sums {column: (replicates,)} of
        bootstrap.
        """
        return [{n: interval(each) for n, each in row.items()} for row in self.of(drawn)]

    def of(self, sums: Values) -> list[Values]:
        """Return [{figure: number or array}, ...] of the temperatures, of {column: number or
        array}.
        """
        found: list[Values] = [{} for _ in self.each]
        for column, value in sums.items():
            if place := place_of(column):
                number, name = place
                found[number][name] = value
        return [_At.of(each) for each in found]


def place_of(column: str) -> tuple[int, str] | None:
    """Return (number of its temperature, its own name) of a column of Temperatures, None of any
    other.
    """
    number, _, name = column.partition(" ")
    return (int(number), name) if number.isdecimal() else None


# Each aim: what is least where it is met best.
AIMS: dict[str, Callable[[Values], float]] = {
    "ab error": lambda row: row["rmse_ab"],
    "raw AuC": lambda row: -row["raw"],
    "rebalanced AuC": lambda row: -row["rebalanced"],
    "balanced AuC": lambda row: -row["balanced"],
    "vividness of the truth": lambda row: abs(row["chroma"] - row["true_chroma"]),
    "likelihood": lambda row: row["nll"],
    "calibration": lambda row: row["ece"],
}


def best(rows: Sequence[Values]) -> dict[str, float]:
    """Return {aim: temperature} of what `Temperatures.compute` gave; of equals the first."""
    return {aim: min(rows, key=cost)["temperature"] for aim, cost in AIMS.items()}
