"""Draw the loss curves of one or several training runs into one picture, and list their figures.

python tools/plot_log.py model -o losses.png
python tools/plot_log.py runs/soft runs/hard -o losses.png
python tools/plot_log.py runs/soft runs/hard/log.jsonl -o losses.png --smooth 20

A run is its folder, or its log.jsonl. Of a run that was continued from an earlier checkpoint, what
came after that checkpoint the first time is left out. The training loss as logged is faint, its
running mean over --smooth lines of the log is strong; the validation loss is dashed, that of the
average of the weights dotted.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from cic.system import bounded_json, console
from cic.system.errors import InputError
from cic.system.files import replacing
from cic.system.regular import open_regular
from cic.training.runs import AVERAGE, score
from metric import charts

LOG = "log.jsonl"
TITLES = ("run", "steps", "loss", "best validation", "at step", "images/s")


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="folder of a run, or its log.jsonl")
    add("-o", "--output", required=True, help="the picture to write, .png, .pdf or .svg")
    add(
        "--smooth",
        type=console.positive,
        default=10,
        help="lines of the log that the strong curve is the mean of (%(default)s)",
    )
    return parser.parse_args()


def read_log(run):
    """(training, validation) lines of a run, each [{"step": ..., ...}, ...] of ascending steps.

    Lines that a kill cut off are left out. Raises ValueError if none is left.
    """
    path = os.path.join(run, LOG) if os.path.isdir(run) else run
    training, validation = [], []
    with open_regular(path) as file:
        for line in map(parse_line, bounded_json.lines(file)):
            if "loss" in line:
                go_back(training, line["step"])
                go_back(validation, line["step"])
                training.append(line)
            elif "validation_loss" in line:
                go_back(validation, line["step"])
                validation.append(line)
    if not training and not validation:
        raise InputError(f"{path}: no line of a log in there")
    return training, validation


def parse_line(text):
    """The numbers of a line of the log as a dict; empty if it is none."""
    try:
        line = bounded_json.loads(text)
    except ValueError:
        return {}
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return {}
    return {key: value for key, value in line.items() if _is_number(value)}


def _is_number(value):
    return isinstance(value, int | float) and not abs(value) > 1e300  # NaN is one


def go_back(lines, step):
    """Drop what a run that was continued did before from `step` on."""
    while lines and lines[-1]["step"] >= step:
        lines.pop()


def running_mean(values, width):
    """(n,) -> (n,) means over `width` values around each, fewer at the ends."""
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0))
    first = np.arange(len(values)) - (width - 1) // 2
    start, stop = np.maximum(first, 0), np.minimum(first + width, len(values))
    return (sums[stop] - sums[start]) / (stop - start)


def column(lines, key):
    """(steps, values) of the lines that have the key, for a curve."""
    return np.array([(line["step"], line[key]) for line in lines if key in line]).reshape(-1, 2).T


def draw(logs, smooth, path):
    """Picture of {run: (training, validation)}: losses above, learning rates below."""
    from matplotlib import colormaps

    figure = charts.figure(10, 7)
    losses, rates = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    distinct = colormaps["tab10"]
    colours = distinct if len(logs) <= distinct.N else colormaps["turbo"].resampled(len(logs))
    curves = []
    for number, (training, validation) in enumerate(logs.values()):
        steps, loss = column(training, "loss")
        losses.plot(steps, loss, color=colours(number), alpha=0.25, linewidth=0.8)
        curves += losses.plot(steps, running_mean(loss, smooth), color=colours(number))
        points = column(validation, "validation_loss")
        losses.plot(*points, "o--", color=colours(number), markersize=4)
        points = column(validation, "validation_loss" + AVERAGE)
        losses.plot(*points, "o:", color=colours(number), markersize=4)
        rates.plot(*column(training, "lr"), color=colours(number))
    dotted = any(AVERAGE in key for _, lines in logs.values() for line in lines for key in line)
    more = ", dotted: of the average" if dotted else ""
    losses.set_ylabel(f"loss\n(dashed: validation{more})")
    rates.set(xlabel="step", ylabel="learning rate")
    charts.legend(losses, curves, logs)
    for axes in (losses, rates):
        axes.grid(alpha=0.3)
    kind = os.path.splitext(path)[1][1:].lower() or "png"
    with replacing(path) as fresh:
        figure.savefig(fresh, format=kind, dpi=120)


def row(run, training, validation):
    """The run's line of the table, strings."""
    last = training[-1] if training else {}
    best = min(validation, key=score, default={})
    return (
        run,
        number(max(training + validation, key=lambda line: line["step"]), "step", ","),
        number(last, "loss", ".4f"),
        format(score(best), ".4f") if best else "-",
        number(best, "step", ","),
        number(last, "images_per_second", ".1f"),
    )


def number(line, key, form):
    return format(line[key], form) if key in line else "-"


def show(rows):
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:]))]
        print("  ".join(cells))


def main():
    args = parse_arguments()
    logs, failed = {}, 0
    for run in args.runs:
        try:
            logs[run] = read_log(run)
        except (OSError, InputError) as error:
            print(f"failed: {error}")
            failed += 1
    if not logs:
        raise InputError("no run to draw")
    draw(logs, args.smooth, args.output)
    show([TITLES, *(row(run, *log) for run, log in logs.items())])
    print(f"have a look at {args.output}")
    return int(failed > 0)


if __name__ == "__main__":
    console.run(main)
