"""Colorize photographs, made gray first, or your own; lay them out on one sheet.

python tools/demo.py
python tools/demo.py --photo album/
python tools/demo.py --photo old.jpg --output tried --backend torch

Those that are here (tools/photographs) are four of today, and four of 1905 to 1915 that were taken
in colour, on three plates each.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

import backends
from cic.colorize import jobs
from cic.colour.lab import lab_to_rgb, lightness
from cic.photos import images, sources
from cic.photos.sheet import contact_sheet
from cic.system import console

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "photographs")
CAPTIONS = ("gray", "colorized", "original")
ROWS = 20  # a sheet of more photos is too long to look at
WIDE = 480  # pixels of a picture on the sheet


def parse_arguments():
    parser = console.parser(__doc__)
    parser.add_argument("--photo", help="a photo or a folder of photos (eight that are here)")
    parser.add_argument("--output", default="demo", help="folder to write to (%(default)s)")
    backends.add_flags(parser)
    return parser.parse_args()


def to_gray(photo):
    """Photo (H, W, 3) uint8 without its colours, the lightness kept."""
    lab = np.zeros(photo.shape, np.float32)
    lab[..., 0] = lightness(photo)
    return np.rint(255 * lab_to_rgb(lab)).astype(np.uint8)


def samples():
    """Yield (name, photo (H, W, 3) uint8) of the photographs that are here."""
    for path in sources.find(SAMPLES):
        yield os.path.splitext(path)[0], np.asarray(images.open_rgb(os.path.join(SAMPLES, path)))


def write_samples(output):
    """The samples in `output`/original, gray in `output`/gray; the latter folder."""
    for name, photo in samples():
        images.write(os.path.join(output, "original", f"{name}.jpg"), photo)
        images.write(os.path.join(output, "gray", f"{name}.jpg"), to_gray(photo))
    return os.path.join(output, "gray")


def sheet_row(original, colorized):
    """(gray, colorized, original) pictures of two photo files, as small as the sheet needs."""
    photo, colour = (
        np.asarray(images.shrink(images.open_rgb(path), WIDE)) for path in (original, colorized)
    )
    return to_gray(photo), colour, photo


def main():
    args = parse_arguments()
    colorized = os.path.join(args.output, "colorized")
    if args.photo and os.path.isdir(args.photo):
        colorized = os.path.join(colorized, os.path.basename(os.path.abspath(args.photo)))
    what = args.photo or f"{len(sources.find(SAMPLES))} photographs, made gray,"
    print(f"colours {what} and writes them to {colorized}, and a sheet of all beside it")
    print("1 of 3: the bundled weights", flush=True)
    colorizer = backends.colorizer(backend=args.backend, device=args.device)
    print("2 of 3: the photos", flush=True)
    source = args.photo or write_samples(args.output)
    listing = jobs.find([source], colorized)
    outcome = listing.colorize(colorizer)
    print(f"{colorized}: {outcome}")
    if outcome.done:
        originals = os.path.join(args.output, "original")
        rows = [
            sheet_row(
                os.path.join(originals, os.path.basename(path)) if not args.photo else path, t
            )
            for path, t in outcome.done[:ROWS]
        ]
        print("3 of 3: the contact sheet", flush=True)
        sheet = os.path.join(args.output, "contact_sheet.jpg")
        images.write(sheet, contact_sheet(rows, CAPTIONS, WIDE))
        first = f" (the first {ROWS})" if len(outcome.done) > ROWS else ""
        print(f"Have a look at {os.path.abspath(sheet)}: {' | '.join(CAPTIONS)}{first}")
    return int(outcome.failed > 0)


if __name__ == "__main__":
    console.run(main)
