"""Colorize photos and folders of photos, at their full resolution.

python tools/colorize.py old.jpg album/ -o coloured
python tools/colorize.py old.jpg -o new.jpg --alternatives 4 --uncertainty

The second also writes new-alternative-2.jpg to new-alternative-4.jpg, the next most likely distinct
colourings, new-alternatives.jpg, all side by side, and new-uncertainty.png, a map of where the
network is unsure of the colours. The bits on the sheet say how far a colouring is from what the
network holds most likely.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import backends
from cic import console, images
from cic.colorize import colorize_files, list_jobs, report


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="photos, and folders searched at any depth")
    add("-o", "--output", required=True, help="folder to write to; for one photo, also a file name")
    add("--weights", help="checkpoint (the bundled one)")
    backends.add_flags(parser)
    add(
        "--temperature",
        type=console.temperature,
        help="near 0 the mode, 1 the mean (the weights' own)",
    )
    add(
        "--size",
        type=console.positive,
        help="short side the network sees, pixels (the weights' own)",
    )
    add(
        "--alternatives",
        type=console.positive,
        default=1,
        metavar="K",
        help="the K most likely distinct colourings, and a sheet of them (%(default)s: no others)",
    )
    add("--uncertainty", action="store_true", help="a map of where the network is unsure, too")
    add("--all_pages", action="store_true", help="every page or frame, each to a file of its own")
    console.add_max_pixels(parser)
    return parser.parse_args()


def main():
    args = parse_arguments()
    images.limit_pixels(args.max_pixels)
    jobs, problems = list_jobs(args.paths, args.output)
    for problem in problems:
        print(f"failed: {problem}")
    if not jobs:
        raise ValueError(f"{', '.join(args.paths)}: no photo in there")
    colorizer = backends.colorizer(args.weights, args.backend, args.device)
    colorizer.temperature = colorizer.temperature if args.temperature is None else args.temperature
    colorizer.size = args.size or colorizer.size
    done, failed = colorize_files(
        colorizer, jobs, args.all_pages, args.alternatives, args.uncertainty
    )
    return report(args.output, done, failed + len(problems))


if __name__ == "__main__":
    console.run(main)
