"""Shrink photos for training, once: decoding full-size ones is what starves a GPU.

python tools/prepare_photos.py --image_dir imagenet/train --output small/train
python tools/prepare_photos.py --image_dir imagenet/train --output shards/train --shards 10000
python tools/prepare_photos.py --image_dir album --output small --invalid remove_invalid.jsonl

Takes folders of photos and tar shards; writes class folders of JPEG files, or with --shards tar
files, photos-000000.tar and so on, of so many photos each, in the order of the names (training
draws its own order, whatever that of the files is).

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

A run that was stopped goes on when it is started again in the same way: what is there is not made
again, unless a photo has changed since, and the result is the same to the byte. Unreadable photos
are named and left out. A shard that is there keeps its photos: one that failed when it was made is
named with its reason, which photos-000000.failed.json keeps, but not tried again; delete the shard
to have it made anew. With --invalid, a photo that is no longer the one that was judged is taken.
"""

import json
import os
import shlex
import sys
import time
from array import array
from itertools import chain, islice

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tqdm import tqdm

from cic.dataset import prepare
from cic.photos import images
from cic.photos.sources import PhotoList, report_name
from cic.system import bounded_json, console, contents, locks
from cic.system.errors import InputError, SettingError
from cic.system.files import is_leftover, remove_leftovers, replacing
from cic.system.parallel import Pool

SETTINGS = "prepared.json"
LIMIT = 1 << 20  # bytes of it; 300 are usual
CHUNK = 8  # photos that travel to a worker together


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", nargs="+", required=True, help="folders of photos and tar shards")
    add("--output", required=True, help="folder for the photos or shards, new or of an earlier run")
    add(
        "--load_size",
        type=console.positive,
        default=256,
        help="short side photos are shrunk to (%(default)s)",
    )
    add("--shards", type=console.positive, metavar="N", help="write tar shards of N photos each")
    add(
        "--quality",
        type=console.positive,
        default=prepare.QUALITY,
        help="of the JPEG files, 1 to 100 (%(default)s)",
    )
    add(
        "--invalid", metavar="REPORT", help="leave out what get_invalid_images.py found, its .jsonl"
    )
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser.parse_args()


def refuse_output(args):
    """Raise ValueError if --output is in the way of the photos, or of somebody's files."""
    output = os.path.realpath(args.output)
    for place in map(os.path.realpath, args.image_dir):
        if os.path.commonpath((output, place)) == place:
            raise InputError(
                f"{args.output}: lies in {place}, where the photos come from: "
                "choose another --output"
            )
        if os.path.commonpath((output, place)) == output:
            raise InputError(
                f"{place}: these photos lie in --output {args.output}: choose another --output"
            )
    if os.path.lexists(args.output) and not os.path.isdir(args.output):
        raise InputError(f"{args.output}: is not a folder")
    names = os.listdir(args.output) if os.path.isdir(args.output) else []
    names = [name for name in names if name != locks.NAME]
    if SETTINGS not in names and not all(map(is_leftover, names)):
        raise InputError(
            f"{args.output}: is not empty, nor of an earlier run: choose another --output"
        )


def has_changed(photo, judged):
    """Whether a photo is no longer the one of SHA-256 `judged`; such a one is named.

    None, of a report without it, counts as unchanged.
    """
    try:
        changed = judged is not None and contents.of(photo).sha256 != judged
    except (OSError, images.PhotoError):
        return True  # it will be named when it is prepared
    if changed:
        print(f"taken: {str(photo)!r} has changed: it is not the photo that was judged")
    return changed


def choose(photos, args):
    """Numbers of the photos to prepare: those that --invalid does not list.

    Raises ValueError if none of those that it lists is among the photos.
    """
    if args.invalid is None:
        return range(len(photos))
    invalid = prepare.invalid_names(args.invalid)
    chosen, found = array("q"), set()
    for number, photo in enumerate(photos):
        name = report_name(photo, args.image_dir)
        if name in invalid:
            found.add(name)
        if name not in invalid or has_changed(photo, invalid[name]):
            chosen.append(number)
    if invalid and not found:
        raise InputError(
            f"{args.invalid}: none of its {len(invalid):,} photos is among these: "
            "they are removed already, or it was made for another --image_dir"
        )
    print(f"{args.invalid}: {len(photos) - len(chosen):,} of {len(photos):,} photos left out")
    if len(found) < len(invalid):
        print(
            f"warning: {args.invalid}: {len(invalid) - len(found):,} of its {len(invalid):,} "
            "photos are not among these: was it made for another --image_dir?"
        )
    return chosen


def begin(settings, output):
    """Note the settings in `output`; raises ValueError if it was begun with others."""
    path = os.path.join(output, SETTINGS)
    if os.path.exists(path):
        try:
            before = bounded_json.load(path)
        except ValueError:
            before = None
        if not isinstance(before, dict) or not settings.keys() <= before.keys():
            raise InputError(
                f"{path}: is damaged, or not of this tool: choose another --output, "
                "or remove this one if nothing in it is needed"
            )
        for key, value in settings.items():
            if before.get(key) != value:
                raise InputError(
                    f"{output}: begun with {key} {before.get(key)}, which is {value} now: "
                    "go on in the same way, or choose another --output"
                )
    else:
        with replacing(path) as fresh, open(fresh, "w", encoding="utf-8") as file:
            json.dump(settings, file, indent=1)
    remove_leftovers(output)


def make_shards(pool, photos, chosen, output, length):
    """Yield Made of each photo, in order, while the shards that are not there are written."""
    begin = time.time_ns()
    parts = [
        (os.path.join(output, f"photos-{number:06}.tar"), chosen[start : start + length])
        for number, start in enumerate(range(0, len(chosen), length))
    ]
    there = [prepare.is_whole(path, (photos[i] for i in part)) for path, part in parts]
    todo = (part for (_, part), done in zip(parts, there) if not done)
    results = pool.map(chain.from_iterable(todo), CHUNK)
    for (path, part), done in zip(parts, there):
        names = (prepare.target(photos[i]) for i in part)
        if done:
            yield from prepare.read_shard(path, names)
        else:
            yield from prepare.write_shard(path, names, islice(results, len(part)), begin)


def work(args, photos, chosen):
    """(photos, bytes, fresh photos, failures) of all the chosen photos."""
    job = prepare.Job(photos, args.load_size, args.quality, None if args.shards else args.output)
    total = size = fresh = failures = 0
    with Pool(args.num_workers, prepare.make, job) as pool:
        results = pool.map(chosen, CHUNK)
        if args.shards:
            results = make_shards(pool, photos, chosen, args.output, args.shards)
        for made, i in tqdm(zip(results, chosen), total=len(chosen), unit="photo"):
            if made.again:
                tqdm.write(f"made anew: {str(photos[i])!r} has changed since")
            if made.failure:
                tqdm.write(f"failed: {made.failure}")
                failures += 1
                continue
            total, size, fresh = total + 1, size + made.size, fresh + made.fresh
    return total, size, fresh, failures


def main():
    args = parse_arguments()
    if args.quality > 100:
        raise SettingError(f"quality is {args.quality}: it is 1 to 100")
    refuse_output(args)
    photos = PhotoList(args.image_dir)
    for problem in photos.problems:
        print(f"failed: {problem}")
    chosen = choose(photos, args)
    if not chosen:
        raise InputError(f"{', '.join(args.image_dir)}: no photo to prepare in there")
    settings = {key: getattr(args, key) for key in ("load_size", "shards", "quality", "max_pixels")}
    settings["subsampling"], settings["photos"] = prepare.SUBSAMPLING, len(chosen)
    settings["fingerprint"] = prepare.fingerprint(photos, chosen)
    with locks.held(args.output):
        begin(settings, args.output)
        start = time.perf_counter()
        total, size, fresh, failures = work(args, photos, chosen)
        rate = fresh / (time.perf_counter() - start)
    print(
        f"{args.output}: {total:,} photos, {size / 1e6:,.1f} MB; {fresh:,} of them made now, "
        f"{rate:,.0f} photos/s; {failures:,} failed"
    )
    for line in photos.left_out:
        print(line)
    output = shlex.quote(args.output)
    print(f"next: python tools/train.py --image_dir {output} --model_path model")
    return int(failures + len(photos.problems) > 0)


if __name__ == "__main__":
    console.run(main)
