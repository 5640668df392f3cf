"""Colorize scikit-image's own photographs, or yours, and lay them out on one sheet.

python tools/demo.py
python tools/demo.py --photo album/
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from skimage import data

import backends
from cic import console, images
from cic.lab import lab_to_rgb, lightness
from cic.sheet import contact_sheet

SHEET_ROWS = 20  # a sheet of more photos is too long to look at


def parse_arguments():
    parser = console.parser(__doc__)
    parser.add_argument("--photo", help="a photo or a folder of photos (scikit-image's)")
    parser.add_argument("--output", default="demo", help="folder to write to (%(default)s)")
    console.add_backend_flags(parser)
    return parser.parse_args()


def read_photos(path):
    """Yield (relative name, (H, W, 3) uint8) of every photo that can be read."""
    if path is None:
        for name in ("astronaut", "chelsea", "coffee", "rocket"):
            yield name + ".jpg", getattr(data, name)()
        return
    folder, names = (path, images.find(path)) if os.path.isdir(path) else os.path.split(path)
    for name in [names] if isinstance(names, str) else names:
        try:
            yield name, images.read(os.path.join(folder, name))
        except images.PhotoError as error:
            print(f"failed: {error}", file=sys.stderr)


def to_gray(photo):
    """Photo (H, W, 3) uint8 without its colours, the lightness kept."""
    lab = np.zeros(photo.shape, np.float32)
    lab[..., 0] = lightness(photo)
    return np.rint(255 * lab_to_rgb(lab)).astype(np.uint8)


def main():
    args = parse_arguments()
    colorize = backends.colorizer(backend=args.backend, device=args.device)
    rows = []
    for name, photo in read_photos(args.photo):
        gray = to_gray(photo)
        colour = colorize(gray)
        target = os.path.join(args.output, os.path.splitext(name)[0] + ".jpg")
        images.write(target, colour)
        print(target)
        if len(rows) < SHEET_ROWS:
            rows.append((gray, colour, photo))
    if not rows:
        raise ValueError(f"{args.photo}: no photo in there")
    sheet = os.path.join(args.output, "contact_sheet.jpg")
    images.write(sheet, contact_sheet(rows, ("gray", "colorized", "original")))
    print(f"{sheet}: all of them side by side")


if __name__ == "__main__":
    console.run(main)
