"""List the files to colour, and decide where each result goes."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from cic.colorize import existing
from cic.colorize.batch import ALL, ONE, Outcome, Part, Pictures
from cic.colorize.colorizer import Colorizer
from cic.colorize.existing import OneByOne
from cic.colorize.joblist import FoundFile, Job, Jobs, Places
from cic.colorize.work import FilmWorker, Worker, local_worker, run_jobs
from cic.photos import kinds, sources, stored
from cic.photos.endings import EXTENSIONS, FILMS
from cic.photos.images import PhotoError
from cic.system import locks, storage
from cic.system.addresses import check_slashes, is_address, real
from cic.system.errors import InputError, SettingError
from cic.system.files import lies_in, remove_leftovers, remove_stale
from cic.system.progress import Callback, tell
from cic.system.shares import WHOLE, Share

BESIDE = "-colorized"  # what the name of a result has that stands beside its photo
_RESULT = re.compile(rf"{BESIDE}(-alternative-\d+|-alternatives|-uncertainty|-\d+)?$")
# Formats that results keep; others become PNG.
KEPT = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp"}


def list_jobs(
    paths: Sequence[str],
    output: str | None,
    films: bool = False,
    left_out: kinds.LeftOut | None = None,
    progress: Callback | None = None,
) -> tuple[Jobs, list[PhotoError]]:
    """Return ([(source, target), ...], problems) of every photo, and of folders that cannot be
    read.

    Folders keep their inner layout, photos their format if it is common. With one photo and an
    `output` that ends as a photo does, that is the target; else it is a folder, and photos in it
    are results, not sources: a line to `progress` says how many were left out. But a named path in
    there is a source. Without `output` the result of old.jpg is old-colorized.jpg beside it, and
    what is so named in a folder is a result. With `films` these are taken as photos are.
    `left_out`, a kinds.LeftOut, counts the photos of kinds that are not read here. Raises
    ValueError if the results would lie among the photos, or all photos are results.
    """
    for path in (*paths, *([output] if output else ())):
        check_slashes(path)
    extensions = (*EXTENSIONS, *(FILMS if films else ()))
    if output is None:
        return _beside(paths, extensions, films, left_out, progress)
    problems: list[PhotoError] = []
    names_a_file = os.path.splitext(output)[1].lower() in extensions
    if names_a_file and len(paths) == 1 and not (is_folder(paths[0]) or os.path.isdir(output)):
        jobs = Jobs(lambda name, source: output)
        for only in _found(paths[0], Places(), extensions, problems.append, left_out):
            jobs.add(*only)
        return jobs, problems
    jobs = Jobs(partial(_target, output, films))
    results, places = 0, Places()
    inside = os.path.join(real(output), "")
    for path in paths:
        if real(path) == real(output):
            raise InputError(f"{path}: the output folder is the input folder: name another output")
        is_named_in_there = real(path).startswith(inside)
        for folder, name, file in _found(path, places, extensions, problems.append, left_out):
            if is_named_in_there:
                target = jobs.target(name, file.path)
                _refuse_among(path, target)
                if _is_in_the_way(target, file):
                    line = f"{path!r}: {target!r} is there, and may not be of it: choose another"
                    problems.append(PhotoError(line))
                    continue
            elif file.real.startswith(inside):
                results += 1
                continue
            jobs.add(folder, name, file)
    if results and not jobs:
        raise InputError(
            f"{', '.join(paths)}: all {results:,} photos in there lie in the output folder "
            f"{output}, whose photos are results: name another output"
        )
    if results:
        line = f"{output}: {results:,} photos in this output folder are results, and left out"
        tell(line, progress)
    return jobs, problems


def _beside(
    paths: Sequence[str],
    extensions: Collection[str],
    films: bool,
    left_out: kinds.LeftOut | None,
    progress: Callback | None,
) -> tuple[Jobs, list[PhotoError]]:
    """Return what `list_jobs` gives without an output."""

    def target(name: str, source: str) -> str:
        folder, name = os.path.split(source)
        stem, ending = os.path.splitext(_target(folder, films, name, source))
        return f"{stem}{BESIDE}{ending}"

    if address := next(filter(is_address, paths), None):
        raise SettingError(f"{address}: an address: name an output, where the results go")
    jobs, places = Jobs(target), Places()
    problems: list[PhotoError] = []
    results = 0
    for path in paths:
        is_searched = os.path.isdir(path)
        for folder, name, file in _found(path, places, extensions, problems.append, left_out):
            if is_searched and _RESULT.search(os.path.splitext(name)[0]):
                results += 1
            else:
                jobs.add(folder, name, file)
    if results:
        tell(f"{results:,} photos called ...{BESIDE} are results, and left out", progress)
    return jobs, problems


def is_folder(path: str) -> bool:
    """Return whether a path, or an address, is that of a folder; raise AddressError."""
    return storage.size(path) is None if is_address(path) else os.path.isdir(path)


def _found(
    path: str,
    places: Places,
    extensions: Collection[str],
    onerror: Callable[[PhotoError], object],
    left_out: kinds.LeftOut | None,
) -> Iterator[tuple[str, str, FoundFile]]:
    """Yield (folder, name in it, FoundFile) of a file, or of each file in a folder."""
    folder, name = os.path.split(path)
    if not is_address(path) and os.path.isdir(path):
        for name in sources.walk(path, extensions, onerror, left_out):
            yield path, name, places.find(os.path.join(path, name))
    elif not is_address(path):
        yield folder, name, places.find(path)
    elif is_folder(path):
        for photo in stored.walk(path, extensions, onerror, left_out):
            file = str(photo)
            yield path, photo.name, FoundFile(file, file, photo.size)
    elif sources.is_film(path):
        onerror(PhotoError(f"{path!r}: {stored.FILM}"))
    else:
        yield folder, name, places.find(path)


def _target(output: str, films: bool, name: str, source: str) -> str:
    """Return the target of a file `name` of a folder, in the folder `output`."""
    if os.path.splitext(name)[1].lower() in KEPT:
        return os.path.join(output, name)
    if films and sources.is_film(source):
        from cic.films import writer  # heavy, and photos need none of it

        return os.path.join(output, writer.target_name(name))
    return os.path.join(output, result_name(name, source))


def _is_in_the_way(target: str, file: FoundFile) -> bool:
    """Return whether another file of a source's own folder has the name of its result."""
    place = real(target)
    beside = os.path.dirname(place) == os.path.dirname(file.real) and place != file.real
    return beside and (os.path.lexists(target) or target in OneByOne())


def _refuse_among(path: str, target: str) -> None:
    """Raise ValueError if a photo's result would lie in `path`, a folder in the output folder."""
    if os.path.isdir(path) and real(target).startswith(os.path.join(real(path), "")):
        raise InputError(f"{path}: {target!r} would lie among its photos: name another output")


def locked(
    output: str | None, jobs: Sequence[Job], share: Share = WHOLE
) -> AbstractContextManager[None]:
    """Return a context in which no other run writes into the folder `output` of jobs of
    `list_jobs`.

    Other shares of the same run may. A single file needs none: it is replaced whole. Nor do results
    beside their photos: they take no file's place. At an address there are no locks.
    """
    if output is None:
        for folder in {os.path.dirname(target) or os.curdir for _, target in jobs}:
            remove_leftovers(folder, deep=False, alone=False)
        return nullcontext()
    if is_address(output):
        return nullcontext()
    if len(jobs) == 1 and jobs[0][1] == output:
        remove_stale(output)
        return nullcontext()
    return locks.cleaned(output, share)


def result_name(name: str, source: str) -> str:
    """Return the name of a photo's result: its own if its format is kept, else that of a PNG.

    A name without a known ending stays whole, and the ending of its content follows.
    """
    stem, extension = os.path.splitext(name)
    if extension.lower() in KEPT:
        return name
    if extension.lower() in EXTENSIONS:
        return stem + ".png"
    ending = kinds.photo_ending(kinds.start_of(source))
    return name + ending if ending in KEPT else stem + ".png"


class Listing(NamedTuple):
    """Files to colour: (source, target) of each, and messages of folders that cannot be read.

    `left_out` are lines on kinds of photos that are not read here.
    """

    output: str | None
    jobs: Sequence[Job]
    problems: list[PhotoError]
    left_out: list[str]

    def colorize(
        self,
        colorizer: Colorizer,
        pictures: Pictures = ONE,
        film: FilmWorker | None = None,
        progress: Callback | None = None,
        part: Part = ALL,
    ) -> Outcome:
        """Colour all of them in this process: see `work.local_worker` and `run_jobs`.

        Raises SettingError for hints unless one photo alone is listed.
        """
        return self.run(local_worker(colorizer, pictures, film), progress, part)

    def run(self, worker: Worker, progress: Callback | None = None, part: Part = ALL) -> Outcome:
        """Have all of them coloured, alone in the output folder: an Outcome that counts the
        problems, too.

        For `progress` and `part` see `work.run_jobs`. Of several shares the first counts the
        problems. Results beside their photos never take the place of a file.
        """
        part = replace(part, replaces=self.output is not None)
        if self.output is not None and is_address(self.output):
            storage.check_bucket(self.output)
            if part.skip_existing and self.jobs and self.jobs[0][1] != self.output:
                part = replace(part, existing=existing.below(self.output))
        with locked(self.output, self.jobs, part.share):
            done, failed = run_jobs(worker, self.jobs, progress, part)
        return Outcome(done, failed + len(self.problems) * part.share.is_first)


def find(
    paths: Sequence[str], output: str | None, films: bool = False, progress: Callback | None = None
) -> Listing:
    """Return the Listing of photos, and folders of them, to colour into `output` or beside: see
    `list_jobs`.

    Problems are told to `progress`, by default printed. Raises ValueError if there is no photo,
    and no problem either.
    """
    left_out = kinds.LeftOut()
    jobs, problems = list_jobs(paths, output, films, left_out, progress)
    for problem in problems:
        tell(f"failed: {problem}", progress)
    if not jobs and not problems:
        what = "no photo and no film" if films else "no photo"
        raise InputError(f"{', '.join(paths)}: {what} in there{left_out.said()}")
    return Listing(output, jobs, problems, left_out.lines())


def find_set(
    folder: str, output: str, most: int | None = None, progress: Callback | None = None
) -> Listing:
    """Return the Listing of a test set: photos of `folder`, made into PNG files of the same names.

    Only the first `most` photos, if that is given. Problems are told to `progress`, by default
    printed. Raises ValueError if there is no photo, or if the results would be taken for photos.
    """
    if lies_in(os.path.join(output, "result"), folder):
        raise InputError(
            f"{output}: lies in {folder}, so that results would be taken for photos: "
            "choose another output"
        )
    left_out = kinds.LeftOut()
    problems: list[PhotoError] = []
    names = sources.find(folder, most, problems.append, left_out)
    for problem in problems:
        tell(f"failed: {problem}", progress)
    if not names:
        raise InputError(f"{folder}: no photo in there{left_out.said()}")
    pairs = [(name, os.path.splitext(name)[0] + ".png") for name in names]
    jobs = [(os.path.join(folder, name), os.path.join(output, png)) for name, png in pairs]
    return Listing(output, jobs, problems, left_out.lines())
