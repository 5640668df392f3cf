"""Figures as a table of text: {row name: {figure's name: number}}."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = {  # figure's name: (title, format)
    "raw": ("AuC raw %", ".2f"),
    "rebalanced": ("rebalanced %", ".2f"),
    "balanced": ("balanced %", ".2f"),
    "auc_raw": ("AuC raw %", ".2f"),
    "auc_rebalanced": ("rebalanced %", ".2f"),
    "auc_balanced": ("balanced %", ".2f"),
    "top1": ("top-1 %", ".1f"),
    "top5": ("top-5 %", ".1f"),
    "rmse_ab": ("RMSE ab", ".3f"),
    "psnr": ("PSNR dB", ".2f"),
    "identical": ("identical", "d"),
    "ssim": ("SSIM", ".4f"),
    "colourfulness": ("colourfulness", ".2f"),
    "colourfulness_truth": ("of the truth", ".2f"),
    "colourfulness_ratio": ("ratio to the truth", ".3f"),
    "colourfulness_mean_difference": ("mean |diff.|", ".2f"),
    "colourfulness_difference_of_means": ("|diff. of means|", ".2f"),
    "warm": ("warm hues %", ".2f"),
    "warm_truth": ("warm of the truth %", ".2f"),
    "warm_ratio": ("ratio of warm", ".3f"),
    "chroma": ("chroma", ".2f"),
    "true_chroma": ("of the truth", ".2f"),
    "nll": ("bits a cell", ".2f"),
    "ece": ("calibration error", ".3f"),
}


EQUAL = 1e-9  # an interval whose width is no more than this share of its figure is not shown


def cells(
    rows: Mapping[str, Mapping[str, Any]],
    intervals: Mapping[str, Mapping[str, Any]] | None = None,
    signed: bool = False,
) -> list[list[str]]:
    """Return [[cell, ...], ...]: the titles of the columns, then the rows in their order.

    `intervals` are {row name: {figure's name: [low, high] or None}}, shown as 89.11 [88.7, 89.5];
    `signed` shows differences, +0.82 [0.51, 1.13]. Figures that COLUMNS does not know come last, by
    their own names; "-" is what a row has not. "top1 (VGG-16)", of which there may be several, is a
    top1 whose title is "top-1 (VGG-16)".
    """
    seen = dict.fromkeys(name for figures in rows.values() for name in figures)
    place = {name: number for number, name in enumerate(COLUMNS)}
    names = sorted(seen, key=lambda name: place.get(kind(name), len(place)))
    known = {name: _column(name) for name in names}
    table = [["", *(title for title, _ in known.values())]]
    for row, figures in rows.items():
        spans = (intervals or {}).get(row, {})
        table.append(
            [row, *(cell(figures.get(n), known[n][1], spans.get(n), signed) for n in names)]
        )
    return table


def kind(name: str) -> str:
    """Return what figure it is, "top1" of the "top1 (VGG-16)" of a classifier."""
    return name.partition(" (")[0]


def _column(name: str) -> tuple[str, str]:
    """Return (title, format) of a figure."""
    if kind(name) not in COLUMNS:
        return name, ".2f"
    title, form = COLUMNS[kind(name)]
    classifier = name.removeprefix(kind(name))
    return (title.removesuffix(" %") + classifier if classifier else title), form


def cell(
    figure: float | None, form: str, span: Sequence[Any] | None = None, signed: bool = False
) -> str:
    """Return the text of a figure and its interval, which has a digit less unless that hides its
    width.

    Differences, `signed`, have all digits.
    """
    if figure is None or math.isnan(figure):
        return "-"
    shown = format(figure, f"{'+' if signed else ''}{form}")
    if not span or None in span or span[1] - span[0] <= EQUAL * abs(figure) or span[0] == span[1]:
        return shown
    digits = int(form[1:-1])
    low, high = (format(end, form) for end in span)
    if not signed and digits > 1:
        shorter = [format(end, f".{digits - 1}f") for end in span]
        low, high = shorter if len(set(shorter)) == 2 else (low, high)
    return f"{shown} [{low}, {high}]"


def upright(cells: list[list[str]]) -> list[list[str]]:
    """Return the same cells with rows for columns if there are more columns than rows."""
    return [list(column) for column in zip(*cells)] if len(cells[0]) > len(cells) else cells


def text(
    rows: Mapping[str, Mapping[str, Any]], intervals: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Return `cells` as lines of text, the last one ended."""
    return lines(cells(rows, intervals))


def lines(cells: Sequence[Sequence[str]]) -> str:
    """Return the cells as lines of text in columns, the last one ended."""
    columns = [_padded(column, i > 0) for i, column in enumerate(zip(*cells))]
    return "".join("  ".join(line).rstrip() + "\n" for line in zip(*columns))


def _padded(column: Sequence[str], right: bool) -> list[str]:
    width = max(map(len, column))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in column]
