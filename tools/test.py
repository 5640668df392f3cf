"""Colorize a test set: class folders of photos in, class folders of PNG out, same stems.

python tools/test.py --image_dir photos/val --result_path result --model_path model
python tools/test.py --image_dir photos/val --result_path result
python tools/test.py --image_dir photos/val --result_path few --model_path model --max_samples 9
"""

import os
import sys
from itertools import islice

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import backends
from cic.colorize import settings
from cic.colorize.colorizer import colorize_files, locked, report
from cic.photos import sources
from cic.system import console
from cic.system.errors import InputError
from cic.system.files import lies_in
from cic.training import runs


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", required=True, help="folder of photos, searched at any depth")
    add("--result_path", default="result", help="folder for the colorized photos (%(default)s)")
    add("--model_path", help="folder of a training run (without it, the bundled weights)")
    add("--load_model", default=runs.LATEST, help="which epoch's checkpoint (%(default)s)")
    add("--max_samples", type=console.positive, help="stop after so many photos")
    backends.add_flags(parser)
    settings.add_flags(parser)
    console.add_max_pixels(parser)
    return parser.parse_args()


def main():
    args = parse_arguments()
    if lies_in(os.path.join(args.result_path, "result"), args.image_dir):
        raise InputError(
            f"{args.result_path}: lies in {args.image_dir}, so that results would be taken for "
            "photos: choose another --result_path"
        )
    names = list(islice(sources.walk(args.image_dir), args.max_samples))
    if not names:
        raise InputError(f"{args.image_dir}: no photo in there")
    weights = args.model_path and runs.checkpoint_path(args.model_path, args.load_model)
    changes = settings.changes(args)
    colorizer = backends.colorizer(weights, args.backend, args.device, **changes)
    jobs = [
        (
            os.path.join(args.image_dir, name),
            os.path.join(args.result_path, os.path.splitext(name)[0] + ".png"),
        )
        for name in names
    ]
    with locked(args.result_path, jobs):
        return report(args.result_path, *colorize_files(colorizer, jobs))


if __name__ == "__main__":
    console.run(main)
