"""Photos opened to be coloured: their pixels, and what their results should keep."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cic.photos import carried, metadata, pixels
from cic.photos.damage import PhotoError
from cic.photos.opening import Opened, name_of, opened_file, photo_errors
from cic.system.typing import Source


@dataclass
class Photo:
    """A photo, upright and in sRGB, with what its result should keep."""

    base: Image.Image  # of mode RGB, or L if it is gray
    deep: (
        NDArray[np.uint16] | None
    )  # (H, W) uint16 sRGB, white at 65535, of gray of more than 8 bits
    alpha: Image.Image | None  # of mode L
    icc: bytes | None  # a profile that is true of the pixels, if the file had one
    profiled: bool  # the file had another, from which the colours were converted
    carried: carried.Carried
    pages: int  # in the file: frames of an animation, pages of a document
    page: int  # which of them this is, from 0 on
    format: str  # Pillow's name of it
    notes: list[str] = field(default_factory=list)  # sentences on what was found, and done about it

    @property
    def rgb(self) -> Image.Image:
        """The photo as a Pillow image of mode RGB; of gray one is made at each call."""
        return self.base if self.base.mode == "RGB" else self.base.convert("RGB")

    @property
    def exif(self) -> bytes | None:
        return self.carried.exif

    @property
    def dpi(self) -> tuple[float, float] | None:
        return self.carried.dpi


class Pages:
    """The pages of an opened photo: `photo` reads one of them, each from the same open file."""

    def __init__(
        self,
        source: Source,
        found: Opened,
        stretched: bool,
        work: Callable[[int, int], float] | None,
    ) -> None:
        self.source, self.found = source, found
        self.stretched, self.work = stretched, work
        self.count, self.others = found.count(), found.others
        self.format = found.image.format

    def photo(self, page: int | None = None, last: bool = False) -> Photo:
        """Return the Photo of a page, from 0 on; by default of the page that is the photo.

        `last` says that no other will be asked for. Raises PhotoError if there is no such page.
        """
        name = name_of(self.source)
        with photo_errors(name, self.found.file, self.found):
            try:
                number = self.found.turn_to(page)
            except EOFError:
                raise PhotoError(f"{name!r}: there is no page {page + 1} in it") from None  # type: ignore[operator]
            return self._read(number, last or self.count == 1)

    def _read(self, number: int, last: bool) -> Photo:
        found, image = self.found, self.found.image
        # A TIFF is turned, and forgets that it was, as it is loaded; the EXIF of a PNG may come
        # last, and asked for it Pillow would decode the data.
        sideways = image.format == "TIFF" and metadata.is_sideways(image)
        again = None if found.image.format not in ("PNG", "TIFF") else found.again
        work = self.work(*image.size) if self.work else 0
        note = pixels.decode(image, self.stretched, again, work, rgb=False)
        notes = [note] if note else []
        if loss := found.loss():
            notes.append(loss[1])
        if image.format != "TIFF":
            sideways = metadata.is_sideways(image)
        turned = sideways and image.format != "TIFF"
        size = image.size[::-1] if turned else image.size
        about = carried.collect(image, found.file, size, sideways)
        got, note = pixels.convert(image, self.stretched, own=last)
        notes += [note] if note else []
        base = got.image
        if base is image and not last:
            base = image.copy()
        return Photo(
            base,
            got.deep,
            got.alpha,
            got.icc,
            got.converted,
            about,
            self.count,
            number,
            image.format,  # type: ignore[arg-type]
            notes,
        )


@contextmanager
def open_pages(
    source: Source, stretched: bool = True, work: Callable[[int, int], float] | None = None
) -> Iterator[Pages]:
    """The Pages of a photo. Raises PhotoError for a bad file, not for what the block itself raises.

    With `stretched`, numbers of fewer bits than their type reach white (see `deep.gray`).
    `work(width, height)` gives the bytes that the caller needs beside a photo of that size. The
    notes of a Photo say which part of a damaged picture is lost.
    """
    with opened_file(source) as found:
        with photo_errors(name_of(source), found.file, found):
            pages = Pages(source, found, stretched, work)
        yield pages


def open_photo(
    source: Source,
    page: int | None = None,
    stretched: bool = True,
    work: Callable[[int, int], float] | None = None,
) -> Photo:
    """Return a page of a photo as a Photo; by default the page that is the photo. See
    `open_pages`.
    """
    with open_pages(source, stretched, work) as pages:
        return pages.photo(page, last=True)
