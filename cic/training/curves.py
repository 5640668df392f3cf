"""Read the logs of runs back: draw their losses, and give a line of figures for each."""

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeGuard

import numpy as np

from cic.system import bounded_json
from cic.system.arrays import Array
from cic.system.errors import InputError, SettingError
from cic.system.files import replacing
from cic.system.regular import open_regular
from cic.system.typing import Json
from cic.training.runs import AVERAGE, score

Line: TypeAlias = dict[str, float]  # figures of a step, {"step": ..., ...}
LOG = "log.jsonl"


def read_log(run: str) -> tuple[list[Line], list[Line]]:
    """Return (training, validation) lines of a run, each [{"step": ..., ...}, ...] of ascending
    steps.

    Lines that a kill cut off are left out. Raises ValueError if none is left.
    """
    path = os.path.join(run, LOG) if os.path.isdir(run) else run
    training: list[Line] = []
    validation: list[Line] = []
    with open_regular(path) as file:
        for line in map(_parse_line, bounded_json.lines(file)):
            if "loss" in line:
                _go_back(training, line["step"])
                _go_back(validation, line["step"])
                training.append(line)
            elif "validation_loss" in line:
                _go_back(validation, line["step"])
                validation.append(line)
    if not training and not validation:
        raise InputError(f"{path}: no line of a log in there")
    return training, validation


def _parse_line(text: bytes) -> Line:
    """Return the numbers of a line of the log as a dict; empty if it is none."""
    try:
        line = bounded_json.loads(text)
    except ValueError:
        return {}
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return {}
    return {key: value for key, value in line.items() if _is_number(value)}


def _is_number(value: Json) -> TypeGuard[float]:
    return isinstance(value, int | float) and not abs(value) > 1e300  # NaN is one


def _go_back(lines: list[Line], step: float) -> None:
    """Drop what a run that was continued did before from `step` on."""
    while lines and lines[-1]["step"] >= step:
        lines.pop()


def _running_mean(values: Array, width: int) -> Array:
    """(n,) -> (n,) means over `width` values around each, fewer at the ends."""
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0))
    first = np.arange(len(values)) - (width - 1) // 2
    start, stop = np.maximum(first, 0), np.minimum(first + width, len(values))
    return (sums[stop] - sums[start]) / (stop - start)


def _column(lines: Sequence[Line], key: str) -> Array:
    """Return (steps, values) of the lines that have the key, for a curve."""
    return np.array([(line["step"], line[key]) for line in lines if key in line]).reshape(-1, 2).T


def draw(logs: Mapping[str, tuple[list[Line], list[Line]]], path: str, smooth: int = 10) -> None:
    """Draw {run: (training, validation)} to the file `path`: losses above, learning rates below.

    The strong curve is the mean of `smooth` lines of the log.
    """
    from matplotlib import colormaps  # half a second, for those who draw alone
    from matplotlib.figure import Figure

    figure = Figure((10, 7), layout="constrained")
    losses, rates = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    distinct = colormaps["tab10"]
    colours = distinct if len(logs) <= distinct.N else colormaps["turbo"].resampled(len(logs))
    curves = []
    for number, (training, validation) in enumerate(logs.values()):
        steps, loss = _column(training, "loss")
        losses.plot(steps, loss, color=colours(number), alpha=0.25, linewidth=0.8)
        curves += losses.plot(steps, _running_mean(loss, smooth), color=colours(number))
        points = _column(validation, "validation_loss")
        losses.plot(*points, "o--", color=colours(number), markersize=4)
        points = _column(validation, "validation_loss" + AVERAGE)
        losses.plot(*points, "o:", color=colours(number), markersize=4)
        rates.plot(*_column(training, "lr"), color=colours(number))
    dotted = any(AVERAGE in key for _, lines in logs.values() for line in lines for key in line)
    more = ", dotted: of the average" if dotted else ""
    losses.set_ylabel(f"loss\n(dashed: validation{more})")
    rates.set(xlabel="step", ylabel="learning rate")
    legend = losses.legend(curves, ["run"] * len(curves))
    for text, run in zip(legend.get_texts(), logs):
        text.set(text=run, parse_math=False)  # names as they are, $ and _ included
    for axes in (losses, rates):
        axes.grid(alpha=0.3)
    kind = os.path.splitext(path)[1][1:].lower() or "png"
    if kind not in (known := figure.canvas.get_supported_filetypes()):
        raise SettingError(f"{path}: no format to draw in: there are .{', .'.join(sorted(known))}")
    with replacing(path) as fresh:
        figure.savefig(fresh, format=kind, dpi=120)


def row(run: str, training: list[Line], validation: list[Line]) -> tuple[str, ...]:
    """Return the run's line of the table, strings."""
    last = training[-1] if training else {}
    best = min(validation, key=score, default={})
    return (
        run,
        _number(max(training + validation, key=lambda line: line["step"]), "step", ","),
        _number(last, "loss", ".4f"),
        format(score(best), ".4f") if best else "-",
        _number(best, "step", ","),
        _number(last, "images_per_second", ".1f"),
    )


def _number(line: Mapping[str, float], key: str, form: str) -> str:
    return format(line[key], form) if key in line else "-"
