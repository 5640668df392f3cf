"""Colorize photos, films, and folders of both, at their full resolution.

python tools/colorize.py old.jpg album/ -o coloured
python tools/colorize.py film.mp4 -o new.mp4
python tools/colorize.py old.jpg -o new.jpg --alternatives 4 --uncertainty

The last also writes new-alternative-2.jpg to new-alternative-4.jpg, the next most likely distinct
colourings, new-alternatives.jpg, all side by side, and new-uncertainty.png, a map of where the
network is unsure of the colours. The bits on the sheet say how far a colouring is from what the
network holds most likely.

A film (pip install av) keeps its sound, rate, timestamps and shape. Its colours are averaged over
the frames of a shot, so that they flicker less; how much is printed for each film: the mean change
of ab from frame to frame where the lightness stays, in CIELAB units. Sound that the players of the
new file do not know becomes AAC (Opus in WebM); what is left out is named before the first frame.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tqdm import tqdm

import backends
from cic.colorize import film, settings
from cic.colorize.colorizer import colorize_files, list_jobs, locked, report
from cic.colorize.smoothing import SMOOTHING
from cic.photos import kinds, sources
from cic.system import console
from cic.system.errors import InputError
from metric.figures.flicker import FilmFigures


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="photos, films, and folders searched at any depth")
    add("-o", "--output", required=True, help="folder to write to; for one file, also a file name")
    add("--weights", help="checkpoint (the bundled one)")
    backends.add_flags(parser)
    settings.add_flags(parser)
    add(
        "--alternatives",
        type=console.positive,
        default=1,
        metavar="K",
        help="the K most likely distinct colourings, and a sheet of them (%(default)s: no others)",
    )
    add("--uncertainty", action="store_true", help="a map of where the network is unsure, too")
    add(
        "--all_pages",
        action="store_true",
        help="every page or frame: of a TIFF to a TIFF of pages, else each to a file of its own",
    )
    add(
        "--no-stretch",
        action="store_true",
        help="leave numbers that do not reach white, as of 12 bits in 16, as they are",
    )
    add(
        "--smoothing",
        type=smoothing,
        default=SMOOTHING,
        metavar="S",
        help="weight of a film's frames before in its colours, 0 (none) to 0.99 (%(default)s)",
    )
    add("--deinterlace", action="store_true", help="make whole pictures of a tape's fields (bwdif)")
    console.add_max_pixels(parser)
    return parser.parse_args()


def smoothing(text):
    """argparse type: a number from 0 to 0.99."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 0.99:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 0.99")
    return number


def colorize_film(colorizer, source, target, smoothing, deinterlace=False):
    """Colorize a film and print what the smoothing did to it."""
    figures = FilmFigures()
    frames = film.colorize(colorizer, source, target, smoothing, figures.update, deinterlace)
    tqdm.write(f"{target}: {frames} frames, {figures.shots} shots; {figures}")


def main():
    args = parse_arguments()
    left_out = kinds.LeftOut()
    jobs, problems = list_jobs(args.paths, args.output, films=True, left_out=left_out)
    for problem in problems:
        print(f"failed: {problem}")
    if not jobs:
        reasons = "".join(f"; {line}" for line in left_out.lines())
        raise InputError(f"{', '.join(args.paths)}: no photo and no film in there{reasons}")
    if args.deinterlace and not any(sources.is_film(source) for source, _ in jobs):
        raise InputError("--deinterlace: there is no film among them")
    changes = settings.changes(args)
    colorizer = backends.colorizer(args.weights, args.backend, args.device, **changes)
    with locked(args.output, jobs):
        done, failed = colorize_files(
            colorizer,
            jobs,
            args.all_pages,
            args.alternatives,
            args.uncertainty,
            film=lambda *names: colorize_film(colorizer, *names, args.smoothing, args.deinterlace),
            stretched=not args.no_stretch,
        )
    for line in left_out.lines():
        print(line)
    return report(args.output, done, failed + len(problems))


if __name__ == "__main__":
    console.run(main)
