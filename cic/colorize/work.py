"""Files of photos and films -> files: one after the other, whatever becomes of each."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cic.colorize.colorizer import MAP, SHEET, Colorizer, Job, Kind, NotFinite
from cic.films import writer
from cic.photos import images, sources
from cic.photos.damage import failed_on
from cic.photos.images import Photo
from cic.photos.photo import Pages
from cic.photos.strips import Picture
from cic.system.progress import Callback, Told, told


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


class Outcome(NamedTuple):
    """What was done: (source, target) of each picture, and how many files or pages failed."""

    done: list[Job]
    failed: int

    def __str__(self) -> str:
        return f"{len(self.done)} colorized, {self.failed} failed"


def colorize_files(
    colorizer: Colorizer,
    jobs: Sequence[Job],
    pictures: Pictures = ONE,
    film: Callable[[str, str], object] | None = None,
    progress: Callback | None = None,
) -> Outcome:
    """Colorize (source, target) files: an Outcome.

    A failure, of whatever kind, is named in one line and never stops the rest. Two sources with one
    target, or a target that is a source, are failures too; files of earlier runs are replaced.
    `pictures` are those to make of each; `film(source, target)` colorizes a film: without it they
    are refused as any file is. Steps and lines are told to `progress`, see `cic.system.progress`;
    by default a bar is shown.
    """
    with told(progress, total=len(jobs)) as bar:
        work = _Work(colorizer, pictures, film, bar, jobs)
        for source, target in bar.each(jobs):
            try:
                work.colorize(source, target)
            except Exception as error:  # one photo never ends the others
                named = f"{source!r}: " if isinstance(error, NotFinite) else ""
                work.fail(f"{named}{failed_on(source, error)}")
        return Outcome(work.done, work.failed)


class _Work:
    """Files on their way: what is done, what failed, and which files are `taken`, by real path."""

    def __init__(
        self,
        colorizer: Colorizer,
        wanted: Pictures,
        film: Callable[[str, str], object] | None,
        bar: Told,
        jobs: Sequence[Job],
    ) -> None:
        self.colorizer, self.wanted, self.film, self.bar = colorizer, wanted, film, bar
        self.taken = {
            os.path.realpath(source): "would overwrite a photo to colorize" for source, _ in jobs
        }
        self.done: list[Job] = []
        self.failed = 0

    def fail(self, line: str) -> None:
        """Count a failure, and name it."""
        self.failed += 1
        self.bar.say(f"failed: {line}")

    def colorize(self, source: str, target: str) -> None:
        """Colorize a file; raises whatever its photo, or the network, brings out."""
        if self.film and sources.is_film(source):
            self._refuse_taken(source, [target])
            self.film(source, target)
            self._take(source, target)
            self.done.append((source, target))
            return
        with images.open_pages(source, self.wanted.stretched, self._memory) as pages:
            if self._is_tiff_of_pages(pages, target):
                self._refuse_taken(source, [target])
                self._write_pages(pages, source, target)
                self._take(source, target)
                self.done.append((source, target))
                return
            for photo, part in self._pages(pages, source, target):
                self._colorize_photo(photo, source, part)

    def _colorize_photo(self, photo: Photo, source: str, target: str) -> None:
        names = file_names(target, self.wanted.alternatives, self.wanted.uncertainty)
        self._refuse_taken(source, names.values())
        if self.wanted.several:
            count, with_map = self.wanted.alternatives, self.wanted.uncertainty
            pictures: Iterable[tuple[Kind, Picture]] = self.colorizer.pictures(
                photo, count, with_map
            )
        else:
            pictures = [(1, self.colorizer.painting(photo))]
        for name in self._write_pictures(pictures, photo, names):
            self._take(source, name)
        self.done.append((source, target))

    def _memory(self, width: int, height: int) -> float:
        """Bytes that are needed beside a photo that is coloured.

        Of one picture, that is the network's; of several also arrays of the photo and of a result,
        and the image that is written.
        """
        more = 3 + 3 + 4 if self.wanted.several else 0
        return self.colorizer.memory(width, height) + more * width * height

    def _is_tiff_of_pages(self, pages: Pages, target: str) -> bool:
        """Whether the pages are those of a TIFF, and are to become one."""
        is_tiff = os.path.splitext(target)[1].lower() in images.TIFF
        wanted = self.wanted.all_pages and not self.wanted.several
        return wanted and is_tiff and pages.count > 1 and pages.format == "TIFF"

    def _take(self, source: str, target: str) -> None:
        self.taken[os.path.realpath(target)] = f"is the result of {source!r} already"

    def _refuse_taken(self, source: str, names: Iterable[str]) -> None:
        """Raise PhotoError if a file to write is taken."""
        for name in names:
            if (real := os.path.realpath(name)) in self.taken:
                known = writer.target_name(name) if sources.is_film(source) else name
                stem, extension = os.path.splitext(known)
                kind = os.path.splitext(source)[1].lstrip(".").lower() or "2"
                raise images.PhotoError(
                    f"{source!r}: {name!r} {self.taken[real]}: colorize it by itself, "
                    f"-o {stem + '-' + kind + extension!r}"
                )

    def _say(self, name: str, notes: Iterable[str]) -> None:
        for note in notes:
            self.bar.say(f"{name}: {note}")

    def _write_pages(self, pages: Pages, source: str, target: str) -> None:
        """Write each page of a TIFF as a page of another; those that cannot be read fail."""
        failed = 0
        with images.tiff_pages(target) as add:
            for number in range(pages.count):
                try:
                    photo = pages.photo(number)
                except images.PhotoError as error:
                    failed += 1
                    self.bar.say(f"failed: {error}: page {number + 1}")
                    continue
                self._say(f"{source!r}: page {number + 1}", photo.notes)
                add(self.colorizer.painting(photo), photo)
            if failed == pages.count:
                raise images.PhotoError(f"{source!r}: none of its pages could be read")
        self.failed += failed

    def _write_pictures(
        self, pictures: Iterable[tuple[Kind, Picture]], photo: Photo, names: Mapping[Kind, str]
    ) -> Iterator[str]:
        """Write (kind, picture) of a Photo, one in memory at a time; yield each file's name."""
        missing = dict(names)
        for kind, picture in pictures:
            name = missing.pop(kind)
            notes = images.write(name, picture, None if kind in (SHEET, MAP) else photo)
            self._say(repr(name), notes or ())
            del picture
            yield name
        if missing:
            few = f"no more than {min(missing) - 1} distinct and likely colourings"  # type: ignore[operator]
            self.bar.say(f"{names[1]!r}: {few}")

    def _pages(self, pages: Pages, source: str, target: str) -> Iterator[tuple[Photo, str]]:
        """Yield (Photo, target) of the page that is the photo, or of every one, numbered."""
        if pages.count == 1 or not self.wanted.all_pages:
            photo = pages.photo(last=True)
            if pages.count > 1:
                which = "the first" if not photo.page else f"the largest, page {photo.page + 1},"
                few = f"{which} of {pages.count} pages; --all_pages takes them all"
                self.bar.say(f"{source!r}: {few}")
            elif pages.others:
                copies = "smaller copy or mask" if pages.others == 1 else "smaller copies or masks"
                few = f"{pages.others} {copies} in it left out"
                self.bar.say(f"{source!r}: {few}")
            self._say(repr(source), photo.notes)
            yield photo, target
            return
        stem, extension = os.path.splitext(target)
        for page in range(pages.count):
            number = str(page + 1).zfill(len(str(pages.count)))
            photo = pages.photo(page)
            self._say(f"{source!r}: page {page + 1}", photo.notes)
            yield photo, f"{stem}-{number}{extension}"


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
