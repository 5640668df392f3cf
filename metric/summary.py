"""Summarize measured rows for a table: figures, their intervals, and differences from all gray."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from metric import heaviest, table
from metric.baselines import GRAY, TRUTH
from metric.figures import bootstrap
from metric.figures.sums import Values
from metric.heaviest import Heaviest
from metric.ledger import Ledger, resampled

Span: TypeAlias = list[float] | None  # [low, high]
COUNTS = ("identical",)  # numbers of photos: no figures, without an interval
# Errors and accuracies, which all gray has, too; its colours are no measure.
ERRORS: tuple[str, ...] = (
    "auc_raw",
    "auc_rebalanced",
    "auc_balanced",
    "raw",
    "rebalanced",
    "balanced",
)
ERRORS += ("top1", "top5", "rmse_ab", "psnr", "ssim")
FEW = 20  # photos, below which the percentiles of a bootstrap are too narrow to be relied on


class Summary(NamedTuple):
    """{row: {figure: ...}} thrice: the number; [low, high]; [difference from all gray, low, high].

    [low, high] is None for a single photo, or if a replicate has no figure. `less_gray` has neither
    all gray nor the truth. `heaviest` is what heaviest.heaviest gives. `drawn` has the sums of the
    replicates, {row: {column: (replicates,)}}.
    """

    photos: int
    figures: dict[str, Values]
    intervals: dict[str, dict[str, Span]]
    less_gray: dict[str, dict[str, list[Any]]]
    heaviest: dict[str, Heaviest]
    drawn: dict[str, Values]

    def facts(self) -> dict[str, Any]:
        """For a JSON file."""
        return {
            "intervals": self.intervals,
            "less_gray": self.less_gray,
            "heaviest_photo": self.heaviest,
        }

    def cells(self) -> list[list[str]]:
        """Return [[cell, ...], ...] of the figures with their intervals, see `table.cells`."""
        return table.upright(table.cells(self.figures, self.intervals))

    def text(self) -> str:
        """Return the tables as lines of text, and the heaviest photos."""
        parts = [table.lines(self.cells())]
        if self.less_gray:
            numbers, spans = apart(self.less_gray)
            cells = table.upright(table.cells(numbers, spans, signed=True))
            cells[0][0] = f"less {GRAY}"
            parts.append(table.lines(cells))
        closing = []
        if self.photos > 1:
            closing.append("in brackets: 95 % intervals, by bootstrap over photos\n")
        if self.photos < FEW:
            closing.append(f"note: {self.photos} photos are too few for an interval to hold\n")
        if self.heaviest:
            closing.append(f"the heaviest photo: {heaviest.listed(self.heaviest)}\n")
        return "\n".join([*parts, "".join(closing)])


def apart(
    differences: Mapping[str, Mapping[str, list[Any]]],
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, list[Any]]]]:
    """Return ({row: {figure: difference}}, {row: {figure: [low, high]}}) of Summary.less_gray."""
    numbers: dict[str, dict[str, float]] = {}
    spans: dict[str, dict[str, list[Any]]] = {}
    for row, each in differences.items():
        numbers[row] = {name: one[0] for name, one in each.items()}
        spans[row] = {name: one[1:] for name, one in each.items()}
    return numbers, spans


def summarize(ledgers: Mapping[str, Ledger]) -> Summary:
    """Return the Summary of {row: ledger.Ledger} of the same photos."""
    first = next(iter(ledgers.values()))
    drawn = resampled(ledgers) if len(first.photos) > 1 else {}
    figures = {row: ledger.compute() for row, ledger in ledgers.items()}
    replicates = {row: ledgers[row].total.of(sums) for row, sums in drawn.items()}
    intervals = {
        row: {
            name: bootstrap.interval(replicates[row][name]) if drawn else None
            for name in each
            if name not in COUNTS
        }
        for row, each in figures.items()
    }
    less_gray = {
        row: differences(row, GRAY, figures, replicates, filter(_is_error, figures[row]))
        for row in figures
        if GRAY in figures and row not in (GRAY, TRUTH)
    }
    found = heaviest.heaviest(first)
    return Summary(len(first.photos), figures, intervals, less_gray, found, drawn)


def _is_error(name: str) -> bool:
    return table.kind(name) in ERRORS


def differences(
    row: str,
    other: str,
    figures: Mapping[str, Values],
    replicates: Mapping[str, Values],
    names: Iterable[str],
) -> dict[str, list[Any]]:
    """Return {figure: [difference, low, high]} of two rows, of those of `names` that both have.

    `figures` are {row: {figure: number}}, `replicates` {row: {figure: (replicates,)}} of the same
    draws, so the interval is paired; where there is none `low` and `high` are None.
    """
    found = {}
    for name in names:
        if name in figures[row] and name in figures[other]:
            ends = None
            if replicates:
                with np.errstate(invalid="ignore"):  # of two infinite PSNRs
                    apart = replicates[row][name] - replicates[other][name]
                ends = bootstrap.interval(apart)
            found[name] = [figures[row][name] - figures[other][name], *(ends or (None, None))]
    return found
