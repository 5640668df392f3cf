"""Shrink photos to what training needs: small files in class folders or tar shards."""

import hashlib
import io
import json
import os
import tarfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from cic.dataset.validity import INVALID
from cic.photos import images, metadata, netpbm, shards
from cic.photos.damage import failed_on
from cic.photos.sources import PhotoFile, PhotoList, held
from cic.system import bounded_json, contents
from cic.system.errors import InputError
from cic.system.files import replacing
from cic.system.regular import open_regular, open_source
from cic.system.typing import StrPath

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
# Colour is what is taught, so none of it is averaged away: at 4:4:4, quality 90 is both smaller
# and truer in colour than 95 at the usual 4:2:0; `cic prepare --help` has the measurement.
QUALITY = 90
SUBSAMPLING = "4:4:4"
RAW = None  # in place of a quality: the pixels as they are, which nobody has to decode


class Shrunk(NamedTuple):
    """A photo that was shrunk: `data` of a file if it goes into a shard, its `size` in bytes.

    `failure` is the message of a photo that cannot be read; `fresh` says that it was made just now,
    and `again` that it was there, but the photo has changed since.
    """

    size: int = 0
    data: bytes | None = None
    failure: str | None = None
    fresh: bool = True
    again: bool = False


class Job(NamedTuple):
    """The settings of a worker: photos go to the folder `output`, or come back if it is None."""

    photos: PhotoList
    load_size: int
    quality: int | None
    output: str | None


def encode(photo: PhotoFile, load_size: int, quality: int | None = QUALITY) -> bytes:
    """Return the bytes of a JPEG of `photo`: upright sRGB, short side at most `load_size`, no
    metadata.

    A photo that is that already is copied, byte for byte. One of mode L stays gray. With RAW for
    the quality it is a Netpbm file, never a copy. Raises PhotoError, naming file and reason.
    """
    source = held(photo)
    with images.opened(source) as image:
        gray, small = image.mode == "L", min(image.size) <= load_size
        plain = image.format == "JPEG" and image.mode in ("L", "RGB") and quality is not RAW
        plain = plain and small and "icc_profile" not in image.info and not metadata.turn(image)
        if plain:
            image.load()  # or it would not be seen that it is damaged
    if plain:
        with open_source(source) as file:
            return file.read()
    rgb = images.open_rgb(source, short=load_size, thorough=True)
    rgb = images.shrink(rgb, load_size)
    rgb.info = {}  # a comment would be written again
    picture, file = rgb.convert("L") if gray else rgb, io.BytesIO()
    try:
        if quality is RAW:
            picture.save(file, "PPM")
        else:
            picture.save(file, "JPEG", quality=quality, subsampling=SUBSAMPLING)
    except (OSError, ValueError) as error:  # longer than a JPEG can be
        raise images.PhotoError(f"{str(photo)!r}: cannot be written as JPEG: {error}") from None
    return file.getvalue()


def target_name(photo: PhotoFile, quality: int | None = QUALITY) -> str:
    """Name of the prepared photo, relative to the output: its own, .jpg appended if it is no JPEG.

    With RAW for the quality .pnm is appended. Whatever the name in a tar file is, this one does not
    lead out of the output.
    """
    name = os.path.normpath(f"/{photo.name}").lstrip("/")
    if quality is RAW:
        return f"{name}{netpbm.EXTENSION}"
    return name if os.path.splitext(name)[1].lower() in JPEG else f"{name}.jpg"


def make(job: Job, i: int) -> Shrunk:
    """Shrink photo `i`; write it if the job has a folder for it.

    Not if it is there already, of the same photo: its time is that at which the photo was opened.
    """
    photo, begin = job.photos[i], time.time_ns()
    path = os.path.join(job.output, target_name(photo, job.quality)) if job.output else None
    there = path is not None and os.path.exists(path)
    if path and there and not contents.is_newer(photo, path):
        return Shrunk(os.path.getsize(path), fresh=False)
    try:
        data = encode(photo, job.load_size, job.quality)
    except Exception as error:  # one photo never ends the others
        return Shrunk(failure=failed_on(photo, error))
    if not path:
        return Shrunk(len(data), data)
    with replacing(path) as fresh, open(fresh, "wb") as file:
        file.write(data)
        file.flush()
        os.utime(fresh, ns=(begin, begin))
    return Shrunk(len(data), again=there)


def write_shard(
    path: str, names: Iterable[str], results: Iterable[Shrunk], begin: int
) -> Iterator[Shrunk]:
    """Write the data of `results` to a tar file, atomically; yields them, without the data.

    The same photos give the same bytes: a header has no time, owner or rights of its own. Why
    photos are missing in it stands in a file beside it. The shard's time becomes `begin`, ns, at
    which none of the photos had been opened.
    """
    failures = {}
    with replacing(path) as fresh:
        with tarfile.open(fresh, "w", format=tarfile.GNU_FORMAT) as tar:
            for name, made in zip(names, results):
                if made.data is not None:
                    header = tarfile.TarInfo(name)
                    header.size = made.size
                    tar.addfile(header, io.BytesIO(made.data))
                else:
                    failures[name] = made.failure
                yield made._replace(data=None)
        os.utime(fresh, ns=(begin, begin))
        _write_failures(path, failures)  # before the shard is there


def is_whole(path: str, photos: Iterable[PhotoFile], say: Callable[[str], object] = print) -> bool:
    """Return whether a shard is there, to its end, and no newer is any of its `photos`; `say`s why
    not.
    """
    if not os.path.lexists(path):
        return False
    try:
        _, problem = shards.members(path)
    except images.PhotoError as error:
        problem = str(error)
    if not problem and (newer := next((p for p in photos if contents.is_newer(p, path)), None)):
        problem = f"{path!r}: {str(newer)!r} has changed since"
    if problem:
        say(f"made anew: {problem}")
    return not problem


def read_shard(path: str, names: Iterable[str]) -> Iterator[Shrunk]:
    """Yield Shrunk of the photos of a shard that `write_shard` wrote before."""
    members, _ = shards.members(path)
    sizes = {member.name: member.size for member in members}
    failures = _read_failures(path)
    for name in names:
        if name in sizes:
            yield Shrunk(sizes[name], fresh=False)
        else:
            unknown = f"{os.path.join(path, name)!r}: could not be read when the shard was made"
            yield Shrunk(failure=str(failures.get(name, unknown)), fresh=False)


def _failures_path(shard: str) -> str:
    return f"{os.path.splitext(shard)[0]}.failed.json"


def _write_failures(shard: str, failures: dict[str, str | None]) -> None:
    path = _failures_path(shard)
    if failures:
        with replacing(path) as fresh, open(fresh, "w", encoding="ascii") as file:
            json.dump(failures, file, indent=1)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _read_failures(shard: str) -> dict[str, str]:
    """Return {name: reason} of the photos that failed when the shard was made."""
    try:
        failures = bounded_json.load(_failures_path(shard))
    except (OSError, ValueError):
        return {}
    return failures if isinstance(failures, dict) else {}


def fingerprint(photos: PhotoList, chosen: Sequence[int], quality: int | None = QUALITY) -> str:
    """Return the hexadecimal digest of the targets of `chosen` numbers of `photos`; a few bytes
    each.

    Raises ValueError if two photos have the same target.
    """
    digest, hashes = hashlib.sha256(), array("Q")
    for i in chosen:
        name = os.fsencode(target_name(photos[i], quality))
        digest.update(name + b"\0")
        hashes.append(_hash(name))
    ordered = np.sort(np.frombuffer(hashes, np.uint64))
    suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    seen: dict[str, int] = {}
    for i in chosen if suspects else ():
        made = target_name(photos[i], quality)
        if _hash(os.fsencode(made)) in suspects and seen.setdefault(made, i) != i:
            both = " and ".join(repr(str(photos[n])) for n in (seen[made], i))
            raise InputError(f"{both} would both become {made!r}")
    return digest.hexdigest()


def _hash(name: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def invalid_names(report: StrPath) -> dict[str, str | None]:
    """Return {name: SHA-256} of photos that a report of `cic invalid` finds invalid.

    Also of what it removes; not of those that it only mentions: of a single hue, or not judged. The
    SHA-256 is None in reports of versions that wrote none.
    """
    names = {}
    with open_regular(report) as file:
        for number, line in enumerate(bounded_json.lines(file), 1):
            try:
                entry = bounded_json.loads(line)
                if entry["kind"] in INVALID or entry["removed"]:
                    names[entry["path"]] = entry.get("sha256")
            except (ValueError, LookupError, TypeError, RecursionError):
                raise InputError(f"{report}: line {number} is not of such a report") from None
    return names
