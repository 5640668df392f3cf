"""Count how often each ab bin occurs in photos: the prior for rebalancing, for cic train --prior.

cic prior --image_dir photos/train --output prior.npy
cic prior --image_dir photos/train shards/more.tar --output prior.npy
cic prior --merge january.npy february.npy --output prior.npy

The command sees photos as training does: shrunk to a short side of --load_size, the ab of every 4th
pixel. It leaves gray ones out, and smooths the counts by the Gaussian of the soft encoding. Beside
prior.npy a picture, prior.png, shows the prior next to the bundled one. prior.npy holds three
arrays, one after the other: the prior (313,), which is what np.load reads, the pixels nearest to
each bin (313,), and the number of photos; so priors can be merged.
"""

import argparse
from collections.abc import Sequence

from cic.dataset import counting
from cic.dataset.counting import FEW, MANY_GRAY, Counting
from cic.system import console, invocation


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "prior")
    add = parser.add_argument
    add("--image_dir", nargs="+", default=[], help="folders, tar shards, addresses of photos")
    add("--merge", nargs="+", default=[], help="priors, written by this tool, to add the counts of")
    add("--output", required=True, help="the .npy file to write: 313 shares that sum to 1")
    add(
        "--load_size",
        type=console.positive,
        default=256,
        help="short side photos are shrunk to (%(default)s)",
    )
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser


def warn(photos: int, gray: int) -> None:
    if photos < FEW:
        print(
            f"warning: {photos:,} photos in colour are few for a prior: with fewer than {FEW:,} "
            "it depends on which ones they happen to be"
        )
    if gray > MANY_GRAY * (photos + gray):
        print(
            f"warning: {gray:,} of {photos + gray:,} photos are gray and were left out; "
            f"{invocation.named('invalid')} finds them"
        )


def main(argv: Sequence[str] | None = None) -> int | None:
    args = vars(parser().parse_args(argv))
    del args["max_pixels"]  # it has been set
    counted = counting.count(Counting(**args))
    output, picture, total = args["output"], counted.picture, counted.prior
    warn(total.photos, counted.gray)
    print(f"{output}: from {total.pixels.sum():,} pixels of {total.photos:,} photos in colour")
    print(
        f"{counted.divergence:.4f} nats from the bundled prior (Kullback-Leibler); "
        f"have a look at {picture}"
    )
    return int(counted.failed > 0)
