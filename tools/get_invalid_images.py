"""Find the photos of a folder that are invalid for colorization, and write a script to remove them.

python tools/get_invalid_images.py --image_dir photos/train
python tools/get_invalid_images.py --image_dir photos/train --preview invalid.png
python tools/get_invalid_images.py --image_dir album --remove_single_hue --output toned.sh
sh remove_invalid.sh --dry-run

Invalid are photos in gray mode, gray content in RGB (a little noise and tint does not hide it),
photos that are truncated, damaged, if only in part, or too small. Nothing is removed here: look at
the preview, then run the script. It is POSIX sh, removes exactly the files listed, can run twice,
and takes the folder's new place from ROOT=/new/place if it moved. A file whose size or content is
no longer that of the photo that was judged is left there and named.

Reported but kept are photos of a single hue, as sepia prints are, but also some seas and haze
(--remove_single_hue removes them, too); links that lead out of the folder; photos that could not be
judged; and all photos in tar shards, which no script can remove: tools/prepare_photos.py --invalid
leaves out what the report names.

The report lies beside the script, remove_invalid.jsonl. Each line is one photo, a JSON object:
  path     relative to --image_dir, a photo in a shard after its shard: train-00.tar/n01/a.jpg;
           bytes of a name that are not UTF-8 are written as Python's surrogateescape does
  kind     gray mode, gray, single hue, too small, truncated, damaged, refused or link outside
  value    the number measured (cic/dataset/validity.py says which), or null
  removed  whether the script removes it
  size     bytes of the file that was judged, or null
  sha256   its SHA-256, by which a later step can tell that it is still the same, or null
  reason   a sentence
"""

import json
import os
import shlex
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from PIL import Image
from tqdm import tqdm

from cic.dataset import removal, validity
from cic.dataset.validity import Finding
from cic.photos import images, kinds, sheet, sources
from cic.system import console, contents
from cic.system.errors import InputError, SettingError
from cic.system.files import check, check_outside, lies_in, replacing
from cic.system.parallel import Pool
from cic.system.text import printable

CHUNK = 16  # photos that travel to a worker together
SHOWN = 200  # most photos in the preview
THUMBNAIL = 160  # pixels of its pictures


def parse_arguments():
    parser = console.parser(__doc__)
    add = parser.add_argument
    add("--image_dir", required=True, help="folder of photos, at any depth, and of tar shards")
    add("--output", default="remove_invalid.sh", help="the script to write, .sh (%(default)s)")
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
    console.add_num_workers(parser)
    console.add_max_pixels(parser)
    return parser.parse_args()


def refuse_outputs(args, report):
    """Raise ValueError or OSError, before any work, if an output is no good, or in the way."""
    for path in filter(None, (args.output, report, args.preview)):
        check(path)
    if args.preview:
        suffix = os.path.splitext(args.preview)[1].lower()
        writable = Image.registered_extensions().get(suffix) in Image.SAVE
        if not (writable and suffix in sources.EXTENSIONS):
            raise SettingError(f"{args.preview}: no format to write a picture in: call it .png")
        refusal = "would be among the photos: write it elsewhere"
        check_outside([args.preview], [args.image_dir], refusal)
    for path in () if removal.is_script(args.output) else (args.output, report):
        if os.path.lexists(path) and lies_in(path, args.image_dir):
            raise InputError(f"{path}: is there already, among the photos: choose another --output")


def examine(folder, min_size, photo):
    """(photo, Finding or None, its contents.Content or None) of a photo in `folder`.

    The content is that of a photo with a Finding, if it could be judged.
    """
    if isinstance(photo, sources.File) and removal.leads_outside(folder, photo.name):
        reason = "a link that leads out of the folder, or nowhere"
        return photo, Finding(validity.LINK, None, reason), None
    before = contents.state(photo)
    finding = validity.examine(photo, min_size)
    if finding is None or finding.kind == validity.REFUSED:
        return photo, finding, None
    try:
        content = contents.of(photo)
    except (OSError, images.PhotoError) as error:
        reason = f"{str(photo)!r}: {getattr(error, 'strerror', None) or error}"
        return photo, Finding(validity.REFUSED, None, reason), None
    if before is None or contents.state(photo) != before:
        reason = f"{str(photo)!r}: it changed while it was judged: run this again"
        return photo, Finding(validity.REFUSED, None, reason), None
    return photo, finding, content


@dataclass
class Result:
    """What was found, but for the report's lines."""

    counts: Counter = field(default_factory=Counter)  # of kinds; None: valid
    shown: list = field(default_factory=list)  # the first (photo, its finding, whether removed)
    removed: int = 0  # photos that the script removes
    problems: int = 0  # photos, folders and shards that could not be judged
    left_out: kinds.LeftOut = field(default_factory=kinds.LeftOut)  # photos that are not read here

    def problem(self, reason):
        self.problems += 1
        tqdm.write(f"could not be judged: {printable(str(reason))}")


def search(args, script, report):
    """Result of all photos; writes the script's and the report's lines."""
    result = Result()
    kinds = validity.INVALID | ({validity.SINGLE_HUE} if args.remove_single_hue else set())
    photos = sources.photos([args.image_dir], result.problem, result.left_out)
    with Pool(args.num_workers, examine, args.image_dir, args.min_size) as pool:
        for photo, finding, content in tqdm(pool.map(photos, CHUNK), unit="photo"):
            result.counts[finding and finding.kind] += 1
            if finding is None:
                continue
            remove = finding.kind in kinds and isinstance(photo, sources.File)
            path = sources.report_name(photo, [args.image_dir])
            entry = {"path": path, **finding._asdict(), "removed": remove}
            entry |= {"size": content and content.size, "sha256": content and content.sha256}
            report.write(json.dumps(entry) + "\n")
            if finding.kind == validity.REFUSED:
                result.problem(finding.reason)
            if remove:
                script.remove(path, content)
                result.removed += 1
            visible = finding.kind in validity.INVALID or finding.kind == validity.SINGLE_HUE
            if visible and len(result.shown) < SHOWN:
                result.shown.append((photo, finding, remove))
    return result


def draw(shown):
    """Contact sheet (H, W, 3) uint8 of what was found, kind by kind."""
    pictures, captions = [], []
    for photo, finding, removed in sorted(shown, key=lambda one: validity.KINDS.index(one[1].kind)):
        try:
            picture = images.shrink(images.open_rgb(photo, THUMBNAIL), THUMBNAIL)
            pictures.append(np.asarray(picture))
            value = f" {finding.value:g}"
        except images.PhotoError:
            pictures.append(None)
            value = ""
        captions.append(caption(photo, finding.kind + value, removed))
    return sheet.grid(pictures, captions, width=THUMBNAIL)


def caption(photo, what, removed):
    """Lines of a picture in the preview, in ASCII: the font has little else."""
    return f"{what}{'' if removed else ', kept'}\n{ascii(os.path.basename(photo.name))[1:-1]}"


def summarize(args, report, result):
    counts, shown = result.counts, result.shown
    photos = sum(counts.values())
    print(f"{photos - counts[None]:,} of {photos:,} photos are invalid or could not be judged")
    for kind in validity.KINDS:
        if counts[kind]:
            print(f"  {counts[kind]:8,} {kind}")
    for line in result.left_out.lines():
        print(f"  {line}")
    print(f"{printable(report)}: what was found, a line each")
    if args.preview and shown:
        first = f", the first {SHOWN} of them" if len(shown) == SHOWN else ""
        print(f"{printable(args.preview)}: what those look like that could be judged{first}")
    elif args.preview:
        print("no preview: no photo is invalid or of a single hue")
    print(f"{printable(args.output)}: removes {result.removed:,} photos; see which:")
    print(f"sh {printable(shlex.quote(args.output))} --dry-run")


def main():
    args = parse_arguments()
    stem, suffix = os.path.splitext(args.output)
    if suffix != ".sh":
        raise SettingError(
            f"{args.output}: the script is a .sh file: call it remove_invalid.sh, say"
        )
    report = f"{stem}.jsonl"
    refuse_outputs(args, report)
    folder = args.image_dir if os.path.isdir(args.image_dir) else os.path.dirname(args.image_dir)
    with ExitStack() as stack:
        paths = [stack.enter_context(replacing(path)) for path in (args.output, report)]
        script_file = stack.enter_context(open(paths[0], "wb"))
        report_file = stack.enter_context(open(paths[1], "w", encoding="ascii"))
        script = removal.Script(script_file, folder)
        result = search(args, script, report_file)
        if not result.counts:
            raise InputError(f"{printable(args.image_dir)}: no photo in there")
        script.end()
    if args.preview and result.shown:
        images.write(args.preview, draw(result.shown))
    summarize(args, report, result)
    return int(result.problems > 0)


if __name__ == "__main__":
    console.run(main)
