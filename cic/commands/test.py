"""Colorize a test set: class folders of photos in, class folders of PNG out, same stems.

cic test --image_dir photos/val --result_path result --model_path model
cic test --image_dir photos/val --result_path result
cic test --image_dir photos/val --result_path few --model_path model --max_samples 9
"""

import argparse
from collections.abc import Sequence

import backends
from cic.colorize import jobs, settings
from cic.system import console
from cic.training import runs


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "test")
    add = parser.add_argument
    add("--image_dir", required=True, help="folder of photos, searched at any depth")
    add("--result_path", default="result", help="folder for the colorized photos (%(default)s)")
    add("--model_path", help="folder of a training run (without it, the bundled weights)")
    add("--load_model", default=runs.LATEST, help="which epoch's checkpoint (%(default)s)")
    add("--max_samples", type=console.positive, help="stop after this many photos")
    backends.add_flags(parser)
    settings.add_flags(parser)
    console.add_threads(parser)
    console.add_max_pixels(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int | None:
    args = parser().parse_args(argv)
    listing = jobs.find_set(args.image_dir, args.result_path, args.max_samples)
    weights = args.model_path and runs.checkpoint_path(args.model_path, args.load_model)
    changes = settings.changes(args)
    colorizer = backends.colorizer(weights, args.backend, args.device, **changes)
    outcome = listing.colorize(colorizer)
    for line in listing.left_out:
        print(line)
    print(f"{args.result_path}: {outcome}")
    return int(outcome.failed > 0)
