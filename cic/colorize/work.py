"""Files of photos and films -> files, several photos at once, whatever becomes of each."""

import os
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from cic.colorize import manifest
from cic.colorize.colorizer import MAP, SHEET, Colorizer, Kind, NotFinite
from cic.colorize.joblist import Done, Job, Relations
from cic.colorize.manifest import Line
from cic.films import writer
from cic.photos import budget, images, sources
from cic.photos.damage import failed_on
from cic.photos.images import Photo
from cic.photos.photo import Pages
from cic.photos.strips import Picture
from cic.system import pipeline, threads
from cic.system.pipeline import Gate
from cic.system.progress import Callback, Told, told
from cic.system.shares import WHOLE, Share

PIXEL = 12  # bytes a pixel that most photos take at their peak, see `budget`


@dataclass(frozen=True)
class Pictures:
    """Which pictures are made of each file.

    Of several pages one is taken, or with `all_pages` each: to a file of its own, or, of a TIFF, to
    one TIFF of pages. More than one of `alternatives`, and `uncertainty`, ask for more pictures of
    each (see `Colorizer.pictures`), written beside it (see `file_names`); pages then have files of
    their own. Photos of numbers that do not reach white are `stretched` (see `images.open_pages`).
    """

    all_pages: bool = False
    alternatives: int = 1
    uncertainty: bool = False
    stretched: bool = True

    @property
    def several(self) -> bool:
        """Whether more than one picture is made of a photo."""
        return self.alternatives > 1 or self.uncertainty


ONE = Pictures()


@dataclass(frozen=True)
class Part:
    """What part of a batch is done: a share of it, less what is there.

    With `skip_existing` a result that is there stays, and its photo is not opened. The `manifest`
    is a file that gets a line for each photo; each of several shares has its own. Files that are
    there are replaced, or else a photo fails that would.
    """

    share: Share = WHOLE
    skip_existing: bool = False
    manifest: str | None = None
    replaces: bool = True


ALL = Part()


class Outcome(NamedTuple):
    """What was done: (source, target) of each picture, and how many files or pages failed."""

    done: Done
    failed: int

    def __str__(self) -> str:
        there = f", {self.done.there} there already" if self.done.there else ""
        return f"{len(self.done)} colorized, {self.failed} failed{there}"


def colorize_files(
    colorizer: Colorizer,
    jobs: Sequence[Job],
    pictures: Pictures = ONE,
    film: Callable[[str, str], object] | None = None,
    progress: Callback | None = None,
    part: Part = ALL,
) -> Outcome:
    """Colorize (source, target) files: an Outcome.

    A failure, of whatever kind, is named in one line and never stops the rest. Two sources with one
    target, or a target that is a source, are failures too; files of earlier runs are replaced.
    `pictures` are those to make of each; `film(source, target)` colorizes a film: without it they
    are refused as any file is. `part` says which of the jobs are done now. Steps and lines are told
    to `progress`, see `cic.system.progress`; by default a bar is shown.
    """
    relations = Relations(jobs)
    numbers = relations.of_share(part.share)
    with ExitStack() as stack:
        lines = None
        if part.manifest:
            lines = stack.enter_context(manifest.opened(part.share.own(part.manifest)))
        bar = stack.enter_context(told(progress, total=len(numbers)))
        work = _Work(colorizer, pictures, film, relations, part)
        done, failed = Done(jobs), 0
        tasks = stack.enter_context(closing(work.on(numbers, bar)))
        for task in bar.each(tasks):
            done.add(task.number, task.made)
            done.there += task.is_untouched
            failed += len(task.errors)
            if lines and not (task.is_untouched and lines.has(task.target)):
                lines.add(task.line())
        return Outcome(done, failed)


@dataclass
class _Task:
    """A file on its way: what was made of it, what failed, how long it took."""

    number: int
    source: str
    target: str
    say: Callable[[str], object]
    take: Callable[[float], object]  # waits until so many bytes of memory are free
    made: list[str] = field(default_factory=list)  # targets: of each page that has its own file
    errors: list[str] = field(default_factory=list)
    is_there: bool = False  # a result of it, from before
    seconds: float | None = None

    def fail(self, line: str) -> None:
        """Count a failure, and name it."""
        self.errors.append(line)
        self.say(f"failed: {line}")

    @property
    def is_untouched(self) -> bool:
        """Whether all of its results were there."""
        return self.is_there and not self.made and not self.errors

    def line(self) -> Line:
        """Its line of a manifest."""
        result = self.target if self.made or self.is_there else None
        return Line(self.source, result, self.seconds, "; ".join(self.errors) or None)


class _Work:
    """What is done with files, and which are `taken`: results by real path, whose they are."""

    def __init__(
        self,
        colorizer: Colorizer,
        wanted: Pictures,
        film: Callable[[str, str], object] | None,
        relations: Relations,
        part: Part,
    ) -> None:
        self.colorizer, self.wanted, self.film = colorizer, wanted, film
        self.relations, self.part = relations, part
        self.taken: dict[str, str] = {}  # of results that another job may want to write as well
        self.gate = Gate(min(budget.room(), budget.available() / 2))

    def on(self, numbers: Sequence[int], bar: Told) -> Generator[_Task]:
        """Yield the tasks of these jobs, done, in order; what they say is told before."""
        jobs, gate = self.relations.jobs, self.gate
        workers = max(1, min(threads.total(), len(numbers)))
        if self.wanted.several or self.wanted.all_pages:
            workers = 1  # of these pictures there may be any number: see _refuse_taken
        said: dict[int, list[str]] = {}

        def do(number: int) -> _Task:
            is_alone = workers == 1 or self._is_alone(number)
            say = bar.say if is_alone else said.setdefault(number, []).append
            with gate.entered() as take:
                task = _Task(number, *jobs[number], say, take)
                self.do(task)
            return task

        with threads.divided(workers), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # see opening.photo_errors
            alone = (lambda number: True) if workers == 1 else self._is_alone
            for task in pipeline.ordered(do, numbers, workers, gate, alone):
                for line in said.pop(task.number, ()):
                    bar.say(line)
                yield task

    def _is_alone(self, number: int) -> bool:
        """Whether a job is done alone: a film, which takes all cores, or one of several that would
        write the same file, of which the first is to do it.
        """
        source, target = self.relations.jobs[number]
        return target in self.relations.shared or bool(self.film and sources.is_film(source))

    def do(self, task: _Task) -> None:
        """Colorize a file; whatever its photo, or the network, brings out, is a failure."""
        if self._is_there(task.target) and not self._owner(os.path.realpath(task.target)):
            self._take(task, task.target)
            task.is_there = True
            return
        begin = time.perf_counter()
        try:
            self._colorize(task)
        except Exception as error:  # one photo never ends the others
            named = f"{task.source!r}: " if isinstance(error, NotFinite) else ""
            task.fail(f"{named}{failed_on(task.source, error)}")
        task.seconds = round(time.perf_counter() - begin, 3)

    def _is_there(self, target: str) -> bool:
        """Whether the pictures of a photo are to be left alone: the last to be written is there."""
        if not self.part.skip_existing:
            return False
        names = self._names(target)
        return all(os.path.exists(names[kind]) for kind in (1, SHEET, MAP) if kind in names)

    def _names(self, target: str) -> dict[Kind, str]:
        return file_names(target, self.wanted.alternatives, self.wanted.uncertainty)

    def _colorize(self, task: _Task) -> None:
        source, target = task.source, task.target
        if self.film and sources.is_film(source):
            self._refuse_taken(task, [target])
            with threads.divided(None):
                self.film(source, target)
            self._take(task, target)
            task.made.append(target)
            return
        memory = partial(self._memory, task)
        with images.open_pages(source, self.wanted.stretched, memory) as pages:
            if self._is_tiff_of_pages(pages, target):
                self._refuse_taken(task, [target])
                self._write_pages(pages, task)
                self._take(task, target)
                task.made.append(target)
                return
            for photo, part in self._pages(pages, task):
                self._colorize_photo(photo, task, part)

    def _colorize_photo(self, photo: Photo, task: _Task, target: str) -> None:
        names = self._names(target)
        self._refuse_taken(task, names.values())
        self.gate.check()
        if self.wanted.several:
            count, with_map = self.wanted.alternatives, self.wanted.uncertainty
            pictures: Iterable[tuple[Kind, Picture]] = self.colorizer.pictures(
                photo, count, with_map
            )
        else:
            pictures = [(1, self.colorizer.painting(photo))]
        for name in self._write_pictures(pictures, photo, names, task):
            self._take(task, name)
        task.made.append(target)

    def _memory(self, task: _Task, width: int, height: int) -> float:
        """Bytes that are needed beside a photo that is coloured, once there is room for all of it.

        Of one picture, that is the network's; of several also arrays of the photo and of a result,
        and the image that is written.
        """
        more = 3 + 3 + 4 if self.wanted.several else 0
        need = self.colorizer.memory(width, height) + more * width * height
        task.take(need + PIXEL * width * height)
        return need

    def _is_tiff_of_pages(self, pages: Pages, target: str) -> bool:
        """Whether the pages are those of a TIFF, and are to become one."""
        is_tiff = os.path.splitext(target)[1].lower() in images.TIFF
        wanted = self.wanted.all_pages and not self.wanted.several
        return wanted and is_tiff and pages.count > 1 and pages.format == "TIFF"

    def _take(self, task: _Task, name: str) -> None:
        """Note a file that was written, if another job may want to write it, too."""
        several = self.wanted.several or self.wanted.all_pages
        if several or task.target in self.relations.shared:
            self.taken[os.path.realpath(name)] = task.source

    def _refuse_taken(self, task: _Task, names: Iterable[str]) -> None:
        """Raise PhotoError if a file to write is taken."""
        for name in names:
            if not self.part.replaces and os.path.lexists(name):
                raise images.PhotoError(
                    f"{task.source!r}: {name!r} is there already: --skip_existing leaves it, "
                    "-o says where else to write"
                )
            reason = self._owner(os.path.realpath(name))
            if not reason and name != task.target and self._is_of_another_share(name):
                reason = "is the result of another photo"
            if not reason:
                continue
            known = writer.target_name(name) if sources.is_film(task.source) else name
            stem, extension = os.path.splitext(known)
            kind = os.path.splitext(task.source)[1].lstrip(".").lower() or "2"
            raise images.PhotoError(
                f"{task.source!r}: {name!r} {reason}: colorize it by itself, "
                f"-o {stem + '-' + kind + extension!r}"
            )

    def _owner(self, real: str) -> str | None:
        """Why a file, by its real path, is not to be written; None if it may be."""
        if self.relations.is_source(real):
            return "would overwrite a photo to colorize"
        if real in self.taken:
            return f"is the result of {self.taken[real]!r} already"
        return None

    def _is_of_another_share(self, name: str) -> bool:
        return not self.part.share.is_whole and self.relations.is_target(name)

    def _write_pages(self, pages: Pages, task: _Task) -> None:
        """Write each page of a TIFF as a page of another; those that cannot be read fail."""
        failed: list[str] = []
        with images.tiff_pages(task.target) as add:
            for number in range(pages.count):
                try:
                    photo = pages.photo(number)
                except images.PhotoError as error:
                    failed.append(f"{error}: page {number + 1}")
                    task.say(f"failed: {failed[-1]}")
                    continue
                _say(task, f"{task.source!r}: page {number + 1}", photo.notes)
                add(self.colorizer.painting(photo), photo)
            if len(failed) == pages.count:
                raise images.PhotoError(f"{task.source!r}: none of its pages could be read")
        task.errors += failed

    def _write_pictures(
        self,
        pictures: Iterable[tuple[Kind, Picture]],
        photo: Photo,
        names: Mapping[Kind, str],
        task: _Task,
    ) -> Iterator[str]:
        """Write (kind, picture) of a Photo, one in memory at a time; yield each file's name."""
        missing = dict(names)
        for kind, picture in pictures:
            self.gate.check()
            name = missing.pop(kind)
            notes = images.write(name, picture, None if kind in (SHEET, MAP) else photo)
            _say(task, repr(name), notes or ())
            del picture
            yield name
        if missing:
            few = f"no more than {min(missing) - 1} distinct and likely colourings"  # type: ignore[operator]
            task.say(f"{names[1]!r}: {few}")

    def _pages(self, pages: Pages, task: _Task) -> Iterator[tuple[Photo, str]]:
        """Yield (Photo, target) of the page that is the photo, or of every one, numbered."""
        source = task.source
        if pages.count == 1 or not self.wanted.all_pages:
            photo = pages.photo(last=True)
            if pages.count > 1:
                which = "the first" if not photo.page else f"the largest, page {photo.page + 1},"
                few = f"{which} of {pages.count} pages; --all_pages takes them all"
                task.say(f"{source!r}: {few}")
            elif pages.others:
                copies = "smaller copy or mask" if pages.others == 1 else "smaller copies or masks"
                few = f"{pages.others} {copies} in it left out"
                task.say(f"{source!r}: {few}")
            _say(task, repr(source), photo.notes)
            yield photo, task.target
            return
        stem, extension = os.path.splitext(task.target)
        for page in range(pages.count):
            number = str(page + 1).zfill(len(str(pages.count)))
            if self._is_there(part := f"{stem}-{number}{extension}"):
                task.is_there = True
                continue
            photo = pages.photo(page)
            _say(task, f"{source!r}: page {page + 1}", photo.notes)
            yield photo, part


def _say(task: _Task, name: str, notes: Iterable[str]) -> None:
    for note in notes:
        task.say(f"{name}: {note}")


def file_names(target: str, count: int = 1, with_map: bool = False) -> dict[Kind, str]:
    """{kind: file} of a photo's pictures: the target, and what its name gives for the others."""
    stem, extension = os.path.splitext(target)
    names: dict[Kind, str] = {1: target}
    for number in range(2, count + 1):
        names[number] = f"{stem}-alternative-{number}{extension}"
    if count > 1:
        names[SHEET] = f"{stem}-alternatives.jpg"
    if with_map:
        names[MAP] = f"{stem}-uncertainty.png"
    return names
