"""Search for invalid photos; write a report, a script to remove them, and a preview."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TextIO, TypeAlias

import numpy as np

from cic.dataset import removal, validity
from cic.dataset.validity import Finding
from cic.photos import images, kinds, sheet, sources
from cic.photos.endings import EXTENSIONS
from cic.photos.sources import PhotoFile
from cic.photos.writing import is_writable
from cic.system import contents
from cic.system.addresses import is_address
from cic.system.arrays import Bytes
from cic.system.errors import InputError, SettingError
from cic.system.files import check, check_outside, lies_in, replacing
from cic.system.parallel import Pool
from cic.system.progress import Callback, told
from cic.system.provenance import fingerprint
from cic.system.settings import check_whole
from cic.system.shares import WHOLE, Share, introduced
from cic.system.text import printable

CHUNK = 16  # photos that travel to a worker together
SHOWN = 200  # most photos in the preview
Shown: TypeAlias = tuple[PhotoFile, Finding, bool]  # photo, why, whether it is removed
THUMBNAIL = 160  # pixels of its pictures


@dataclass(frozen=True)
class Search:
    """Where to look for invalid photos, `image_dir`, a folder or an address, and what to write.

    `output` is the removal script, a .sh file, or of an address a list, a .txt file; by default
    remove_invalid.sh or .txt. Beside it lies the report; `preview` is a picture of what was found,
    or None. A short side below `min_size`, pixels, is too small; with
    `remove_single_hue` the script removes those, too. `num_workers` processes look at photos, 0 for
    this one alone. Each of several `share`s has outputs of its own, named for it; together they say
    what one run says. Raises ValueError for an output of another ending.
    """

    image_dir: str
    output: str = ""
    preview: str | None = None
    remove_single_hue: bool = False
    min_size: int = validity.MIN_SIZE
    num_workers: int = 0
    share: Share = WHOLE

    def __post_init__(self) -> None:
        for name in ("image_dir", "output", "preview"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else os.fspath(value))
        check_whole(self, min_size=0, num_workers=0)
        default = f"remove_invalid{self.removal.ending}"
        if not self.output:
            object.__setattr__(self, "output", default)
        if os.path.splitext(self.output)[1] != self.removal.ending:
            kind = "the script" if self.removal is removal.Script else "the list of addresses"
            raise SettingError(
                f"{self.output}: {kind} is a {self.removal.ending} file: call it {default}, say"
            )
        for name in filter(lambda name: getattr(self, name), ("output", "preview")):
            object.__setattr__(self, name, self.share.own(getattr(self, name)))

    @property
    def removal(self) -> type[removal.Removal]:
        """Return what writes down which photos are to be removed."""
        return removal.Addresses if is_address(self.image_dir) else removal.Script

    @property
    def report(self) -> str:
        """The report's path, a file of JSON lines."""
        return f"{os.path.splitext(self.output)[0]}.jsonl"

    @property
    def removed_kinds(self) -> frozenset[str]:
        """Kinds of photos that the script removes."""
        single = {validity.SINGLE_HUE} if self.remove_single_hue else set()
        return validity.INVALID | single


def _refuse_outputs(search: Search) -> None:
    """Raise ValueError or OSError, before any work, if an output is no good, or in the way."""
    for path in filter(None, (search.output, search.report, search.preview)):
        check(path)
    if search.preview:
        suffix = os.path.splitext(search.preview)[1].lower()
        if not (is_writable(suffix) and suffix in EXTENSIONS):
            raise SettingError(f"{search.preview}: no format to write a picture in: call it .png")
        refusal = "would be among the photos: write it elsewhere"
        check_outside([search.preview], [search.image_dir], refusal)
    for path in () if removal.is_script(search.output) else (search.output, search.report):
        if os.path.lexists(path) and lies_in(path, search.image_dir):
            raise InputError(f"{path}: is there already, among the photos: choose another output")


def examine(
    folder: str, min_size: int, photo: PhotoFile
) -> tuple[PhotoFile, Finding | None, contents.Content | None]:
    """Return (photo, Finding or None, its contents.Content or None) of a photo in `folder`.

    The content is that of a photo with a Finding, if it could be judged.
    """
    if isinstance(photo, sources.File) and removal.leads_outside(folder, photo.name):
        reason = "a link that leads out of the folder, or nowhere"
        return photo, Finding(validity.LINK, None, reason), None
    before, source = contents.state(photo), sources.held(photo)
    finding = validity.examine(source, min_size)
    if finding is None or finding.kind == validity.REFUSED:
        return photo, finding, None
    try:
        content = contents.digest(source)
    except (OSError, images.PhotoError) as error:
        reason = f"{str(photo)!r}: {getattr(error, 'strerror', None) or error}"
        return photo, Finding(validity.REFUSED, None, reason), None
    if before is None or contents.state(photo) != before:
        reason = f"{str(photo)!r}: it changed while it was judged: run this again"
        return photo, Finding(validity.REFUSED, None, reason), None
    return photo, finding, content


@dataclass
class Result:
    """The result of a search, without the report's lines."""

    counts: Counter[str | None] = field(default_factory=Counter)  # of kinds; None: valid
    shown: list[Shown] = field(
        default_factory=list
    )  # the first (photo, its finding, whether removed)
    removed: int = 0  # photos that the script removes
    problems: int = 0  # photos, folders and shards that could not be judged
    left_out: kinds.LeftOut = field(default_factory=kinds.LeftOut)  # photos that are not read here


def examine_all(
    search: Search,
    script: removal.Removal,
    report: TextIO,
    progress: Callback | None = None,
) -> Result:
    """Return the Result of all photos; write the lines of `script`, see Search.removal, and of the
    report.

    Steps and lines are told to `progress`.
    """
    result = Result()

    def problem(reason: object) -> None:
        result.problems += 1
        bar.say(f"could not be judged: {printable(str(reason))}")

    place = search.image_dir
    with (
        Pool(search.num_workers, examine, place, search.min_size) as pool,
        told(progress) as bar,
    ):
        photos = _photos(search, problem, bar.say, result.left_out)
        for photo, finding, content in bar.each(pool.map(photos, CHUNK)):
            result.counts[finding and finding.kind] += 1
            if finding is None:
                continue
            remove = finding.kind in search.removed_kinds and script.takes(photo)
            path = sources.report_name(photo, [place])
            report.write(_line(path, finding, remove, content) + "\n")
            if finding.kind == validity.REFUSED:
                problem(finding.reason)
            if remove:
                script.remove(path, content)  # type: ignore[arg-type]
                result.removed += 1
            visible = finding.kind in validity.INVALID or finding.kind == validity.SINGLE_HUE
            if visible and len(result.shown) < SHOWN:
                result.shown.append((photo, finding, remove))
    return result


def _photos(
    search: Search,
    problem: Callable[[object], object],
    say: Callable[[str], object],
    left_out: kinds.LeftOut,
) -> Iterable[PhotoFile]:
    """Return the photos of the share; the first share tells of `problem`s, and of what is left
    out.
    """
    if search.share.is_whole:
        return sources.photos([search.image_dir], problem, left_out)
    found = sources.PhotoList([search.image_dir])
    if not found:
        raise _nothing(search, found.kinds)
    if search.share.is_first:
        for reason in found.problems:
            problem(reason)
        left_out.update(found.kinds)
    own = search.share.of_list(found, sources.size)
    say(introduced(search.share, len(own), len(found), fingerprint(found)[:8]))
    return (found[i] for i in own)


def _nothing(search: Search, left_out: kinds.LeftOut) -> InputError:
    return InputError(f"{printable(search.image_dir)}: no photo in there{left_out.said()}")


def _line(path: str, finding: Finding, removed: bool, content: contents.Content | None) -> str:
    """Return a photo's line of the report."""
    entry = {"path": path, **finding._asdict(), "removed": removed}
    entry |= {"size": content and content.size, "sha256": content and content.sha256}
    return json.dumps(entry)


def draw(shown: Iterable[Shown]) -> Bytes:
    """Return the contact sheet (H, W, 3) uint8 of what was found, kind by kind."""
    pictures: list[Bytes | None] = []
    captions: list[str] = []
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


def caption(photo: PhotoFile, what: str, removed: bool) -> str:
    """Return the lines of a picture in the preview, in ASCII: the font has little else."""
    return f"{what}{'' if removed else ', kept'}\n{ascii(os.path.basename(photo.name))[1:-1]}"


def find(search: Search, progress: Callback | None = None) -> Result:
    """Find the invalid photos of a Search; write its script, report and preview: a Result.

    Steps and lines are told to `progress`, see `cic.system.progress`; by default a bar is shown.
    Raises ValueError or OSError for an output that cannot be or is in the way, and if there is no
    photo; nothing is written then.
    """
    _refuse_outputs(search)
    folder = search.image_dir
    if not (os.path.isdir(folder) or is_address(folder)):
        folder = os.path.dirname(folder)
    with ExitStack() as stack:
        paths = [stack.enter_context(replacing(path)) for path in (search.output, search.report)]
        script_file = stack.enter_context(open(paths[0], "wb"))
        report_file = stack.enter_context(open(paths[1], "w", encoding="ascii"))
        script = search.removal(script_file, folder)
        result = examine_all(search, script, report_file, progress)
        if not result.counts and search.share.is_whole:
            raise _nothing(search, result.left_out)
        script.end()
    if search.preview and result.shown:
        images.write(search.preview, draw(result.shown))
    return result
