"""Count how often each ab bin occurs in photos: the prior for rebalancing, for train.py --prior.

python tools/estimate_prior.py --image_dir photos/train --output prior.npy
python tools/estimate_prior.py --image_dir photos/train shards/more.tar --output prior.npy
python tools/estimate_prior.py --merge january.npy february.npy --output prior.npy

Photos are looked at as training looks at them: shrunk to a short side of --load_size, the ab of
every 4th pixel; gray ones are left out. The counts are smoothed by the Gaussian of the soft
encoding. Beside prior.npy a picture, prior.png, shows the prior next to the bundled one.
prior.npy holds three arrays, one after the other: the prior (313,), which is what np.load reads,
the pixels nearest to each bin (313,), and the number of photos; so priors can be merged.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tqdm import tqdm

from cic.colour import ab_plane, prior, rebalance
from cic.photos import images, sources
from cic.photos.damage import failed_on
from cic.system import console
from cic.system.errors import InputError, SettingError
from cic.system.files import check, check_outside
from cic.system.parallel import Pool

FEW = 500  # photos below which chance shows: weights from 100 are 9 % off, from 500 2.5 %
MANY_GRAY = 0.1  # share of gray photos that is worth a look
CHUNK = 16  # photos that travel to a worker together


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", nargs="+", default=[], help="folders of photos and tar shards")
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
    return parser.parse_args()


def refuse_outputs(args, picture):
    """Raise ValueError or OSError, before any work, if an output is no good."""
    if os.path.splitext(args.output)[1] != ".npy":
        raise SettingError(f"{args.output}: the prior is a .npy file: call it prior.npy, say")
    check(args.output)
    refusal = "the picture would be among the photos: choose another folder"
    check_outside([picture], args.image_dir, refusal)


def count(load_size, photo):
    """Prior of one photo, without any pixels if it is gray; or the PhotoError of reading it."""
    counts = prior.Prior()
    try:
        ab = prior.photo_ab(photo, load_size)
    except Exception as error:  # one photo never ends the others
        return images.PhotoError(failed_on(photo, error))
    if not rebalance.is_gray(ab):
        counts.update(ab)
    return counts


def count_all(args):
    """(Prior, number of gray photos, number of failures) of all photos and priors."""
    total, gray, failures = prior.Prior(), 0, []
    for path in args.merge:
        total.merge(prior.Prior.load(path))
    found = sources.photos(args.image_dir, failures.append)
    with Pool(args.num_workers if args.image_dir else 0, count, args.load_size) as pool:
        for result in tqdm(pool.map(found, CHUNK), unit="photo"):
            if isinstance(result, images.PhotoError):
                failures.append(result)
            else:
                total.merge(result)
                gray += not result.photos
    for failure in failures:
        print(f"skipped: {failure}")
    return total, gray, len(failures)


def warn(photos, gray):
    if photos < FEW:
        print(
            f"warning: {photos:,} photos in colour are few for a prior: with fewer than {FEW:,} "
            "it depends on which ones they happen to be"
        )
    if gray > MANY_GRAY * (photos + gray):
        print(
            f"warning: {gray:,} of {photos + gray:,} photos are gray and were left out; "
            "tools/get_invalid_images.py finds them"
        )


def main():
    args = parse_arguments()
    if not args.image_dir and not args.merge:
        raise SettingError("nothing to count: name photos with --image_dir or priors with --merge")
    picture = os.path.splitext(args.output)[0] + ".png"
    refuse_outputs(args, picture)
    total, gray, failed = count_all(args)
    if not total.photos:
        raise InputError(f"{', '.join(args.image_dir + args.merge)}: no colour photo in there")
    total.save(args.output)
    mine, bundled = total.compute(), prior.default()
    images.write(picture, ab_plane.draw({"these photos": mine, "bundled": bundled}))
    warn(total.photos, gray)
    print(f"{args.output}: from {total.pixels.sum():,} pixels of {total.photos:,} photos in colour")
    print(
        f"{prior.divergence(mine, bundled):.4f} nats from the bundled prior (Kullback-Leibler); "
        f"have a look at {picture}"
    )
    return int(failed > 0)


if __name__ == "__main__":
    console.run(main)
