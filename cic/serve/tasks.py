"""Questions to a process that colours: a photo, what the page needs of one, or choices."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from cic.colorize import alternatives, piped
from cic.colorize.colorizer import Colorizer, Tilt
from cic.colorize.hints import Hint
from cic.photos import images
from cic.photos.memory import InMemory
from cic.serve.preview import preview
from cic.system.errors import InputError
from cic.system.text import printable, shortened

MEDIA = {
    ".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff", ".webp": "image/webp",
    ".bmp": "image/bmp",
}  # fmt: skip


NOTES = 2000  # characters of a header


class PhotoWanted(NamedTuple):
    """The coloured photo: with settings, an alternative by its tilt or number, hints, and a format.

    Alternative 1 is the usual one: see `Colorizer.pictures`. The format is given by an ending; None
    is the photo's own, unless its ending is `refused`.
    """

    changes: Mapping[str, Any] = {}
    tilt: Tilt | None = None
    alternative: int = 1
    hints: Sequence[Hint] = ()
    ending: str | None = None
    refused: Sequence[str] = ()


class PreviewWanted(NamedTuple):
    """The data that the page needs to show a photo: see `preview`."""


class ChoicesWanted(NamedTuple):
    """The most probable colours of pixel (x, y): see `Colorizer.choices`."""

    x: float
    y: float
    most: int


Wanted: TypeAlias = PhotoWanted | PreviewWanted | ChoicesWanted


@dataclass(frozen=True)
class Question:
    """A photo, and what the page or a client wants of it."""

    data: bytes = field(repr=False)
    wanted: Wanted = field(default_factory=PhotoWanted)


class Answer(NamedTuple):
    """A body, its media type, and its headers."""

    body: bytes
    media: str
    headers: dict[str, str]


def answer(colorizer: Colorizer, question: Question) -> Answer:
    """Answer a Question; raise whatever its photo brings out."""
    source = InMemory(question.data)
    if isinstance(question.wanted, PhotoWanted):
        return _photo(colorizer, source, question.wanted)
    if isinstance(question.wanted, PreviewWanted):
        return _json(preview(colorizer, source))
    photo = images.open_photo(source, work=colorizer.memory)
    found = colorizer.choices(photo, *question.wanted)
    return _json({"choices": [choice._asdict() for choice in found]})


def _json(found: dict[str, Any]) -> Answer:
    return Answer(json.dumps(found).encode(), "application/json", {})


def _photo(colorizer: Colorizer, source: InMemory, wanted: PhotoWanted) -> Answer:
    begin = time.perf_counter()
    chosen = colorizer.but(**wanted.changes)
    tilt = wanted.tilt if wanted.alternative == 1 else _tilt(chosen, source, wanted.alternative)
    made = piped.colorize(
        chosen, source, wanted.ending, tilt, hints=wanted.hints, refused=wanted.refused
    )
    about = {
        "Cic-Network": str(colorizer.network),
        "Cic-Seconds": f"{time.perf_counter() - begin:.3f}",
        "Cic-Size": f"{made.width}x{made.height}",
    }
    if made.notes:
        about["Cic-Notes"] = _header("; ".join(made.notes))
    return Answer(made.data, MEDIA[made.ending], about)


def _header(text: str) -> str:
    """Return a text as the value of a header: ASCII, on a line, not too long."""
    return shortened(printable(text).encode("ascii", "backslashreplace").decode(), NOTES)


def _tilt(colorizer: Colorizer, source: InMemory, number: int) -> Tilt:
    """Return the tilt of a photo's alternative of that number, as the command has it."""
    colorizer.check_distribution("alternatives")
    logits = colorizer.output(images.open_photo(source, work=colorizer.memory).base)
    found = alternatives.most_likely(logits, number, colorizer.settings.decoding)
    if len(found) < number:
        raise InputError(f"alternative {number}: the most of this photo is {len(found)}")
    return found[-1].tilt
