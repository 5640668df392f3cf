"""Draw the loss curves of one or several training runs into one picture, and list their figures.

cic plot model -o losses.png
cic plot runs/soft runs/hard -o losses.png
cic plot runs/soft runs/hard/log.jsonl -o losses.png --smooth 20

A run is its folder, or its log.jsonl. If a run was continued from an earlier checkpoint, the steps
that first came after that checkpoint are left out. The training loss as logged is faint, its
running mean over --smooth lines of the log is strong; the validation loss is dashed, that of the
average of the weights dotted.
"""

import argparse
from collections.abc import Sequence

from cic.system import console, packages
from cic.system.errors import InputError
from cic.system.text import message_of
from cic.training import curves

TITLES = ("run", "steps", "loss", "best validation", "at step", "images/s")


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "plot")
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="folder of a run, or its log.jsonl")
    add("-o", "--output", required=True, help="the picture to write, .png, .pdf or .svg")
    add(
        "--smooth",
        type=console.positive,
        default=10,
        help="lines of the log that the strong curve is the mean of (%(default)s)",
    )
    return parser


def show(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, cells)) for cells in zip(*rows)]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:]))]
        print("  ".join(cells))


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    packages.need(*packages.MEASURE)
    logs, failed = {}, 0
    for run in args.runs:
        try:
            logs[run] = curves.read_log(run)
        except (OSError, InputError) as error:
            print(f"failed: {message_of(error)}")
            failed += 1
    if not logs:
        raise InputError("no run to draw")
    curves.draw(logs, args.output, args.smooth)
    show([TITLES, *(curves.row(run, *log) for run, log in logs.items())])
    print(f"have a look at {args.output}")
    return int(failed > 0)
