"""A photo in memory, without a file, and the format of the result of any photo."""

import io
from collections.abc import Collection
from typing import BinaryIO, NamedTuple

from cic.photos.images import PhotoError

# Pillow's names of formats that results keep, and their usual endings; others become PNG.
ENDINGS = {
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp",
}  # fmt: skip


class InMemory(NamedTuple):
    """The bytes of a photo, and its name in messages; taken wherever a photo's path is."""

    data: bytes
    name: str = "the photo"

    def __str__(self) -> str:
        return self.name

    def open(self) -> BinaryIO:
        """Return the bytes as a file."""
        return io.BytesIO(self.data)


def read_whole(file: BinaryIO, most: int, name: str) -> InMemory:
    """Return all that a pipe gives; raise PhotoError if that is nothing, or more than `most`
    bytes.
    """
    data = file.read(most + 1)
    if len(data) > most:
        raise PhotoError(f"{name!r}: too large: more than {most:,} bytes")
    if not data:
        raise PhotoError(f"{name!r}: the file is empty", "damaged")
    return InMemory(data, name)


def ending_of(format: str | None, refused: Collection[str] = ()) -> str:
    """Return the ending of a result of a photo of that format, Pillow's name of it.

    It is none of those that are `refused`.

    >>> ending_of("WEBP"), ending_of("WEBP", [".webp"])
    ('.webp', '.jpg')
    """
    own = ENDINGS.get(format or "", ".png")
    return next(ending for ending in (own, *ENDINGS.values()) if ending not in refused)
