"""Shrink photos for training, once: decoding full-size ones is what starves a GPU.

cic prepare --image_dir imagenet/train --output small/train
cic prepare --image_dir imagenet/train --output shards/train --shards 10000
cic prepare --image_dir imagenet/train --output raw/train --shards 10000 --raw
cic prepare --image_dir album --output small --invalid remove_invalid.jsonl

Takes folders of photos, tar shards, and addresses of photos such as s3://bucket/scans; writes class
folders of JPEG files, or with --shards tar files, photos-000000.tar and so on, of that many photos
each, in the order of the names (training draws its own order, whatever that of the files is).

A photo of --load_size or less that is an upright JPEG without colour profile is copied, byte for
byte. Any other is shrunk and encoded without its metadata, at quality 90 without chroma
subsampling; gray stays gray. A name that is not that of a JPEG gets .jpg appended. Two photos that
would become one are an error before anything is written.

What encoding changes in what training sees, and what a photo costs: means over 104 photographs of
short side 256 (Berkeley Segmentation Data Set, scikit-image), ab at every 4th pixel, L at every
one, CIELAB units; "same bin" is the share of those ab whose nearest of the 313 bins stays.

    quality  chroma  bytes  change of ab  same bin  change of L  decoding
         90  4:4:4   38 KB          1.23       85%         0.73   0.66 ms
         90  4:2:0   32 KB          1.84       79%         0.74   0.55 ms
         95  4:4:4   55 KB          0.96       89%         0.46   0.78 ms
         95  4:2:0   45 KB          1.51       82%         0.47   0.62 ms

With --raw the files hold the pixels as they are, as Netpbm's .pnm, which is appended to every name.
They are read four times as quickly, and are ten times as large: for a GPU that waits for photos.

A run that was stopped goes on when it is started again in the same way: what is there is not made
again, unless a photo has changed since, and the result is the same to the byte. Unreadable photos
are named and left out. A shard that is there keeps its photos: one that failed when it was made is
named with its reason, which photos-000000.failed.json keeps, but not tried again; delete the shard
to have it made anew. With --invalid, a photo that is no longer the one that was judged is taken.

With --share, or under a launcher, several processes or machines fill one folder: each makes its
share of the photos, or of the shards. All together make what one run makes, to the byte.
"""

import argparse
import shlex
from collections.abc import Sequence

from cic.dataset import preparation, shrunk
from cic.dataset.preparation import Preparation
from cic.system import console, invocation, shares


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "prepare")
    add = parser.add_argument
    add("--image_dir", nargs="+", required=True, help="folders, tar shards, addresses of photos")
    add("--output", required=True, help="folder for the photos or shards, new or of an earlier run")
    add(
        "--load_size",
        type=console.positive,
        default=256,
        help="short side photos are shrunk to (%(default)s)",
    )
    add("--shards", type=console.positive, metavar="N", help="write tar shards of N photos each")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--quality",
        type=console.positive,
        default=shrunk.QUALITY,
        help="of the JPEG files, 1 to 100 (%(default)s)",
    )
    kind.add_argument(
        "--raw",
        dest="quality",
        action="store_const",
        const=shrunk.RAW,
        help="write the pixels as they are: quicker to read, ten times as large",
    )
    add("--invalid", metavar="REPORT", help="leave out what cic invalid found, its .jsonl")
    console.add_share(parser)
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int | None:
    args = vars(parser().parse_args(argv))
    del args["max_pixels"]  # it has been set
    args["share"] = shares.resolve(args["share"])
    found = preparation.prepare(Preparation(**args))
    print(
        f"{args['output']}: {found.photos:,} photos, {found.bytes / 1e6:,.1f} MB; "
        f"{found.fresh:,} of them made now, {found.rate:,.0f} photos/s; {found.failed:,} failed"
    )
    for line in found.left_out:
        print(line)
    output, train = shlex.quote(args["output"]), invocation.typed("train")
    print(f"next: {train} --image_dir {output} --model_path model")
    return int(found.failed + found.unread > 0)
