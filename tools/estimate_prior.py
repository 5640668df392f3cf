"""Count how often each ab bin occurs in folders of photos: the prior for rebalancing.

python tools/estimate_prior.py --image_dir photos/train --output prior.npy
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from tqdm import tqdm

from cic import bins, console, images, rebalance
from cic.files import replacing
from cic.lab import rgb_to_lab

STRIDE = 4  # targets are every 4th pixel, as in training


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", nargs="+", required=True, help="folders of photos, searched at any depth")
    add("--output", required=True, help="the .npy file to write: 313 shares that sum to 1")
    add(
        "--load_size",
        type=console.positive,
        default=256,
        help="short side photos are shrunk to (%(default)s)",
    )
    return parser.parse_args()


def main():
    args = parse_arguments()
    paths = [os.path.join(d, name) for d in args.image_dir for name in images.find(d)]
    counts = np.zeros(bins.COUNT, np.int64)
    photos = 0
    for path in tqdm(paths, unit="photo"):
        try:
            photo = images.shrink(images.open_rgb(path), args.load_size)
        except images.PhotoError as error:
            tqdm.write(f"skipped: {error}")
            continue
        ab = rgb_to_lab(np.asarray(photo)[::STRIDE, ::STRIDE])[..., 1:]
        if not rebalance.is_gray(ab):
            counts += rebalance.count(ab)
            photos += 1
    if not counts.any():
        raise ValueError(f"{', '.join(args.image_dir)}: no colour photo in there")
    with replacing(args.output) as fresh, open(fresh, "wb") as file:
        np.save(file, rebalance.smooth(counts))
    print(f"{args.output}: from {counts.sum():,} pixels of {photos:,} photos in colour")


if __name__ == "__main__":
    console.run(main)
