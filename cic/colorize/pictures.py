"""Make pictures of an opened file: colour and write its pages."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from cic.colorize.batch import Pictures
from cic.colorize.colorizer import MAP, SHEET, Colorizer, Kind
from cic.colorize.results import Results
from cic.colorize.task import Task
from cic.photos import images
from cic.photos.images import Photo
from cic.photos.photo import Pages
from cic.photos.strips import Picture

PIXEL = 12  # bytes a pixel that most photos take at their peak, see `budget`


class Maker:
    """Maker of the `wanted` pictures of files; `check` raises once the batch is stopped."""

    def __init__(
        self,
        colorizer: Colorizer,
        wanted: Pictures,
        results: Results,
        check: Callable[[], object],
    ) -> None:
        self.colorizer, self.wanted = colorizer, wanted
        self.results, self.check = results, check

    def make(self, task: Task) -> None:
        """Colorize the photo of a task: one page of it, or every one."""

        def memory(width: int, height: int) -> float:
            need = self._memory(width, height)
            task.reserve(need + PIXEL * width * height)
            return need

        with images.open_pages(task.source, self.wanted.stretched, memory) as pages:
            if self._is_tiff_of_pages(pages, task.target):
                self.results.refuse_taken(task, [task.target])
                self._write_pages(pages, task)
                self.results.claim(task, task.target)
                task.made.append(task.target)
                return
            for photo, target in self._photos(pages, task):
                self._colorize(photo, task, target)

    def _memory(self, width: int, height: int) -> float:
        """Return the bytes that are needed beside a photo that is coloured.

        Of one picture, that is the network's; of several also arrays of the photo and of a result,
        and the image that is written.
        """
        more = 3 + 3 + 4 if self.wanted.several else 0
        return self.colorizer.memory(width, height) + more * width * height

    def _is_tiff_of_pages(self, pages: Pages, target: str) -> bool:
        """Return whether the pages are those of a TIFF, and are to become one."""
        is_tiff = os.path.splitext(target)[1].lower() in images.TIFF
        wanted = self.wanted.all_pages and not self.wanted.several
        return wanted and is_tiff and pages.count > 1 and pages.format == "TIFF"

    def _write_pages(self, pages: Pages, task: Task) -> None:
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
                task.note(f"{task.source!r}: page {number + 1}", photo.notes)
                add(self.colorizer.painting(photo, self.wanted.hints), photo)
            if len(failed) == pages.count:
                raise images.PhotoError(f"{task.source!r}: none of its pages could be read")
        task.errors += failed

    def _photos(self, pages: Pages, task: Task) -> Iterator[tuple[Photo, str]]:
        """Yield (Photo, target) of the page that is the photo, or of every one, numbered."""
        if pages.count == 1 or not self.wanted.all_pages:
            photo = pages.photo(last=True)
            if left := _left_out(pages, photo):
                task.say(f"{task.source!r}: {left}")
            task.note(repr(task.source), photo.notes)
            yield photo, task.target
            return
        stem, extension = os.path.splitext(task.target)
        for page in range(pages.count):
            number = str(page + 1).zfill(len(str(pages.count)))
            if self.results.are_there(target := f"{stem}-{number}{extension}"):
                task.is_there = True
                continue
            photo = pages.photo(page)
            task.note(f"{task.source!r}: page {page + 1}", photo.notes)
            yield photo, target

    def _colorize(self, photo: Photo, task: Task, target: str) -> None:
        wanted, names = self.wanted, self.wanted.names(target)
        self.results.refuse_taken(task, names.values())
        self.check()
        pictures: Iterable[tuple[Kind, Picture]]
        if wanted.several:
            pictures = self.colorizer.pictures(photo, wanted.alternatives, wanted.uncertainty)
        else:
            pictures = [(1, self.colorizer.painting(photo, wanted.hints))]
        for name in self._written(pictures, photo, names, task):
            self.results.claim(task, name)
        task.made.append(target)

    def _written(
        self,
        pictures: Iterable[tuple[Kind, Picture]],
        photo: Photo,
        names: Mapping[Kind, str],
        task: Task,
    ) -> Iterator[str]:
        """Write (kind, picture) of a Photo, one in memory at a time; yield each file's name."""
        missing = dict(names)
        for kind, picture in pictures:
            self.check()
            name = missing.pop(kind)
            notes = images.write(name, picture, None if kind in (SHEET, MAP) else photo)
            task.note(repr(name), notes or ())
            del picture
            yield name
        if missing:
            few = f"no more than {min(missing) - 1} distinct and likely colourings"  # type: ignore[operator]
            task.say(f"{names[1]!r}: {few}")


def _left_out(pages: Pages, photo: Photo) -> str | None:
    """Return a sentence on the pages of a file if only this Photo is taken."""
    if pages.count > 1:
        which = "the first" if not photo.page else f"the largest, page {photo.page + 1},"
        return f"{which} of {pages.count} pages; all_pages takes them all"
    if pages.others:
        copies = "smaller copy or mask" if pages.others == 1 else "smaller copies or masks"
        return f"{pages.others} {copies} in it left out"
    return None
