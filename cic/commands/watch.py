"""Colorize the photos that arrive in a folder, until Ctrl-C or SIGTERM.

cic watch inbox coloured
cic watch inbox coloured --settle 10
cic watch inbox coloured --saturation 1.2

The command takes a photo once its size and time have not changed for --settle seconds. It leaves
hidden files alone, and those still on their way, such as x.jpg.part; folders in the inbox keep
their layout. A list in the output folder says what is done, so that a new start repeats nothing; a
photo that changes is coloured again. A photo that fails stays where it is, and one line names it.
"""

import argparse
from collections.abc import Sequence

import backends
from cic.colorize import arrivals, settings
from cic.colorize.arrivals import SETTLE
from cic.system import console


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


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    arrivals.check_apart(args.folder, args.output)  # before the network is opened
    changes = settings.changes(args)
    colorizer = backends.colorizer(args.weights, args.backend, args.device, **changes)
    arrivals.watch(colorizer, args.folder, args.output, args.settle)
    return 0
