"""A photo in memory -> the coloured photo in memory, for pipes and servers: no file is touched."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from cic.colorize.colorizer import Colorizer, Tilt
from cic.colorize.hints import Hint
from cic.photos import budget, images
from cic.photos.memory import ending_of, read_whole
from cic.system import pipes
from cic.system.pipes import STANDARD
from cic.system.typing import Source


class Coloured(NamedTuple):
    """A coloured photo: its bytes, their usual ending, its size, and notes on what was found."""

    data: bytes
    ending: str
    width: int
    height: int
    notes: list[str]


def source_of(path: str) -> Source:
    """Return `path` itself, or of "-" the photo on standard input, in the memory that there is."""
    if path != STANDARD:
        return path
    most = int(min(budget.room(), budget.available_memory()))
    return read_whole(pipes.standard_input(), most, "standard input")


def colorize(
    colorizer: Colorizer,
    source: Source,
    ending: str | None = None,
    tilt: Tilt | None = None,
    stretched: bool = True,
    hints: Sequence[Hint] = (),
    refused: Collection[str] = (),
) -> Coloured:
    """Return a photo Coloured, in the format of an ending such as ".png", or in its own.

    If its own is one of those `refused`, which are endings too, it is another.
    As `hints` want it, and with a `tilt` that of an alternative (see `alternatives.Colouring`). Of
    several pages it is the one that is the photo; for `stretched` see `images.open_pages`. Raises
    PhotoError.
    """
    photo = images.open_photo(source, stretched=stretched, work=colorizer.memory)
    notes = list(photo.notes)
    if photo.pages > 1:
        notes.append(f"page {photo.page + 1} of {photo.pages}: the others are left out")
    picture = colorizer.painting(photo, hints, tilt)
    ending = ending or ending_of(photo.format, refused)
    data, more = images.encoded(picture, photo, ending)
    height, width, _ = picture.shape
    return Coloured(data, ending, width, height, notes + more)
