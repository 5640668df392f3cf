"""Prepare photos for training: choose them, begin or go on in the output, and count the results."""

import json
import os
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from cic.dataset import shrunk
from cic.photos import images, sources
from cic.photos.sources import PhotoFile, PhotoList, report_name
from cic.system import bounded_json, contents, limits, locks
from cic.system.addresses import is_address
from cic.system.errors import InputError, SettingError
from cic.system.files import is_leftover, remove_leftovers, replacing
from cic.system.parallel import Pool
from cic.system.progress import Callback, tell, told
from cic.system.settings import check_whole
from cic.system.shares import WHOLE, Share
from cic.system.typing import Json

SETTINGS = "prepared.json"
LIMIT = 1 << 20  # bytes of it; 300 are usual
CHUNK = 8  # photos that travel to a worker together


@dataclass(frozen=True)
class Preparation:
    """How photos are prepared: those of `image_dir`, folders, tar shards, addresses, into `output`.

    Their short side becomes at most `load_size`, pixels. `shards` is the number of photos in each
    shard, None for folders of files; `quality` that of the JPEG files, 1 to 100, or shrunk.RAW for
    pixels that nobody needs to decode; `invalid` a report whose photos are left out. `num_workers`
    processes read them, 0 for this one alone. A `share` is one of the photos or, of shards, of
    these; all shares together make what one run makes.
    Raises ValueError for a quality that cannot be.
    """

    image_dir: Sequence[str]
    output: str
    load_size: int = 256
    shards: int | None = None
    quality: int | None = shrunk.QUALITY
    invalid: str | None = None
    num_workers: int = 0
    share: Share = WHOLE

    def __post_init__(self) -> None:
        check_whole(self, load_size=1, shards=1, num_workers=0)
        if self.quality is not shrunk.RAW:
            check_whole(self, quality=1)
            if self.quality > 100:
                raise SettingError(f"quality is {self.quality}: it must be 100 or less")
        if isinstance(self.image_dir, str | os.PathLike):
            object.__setattr__(self, "image_dir", (self.image_dir,))


@dataclass
class Prepared:
    """The result of preparing: `photos` are there, `bytes` in all; `fresh` of them were made now.

    `failed` photos could not be read, nor could `unread` folders or shards; `left_out` are lines on
    kinds of photos that are not read. `rate` is how many were made a second.
    """

    photos: int = 0
    bytes: int = 0
    fresh: int = 0
    failed: int = 0
    unread: int = 0
    rate: float = 0.0
    left_out: Sequence[str] = ()


def _refuse_output(settings: Preparation) -> None:
    """Raise ValueError if `output` is in the way of the photos, or of somebody's files."""
    if is_address(settings.output):
        raise InputError(
            f"{settings.output}: an address: write to a folder of this machine, and copy that there"
        )
    output = os.path.realpath(settings.output)
    for place in (os.path.realpath(one) for one in settings.image_dir if not is_address(one)):
        if os.path.commonpath((output, place)) == place:
            raise InputError(
                f"{settings.output}: lies in {place}, where the photos come from: "
                "choose another output"
            )
        if os.path.commonpath((output, place)) == output:
            raise InputError(
                f"{place}: these photos lie in the output {settings.output}: choose another output"
            )
    if os.path.lexists(settings.output) and not os.path.isdir(settings.output):
        raise InputError(f"{settings.output}: is not a folder")
    names = os.listdir(settings.output) if os.path.isdir(settings.output) else []
    names = [name for name in names if name not in (locks.NAME, locks.SHARES)]
    if SETTINGS not in names and not all(map(is_leftover, names)):
        raise InputError(
            f"{settings.output}: is not empty, nor of an earlier run: choose another output"
        )


def _has_changed(photo: PhotoFile, judged: str | None, progress: Callback | None) -> bool:
    """Return whether a photo no longer has the SHA-256 `judged`; name it then.

    None, of a report without it, counts as unchanged.
    """
    try:
        changed = judged is not None and contents.digest(photo).sha256 != judged
    except (OSError, images.PhotoError):
        return True  # it will be named when it is prepared
    if changed:
        line = f"taken: {str(photo)!r} has changed: it is not the photo that was judged"
        tell(line, progress)
    return changed


def _choose(photos: PhotoList, settings: Preparation, progress: Callback | None) -> Sequence[int]:
    """Return the numbers of the photos to prepare: those that the report `invalid` does not list.

    Raises ValueError if none of those that it lists is among the photos.
    """
    if settings.invalid is None:
        return range(len(photos))
    invalid = shrunk.invalid_names(settings.invalid)
    chosen, found = array("q"), set()
    for number, photo in enumerate(photos):
        name = report_name(photo, settings.image_dir)
        if name in invalid:
            found.add(name)
        if name not in invalid or _has_changed(photo, invalid[name], progress):
            chosen.append(number)
    if invalid and not found:
        raise InputError(
            f"{settings.invalid}: none of its {len(invalid):,} photos is among these: "
            "they are removed already, or it was made for another image_dir"
        )
    few = f"{len(photos) - len(chosen):,} of {len(photos):,} photos left out"
    tell(f"{settings.invalid}: {few}", progress)
    if len(found) < len(invalid):
        few = f"{len(invalid) - len(found):,} of its {len(invalid):,} photos are not among these"
        line = f"warning: {settings.invalid}: {few}: was it made for another image_dir?"
        tell(line, progress)
    return chosen


def _begin(facts: dict[str, Json], output: str, share: Share) -> None:
    """Note the facts in `output`; raises ValueError if it was begun with others."""
    path = os.path.join(output, SETTINGS)
    if os.path.exists(path):
        try:
            before = bounded_json.load(path)
        except ValueError:
            before = None
        if not isinstance(before, dict) or not facts.keys() <= before.keys():
            raise InputError(
                f"{path}: is damaged, or not of this tool: choose another output, "
                "or remove this one if nothing in it is needed"
            )
        for key, value in facts.items():
            if before.get(key) != value:
                raise InputError(
                    f"{output}: begun with {key} {before.get(key)}, which is {value} now: "
                    "go on in the same way, or choose another output"
                )
    else:
        with replacing(path) as fresh, open(fresh, "w", encoding="utf-8") as file:
            json.dump(facts, file, indent=1)
    remove_leftovers(output, alone=share.is_whole)


def _make_shards(
    pool: Pool[shrunk.Shrunk],
    job: shrunk.Job,
    parts: Sequence[tuple[str, Sequence[int]]],
    say: Callable[[str], object],
) -> Iterator[shrunk.Shrunk]:
    """Yield Shrunk of each photo, in order, while the shards that are not there are written.

    `parts` are each shard's path and the numbers of its photos.
    """
    photos = job.photos
    begin = time.time_ns()
    there = [shrunk.is_whole(path, (photos[i] for i in part), say) for path, part in parts]
    todo = (part for (_, part), done in zip(parts, there) if not done)
    results = pool.map(chain.from_iterable(todo), CHUNK)
    for (path, part), done in zip(parts, there):
        names = (shrunk.target_name(photos[i], job.quality) for i in part)
        if done:
            yield from shrunk.read_shard(path, names)
        else:
            yield from shrunk.write_shard(path, names, islice(results, len(part)), begin)


def _own_parts(
    settings: Preparation, photos: PhotoList, chosen: Sequence[int]
) -> list[tuple[str, Sequence[int]]]:
    """Return (path, numbers of its photos) of each shard that is of the share."""
    length = settings.shards or 1
    parts = [
        (os.path.join(settings.output, f"photos-{number:06}.tar"), chosen[start : start + length])
        for number, start in enumerate(range(0, len(chosen), length))
    ]

    def size(part: tuple[str, Sequence[int]]) -> int:
        return sum(sources.size(photos[i]) for i in part[1])

    return [parts[n] for n in settings.share.of_list(parts, size)]


def _work(
    settings: Preparation, photos: PhotoList, chosen: Sequence[int], progress: Callback | None
) -> Prepared:
    """Return the Prepared of all the chosen photos of the share, but for what is known before."""
    output = None if settings.shards else settings.output
    job = shrunk.Job(photos, settings.load_size, settings.quality, output)
    found, start = Prepared(), time.perf_counter()
    parts: list[tuple[str, Sequence[int]]] = []
    if settings.shards:
        parts = _own_parts(settings, photos, chosen)
        chosen = array("q", chain.from_iterable(numbers for _, numbers in parts))
    elif not settings.share.is_whole:
        own = settings.share.of_list(chosen, lambda i: sources.size(photos[i]))
        chosen = array("q", (chosen[n] for n in own))
    with (
        Pool(settings.num_workers, shrunk.make, job) as pool,
        told(progress, total=len(chosen)) as bar,
    ):
        results = pool.map(chosen, CHUNK)
        if settings.shards:
            results = _make_shards(pool, job, parts, bar.say)
        for made, i in bar.each(zip(results, chosen)):
            if made.again:
                bar.say(f"made anew: {str(photos[i])!r} has changed since")
            if made.failure:
                bar.say(f"failed: {made.failure}")
                found.failed += 1
                continue
            found.photos += 1
            found.bytes += made.size
            found.fresh += made.fresh
    found.rate = found.fresh / (time.perf_counter() - start)
    return found


def prepare(settings: Preparation, progress: Callback | None = None) -> Prepared:
    """Prepare photos as a Preparation says, or go on where an earlier call was stopped: Prepared.

    Steps and lines are told to `progress`, see `cic.system.progress`; by default a bar is shown.
    Raises ValueError for settings that cannot be, for an output in the way, or one that was begun
    with other settings, and if there is no photo; LockedError if another run is at work there.
    """
    _refuse_output(settings)
    photos = PhotoList(settings.image_dir)
    for problem in photos.problems if settings.share.is_first else ():
        tell(f"failed: {problem}", progress)
    chosen = _choose(photos, settings, progress)
    if not chosen:
        reasons = ["no photo to prepare in there", *photos.left_out]
        raise InputError(f"{', '.join(settings.image_dir)}: {'; '.join(reasons)}")
    facts = {name: getattr(settings, name) for name in ("load_size", "shards")}
    facts["quality"] = "raw" if settings.quality is shrunk.RAW else settings.quality
    facts["max_pixels"] = limits.pixel_limit()
    facts["subsampling"], facts["photos"] = shrunk.SUBSAMPLING, len(chosen)
    facts["fingerprint"] = shrunk.fingerprint(photos, chosen, settings.quality)
    with locks.held(settings.output, settings.share):
        _begin(facts, settings.output, settings.share)
        found = _work(settings, photos, chosen, progress)
    if settings.share.is_first:  # it tells what concerns all
        found.unread, found.left_out = len(photos.problems), photos.left_out
    return found
