"""Find the photos of a folder that are invalid for colorization, and write a script to remove them.

cic invalid --image_dir photos/train
cic invalid --image_dir photos/train --preview invalid.png
cic invalid --image_dir album --remove_single_hue --output toned.sh
cic invalid --image_dir s3://bucket/scans
sh remove_invalid.sh --dry-run

Invalid are photos in gray mode, gray content in RGB (a little noise and tint does not hide it),
photos that are truncated, damaged, if only in part, or too small. Nothing is removed here: look at
the preview, then run the script. It is POSIX sh, removes exactly the files listed, can run twice,
and takes the folder's new place from ROOT=/new/place if it moved. A file whose size or content is
no longer that of the photo that was judged is left there and named.

Reported but kept are photos of a single hue, as sepia prints are, but also some seas and haze
(--remove_single_hue removes them, too); links that lead out of the folder; photos that could not be
judged; and all photos in tar shards, which no script can remove: cic prepare --invalid
leaves out what the report names.

Of photos at an address, such as s3://bucket/scans, it writes a list of addresses in place of the
script, remove_invalid.txt, a line each, for the store's own command; nothing looks again whether
they still are what was judged.

The report lies beside the script, remove_invalid.jsonl. Each line is one photo, a JSON object:
  path     relative to --image_dir, a photo in a shard after its shard: train-00.tar/n01/a.jpg;
           bytes of a name that are not UTF-8 are written as Python's surrogateescape does
  kind     gray mode, gray, single hue, too small, truncated, damaged, refused or link outside
  value    the number measured (cic/dataset/validity.py says which), or null
  removed  whether the script removes it, or the list has it
  size     bytes of the file that was judged, or null
  sha256   its SHA-256, by which a later step can tell that it is still the same, or null
  reason   a sentence

With --share, or under a launcher, each share writes files of its own, remove_invalid.0-of-2.sh and
so on. Together they say what one run says: run each script; for cic prepare --invalid put the
reports into one, cat remove_invalid.*-of-2.jsonl > remove_invalid.jsonl.
"""

import argparse
import shlex
from collections.abc import Sequence
from typing import Any

from cic.dataset import invalid, validity
from cic.dataset.invalid import SHOWN, Search
from cic.system import console, shares
from cic.system.addresses import is_address
from cic.system.invocation import typed
from cic.system.text import printable


def parser() -> argparse.ArgumentParser:
    parser = console.parser(__doc__, "invalid")
    add = parser.add_argument
    add(
        "--image_dir",
        required=True,
        help="folder of photos, at any depth, and of tar shards; or an address of photos",
    )
    add(
        "--output",
        default="",
        metavar="SH",
        help="the script to write (remove_invalid.sh); of an address a list (remove_invalid.txt)",
    )
    add(
        "--preview",
        metavar="PNG",
        help=f"picture to write of the first {SHOWN} photos that are invalid or of a single hue",
    )
    add("--remove_single_hue", action="store_true", help="remove photos of a single hue as well")
    add(
        "--min_size",
        type=console.natural,
        default=validity.MIN_SIZE,
        help="pixels of the short side, below which a photo is too small (%(default)s)",
    )
    console.add_share(parser)
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser


def summarize(search: Any, result: Any) -> None:
    """Print what was found, and what to do next."""
    counts, shown = result.counts, result.shown
    photos = sum(counts.values())
    print(f"{photos - counts[None]:,} of {photos:,} photos are invalid or could not be judged")
    for kind in validity.KINDS:
        if counts[kind]:
            print(f"  {counts[kind]:8,} {kind}")
    for line in result.left_out.lines():
        print(f"  {line}")
    print(f"{printable(search.report)}: what was found, a line each")
    if search.preview and shown:
        first = f", the first {SHOWN} of them" if len(shown) == SHOWN else ""
        print(f"{printable(search.preview)}: what those look like that could be judged{first}")
    elif search.preview:
        print("no preview: no photo is invalid or of a single hue")
    output = printable(search.output)
    if is_address(search.image_dir):
        print(f"{output}: {result.removed:,} addresses, to remove by the store's own command")
        report = printable(shlex.quote(search.report))
        print(f"{typed('prepare')} --invalid {report} leaves these photos out")
        return
    print(f"{output}: removes {result.removed:,} photos; see which:")
    print(f"sh {printable(shlex.quote(search.output))} --dry-run")


def main(argv: Sequence[str] | None = None) -> int | None:
    args = vars(parser().parse_args(argv))
    del args["max_pixels"]  # it has been set
    args["share"] = shares.resolve(args["share"])
    search = Search(**args)
    result = invalid.find(search)
    summarize(search, result)
    return int(result.problems > 0)
