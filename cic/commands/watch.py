"""Colorize the photos that arrive in a folder, until Ctrl-C or SIGTERM.

cic watch inbox coloured
cic watch inbox coloured --settle 10
cic watch inbox coloured --saturation 1.2

A photo is taken once its size and time have not changed for --settle seconds. Hidden files and
those on their way, such as x.jpg.part, are left alone; folders in the inbox keep their layout. What
is done is written down in the output folder, so that a new start repeats nothing; a photo that
changes is coloured again. A photo that fails stays where it is, and is named in one line.
"""

import argparse
import os
import time
from collections.abc import Sequence

import backends
from cic.colorize import settings
from cic.colorize.arrivals import INTERVAL, SETTLE, Arrivals
from cic.system import console, locks
from cic.system.errors import InputError
from cic.system.files import lies_in

SHARE = 5  # times the duration of a look is the least pause: looks take no more than a fifth


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "watch")
    add = parser.add_argument
    add("folder", metavar="IN", help="folder to watch, at any depth")
    add("output", metavar="OUT", help="folder to write to")
    add("--weights", help="checkpoint (the bundled one)")
    backends.add_flags(parser)
    settings.add_flags(parser)
    add(
        "--settle",
        type=console.seconds,
        default=SETTLE,
        metavar="S",
        help="seconds that a file must have stayed as it is (%(default)s)",
    )
    console.add_max_pixels(parser)
    return parser


def check(folder: str, output: str) -> None:
    """Raise InputError if there is no folder, or results would lie among the photos."""
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: there is no such folder")
    inside = lies_in(os.path.join(output, "x"), folder) or lies_in(
        os.path.join(folder, "x"), output
    )
    if inside:
        raise InputError(f"{output}: one folder lies in the other: name one beside {folder}")


def say(line: str) -> None:
    print(line, flush=True)  # a log, too, is to be read at once


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    check(args.folder, args.output)
    changes = settings.changes(args)
    colorizer = backends.colorizer(args.weights, args.backend, args.device, **changes)
    with locks.cleaned(args.output):
        arrivals = Arrivals(colorizer, args.folder, args.output, say, args.settle)
        try:
            say(f"{args.folder}: watching; results go to {args.output}; Ctrl-C ends it")
            while True:
                begin = time.monotonic()
                arrivals.turn()
                time.sleep(max(INTERVAL, SHARE * (time.monotonic() - begin)))
        except (KeyboardInterrupt, SystemExit):  # SIGTERM: how a watch ends
            say(f"{args.output}: {arrivals.done} colorized, {arrivals.failed} failed")
    return 0
